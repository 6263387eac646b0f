"""Pictures for the page: a frame or a part of it, as JPEG, from the log or from the frames just shown."""

from __future__ import annotations

import collections
import dataclasses
import threading
from typing import TypeVar

import cv2
import numpy as np

from edge.frame import Frame
from edge.inspection import Inspection
from edge.mentoring.log import MentoringLog
from lineside.pixels import Pixels, decode, encode_jpeg
from lineside.reasons import ContractError, Reason

_CLOSE_QUALITY = 95
_KEPT_DECODED = 3
_KEPT_SHOWN = 16
_KEPT_BYTES = 256 << 20

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What of a frame is wanted.

    Raises:
        ContractError: REQUEST_MALFORMED.
    """

    side: int
    """Longest side of the answer, pixels; never larger than what is shown of the frame."""
    box: tuple[int, int, int, int] | None = None
    """x1, y1, x2, y2 in frame pixels; None: the whole frame."""

    def __post_init__(self) -> None:
        if not 16 <= self.side <= 8192:
            raise ContractError(Reason.REQUEST_MALFORMED, f"side is {self.side}, expected 16 to 8192 pixels")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ContractError(Reason.REQUEST_MALFORMED, f"box is {self.box}, expected x1 < x2 and y1 < y2")


def parse_view(side: str, box: str) -> View:
    """A View out of a query; both may be empty.

    Raises:
        ContractError: REQUEST_MALFORMED.
    """
    try:
        corners = [int(item) for item in box.split(",")] if box else []
        if box and len(corners) != 4:
            raise ValueError
        longest = int(side) if side else 1280
    except ValueError:
        raise ContractError(
            Reason.REQUEST_MALFORMED,
            f"side {side[:20]!r}, box {box[:80]!r}: expected whole numbers, box as x1,y1,x2,y2 in frame pixels",
        ) from None
    return View(side=longest, box=(corners[0], corners[1], corners[2], corners[3]) if corners else None)


def cut(pixels: Pixels, view: View) -> Pixels:
    """What a View shows of a frame, cut to the frame.

    Raises:
        ContractError: REQUEST_MALFORMED, the box lies outside the frame.
    """
    height, width = pixels.shape[:2]
    if view.box is not None:
        x1, y1, x2, y2 = view.box
        pixels = pixels[max(0, y1) : max(0, min(height, y2)), max(0, x1) : max(0, min(width, x2))]
        if pixels.size == 0:
            raise ContractError(Reason.REQUEST_MALFORMED, f"box {view.box} lies outside the frame of {width}x{height}")
    return shrunk(pixels, view.side)


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """The picture with its longest side at most `side`; averaged, so that a thin scratch does not vanish."""
    height, width = pixels.shape[:2]
    scale = side / max(width, height)
    if scale >= 1:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


class Recent:
    """The last few of something by name, up to a number and a size; thread-safe."""

    def __init__(self, most: int, most_bytes: int = _KEPT_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._items: collections.OrderedDict[str, tuple[object, int]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def put(self, name: str, item: object, size: int) -> None:
        """Remembers; the one longest untouched goes first, and the newest stays whatever its size."""
        with self._lock:
            self._items[name] = (item, size)
            self._items.move_to_end(name)
            while len(self._items) > 1 and (
                len(self._items) > self._most or sum(held for _, held in self._items.values()) > self._most_bytes
            ):
                self._items.popitem(last=False)

    def get(self, name: str, kind: type[Item]) -> Item | None:
        """What is remembered under this name, or None."""
        with self._lock:
            found = self._items.get(name)
            if found is None:
                return None
            self._items.move_to_end(name)
            assert isinstance(found[0], kind)
            return found[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """A frame that some page has on its screen, and what was decided about it."""

    frame: Frame
    inspection: Inspection


class Frames:
    """Gives pictures of frames. Thread-safe; decoding and encoding run in the caller's thread.

    Args:
        log: where frames are kept.
        quality: of JPEG, 1 to 100.
    """

    def __init__(self, log: MentoringLog, quality: int) -> None:
        self._log = log
        self._quality = quality
        self._shown = Recent(_KEPT_SHOWN)
        self._decoded = Recent(_KEPT_DECODED)
        self._jpegs = Recent(_KEPT_SHOWN)

    def show(self, frame: Frame, inspection: Inspection, side: int) -> bytes:
        """The live picture as JPEG; the frame is remembered, so that a person may still speak of it."""
        self._shown.put(frame.frame_id, Shown(frame=frame, inspection=inspection), frame.pixels.nbytes)
        name = f"{frame.frame_id} {side}"
        known = self._jpegs.get(name, bytes)
        if known is None:
            known = encode_jpeg(shrunk(frame.pixels, side), self._quality)
            self._jpegs.put(name, known, len(known))
        return known

    def shown(self, frame_id: str) -> Shown | None:
        """A frame lately shown live, or None."""
        return self._shown.get(frame_id, Shown)

    def jpeg(self, frame_id: str, view: View) -> bytes:
        """A picture of a frame.

        Raises:
            ContractError: DETECTION_UNKNOWN, there is no such frame; RECORD_CORRUPT; REQUEST_MALFORMED.
        """
        # A part of a frame is looked at closely: JPEG's blocks must not pass for a texture of the surface.
        quality = self._quality if view.box is None else max(self._quality, _CLOSE_QUALITY)
        return encode_jpeg(cut(self._pixels(frame_id), view), quality)

    def _pixels(self, frame_id: str) -> Pixels:
        shown = self.shown(frame_id)
        if shown is not None:
            return shown.frame.pixels
        known = self._decoded.get(frame_id, np.ndarray)
        if known is not None:
            return known
        with self._log.reader() as reader:
            record = reader.record(frame_id)
            if record is None:
                raise ContractError(Reason.DETECTION_UNKNOWN, f"frame {frame_id[:80]} is not in the log")
            pixels = decode(reader.image(record.frame))
        self._decoded.put(frame_id, pixels, pixels.nbytes)
        return pixels
