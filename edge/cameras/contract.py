"""What every camera promises. The public method checks, the private one grabs; tests/compliance runs over all."""

from __future__ import annotations

import abc
import dataclasses
import enum
from types import TracebackType

import numpy as np
import pydantic
from numpy.typing import NDArray

from edge.frame import LARGEST_SIDE, is_camera_name
from edge.settings import Settings
from lineside.reasons import Reason


class CameraSettings(Settings):
    """One camera of the station; each kind adds its own fields."""

    name: str
    """Unique in the station: 1 to 64 letters, digits, '-', '_' or '.'."""
    fps: float = pydantic.Field(default=0.0, ge=0, le=1000)
    """Frames per second in free run. 0: only when triggered."""
    width: int | None = pydantic.Field(default=None, ge=1, le=LARGEST_SIDE)
    """Pixels every picture must have; others are NO_VERDICT (IMAGE_SHAPE). Absent: any."""
    height: int | None = pydantic.Field(default=None, ge=1, le=LARGEST_SIDE)
    """As `width`."""

    @pydantic.field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not is_camera_name(name):
            raise ValueError(f"{name!r} is no camera name: use 1 to 64 letters, digits, '-', '_' or '.'")
        return name


class CameraState(enum.IntEnum):
    """Numbers as in inspection.proto."""

    UNSPECIFIED = 0
    RUNNING = 1
    LOST = 2
    ENDED = 3


class CameraLostError(Exception):
    """The camera cannot be opened or has gone; it is opened again after a while."""


class CameraEndedError(Exception):
    """There will be no more pictures: the end of a folder."""


class BadPictureError(Exception):
    """This one picture cannot be used; the next may be fine.

    Args:
        reason: IMAGE_DECODE or IMAGE_SHAPE.
        message: what is wrong with it.
        part_id: of the part it shows, where known.
    """

    def __init__(self, reason: Reason, message: str, part_id: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.part_id = part_id


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """What a camera gives: pixels and what is known of them. Its number and id are given by the camera's thread."""

    pixels: NDArray[np.uint8]
    """(h, w) mono or (h, w, 3) RGB."""
    part_id: str = ""
    source: bytes | None = None
    """The picture file as it was, where there is one."""
    source_suffix: str = ""


class Camera(abc.ABC):
    """A source of pictures. Used by one thread; a context manager that opens and closes it."""

    def __init__(self, settings: CameraSettings) -> None:
        self.settings = settings
        self._opened = False

    def open(self) -> None:
        """Connects.

        Raises:
            CameraLostError: it is not there; says what was looked for.
        """
        self._open()
        self._opened = True

    def grab(self) -> Picture:
        """Takes one picture, now.

        Raises:
            BadPictureError: it cannot be used (IMAGE_DECODE), or has another size than the settings say (IMAGE_SHAPE).
            CameraEndedError: there are no more.
            CameraLostError: the camera is gone; close it, and open it again later.
            RuntimeError: the camera is not open.
        """
        if not self._opened:
            raise RuntimeError(f"camera {self.settings.name} is not open")
        picture = self._grab()
        pixels = picture.pixels
        if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
            raise BadPictureError(
                Reason.IMAGE_SHAPE,
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (h, w) or (h, w, 3)",
                picture.part_id,
            )
        height, width = pixels.shape[:2]
        expected = (self.settings.width or width, self.settings.height or height)
        if (width, height) != expected or not 1 <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
            raise BadPictureError(
                Reason.IMAGE_SHAPE,
                f"the picture is {width}x{height}, expected {expected[0]}x{expected[1]}",
                picture.part_id,
            )
        return picture

    def close(self) -> None:
        """Disconnects; idempotent."""
        if self._opened:
            self._opened = False
            self._close()

    def __enter__(self) -> Camera:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abc.abstractmethod
    def _open(self) -> None:
        """Connects. Raises CameraLostError."""

    @abc.abstractmethod
    def _grab(self) -> Picture:
        """Takes a picture. Raises as `grab`."""

    @abc.abstractmethod
    def _close(self) -> None:
        """Disconnects; called once per open."""
