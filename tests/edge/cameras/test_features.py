"""From station.toml to a camera's features, under whichever names the camera knows them."""

from __future__ import annotations

import pydantic
import pytest

from edge.cameras.contract import CameraLostError, Pace
from edge.cameras.features import FeatureRefusedError, IndustrialCameraSettings, Value, carry_out, pace_of, plan


def settings(**fields: object) -> IndustrialCameraSettings:
    return IndustrialCameraSettings.model_validate({"name": "top", **fields})


class Known:
    """A camera that knows some features, and for some of them which values it takes."""

    def __init__(self, *names: str, **values: tuple[Value, ...]) -> None:
        self.names = {*names, *values}
        self.values = values
        self.written: list[tuple[str, Value]] = []

    def write(self, name: str, value: Value) -> bool:
        if name not in self.names:
            return False
        if value not in self.values.get(name, (value,)):
            raise FeatureRefusedError(f"one of {self.values[name]}")
        self.written.append((name, value))
        return True


def test_a_hardware_trigger_is_set_up_with_its_line_edge_debounce_and_delay() -> None:
    camera = Known(
        "TriggerMode", "TriggerSource", "TriggerActivation", "LineSelector", "LineDebouncerTime", "TriggerDelay"
    )
    wanted = settings(
        acquisition="hardware", trigger_line="Line3", trigger_edge="falling", debounce_us=50, trigger_delay_us=120
    )
    carry_out(plan(wanted), camera)
    assert camera.written == [
        ("TriggerMode", "On"),
        ("TriggerSource", "Line3"),
        ("TriggerActivation", "FallingEdge"),
        ("LineSelector", "Line3"),  # the debouncer of that line, not of another
        ("LineDebouncerTime", 50),
        ("TriggerDelay", 120),
    ]
    assert pace_of(wanted) is Pace.LINE


@pytest.mark.parametrize("name", ["LineDebouncerTimeAbs", "LineDebounceDuration", "LineFilterWidth"])
def test_a_feature_is_found_under_the_name_the_camera_has_for_it(name: str) -> None:
    camera = Known("TriggerMode", "TriggerSource", "TriggerActivation", name)
    carry_out(plan(settings(acquisition="hardware", debounce_us=7)), camera)
    assert (name, 7) in camera.written


def test_a_camera_that_cannot_debounce_is_not_opened_as_if_it_could() -> None:
    camera = Known("TriggerMode", "TriggerSource", "TriggerActivation")
    with pytest.raises(
        CameraLostError, match=r"debounce_us: the camera has none of LineDebouncerTime, .*leave the key"
    ):
        carry_out(plan(settings(acquisition="hardware", debounce_us=7)), camera)


def test_light_is_set_by_hand_once_it_is_given() -> None:
    camera = Known(
        "TriggerMode", "TriggerSource", "ExposureAuto", "ExposureTimeAbs", "GainAuto", "GainRaw", "PixelFormat"
    )
    carry_out(plan(settings(exposure_us=800, gain=3, pixel_format="Mono8")), camera)
    assert camera.written == [
        ("PixelFormat", "Mono8"),
        ("ExposureAuto", "Off"),
        ("ExposureTimeAbs", 800),
        ("GainAuto", "Off"),
        ("GainRaw", 3),
        ("TriggerMode", "On"),
        ("TriggerSource", "Software"),
    ]


def test_free_run_asks_for_its_rate_and_needs_no_trigger() -> None:
    camera = Known("AcquisitionFrameRate")
    carry_out(plan(settings(acquisition="free", fps=25)), camera)
    assert camera.written == [("AcquisitionFrameRate", 25)]


def test_ones_own_features_come_in_their_order_before_the_trigger() -> None:
    camera = Known("UserSetSelector", "BlackLevel", "TriggerMode", "TriggerSource")
    carry_out(plan(settings(features={"UserSetSelector": "UserSet1", "BlackLevel": 4})), camera)
    assert [name for name, _ in camera.written] == ["UserSetSelector", "BlackLevel", "TriggerMode", "TriggerSource"]
    with pytest.raises(CameraLostError, match=r"features\.Quux: the camera has none of Quux"):
        carry_out(plan(settings(features={"Quux": True})), camera)


def test_a_refused_value_names_the_key_and_what_would_do() -> None:
    camera = Known("TriggerMode", TriggerSource=("Software", "Line0"))
    with pytest.raises(
        CameraLostError, match=r"trigger_line: the camera refuses 'Line1': one of \('Software', 'Line0'\)"
    ):
        carry_out(plan(settings(acquisition="hardware")), camera)


def test_what_nobody_asked_for_may_be_refused() -> None:
    camera = Known("TriggerSource", TriggerMode=("On", "Off"), TriggerSelector=("AcquisitionStart",))
    carry_out(plan(settings()), camera)
    assert ("TriggerMode", "On") in camera.written


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"acquisition": "hardware", "fps": 5}, "fps is 5 with acquisition = 'hardware'"),
        ({"debounce_us": 5}, "debounce_us is 5 with acquisition = 'software'"),
        ({"acquisition": "sometimes"}, "software"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        settings(**fields)
