"""GigE Vision and USB3 Vision cameras by Aravis, where its library is installed: no vendor's software needed."""

from __future__ import annotations

import threading
from typing import Literal

from edge.cameras.aravis_library import SUCCESS, AravisDevice, AravisError, AravisLibrary, AravisMissingError, Buffer
from edge.cameras.checks import SENSOR
from edge.cameras.contract import BadPictureError, Camera, CameraLostError, NoPictureError, Pace, Picture
from edge.cameras.features import FeatureRefusedError, IndustrialCameraSettings, Value, carry_out, pace_of, plan
from edge.cameras.pixel_formats import format_name, to_pixels
from lineside.reasons import Reason

_BUFFERS = 8
_ONE_AT_A_TIME = threading.Lock()
"""The list of devices is the library's own, one for the whole process."""


class AravisCameraSettings(IndustrialCameraSettings):
    """`kind = "aravis"`; needs the system's library libaravis-0.8."""

    kind: Literal["aravis"]


class AravisCamera(Camera):
    """One camera."""

    check_defaults = SENSOR

    def __init__(self, settings: AravisCameraSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._device: AravisDevice | None = None

    @property
    def pace(self) -> Pace:
        """As `acquisition` says."""
        return pace_of(self._settings)

    def _open(self) -> None:
        try:
            library = AravisLibrary()
        except AravisMissingError as error:
            raise CameraLostError(f"kind 'aravis': {error}") from error
        try:
            self._device = library.open(self._found(library))
            carry_out(plan(self._settings), _AravisFeatures(self._device))
            self._device.start(_BUFFERS)
        except AravisError as error:
            self._close()
            raise CameraLostError(str(error)) from error
        except BaseException:
            self._close()
            raise

    def _found(self, library: AravisLibrary) -> str:
        with _ONE_AT_A_TIME:
            devices = library.devices()
        wanted = self._settings.serial
        for device in devices:
            if not wanted or device.serial == wanted:
                return device.device_id
        there_are = ", ".join(f"{device.serial} ({device.model})" for device in devices) or "none"
        raise CameraLostError(f"no camera with serial {wanted or '(any)'}; there are: {there_are}")

    def _grab(self, seconds: float) -> Picture:
        device = self._device
        assert device is not None
        try:
            if self.pace is Pace.STATION:
                while device.pop(0) is not None:
                    pass  # a picture whose caller gave up must not answer the next trigger
                device.execute("TriggerSoftware")
            buffer = self._newest(device, seconds) if self.pace is Pace.CAMERA else device.pop(seconds)
        except AravisError as error:
            raise CameraLostError(str(error)) from error
        if device.lost:
            raise CameraLostError("the camera does not answer any more, or another program has taken it")
        if buffer is None:
            if self.pace is Pace.STATION:
                raise CameraLostError(f"no picture within {seconds:.1f} s of its trigger")
            raise NoPictureError
        return _picture(buffer)

    def _newest(self, device: AravisDevice, seconds: float) -> Buffer | None:
        """Of what has come, the last. Where all buffers were full it is old, because what came later had no room."""
        buffer, came = device.pop(seconds), 1
        while buffer is not None and (later := device.pop(0)) is not None:
            buffer, came = later, came + 1
        return device.pop(seconds) if came >= _BUFFERS else buffer

    def _close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()


def _picture(buffer: Buffer) -> Picture:
    if buffer.status != SUCCESS:
        raise BadPictureError(
            Reason.IMAGE_HALF, f"the picture did not arrive whole: {buffer.status_text}", number=buffer.frame_id
        )
    try:
        pixels = to_pixels(buffer.data, buffer.width, buffer.height, format_name(buffer.pixel_format))
    except ValueError as error:
        raise BadPictureError(Reason.IMAGE_SHAPE, str(error), number=buffer.frame_id) from error
    return Picture(pixels=pixels, number=buffer.frame_id)


class _AravisFeatures:
    def __init__(self, device: AravisDevice) -> None:
        self._device = device

    def write(self, name: str, value: Value) -> bool:
        if not self._device.has(name):
            return False
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a feature of whole numbers takes no "75.0", and one of real numbers takes "75"
        text = str(value).lower() if isinstance(value, bool) else str(value)
        try:
            self._device.write(name, text)
        except AravisError as error:
            raise FeatureRefusedError(str(error)) from error
        return True
