"""What waits for the log's writer, and the bounded queue it waits in."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from edge.frame import Frame
from edge.inspection import Detection, Inspection
from edge.mentoring.asking import Asked
from edge.mentoring.database import Accepted
from edge.mentoring.feedback import FeedbackDraft
from edge.mentoring.images import Picture
from edge.mentoring.selection import Selection
from lineside.pixels import Pixels, encode_lossless
from lineside.records import WITH_FRAME, RecordedDetection, RecordedFrame

GROUP_BYTES = 64 << 20
"""Picture bytes from which a group is not made larger: they are all in memory at once."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameEntry:
    """A frame to be kept. Holds either the file as received or the pixels, not both."""

    source: bytes | None
    source_suffix: str
    pixels: Pixels | None
    inspection: Inspection
    selection: Selection
    candidates: Sequence[Detection] = ()
    """Below the thresholds; of these only those are kept that are asked about."""

    @classmethod
    def of(
        cls, frame: Frame, inspection: Inspection, selection: Selection, candidates: Sequence[Detection] = ()
    ) -> FrameEntry:
        """The entry for a frame."""
        return cls(
            source=frame.source,
            source_suffix=frame.source_suffix,
            pixels=frame.pixels if frame.source is None else None,
            inspection=inspection,
            selection=selection,
            candidates=candidates,
        )

    @property
    def cost(self) -> int:
        """Bytes it holds in memory."""
        return (len(self.source) if self.source is not None else 0) + (0 if self.pixels is None else self.pixels.nbytes)

    def picture(self) -> Picture:
        """The file to be kept: exactly as received, or the pixels without loss."""
        if self.source is not None:
            return Picture.of(self.source, self.source_suffix)
        assert self.pixels is not None
        return Picture.of(encode_lossless(self.pixels), "pgm" if self.pixels.ndim == 2 else "ppm")

    def row(self, picture: Picture, boot_id: str, recorded_unix_ns: int) -> RecordedFrame:
        """The frame's row."""
        seen, search = self.inspection, self.selection.search
        return RecordedFrame(
            frame_id=seen.frame_id,
            boot_id=boot_id,
            station=seen.station,
            camera=seen.camera,
            part_id=seen.part_id,
            camera_sequence=seen.camera_sequence,
            width=seen.width,
            height=seen.height,
            captured_unix_ns=seen.captured_unix_ns,
            captured_monotonic_ns=seen.captured_monotonic_ns,
            image_sha256=picture.sha256,
            image_suffix=picture.suffix,
            image_bytes=len(picture.data),
            model_digest="" if seen.model is None else seen.model.digest,
            verdict=seen.verdict.value,
            verdict_reason=seen.verdict_reason,
            selected_because=self.selection.because,
            selection_probability=self.selection.probability,
            recorded_unix_ns=recorded_unix_ns,
            asked_because="" if search is None else search.because,
            asked_probability=1.0 if search is None else search.probability,
        )

    def detections(self) -> list[RecordedDetection]:
        """The rows of its detections, highest score first, and below them the questions."""
        questions = self.selection.questions
        asked = {} if questions is None else questions
        below = [item for item in self.candidates if item.detection_id in asked and asked[item.detection_id].because]
        never = Asked(because="", probability=1.0)
        return [
            RecordedDetection(
                detection_id=item.detection_id,
                class_index=item.class_index,
                class_name=item.class_name,
                score=item.score,
                box=item.box,
                areas=item.areas,
                raised=raised,
                asked_because=WITH_FRAME if questions is None else asked.get(item.detection_id, never).because,
                asked_probability=1.0 if questions is None else asked.get(item.detection_id, never).probability,
            )
            for raised, items in ((True, self.inspection.detections), (False, below))
            for item in items
        ]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeedbackEntry:
    """A feedback event, and who waits for its acknowledgement."""

    draft: FeedbackDraft
    future: Future[Accepted]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelEntry:
    """A model whose detections are going to come."""

    digest: str
    name: str
    version: str
    manifest: str
    """manifest.json."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlushEntry:
    """Done when everything before it is."""

    future: Future[None]


Entry = FrameEntry | FeedbackEntry | ModelEntry | FlushEntry


class Mailbox:
    """A queue in one order for all kinds, with a limit for each: frames cannot crowd out what operators say.

    Args:
        frames: most frames that wait.
        frame_bytes: most bytes of frames that wait; one frame is let in whatever its size.
        events: most feedback events that wait.
    """

    def __init__(self, *, frames: int, frame_bytes: int, events: int) -> None:
        self._limits = (frames, frame_bytes, events)
        self._waiting: collections.deque[Entry] = collections.deque()
        self._changed = threading.Condition()
        self._frames = self._frame_bytes = self._events = 0
        self._closed = False

    @property
    def frames(self) -> int:
        """Frames that wait."""
        return self._frames

    @property
    def events(self) -> int:
        """Feedback events that wait."""
        return self._events

    @property
    def closed(self) -> bool:
        """Nothing more is taken in."""
        return self._closed

    def put(self, entry: Entry) -> bool:
        """Takes an entry in and never waits; False: there is no room, or the mailbox is closed."""
        frames, frame_bytes, events = self._limits
        with self._changed:
            if self._closed:
                return False
            if isinstance(entry, FrameEntry):
                if self._frames >= frames or (self._frames and self._frame_bytes + entry.cost > frame_bytes):
                    return False
                self._frames += 1
                self._frame_bytes += entry.cost
            elif isinstance(entry, FeedbackEntry):
                if self._events >= events:
                    return False
                self._events += 1
            self._waiting.append(entry)
            self._changed.notify()
            return True

    def take(self, most: int, timeout: float | None) -> list[Entry] | None:
        """What waits, oldest first: at most `most` entries, and not many more than GROUP_BYTES of pictures.

        Args:
            most: at least 1.
            timeout: seconds to wait for a first one; None: for ever.

        Returns:
            An empty list after `timeout`; None when closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            if not self._waiting:
                return None if self._closed else []
            group: list[Entry] = []
            held = 0
            while self._waiting and len(group) < most and held < GROUP_BYTES:
                entry = self._waiting.popleft()
                group.append(entry)
                if isinstance(entry, FrameEntry):
                    self._frames -= 1
                    self._frame_bytes -= entry.cost
                    held += entry.cost
                elif isinstance(entry, FeedbackEntry):
                    self._events -= 1
            return group

    def close(self) -> None:
        """What waits can still be taken; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
