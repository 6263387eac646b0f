"""Which cameras each kind's driver sees now. Opens none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class CannotError(Exception):
    """The driver is not here; the message says what to install."""


def _basler() -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pypylon import pylon
    except ImportError as error:
        raise CannotError(f"needs pylon: pip install 'lineside[basler]' ({error})") from error
    devices = pylon.TlFactory.GetInstance().EnumerateDevices()
    return _listed([f"{device.GetSerialNumber()} ({device.GetModelName()})" for device in devices])


def _genicam() -> str:
    from edge.cameras.contract import CameraLostError
    from edge.cameras.producers import driver_errors, producers

    try:
        driver_errors()
        files = producers(None)
    except ImportError as error:
        raise CannotError(f"needs harvesters: pip install 'lineside[genicam]' ({error})") from error
    except CameraLostError as error:
        raise CannotError(str(error)) from error
    return genicam_devices(files)


def genicam_devices(files: Sequence[Path]) -> str:
    """What some producers see."""
    from harvesters.core import Harvester

    harvester = Harvester()
    try:
        for file in files:
            harvester.add_file(str(file), check_existence=True, check_validity=True)
        harvester.update()
        return _listed([f"{device.serial_number} ({device.model})" for device in harvester.device_info_list])
    finally:
        harvester.reset()


def _aravis() -> str:
    from edge.cameras.aravis_library import AravisLibrary, AravisMissingError

    try:
        library = AravisLibrary()
    except AravisMissingError as error:
        raise CannotError(str(error)) from error
    return _listed([f"{device.serial} ({device.model})" for device in library.devices()])


def _v4l2() -> str:
    names = []
    for node in sorted(Path("/dev").glob("video*")):
        try:
            model = (Path("/sys/class/video4linux") / node.name / "name").read_text().strip()
        except OSError:
            model = "?"
        names.append(f"{node} ({model})")
    return _listed(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none seen"


LOOKS: Mapping[str, Callable[[], str]] = {
    "basler": _basler,
    "genicam": _genicam,
    "aravis": _aravis,
    "v4l2": _v4l2,
}
"""By the camera's kind."""
