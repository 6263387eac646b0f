"""Settings that industrial cameras share, and the GenICam features they become. Decides; writes nothing itself.

Cameras follow the same naming convention (SFNC) and still disagree: a feature is asked for under the names it has had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, Protocol

import pydantic

from edge.cameras.contract import CameraLostError, CameraSettings, Pace

Value = bool | int | float | str


class IndustrialCameraSettings(CameraSettings):
    """What kinds `basler`, `genicam` and `aravis` have in common. `width` and `height` are asked of the camera."""

    serial: str = ""
    """Serial number of the camera. Empty: the first one found, which is for trying out."""
    acquisition: Literal["software", "hardware", "free"] = "software"
    """Who triggers. software: the station does, for each call of Trigger and `fps` times a second in free run;
    hardware: a sensor wired to the camera's `trigger_line`, every picture a part; free: the camera sends by itself, at
    `fps` where it is given, and the station judges the newest picture."""
    trigger_line: str = "Line1"
    """Input of the camera for hardware triggers, as the camera calls it."""
    trigger_edge: Literal["rising", "falling"] = "rising"
    """Edge of the signal that triggers."""
    debounce_us: float = pydantic.Field(default=0.0, ge=0, le=1e6)
    """Microseconds a hardware trigger's signal must stay before it counts; shorter ones are contact bounce. 0: as the
    camera has it. A camera that cannot do it is not opened."""
    trigger_delay_us: float | None = pydantic.Field(default=None, ge=0, le=1e7)
    """Microseconds from trigger to exposure. Absent: as the camera has it."""
    exposure_us: float | None = pydantic.Field(default=None, gt=0, le=1e7)
    """Microseconds; automatic exposure is switched off. Absent: as the camera has it."""
    gain: float | None = None
    """In the camera's own unit (usually dB); automatic gain is switched off. Absent: as the camera has it."""
    pixel_format: str | None = None
    """As the camera calls it, e.g. "Mono8", "BayerRG8". Absent: as the camera has it."""
    features: Mapping[str, bool | int | float | str] = pydantic.Field(default_factory=dict)
    """Further features of the camera by name, set in this order before the trigger."""

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> IndustrialCameraSettings:
        if self.acquisition == "hardware" and self.fps:
            raise ValueError(
                f"fps is {self.fps:g} with acquisition = 'hardware': the line gives the pace; leave fps out"
            )
        if self.acquisition != "hardware" and self.debounce_us:
            raise ValueError(
                f"debounce_us is {self.debounce_us:g} with acquisition = {self.acquisition!r}: only a hardware trigger "
                "has a signal to debounce"
            )
        return self


def pace_of(settings: IndustrialCameraSettings) -> Pace:
    """Who says when a picture is taken."""
    return {"software": Pace.STATION, "hardware": Pace.LINE, "free": Pace.CAMERA}[settings.acquisition]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One feature to set."""

    names: tuple[str, ...]
    """What it is called, the newest name first."""
    value: Value
    needed_for: str = ""
    """The key of station.toml that asks for it; empty: the camera may not have it."""


class FeatureRefusedError(Exception):
    """The camera has the feature and does not take the value."""


class Features(Protocol):
    """A camera's features, as its driver shows them."""

    def write(self, name: str, value: Value) -> bool:
        """Sets a feature; False: the camera has no such feature, or it cannot be set now.

        Raises:
            FeatureRefusedError: the value is not one of its values.
        """


def plan(settings: IndustrialCameraSettings) -> list[Step]:
    """What to set, in this order: the picture, the light, the user's own, the trigger last."""
    steps: list[Step] = []

    def ask(value: Value | None, needed_for: str, *names: str) -> None:
        if value is not None:
            steps.append(Step(names=names, value=value, needed_for=needed_for))

    ask(settings.pixel_format, "pixel_format", "PixelFormat")
    ask(settings.width, "width", "Width")
    ask(settings.height, "height", "Height")
    if settings.exposure_us is not None:
        ask("Off", "", "ExposureAuto")
        ask(settings.exposure_us, "exposure_us", "ExposureTime", "ExposureTimeAbs", "ExposureTimeRaw")
    if settings.gain is not None:
        ask("Off", "", "GainAuto")
        ask(settings.gain, "gain", "Gain", "GainAbs", "GainRaw")
    for name, value in settings.features.items():
        ask(value, f"features.{name}", name)
    ask("Continuous", "", "AcquisitionMode")
    ask("FrameStart", "", "TriggerSelector")
    if settings.acquisition == "free":
        ask("Off", "", "TriggerMode")
        if settings.fps:
            ask(True, "", "AcquisitionFrameRateEnable", "AcquisitionFrameRateEnabled")
            ask(settings.fps, "fps", "AcquisitionFrameRate", "AcquisitionFrameRateAbs")
        return steps
    ask("On", "acquisition", "TriggerMode")
    if settings.acquisition == "software":
        ask("Software", "acquisition", "TriggerSource")
    else:
        ask(settings.trigger_line, "trigger_line", "TriggerSource")
        ask("RisingEdge" if settings.trigger_edge == "rising" else "FallingEdge", "trigger_edge", "TriggerActivation")
        if settings.debounce_us:
            ask(settings.trigger_line, "", "LineSelector")
            ask("Input", "", "LineMode")
            ask(True, "", "LineDebouncerEnable", "LineDebounceEnable")
            ask(
                settings.debounce_us,
                "debounce_us",
                "LineDebouncerTime",
                "LineDebouncerTimeAbs",
                "LineDebounceDuration",
                "LineFilterWidth",
                "TriggerDebounceTime",
            )
    ask(settings.trigger_delay_us, "trigger_delay_us", "TriggerDelay", "TriggerDelayAbs")
    return steps


def carry_out(steps: list[Step], features: Features) -> None:
    """Sets them.

    Raises:
        CameraLostError: a feature that station.toml asks for is not there, or refuses its value.
    """
    for step in steps:
        try:
            done = any(features.write(name, step.value) for name in step.names)
        except FeatureRefusedError as error:
            if not step.needed_for:
                continue
            raise CameraLostError(f"{step.needed_for}: the camera refuses {step.value!r}: {error}") from error
        if not done and step.needed_for:
            raise CameraLostError(
                f"{step.needed_for}: the camera has none of {', '.join(step.names)} to set; leave the key out, or set "
                "what the camera calls it under `features`"
            )
