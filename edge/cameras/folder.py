"""A folder of pictures as a camera: the files in order of their names, the name without suffix as part id."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edge.cameras.contract import BadPictureError, Camera, CameraEndedError, CameraLostError, CameraSettings, Picture
from edge.frame import LONGEST_PART_ID
from lineside.pixels import decode, encoding_of
from lineside.reasons import ContractError, Reason

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"})
"""Files with other suffixes, in any case of letters, are not looked at."""


class FolderCameraSettings(CameraSettings):
    """`kind = "folder"`."""

    kind: Literal["folder"]
    folder: Path
    """Where the pictures lie; sub-folders are not looked into."""
    loop: bool = False
    """Begin again after the last picture, with the files there are then. Otherwise the camera ends."""


class FolderCamera(Camera):
    """Gives each file once per round. A file that cannot be read or decoded is told and left behind."""

    def __init__(self, settings: FolderCameraSettings) -> None:
        super().__init__(settings)
        self._folder = settings.folder
        self._loop = settings.loop
        self._left: list[Path] = []

    def _open(self) -> None:
        self._left = self._list()

    def _grab(self, seconds: float) -> Picture:  # noqa: ARG002 - there is nothing to wait for
        if not self._left:
            if not self._loop:
                raise CameraEndedError("the last picture of the folder has been shown")
            self._left = self._list()
        path = self._left.pop()
        part_id = path.stem[:LONGEST_PART_ID]
        try:
            data = path.read_bytes()
            return Picture(
                pixels=decode(data), part_id=part_id, source=data, source_suffix=encoding_of(data) or path.suffix[1:]
            )
        except OSError as error:
            raise BadPictureError(
                Reason.IMAGE_DECODE, f"{path.name} cannot be read: {error.strerror}", part_id
            ) from error
        except ContractError as error:
            raise BadPictureError(error.reason, f"{path.name}: {error.message}", part_id) from error

    def _close(self) -> None:
        self._left = []

    def _list(self) -> list[Path]:
        """The pictures, last name first, so that the next one is at the end."""
        try:
            found = [path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
        except OSError as error:
            raise CameraLostError(f"folder {self._folder} cannot be read: {error.strerror}") from error
        if not found:
            raise CameraLostError(f"folder {self._folder} holds no picture; expected {', '.join(sorted(SUFFIXES))}")
        return sorted(found, key=lambda path: path.name, reverse=True)
