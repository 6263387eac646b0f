"""Why this box? The judged examples that look most like a detection, as the network that is asked about sees them.

A network keeps no examples, so nothing here says what caused a detection. It says which places that people have judged
lie nearest in the features its head looks at: confirmed ones near by speak for the box, rejected ones against it, and
nothing near by says that the network has not met such a place in these logs.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.models.features import FeatureGraph, Seen
from lineside.areas import Indices
from lineside.assign import overlapping
from lineside.boxes import as_boxes
from lineside.fold import fold
from lineside.gestures import AREA_IOU
from lineside.letterbox import Letterbox
from lineside.log_snapshot import read_snapshot
from lineside.mentoring_log import MentoringLogReader, read_picture
from lineside.package import GRAPH_NAME, Package, read_package
from lineside.pixels import Pixels, decode, encode_png, letterboxed
from lineside.reasons import ContractError
from lineside.records import (
    BoxTuple,
    FeedbackEvent,
    Gesture,
    Judgement,
    MentoringRecord,
    Outcome,
    RecordedDetection,
    RecordedFrame,
)
from lineside.trace.lineage import Taught, model_of

NEWEST = 500
"""Judged frames that are looked at, those with the newest answers: each costs an inference."""
_SIDE, _MARGIN = 160, 0.5
"""Pixels of a crop in the picture, and how much of a box's size is shown around it."""
_COLOURS = {"defect": (0, 114, 178), "no defect": (213, 94, 0), "asked about": (90, 90, 90)}
"""RGB of Okabe and Ito's palette, which the colour-blind tell apart; the words stand beside them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One judged place. box: frame pixels. pixels: of the place and what is around it."""

    station: str
    frame_id: str
    detection_id: str | None
    """None: a person drew it."""
    class_name: str
    """What it is, or, of a place without a defect, what it was taken for."""
    verdict: str
    """"defect" or "no defect"; "asked about": the detection that is to be explained."""
    box: BoxTuple
    operators: tuple[str, ...]
    events: tuple[int, ...]
    """Log sequences of what was said."""
    taught: bool
    """The model learned from this answer, as far as its package says."""
    seen: Seen
    pixels: Pixels


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Why:
    """The answer."""

    asked: Example
    nearest: tuple[tuple[float, Example], ...]
    """Distance and example, nearest first. Distances are in units of how much judged places differ from each other."""
    considered: int
    """Judged places that could be compared."""
    left_out: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a terminal."""
        said = collections.Counter(example.verdict for _, example in self.nearest)
        told = ", ".join(f"{count} {name}" for name, count in said.most_common()) or "none"
        head = f"{self.asked.detection_id}: {self.asked.class_name}; of the {len(self.nearest)} nearest of"
        lines = [f"{head} {self.considered} judged places: {told}"]
        for distance, example in self.nearest:
            learned = "learned from" if example.taught else "not learned from"
            about = example.detection_id or f"{example.frame_id}, drawn"
            who = ", ".join(example.operators)
            lines.append(f"  {distance:5.2f}  {example.verdict:<9}  {example.class_name}  {who}  {learned}  {about}")
        return [*lines, *(f"left out: {line}" for line in self.left_out)]


class Explainer:
    """Explains one model's detections; frames that were looked at once are remembered. For one thread at a time.

    Args:
        package: of the model.
        newest: judged frames that are looked at.

    Raises:
        ContractError: the package cannot be read.
        ValueError: its graph has no features that could be read.
    """

    def __init__(self, package: Package, *, newest: int = NEWEST) -> None:
        size = package.manifest.input
        self._package, self._newest = package, newest
        self._graph = FeatureGraph(
            package.read(GRAPH_NAME), package.head, input_shape=(size.height, size.width, size.channels)
        )
        self._taught = model_of(package.digest, package.manifest).taught
        self._known: dict[tuple[str, tuple[int, ...]], tuple[Example, ...]] = {}

    def examples(self, root: Path) -> tuple[list[Example], collections.Counter[str]]:
        """Judged places of a log, and why some are left out.

        Raises:
            FileNotFoundError, ContractError: the log cannot be read.
        """
        log = read_snapshot(root)
        said: dict[str, list[FeedbackEvent]] = collections.defaultdict(list)
        for event in log.events:
            if event.frame_id in log.frames:
                said[event.frame_id].append(event)
        newest = sorted(said, key=lambda name: -max(event.log_sequence for event in said[name]))
        left_out = collections.Counter[str]()
        if len(newest) > self._newest:
            left_out["the frame has older feedback than those looked at"] = len(newest) - self._newest
        found: list[Example] = []
        for name in newest[: self._newest]:
            place = (name, tuple(event.log_sequence for event in said[name]))
            if place not in self._known:
                frame = log.frames[name]
                record = MentoringRecord(
                    frame=frame, detections=log.detections.get(name, ()), judgements=fold(said[name])
                )
                try:
                    pixels = decode(read_picture(root, frame))
                except ContractError as error:
                    left_out[f"{error.reason.value}: a frame's picture cannot be read"] += 1
                    continue
                self._known[place] = self._of_frame(record, pixels)
            found += self._known[place]
        return found, left_out

    def explain(
        self, frame: RecordedFrame, detection: RecordedDetection, pixels: Pixels, logs: Iterable[Path], *, most: int = 6
    ) -> Why:
        """The nearest judged places of some logs; the detection itself is none of them.

        Args:
            frame: of the detection.
            detection: to be explained, of any model.
            pixels: the frame's picture.
            logs: whose examples.
            most: examples given back.
        """
        maps, letterbox = self._look(pixels)
        asked = self._example(frame, pixels, maps, letterbox, detection.box, detection.class_name, None, None)
        assert asked is not None
        asked = dataclasses.replace(asked, detection_id=detection.detection_id)
        left_out = collections.Counter[str]()
        examples: list[Example] = []
        for root in logs:
            found, why = self.examples(root)
            examples += found
            left_out += why
        fitting = [
            item
            for item in examples
            if item.detection_id != detection.detection_id and item.seen.level == asked.seen.level
        ]
        return Why(
            asked=asked,
            nearest=_nearest(asked, fitting, most),
            considered=len(fitting),
            left_out=tuple(f"{count} x {reason}" for reason, count in sorted(left_out.items())),
        )

    def _of_frame(self, record: MentoringRecord, pixels: Pixels) -> tuple[Example, ...]:
        maps, letterbox = self._look(pixels)
        detections = {detection.detection_id: detection for detection in record.detections}
        found = []
        for judgement in record.judgements:
            told = _verdict(judgement, detections)
            if told is not None:
                verdict, class_name, box = told
                example = self._example(record.frame, pixels, maps, letterbox, box, class_name, judgement, verdict)
                if example is not None:
                    found.append(example)
        return tuple(found)

    def _look(self, pixels: Pixels) -> tuple[list[NDArray[np.float32]], Letterbox]:
        size = self._package.manifest.input
        letterbox = Letterbox(
            frame_width=pixels.shape[1],
            frame_height=pixels.shape[0],
            model_width=size.width,
            model_height=size.height,
        )
        picture = letterboxed(pixels, letterbox, channels=size.channels, padding=size.padding)
        return self._graph.maps(picture), letterbox

    def _example(
        self,
        frame: RecordedFrame,
        pixels: Pixels,
        maps: Sequence[NDArray[np.float32]],
        letterbox: Letterbox,
        box: BoxTuple,
        class_name: str,
        judgement: Judgement | None,
        verdict: str | None,
    ) -> Example | None:
        placed = letterbox.to_model(as_boxes([box]))[0]
        # By the box and not by recorded areas: what is compared may be of several models and of people's drawing.
        areas: Indices = overlapping(self._graph.head, placed, AREA_IOU)
        if len(areas) == 0:
            return None
        return Example(
            station=frame.station,
            frame_id=frame.frame_id,
            detection_id=None if judgement is None else judgement.detection_id,
            class_name=class_name,
            verdict=verdict or "asked about",
            box=box,
            operators=() if judgement is None else judgement.operators,
            events=() if judgement is None else judgement.events,
            taught=judgement is not None and _was_taught(self._taught, frame.station, judgement.events),
            seen=self._graph.seen(maps, areas, placed),
            pixels=_crop(pixels, box),
        )


def explain(package: Path, detection_id: str, logs: Sequence[Path], *, most: int = 6) -> Why:
    """As `Explainer.explain`, of a detection in the first log.

    Raises:
        FileNotFoundError, ContractError: package or log cannot be read.
        ValueError: the first log has no such detection, or the graph no features.
    """
    explainer = Explainer(read_package(package))
    with MentoringLogReader(logs[0]) as reader:
        record = reader.record(detection_id.partition("/")[0])
    found = [item for item in record.detections if item.detection_id == detection_id] if record is not None else []
    if record is None or not found:
        raise ValueError(f"{logs[0]} has no detection {detection_id[:80]!r}; name it as FRAME/NUMBER")
    pixels = decode(read_picture(logs[0], record.frame))
    return explainer.explain(record.frame, found[0], pixels, logs, most=most)


def picture_of(why: Why) -> bytes:
    """PNG: the detection, then the nearest places in a row, each with its distance and what people said."""
    import cv2

    height = _SIDE + 44
    tiles = []
    for distance, example in ((None, why.asked), *why.nearest):
        tile = np.full((height, _SIDE + 12, 3), 255, np.uint8)
        pixels = example.pixels if example.pixels.ndim == 3 else np.repeat(example.pixels[:, :, None], 3, axis=2)
        scale = _SIDE / max(pixels.shape[:2])
        shape = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        shown = cv2.resize(pixels, shape, interpolation=cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA)
        colour = _COLOURS[example.verdict]
        tile[2 : _SIDE + 10, 2 : _SIDE + 10] = colour
        tile[6 : _SIDE + 6, 6 : _SIDE + 6] = 235
        tile[6 : 6 + shown.shape[0], 6 : 6 + shown.shape[1]] = shown
        near = "" if distance is None else f"{distance:.2f}, "
        for line, text in enumerate((f"{near}{example.verdict}", _short(example))):
            place = (6, _SIDE + 24 + 15 * line)
            cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
        tiles.append(tile)
    return encode_png(np.concatenate(tiles, axis=1))


def _short(example: Example) -> str:
    learned = ", learned from" if example.taught else ""
    # OpenCV's letters are ASCII.
    return f"{example.class_name[:18]}{learned}".encode("ascii", "replace").decode()


def _nearest(asked: Example, examples: Sequence[Example], most: int) -> tuple[tuple[float, Example], ...]:
    """By Euclidean distance, each channel in units of its spread among the examples."""
    if not examples:
        return ()
    vectors = np.stack([example.seen.vector for example in examples])
    spread = vectors.std(axis=0)
    # A channel in which judged places do not differ says nothing about which is near.
    weights = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6)
    count = max(1, int((weights > 0).sum()))
    distances = np.sqrt((((vectors - asked.seen.vector) * weights) ** 2).sum(axis=1) / count)
    order = np.argsort(distances, kind="stable")[:most]
    return tuple((float(distances[place]), examples[int(place)]) for place in order)


def _verdict(judgement: Judgement, detections: dict[str, RecordedDetection]) -> tuple[str, str, BoxTuple] | None:
    """What a judgement says of a place: verdict, class, box; None: nothing that settles it."""
    if judgement.outcome is Outcome.DISPUTED:
        return None
    if judgement.gesture is Gesture.MISSED and judgement.box is not None and judgement.class_name is not None:
        return "defect", judgement.class_name, judgement.box
    detection = detections.get(judgement.detection_id or "")
    if detection is None:
        return None
    if judgement.gesture is Gesture.REJECT:
        return "no defect", detection.class_name, detection.box
    if judgement.gesture in (Gesture.CONFIRM, Gesture.POOR_BOX):
        return "defect", detection.class_name, detection.box
    if judgement.gesture is Gesture.WRONG_CLASS and judgement.class_name is not None:
        return "defect", judgement.class_name, detection.box
    return None


def _was_taught(taught: Sequence[Taught], station: str, events: Sequence[int]) -> bool:
    return any(item.holds(station, number) for item in taught for number in events)


def _crop(pixels: Pixels, box: BoxTuple) -> Pixels:
    x1, y1, x2, y2 = box
    reach = max(x2 - x1, y2 - y1, 16.0) * (0.5 + _MARGIN)
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = max(0, int(middle_x - reach)), max(0, int(middle_y - reach))
    return np.array(pixels[top : int(middle_y + reach) + 1, left : int(middle_x + reach) + 1], np.uint8)
