"""What all kinds of cameras share before one of them is opened."""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path

import pytest
from support.cameras import KINDS

from edge.cameras import AnyCameraSettings, make_camera
from edge.cameras.aravis import AravisCameraSettings
from edge.cameras.basler import BaslerCameraSettings
from edge.cameras.contract import CameraLostError
from edge.cameras.genicam import GenicamCameraSettings
from lineside.reasons import Reason

ROOT = Path(__file__).resolve().parents[3]


def test_opencv_is_loaded_after_its_limits_are_set_and_no_driver_before_a_camera_needs_it() -> None:
    code = """
import os, sys
class Witness:
    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            print(os.environ.get("OPENCV_IO_MAX_IMAGE_PIXELS"))
sys.meta_path.insert(0, Witness())
import edge.cameras
print({"pypylon", "harvesters", "genicam"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout.split()[0], done.stdout.split()[-1]) == (str(1 << 27), "set()")


@pytest.mark.parametrize(
    ("settings", "module", "says"),
    [
        (BaslerCameraSettings(name="a", kind="basler"), "pypylon", r"pip install 'lineside\[basler\]'"),
        (GenicamCameraSettings(name="a", kind="genicam"), "harvesters.core", r"pip install 'lineside\[genicam\]'"),
        (AravisCameraSettings(name="a", kind="aravis"), "", "apt install libaravis-0.8-0"),
    ],
)
def test_a_driver_that_is_not_installed_says_what_to_install(
    settings: BaslerCameraSettings | GenicamCameraSettings | AravisCameraSettings,
    module: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if module:
        monkeypatch.setitem(sys.modules, module, None)
    else:
        monkeypatch.setattr("ctypes.util.find_library", lambda _name: None)
    with pytest.raises(CameraLostError, match=says):
        make_camera(settings).open()


def test_without_a_producer_it_says_where_one_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("harvesters", reason="harvesters is not installed")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(tmp_path))
    with pytest.raises(CameraLostError, match=r"no GenTL producer: .* set `producer` to its \.cti file"):
        make_camera(GenicamCameraSettings(name="a", kind="genicam")).open()


def test_every_kind_is_documented_and_under_the_one_suite() -> None:
    members = typing.get_args(typing.get_args(AnyCameraSettings)[0])
    kinds = {typing.get_args(member.model_fields["kind"].annotation)[0] for member in members}
    assert kinds == {name.split("-")[0] for name in KINDS}
    text = (ROOT / "docs" / "cameras.md").read_text()
    assert [kind for kind in sorted(kinds) if f"| `{kind}` |" not in text] == []


def test_every_reason_a_picture_is_not_judged_for_is_documented() -> None:
    text = (ROOT / "docs" / "cameras.md").read_text()
    assert [item.value for item in Reason if item.value.startswith("IMAGE_") and f"| {item.value} |" not in text] == []
