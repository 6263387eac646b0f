"""The station's own cameras against what their drivers see. None is opened: a running station may be using it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from edge.cameras import AnyCameraSettings
from edge.cameras.aravis import AravisCameraSettings
from edge.cameras.basler import BaslerCameraSettings
from edge.cameras.folder import FolderCameraSettings
from edge.cameras.genicam import GenicamCameraSettings
from edge.cameras.stream import RtspCameraSettings, V4l2CameraSettings
from edge.cameras.video import VideoCameraSettings
from edge.doctor.apart import Seen
from edge.doctor.findings import Finding, State

SECTION = "cameras"
_CONNECT_SECONDS = 3.0
_RTSP_PORT = 554


def findings(cameras: Sequence[AnyCameraSettings], seen: Mapping[str, Seen]) -> list[Finding]:
    """A line for each driver, then one for each camera of the configuration.

    Args:
        cameras: [[cameras]].
        seen: by kind, of those kinds that have a driver.
    """
    wanted = {camera.kind for camera in cameras}
    found = []
    for kind, (works, text) in seen.items():
        state = State.OK if works else (State.FAULT if kind in wanted else State.OFF)
        found.append(Finding(section=SECTION, name=kind, state=state, text=text))
    return [*found, *(_camera(camera, seen) for camera in cameras)]


def _camera(camera: AnyCameraSettings, seen: Mapping[str, Seen]) -> Finding:
    fault, text, todo = "", str(camera.kind), ""
    match camera:
        case FolderCameraSettings():
            fault, text = _folder(camera.folder)
        case VideoCameraSettings():
            fault, text = ("", f"file {camera.file}") if camera.file.is_file() else (f"no file {camera.file}", "")
        case RtspCameraSettings():
            fault, text = _reached(camera.url)
        case V4l2CameraSettings():
            fault, text = _device(camera.device)
        case BaslerCameraSettings() | GenicamCameraSettings() | AravisCameraSettings():
            fault, text = _listed(camera.kind, camera.serial, seen[camera.kind])
            todo = "plug it in, give it power, and close the maker's own viewer" if fault else ""
        case _:
            pass
    state = State.FAULT if fault else State.OK
    return Finding(section=SECTION, name=camera.name, state=state, text=fault or text, todo=todo)


def _folder(folder: Path) -> tuple[str, str]:
    if not folder.is_dir():
        return f"folder {folder} is not there", ""
    count = sum(1 for _ in folder.iterdir())
    return "", f"folder {folder} holds {count} files"


def _reached(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _RTSP_PORT  # without the password
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host}:{port} does not answer: {error}", ""
    return "", f"{host}:{port} answers"


def _device(device: str) -> tuple[str, str]:
    if not Path(device).exists():
        return f"{device} is not there", ""
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be used by this user; add him to its group (video, mostly)", ""
    return "", f"{device} is there"


def _listed(kind: str, serial: str, seen: Seen) -> tuple[str, str]:
    if not seen.works:
        return f"its driver ({kind}) does not work here", ""
    known = re.findall(r"(?:^|, )(\S+) \(", seen.text)
    if serial and serial not in known:
        return f"{kind} {serial} is not seen; there are: {seen.text}", ""
    if not known:
        return f"no {kind} camera is seen", ""
    return "", f"{kind} {serial or known[0]} is seen"
