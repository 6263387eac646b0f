"""Cameras: one contract, each kind in its own file, its driver loaded only when such a camera is opened."""

from __future__ import annotations

# First: OpenCV reads the limits that it sets only once, when it is loaded, and several cameras load OpenCV.
import lineside.pixels  # noqa: F401

# isort: split
from typing import Annotated

from pydantic import Field

from edge.cameras.aravis import AravisCamera, AravisCameraSettings
from edge.cameras.basler import BaslerCamera, BaslerCameraSettings
from edge.cameras.contract import Camera
from edge.cameras.folder import FolderCamera, FolderCameraSettings
from edge.cameras.genicam import GenicamCamera, GenicamCameraSettings
from edge.cameras.stream import RtspCamera, RtspCameraSettings, V4l2Camera, V4l2CameraSettings
from edge.cameras.synthetic import SyntheticCamera, SyntheticCameraSettings
from edge.cameras.video import VideoCamera, VideoCameraSettings

AnyCameraSettings = Annotated[
    FolderCameraSettings
    | VideoCameraSettings
    | RtspCameraSettings
    | V4l2CameraSettings
    | BaslerCameraSettings
    | GenicamCameraSettings
    | AravisCameraSettings
    | SyntheticCameraSettings,
    Field(discriminator="kind"),
]
"""A [[cameras]] entry; its `kind` says which."""


def make_camera(settings: AnyCameraSettings) -> Camera:
    """The camera for an entry, not yet open."""
    match settings:
        case FolderCameraSettings():
            return FolderCamera(settings)
        case VideoCameraSettings():
            return VideoCamera(settings)
        case RtspCameraSettings():
            return RtspCamera(settings)
        case V4l2CameraSettings():
            return V4l2Camera(settings)
        case BaslerCameraSettings():
            return BaslerCamera(settings)
        case GenicamCameraSettings():
            return GenicamCamera(settings)
        case AravisCameraSettings():
            return AravisCamera(settings)
        case SyntheticCameraSettings():
            return SyntheticCamera(settings)


__all__ = ["AnyCameraSettings", "Camera", "make_camera"]
