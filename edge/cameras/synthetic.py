"""The synthetic line as a camera: parts of `lineside.synthetic`, under a light that can be changed while it runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge.cameras.contract import Camera, CameraSettings, Picture
from lineside.synthetic import ORIGINAL, SIZE, read_setup, render

logger = logging.getLogger(__name__)


class SyntheticCameraSettings(CameraSettings):
    """`kind = "synthetic"`."""

    kind: Literal["synthetic"]
    seed: int = Field(default=0, ge=0)
    """Of the parts; the same seed shows the same parts in the same order."""
    first: int = Field(default=0, ge=0)
    """Number of the first part."""
    setup_file: Path | None = None
    """Light and optics, as lineside.synthetic.write_setup writes them. Read again whenever the file changes, so that
    they can be changed on a running line. No such file: the original setup."""
    size: int = Field(default=SIZE, ge=128, le=2048)
    """Side of the square pictures in pixels."""


class SyntheticCamera(Camera):
    """Draws one part after the other."""

    def __init__(self, settings: SyntheticCameraSettings) -> None:
        super().__init__(settings)
        self._seed = settings.seed
        self._number = settings.first
        self._setup_file = settings.setup_file
        self._size = settings.size
        self._setup = ORIGINAL
        self._seen: tuple[int, int] | None = None

    def _open(self) -> None:
        self._read_setup()

    def _grab(self, seconds: float) -> Picture:  # noqa: ARG002 - there is nothing to wait for
        self._read_setup()
        part = render(self._number, seed=self._seed, setup=self._setup, size=self._size)
        self._number += 1
        return Picture(pixels=part.pixels, part_id=part.part_id)

    def _close(self) -> None:
        self._seen = None

    def _read_setup(self) -> None:
        """Takes over the file's setup if it changed; a file that makes no sense is told once and changes nothing."""
        if self._setup_file is None:
            return
        try:
            status = self._setup_file.stat()
        except OSError:
            return
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._setup = read_setup(self._setup_file)
        except (OSError, ValueError) as error:
            logger.warning("camera %s keeps its setup: the setup file is no use: %s", self.settings.name, error)
        else:
            logger.info("camera %s: setup %s", self.settings.name, self._setup.name)
