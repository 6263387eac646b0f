"""Curves for TensorBoard, by torch's own writer; the library is an extra and is loaded when curves are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.extras import need


class Board:
    """Writes event files into a folder.

    Args:
        folder: made if need be; `tensorboard --logdir FOLDER` shows it, also while the run goes on.
        first: the first step that will be written; points a killed run wrote from there on are dropped from the curves.

    Raises:
        MissingExtraError: the library is not installed.
    """

    def __init__(self, folder: Path, *, first: int = 0) -> None:
        need("tensorboard", purpose="--tensorboard", install="'lineside[tensorboard]'")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first or None)

    def add(self, values: Mapping[str, float], step: int) -> None:
        """A point on each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def describe(self, name: str, text: str) -> None:
        """A text beside the curves."""
        self._writer.add_text(name, text)

    def close(self) -> None:
        """Everything is in the files afterwards."""
        self._writer.close()
