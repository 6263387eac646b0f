"""The synthetic line as a camera: parts of `lineside.synthetic`, under a light that can be changed while it runs."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge.cameras.contract import Camera, CameraSettings, Picture
from lineside.synthetic import ORIGINAL, Setup, render

logger = logging.getLogger(__name__)


class SyntheticCameraSettings(CameraSettings):
    """`kind = "synthetic"`."""

    kind: Literal["synthetic"]
    seed: int = Field(default=0, ge=0)
    """Of the parts; the same seed shows the same parts in the same order."""
    first: int = Field(default=0, ge=0)
    """Number of the first part."""
    setup_file: Path | None = None
    """JSON object with fields of lineside.synthetic.Setup. Read again whenever it changes, so that light and optics can
    be changed on a running line; what is absent keeps the original's value."""


class SyntheticCamera(Camera):
    """Draws one part after the other."""

    def __init__(self, settings: SyntheticCameraSettings) -> None:
        super().__init__(settings)
        self._seed = settings.seed
        self._number = settings.first
        self._setup_file = settings.setup_file
        self._setup = ORIGINAL
        self._seen: tuple[int, int] | None = None

    def _open(self) -> None:
        self._read_setup()

    def _grab(self) -> Picture:
        self._read_setup()
        part = render(self._number, seed=self._seed, setup=self._setup)
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
            self._setup = setup_from(json.loads(self._setup_file.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            logger.warning("camera %s keeps its setup: the setup file is no use: %s", self.settings.name, error)
        else:
            logger.info("camera %s: setup %s", self.settings.name, self._setup.name)


def setup_from(document: object) -> Setup:
    """A Setup out of a JSON object with some of its fields; the others are the original's.

    Raises:
        ValueError, TypeError: it is no object, has unknown fields or impossible values.
    """
    fields = [field.name for field in dataclasses.fields(Setup)]
    if not isinstance(document, dict) or not set(document) <= set(fields):
        raise ValueError(f"expected a JSON object with some of {', '.join(fields)}")
    return dataclasses.replace(ORIGINAL, **document)
