"""One way to make each kind of camera without hardware: files, a real RTSP server, emulated and fake cameras."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.rtsp import RtspServer
from support.station import write_pictures

from benchmarks.numbers import draw
from edge.cameras import AnyCameraSettings, make_camera
from edge.cameras.contract import Camera, CameraSettings
from lineside.pixels import encode_png

os.environ.setdefault("PYLON_CAMEMU", "2")  # read by pylon when it first lists its cameras

SIZE = 128
FAKE = "arv-fake-gv-camera-0.8"
FAKE_SERIAL = f"LINE{os.getpid()}"

NOISY = {"half_share": 0.0, "frozen_pictures": 0, "saturated_share": 0.0}
"""Checks that drawn pictures of emulated cameras would not pass."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How one kind is made for tests."""

    make: Callable[[Path], Iterator[dict[str, Any]]]
    """Settings of a camera that is there, inside of which it stays; skips where it cannot be had."""
    absent: Callable[[Path], dict[str, Any]]
    """Settings of one that is not there."""
    names_parts: bool = False
    sizes_pictures: bool = False
    """Whether it can be asked for a size."""
    numbers: bool = False
    """Whether it numbers its pictures without holes where the station triggers it."""
    loses_packets: bool = False
    """Whether pictures come by UDP, from which a busy machine loses packets: halves, as they should be told."""


def _needs(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install 'lineside[{extra}]'")


def _folder(folder: Path) -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(1)
    pictures = {f"part-{number}.png": generator.integers(0, 255, (SIZE, SIZE), np.uint8) for number in range(3)}
    write_pictures(folder / "pictures", pictures)
    yield {"kind": "folder", "folder": folder / "pictures", "loop": True}


def write_video(path: Path, frames: int, size: int = SIZE) -> None:
    """A motion-JPEG video of numbered pictures."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (size, size))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(cv2.cvtColor(draw(number, size), cv2.COLOR_GRAY2BGR))
    writer.release()


def _video(folder: Path) -> Iterator[dict[str, Any]]:
    write_video(folder / "line.avi", 3)
    yield {"kind": "video", "file": folder / "line.avi", "loop": True}


def _rtsp(folder: Path) -> Iterator[dict[str, Any]]:
    with RtspServer(lambda number: np.repeat(draw(number, SIZE)[:, :, None], 3, axis=2), fps=50) as server:
        yield {"kind": "rtsp", "url": server.url}


def _v4l2(folder: Path) -> Iterator[dict[str, Any]]:
    if not Path("/dev/video0").exists():
        pytest.skip("this machine has no V4L2 camera (/dev/video0)")
    yield {"kind": "v4l2", "fourcc": "YUYV"}


def _basler(acquisition: str) -> Callable[[Path], Iterator[dict[str, Any]]]:
    def make(folder: Path) -> Iterator[dict[str, Any]]:
        _needs("pypylon", "basler")
        pace = {"fps": 100} if acquisition == "free" else {}
        asked = {"acquisition": acquisition, "width": SIZE, "height": SIZE, "exposure_us": 1000, **pace}
        yield {"kind": "basler", "serial": "0815-0000", "checks": NOISY, **asked}

    return make


def numbered_basler(folder: Path, pictures: int) -> dict[str, Any]:
    """An emulated camera whose pictures are numbers, each picture the next one."""
    _needs("pypylon", "basler")
    folder.mkdir()
    for number in range(pictures):
        (folder / f"{number:06}.png").write_bytes(encode_png(draw(number, SIZE)))
    features = {"ImageFilename": str(folder), "ImageFileMode": "On", "TestImageSelector": "Off"}
    sized = {"width": SIZE, "height": SIZE, "features": features, "exposure_us": 1000}
    return {"kind": "basler", "serial": "0815-0001", **sized}


def viky() -> Path:
    """The GenTL producer in the genicam wheel."""
    _needs("harvesters", "genicam")
    _needs("genicam", "genicam")
    found = importlib.util.find_spec("genicam")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "viky.cti"


def _genicam(folder: Path) -> Iterator[dict[str, Any]]:
    asked = {"acquisition": "free", "fps": 100, "pixel_format": "Mono8", "serial": "1"}
    yield {"kind": "genicam", "producer": viky(), "checks": NOISY, **asked}


@contextlib.contextmanager
def fake_gige_camera(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Aravis' own GigE Vision camera on loopback."""
    if shutil.which(FAKE) is None:
        pytest.skip(f"{FAKE} is not installed (Debian: aravis-tools-cli)")
    process = subprocess.Popen([FAKE, "-i", "lo", "-s", FAKE_SERIAL, *options], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.3)
        assert process.poll() is None, "the fake camera did not start; does another one run?"
        yield process
    finally:
        process.kill()
        process.wait()


def aravis(**fields: Any) -> dict[str, Any]:
    """Settings of the fake camera."""
    return {"kind": "aravis", "serial": FAKE_SERIAL, "checks": NOISY, "width": SIZE, "height": SIZE, **fields}


def _aravis(acquisition: str) -> Callable[[Path], Iterator[dict[str, Any]]]:
    def make(folder: Path) -> Iterator[dict[str, Any]]:
        with fake_gige_camera():
            yield aravis(acquisition=acquisition)

    return make


def _synthetic(folder: Path) -> Iterator[dict[str, Any]]:
    yield {"kind": "synthetic", "size": SIZE}


def _no_basler(folder: Path) -> dict[str, Any]:
    _needs("pypylon", "basler")
    return {"kind": "basler", "serial": "none-such"}


def _no_aravis(folder: Path) -> dict[str, Any]:
    if shutil.which(FAKE) is None:
        pytest.skip(f"{FAKE} is not installed (Debian: aravis-tools-cli)")
    return {"kind": "aravis", "serial": "none-such"}


KINDS: dict[str, Kind] = {
    "folder": Kind(make=_folder, absent=lambda folder: {"kind": "folder", "folder": folder / "no"}, names_parts=True),
    "video": Kind(make=_video, absent=lambda folder: {"kind": "video", "file": folder / "no.avi"}, names_parts=True),
    "rtsp": Kind(make=_rtsp, absent=lambda _: {"kind": "rtsp", "url": "rtsp://127.0.0.1:9/no", "open_seconds": 2}),
    "v4l2": Kind(make=_v4l2, absent=lambda folder: {"kind": "v4l2", "device": str(folder / "video9")}),
    "basler": Kind(make=_basler("software"), absent=_no_basler, sizes_pictures=True, numbers=True),
    "basler-free": Kind(make=_basler("free"), absent=_no_basler, sizes_pictures=True),
    "genicam-free": Kind(
        make=_genicam,
        absent=lambda _: {"kind": "genicam", "producer": viky(), "serial": "9", "acquisition": "free"},
        sizes_pictures=True,
    ),
    "aravis": Kind(make=_aravis("software"), absent=_no_aravis, sizes_pictures=True, numbers=True, loses_packets=True),
    "aravis-free": Kind(make=_aravis("free"), absent=_no_aravis, sizes_pictures=True, loses_packets=True),
    "synthetic": Kind(
        make=_synthetic,
        absent=lambda _: pytest.skip("a drawn camera is always there"),
        names_parts=True,
    ),
}

_ADAPTER: Any = None


def settings_for(fields: dict[str, Any]) -> AnyCameraSettings:
    """A [[cameras]] entry, checked as in station.toml."""
    import pydantic

    global _ADAPTER
    _ADAPTER = _ADAPTER or pydantic.TypeAdapter(AnyCameraSettings)
    settings: AnyCameraSettings = _ADAPTER.validate_python({"name": "top", **fields})
    return settings


def camera_for(fields: dict[str, Any]) -> Camera:
    """The camera of such an entry, not yet open."""
    return make_camera(settings_for(fields))


__all__ = ["KINDS", "SIZE", "CameraSettings", "Kind", "aravis", "camera_for", "fake_gige_camera", "settings_for"]
