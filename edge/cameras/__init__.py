"""Cameras: one contract, each kind in its own file, loaded only when a station has one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.cameras.contract import Camera
from edge.cameras.folder import FolderCamera, FolderCameraSettings
from edge.cameras.synthetic import SyntheticCamera, SyntheticCameraSettings

AnyCameraSettings = Annotated[FolderCameraSettings | SyntheticCameraSettings, Field(discriminator="kind")]
"""A [[cameras]] entry; its `kind` says which."""


def make_camera(settings: AnyCameraSettings) -> Camera:
    """The camera for an entry, not yet open."""
    match settings:
        case FolderCameraSettings():
            return FolderCamera(settings)
        case SyntheticCameraSettings():
            return SyntheticCamera(settings)


__all__ = ["AnyCameraSettings", "Camera", "make_camera"]
