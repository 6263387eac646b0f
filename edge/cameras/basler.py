"""Basler cameras by pylon, real ones and emulated ones (PYLON_CAMEMU)."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any, Literal

from edge.cameras.checks import SENSOR
from edge.cameras.contract import BadPictureError, Camera, CameraLostError, NoPictureError, Pace, Picture
from edge.cameras.features import FeatureRefusedError, IndustrialCameraSettings, Value, carry_out, pace_of, plan
from edge.cameras.pixel_formats import format_name, to_pixels
from lineside.reasons import Reason

_NO_NUMBER = 2**64 - 1
"""Where a camera counts no blocks."""
_BUFFERS = 8


class BaslerCameraSettings(IndustrialCameraSettings):
    """`kind = "basler"`; needs the extra `basler`."""

    kind: Literal["basler"]


class BaslerCamera(Camera):
    """One camera. pylon's own buffers hold what comes while a frame is being judged."""

    check_defaults = SENSOR

    def __init__(self, settings: BaslerCameraSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._device: Any = None
        self._pylon: Any = None
        self._format = ""

    @property
    def pace(self) -> Pace:
        """As `acquisition` says."""
        return pace_of(self._settings)

    def _open(self) -> None:
        try:
            with warnings.catch_warnings():  # its generated code warns, and where warnings are errors it crashes
                warnings.simplefilter("ignore")
                from pypylon import genicam, pylon
        except ImportError as error:
            raise CameraLostError(f"kind 'basler' needs pylon: pip install 'lineside[basler]' ({error})") from error
        self._pylon, self._genicam = pylon, genicam
        try:
            self._device = pylon.InstantCamera(self._found())
            self._device.Open()
            carry_out(plan(self._settings), _PylonFeatures(self._device.GetNodeMap(), genicam))
            self._format = format_name(self._device.PixelFormat.Value)
            self._device.MaxNumBuffer.Value = _BUFFERS
            newest = self.pace is Pace.CAMERA
            self._device.StartGrabbing(pylon.GrabStrategy_LatestImageOnly if newest else pylon.GrabStrategy_OneByOne)
        except (genicam.GenericException, ValueError) as error:
            self._close()
            raise CameraLostError(_first_line(error)) from error
        except BaseException:
            self._close()
            raise

    def _found(self) -> Any:
        """The device with the serial number, or the first one."""
        factory = self._pylon.TlFactory.GetInstance()
        devices = factory.EnumerateDevices()
        wanted = self._settings.serial
        for device in devices:
            if not wanted or device.GetSerialNumber() == wanted:
                return factory.CreateDevice(device)
        there_are = ", ".join(f"{device.GetSerialNumber()} ({device.GetModelName()})" for device in devices) or "none"
        raise CameraLostError(f"no Basler camera with serial {wanted or '(any)'}; there are: {there_are}")

    def _grab(self, seconds: float) -> Picture:
        pylon, device = self._pylon, self._device
        milliseconds = max(1, round(seconds * 1000))
        try:
            if self.pace is Pace.STATION:
                self._discard_old()
                if not device.WaitForFrameTriggerReady(milliseconds, pylon.TimeoutHandling_Return):
                    raise CameraLostError(f"not ready for a trigger within {seconds:.1f} s")
                device.ExecuteSoftwareTrigger()
            result = device.RetrieveResult(milliseconds, pylon.TimeoutHandling_Return)
            if not (result and result.IsValid()):
                if device.IsCameraDeviceRemoved():
                    raise CameraLostError("the camera was removed")
                if self.pace is Pace.STATION:
                    raise CameraLostError(f"no picture within {seconds:.1f} s of its trigger")
                raise NoPictureError
            try:
                return self._picture(result)
            finally:
                result.Release()
        except self._genicam.GenericException as error:
            raise CameraLostError(_first_line(error)) from error

    def _discard_old(self) -> None:
        """A picture whose caller gave up must not answer the next trigger."""
        while True:
            old = self._device.RetrieveResult(0, self._pylon.TimeoutHandling_Return)
            if not (old and old.IsValid()):
                return
            old.Release()

    def _picture(self, result: Any) -> Picture:
        number = None if result.BlockID == _NO_NUMBER else int(result.BlockID)
        if not result.GrabSucceeded():
            raise BadPictureError(Reason.IMAGE_HALF, result.GetErrorDescription(), number=number)
        with result.GetArrayZeroCopy() as seen:
            pixels = to_pixels(seen.reshape(-1).view("u1"), result.Width, result.Height, self._format)
        return Picture(pixels=pixels, number=number)

    def _close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(self._genicam.GenericException):  # gone already
                device.StopGrabbing()
                device.Close()


class _PylonFeatures:
    def __init__(self, nodes: Any, genicam: Any) -> None:
        self._nodes = nodes
        self._genicam = genicam

    def write(self, name: str, value: Value) -> bool:
        try:
            node = self._nodes.GetNode(name)
            if node is None or not self._genicam.IsWritable(node):
                return False
            kind = type(node.Value)
            node.Value = kind(value) if kind in (int, float) and not isinstance(value, str) else value
        except self._genicam.GenericException as error:
            raise FeatureRefusedError(_first_line(error)) from error
        except TypeError as error:
            raise FeatureRefusedError(f"{name} takes no {type(value).__name__}") from error
        return True


def _first_line(error: BaseException) -> str:
    """pylon's messages name its own source files behind the sentence."""
    return str(error).split(" : ")[0].strip() if " thrown " in str(error) else str(error).strip()
