"""Any camera whose maker ships a GenTL producer (a .cti file), by harvesters: GigE Vision, USB3 Vision, CoaXPress."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from pathlib import Path
from typing import Any, Literal

from edge.cameras.checks import SENSOR
from edge.cameras.contract import BadPictureError, Camera, CameraLostError, NoPictureError, Pace, Picture
from edge.cameras.features import FeatureRefusedError, IndustrialCameraSettings, Value, carry_out, pace_of, plan
from edge.cameras.pixel_formats import format_name, to_pixels
from lineside.reasons import Reason

_BUFFERS = 8
_ONE_AT_A_TIME = threading.Lock()
"""Producers are loaded and devices listed by one thread at a time: the standard promises nothing else."""


class GenicamCameraSettings(IndustrialCameraSettings):
    """`kind = "genicam"`; needs the extra `genicam`."""

    kind: Literal["genicam"]
    producer: Path | None = None
    """The maker's GenTL producer, a .cti file. Absent: all of the folders in GENICAM_GENTL64_PATH."""


class GenicamCamera(Camera):
    """One camera."""

    check_defaults = SENSOR

    def __init__(self, settings: GenicamCameraSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._harvester: Any = None
        self._acquirer: Any = None

    @property
    def pace(self) -> Pace:
        """As `acquisition` says."""
        return pace_of(self._settings)

    def _open(self) -> None:
        try:
            with warnings.catch_warnings():  # its generated code warns, and where warnings are errors it crashes
                warnings.simplefilter("ignore")
                from genicam.genapi import GenericException as NodeError
                from genicam.gentl import GenericException
                from harvesters.core import Harvester
        except ImportError as error:
            raise CameraLostError(
                f"kind 'genicam' needs harvesters: pip install 'lineside[genicam]' ({error})"
            ) from error
        self._errors = (GenericException, NodeError)
        try:
            with _ONE_AT_A_TIME:
                self._harvester = Harvester()
                for producer in self._producers():
                    self._harvester.add_file(str(producer), check_existence=True, check_validity=True)
                self._harvester.update()
                self._acquirer = self._harvester.create(self._found())
            nodes = self._acquirer.remote_device.node_map
            carry_out(plan(self._settings), _HarvestedFeatures(nodes, self._errors))
            format_name(nodes.PixelFormat.value)
            self._acquirer.num_buffers = _BUFFERS
            newest = self.pace is Pace.CAMERA
            if newest:
                self._acquirer.num_filled_buffers_to_hold = 1
            self._acquirer.start(run_as_thread=newest)
        except (*self._errors, OSError, ValueError, AttributeError) as error:
            self._close()
            raise CameraLostError(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self._close()
            raise

    def _producers(self) -> list[Path]:
        if self._settings.producer is not None:
            if not self._settings.producer.is_file():
                raise CameraLostError(f"producer {self._settings.producer} is not there")
            return [self._settings.producer]
        folders = os.environ.get("GENICAM_GENTL64_PATH", "")
        found = [file for folder in folders.split(os.pathsep) if folder for file in sorted(Path(folder).glob("*.cti"))]
        if not found:
            raise CameraLostError(
                "no GenTL producer: install the camera maker's software and set `producer` to its .cti file "
                f"(GENICAM_GENTL64_PATH is {folders!r})"
            )
        return found

    def _found(self) -> int:
        """Place in the list of the device with the serial number, or of the first one."""
        devices = self._harvester.device_info_list
        wanted = self._settings.serial
        for place, device in enumerate(devices):
            if not wanted or device.serial_number == wanted:
                return place
        there_are = ", ".join(f"{device.serial_number} ({device.model})" for device in devices) or "none"
        raise CameraLostError(f"no camera with serial {wanted or '(any)'}; there are: {there_are}")

    def _grab(self, seconds: float) -> Picture:
        try:
            if self.pace is Pace.STATION:
                self._discard_old()
                self._acquirer.remote_device.node_map.TriggerSoftware.execute()
            buffer = self._fetch(seconds)
            if buffer is None:
                if self.pace is Pace.STATION:
                    raise CameraLostError(f"no picture within {seconds:.1f} s of its trigger")
                raise NoPictureError
            try:
                return self._picture(buffer)
            finally:
                buffer.queue()
        except self._errors as error:
            raise CameraLostError(f"{type(error).__name__}: {error}") from error

    def _fetch(self, seconds: float) -> Any:
        """A raw buffer (its payload is read here), or None."""
        return self._acquirer.try_fetch(timeout=max(seconds, 0.001))

    def _discard_old(self) -> None:
        """A picture whose caller gave up must not answer the next trigger."""
        while (old := self._fetch(0)) is not None:
            old.queue()

    def _picture(self, buffer: Any) -> Picture:
        number = int(buffer.module.frame_id)
        if not buffer.module.is_complete() or not buffer.payload.components:
            raise BadPictureError(Reason.IMAGE_HALF, "the buffer was not filled to its end", number=number)
        part = buffer.payload.components[0]
        try:
            name = format_name(part.data_format)
            pixels = to_pixels(part.data.view("u1"), part.width, part.height, name)
        except ValueError as error:
            raise BadPictureError(Reason.IMAGE_SHAPE, str(error), number=number) from error
        return Picture(pixels=pixels, number=number)

    def _close(self) -> None:
        acquirer, self._acquirer = self._acquirer, None
        harvester, self._harvester = self._harvester, None
        with _ONE_AT_A_TIME, contextlib.suppress(*self._errors):
            if acquirer is not None:
                acquirer.stop()
                acquirer.destroy()
            if harvester is not None:
                harvester.reset()


class _HarvestedFeatures:
    def __init__(self, nodes: Any, errors: tuple[type[Exception], ...]) -> None:
        self._nodes = nodes
        self._errors = errors

    def write(self, name: str, value: Value) -> bool:
        node = getattr(self._nodes, name, None)
        if node is None or not hasattr(node, "value"):
            return False
        try:
            kind = type(node.value)
            node.value = kind(value) if kind in (int, float) and not isinstance(value, str) else value
        except self._errors as error:
            raise FeatureRefusedError(str(error).strip()) from error
        except TypeError as error:
            raise FeatureRefusedError(f"{name} takes no {type(value).__name__}") from error
        return True
