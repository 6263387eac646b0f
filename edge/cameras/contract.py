"""What every camera promises. The public method checks, the private one grabs; tests/compliance runs over all."""

from __future__ import annotations

import abc
import dataclasses
import enum
from types import TracebackType
from typing import ClassVar

import numpy as np
import pydantic
from numpy.typing import NDArray

from edge.cameras.checks import FILES, CheckDefaults, CheckSettings, Fault, PictureChecker
from edge.frame import LARGEST_SIDE, is_camera_name
from edge.settings import Settings
from lineside.reasons import Reason


class CameraSettings(Settings):
    """One camera of the station; each kind adds its own fields."""

    name: str
    """Unique in the station: 1 to 64 letters, digits, '-', '_' or '.'."""
    fps: float = pydantic.Field(default=0.0, ge=0, le=1000)
    """Frames per second in free run. 0: only when triggered; for cameras that send by themselves: every picture."""
    width: int | None = pydantic.Field(default=None, ge=1, le=LARGEST_SIDE)
    """Pixels every picture must have; others are NO_VERDICT (IMAGE_SHAPE). Absent: any."""
    height: int | None = pydantic.Field(default=None, ge=1, le=LARGEST_SIDE)
    """As `width`."""
    open_seconds: float = pydantic.Field(default=15.0, gt=0, le=120)
    """Seconds after which a camera that does not open is given up and tried again later."""
    picture_seconds: float = pydantic.Field(default=5.0, gt=0, le=120)
    """Seconds after which a picture that was asked for is not waited for any longer: the camera is lost."""
    stale_seconds: float | None = pydantic.Field(default=None, ge=0, le=86400)
    """For cameras that send by themselves: seconds without a new picture after which the camera is lost and opened
    anew. 0: never. Absent: as `picture_seconds`; with a hardware trigger never, because a line may stand still."""
    checks: CheckSettings = CheckSettings()
    """Which pictures are never judged."""

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


class Pace(enum.Enum):
    """Who says when a picture is taken."""

    STATION = "station"
    """The station: `grab` takes one now, in free run and for a trigger alike."""
    CAMERA = "camera"
    """The camera itself: `grab` gives the newest one not yet given; some may be left out where the station is slow."""
    LINE = "line"
    """A sensor wired to the camera: as CAMERA, and every picture is a part, so none is left out silently."""


class CameraLostError(Exception):
    """The camera cannot be opened or has gone; it is opened again after a while."""


class CameraEndedError(Exception):
    """There will be no more pictures: the end of a folder."""


class NoPictureError(Exception):
    """A camera that sends by itself has sent nothing in the time given; it may be fine."""


class BadPictureError(Exception):
    """This one picture cannot be used; the next may be fine.

    Args:
        reason: IMAGE_DECODE, IMAGE_SHAPE, IMAGE_BLACK, IMAGE_SATURATED, IMAGE_FROZEN, IMAGE_HALF or IMAGE_ORDER.
        message: what is wrong with it.
        part_id: of the part it shows, where known.
        number: the camera's own number of it, where there is one.
    """

    def __init__(self, reason: Reason, message: str, part_id: str = "", *, number: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.part_id = part_id
        self.number = number
        self.missing = 0
        """As `Picture.missing`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """What a camera gives: pixels and what is known of them. Its frame id is given by the camera's thread."""

    pixels: NDArray[np.uint8]
    """(h, w) mono or (h, w, 3) RGB."""
    part_id: str = ""
    source: bytes | None = None
    """The picture file as it was, where there is one."""
    source_suffix: str = ""
    number: int | None = None
    """The camera's own number of it, growing by one with each picture taken; None: it has none."""
    missing: int = 0
    """Pictures taken before this one that never came, by the camera's numbers; filled in by `Camera.grab`."""


class Camera(abc.ABC):
    """A source of pictures. Used by one thread; a context manager that opens and closes it."""

    check_defaults: ClassVar[CheckDefaults] = FILES
    """Of the kind, where the settings say nothing."""

    def __init__(self, settings: CameraSettings) -> None:
        self.settings = settings
        self._opened = False
        self._checker = PictureChecker(settings.checks, self.check_defaults)

    @property
    def pace(self) -> Pace:
        """Who says when a picture is taken; only with STATION can it be triggered through the station."""
        return Pace.STATION

    def open(self) -> None:
        """Connects.

        Raises:
            CameraLostError: it is not there; says what was looked for.
        """
        self._checker = PictureChecker(self.settings.checks, self.check_defaults)
        self._open()
        self._opened = True

    def grab(self, seconds: float | None = None) -> Picture:
        """Takes one picture now (Pace.STATION), or gives the next one.

        Args:
            seconds: to wait for it; None: `picture_seconds` of the settings.

        Raises:
            BadPictureError: there is one and it must not be judged.
            NoPictureError: none in that time, and the camera's pace is its own.
            CameraEndedError: there are no more.
            CameraLostError: the camera is gone, or gave none in time when asked; close it, and open it again later.
            RuntimeError: the camera is not open.
        """
        if not self._opened:
            raise RuntimeError(f"camera {self.settings.name} is not open")
        try:
            picture = self._grab(self.settings.picture_seconds if seconds is None else seconds)
        except BadPictureError as error:
            error.missing, _ = self._checker.order(error.number)
            raise
        missing, fault = self._checker.order(picture.number)
        fault = self._shape_fault(picture) or fault or self._checker.look(picture.pixels)
        if fault is not None:
            bad = BadPictureError(fault.reason, fault.message, picture.part_id, number=picture.number)
            bad.missing = missing
            raise bad
        return dataclasses.replace(picture, missing=missing) if missing else picture

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

    def _shape_fault(self, picture: Picture) -> Fault | None:
        pixels = picture.pixels
        if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
            return Fault(
                reason=Reason.IMAGE_SHAPE,
                message=f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (h, w) or (h, w, 3)",
            )
        height, width = pixels.shape[:2]
        expected = (self.settings.width or width, self.settings.height or height)
        if (width, height) != expected or not 1 <= min(width, height) <= max(width, height) <= LARGEST_SIDE:
            return Fault(
                reason=Reason.IMAGE_SHAPE,
                message=f"the picture is {width}x{height}, expected {expected[0]}x{expected[1]}",
            )
        return None

    @abc.abstractmethod
    def _open(self) -> None:
        """Connects; what it has begun when it fails it ends itself. Raises CameraLostError."""

    @abc.abstractmethod
    def _grab(self, seconds: float) -> Picture:
        """Takes a picture; nobody writes to its pixels afterwards. Raises as `grab`."""

    @abc.abstractmethod
    def _close(self) -> None:
        """Disconnects; called once per open."""
