"""Any camera whose maker ships a GenTL producer (a .cti file), by harvesters: GigE Vision, USB3 Vision, CoaXPress."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Literal

from edge.cameras.checks import SENSOR
from edge.cameras.contract import BadPictureError, Camera, CameraLostError, NoPictureError, Pace, Picture
from edge.cameras.features import FeatureRefusedError, IndustrialCameraSettings, Value, carry_out, pace_of, plan
from edge.cameras.pixel_formats import format_name, to_pixels
from edge.cameras.producers import SharedProducers, driver_errors, producers
from lineside.reasons import Reason

_BUFFERS = 8
_POLL_MILLISECONDS = 2
"""harvesters asks the producer again and again for so long; longer would delay the newest picture by as much."""


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
        self._producers: SharedProducers | None = None
        self._acquirer: Any = None
        self._errors: tuple[type[Exception], ...] = ()
        self._torn = 0

    @property
    def pace(self) -> Pace:
        """As `acquisition` says."""
        return pace_of(self._settings)

    def _open(self) -> None:
        try:
            self._errors = driver_errors()
        except ImportError as error:
            raise CameraLostError(
                f"kind 'genicam' needs harvesters: pip install 'lineside[genicam]' ({error})"
            ) from error
        failures: tuple[type[Exception], ...] = (*self._errors, OSError, ValueError, AttributeError)
        try:
            self._producers = SharedProducers(producers(self._settings.producer))
            self._acquirer = self._producers.create(self._settings.serial, self._note_torn)
            nodes = self._acquirer.remote_device.node_map
            carry_out(plan(self._settings), _HarvestedFeatures(nodes, self._errors))
            format_name(nodes.PixelFormat.value)
            self._acquirer.num_buffers = _BUFFERS
            self._acquirer.timeout_period_on_client_fetch_call = 1.0  # of calls that do not say; first, or it warns
            self._acquirer.timeout_period_on_update_event_data_call = _POLL_MILLISECONDS
            self._acquirer.start()
        except failures as error:
            self._close()
            raise CameraLostError(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self._close()
            raise

    def _grab(self, seconds: float) -> Picture:
        try:
            if self.pace is Pace.STATION:
                self._discard_old()
                self._acquirer.remote_device.node_map.TriggerSoftware.execute()
            buffer = self._newest(seconds) if self.pace is Pace.CAMERA else self._fetch(seconds)
            if buffer is None:
                if self._torn:
                    self._torn = 0
                    raise BadPictureError(Reason.IMAGE_HALF, "the buffer was not filled to its end")
                if self.pace is Pace.STATION:
                    raise CameraLostError(f"no picture within {seconds:.1f} s of its trigger")
                raise NoPictureError
            try:
                return _picture(buffer)
            finally:
                buffer.queue()
        except self._errors as error:
            raise CameraLostError(f"{type(error).__name__}: {error}") from error

    def _fetch(self, seconds: float) -> Any:
        """The oldest buffer that was filled, or None; `seconds` of 0 would wait for ever."""
        return self._acquirer.try_fetch(timeout=max(seconds, 0.001))

    def _newest(self, seconds: float) -> Any:
        """Of what has come, the last. Where all buffers were full it is old, because what came later had no room."""
        buffer, came = self._fetch(seconds), 1
        while buffer is not None and came < _BUFFERS and (later := self._fetch(0)) is not None:
            buffer.queue()
            buffer, came = later, came + 1
        if came < _BUFFERS:
            return buffer
        buffer.queue()
        return self._fetch(seconds)

    def _discard_old(self) -> None:
        """A picture whose caller gave up must not answer the next trigger."""
        while (old := self._fetch(0)) is not None:
            old.queue()
        self._torn = 0

    def _note_torn(self) -> None:
        self._torn += 1

    def _close(self) -> None:
        acquirer, self._acquirer = self._acquirer, None
        shared, self._producers = self._producers, None
        with contextlib.suppress(*self._errors):
            if acquirer is not None:
                acquirer.stop()
                acquirer.destroy()
        if shared is not None:
            shared.release()


def _picture(buffer: Any) -> Picture:
    number = int(buffer.module.frame_id)
    if not buffer.payload.components:
        raise BadPictureError(Reason.IMAGE_SHAPE, "the buffer holds no picture", number=number)
    part = buffer.payload.components[0]
    try:
        pixels = to_pixels(part.data.view("u1"), part.width, part.height, format_name(part.data_format))
    except ValueError as error:
        raise BadPictureError(Reason.IMAGE_SHAPE, str(error), number=number) from error
    return Picture(pixels=pixels, number=number)


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
