"""Where a run is: told to whoever watches, and kept as curves in files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import torch

from training.board import Board
from training.learner import StepLosses
from training.processes import Processes

HISTORY_NAME = "history.jsonl"
REPORT_EVERY = 20
"""Steps between two lines of progress."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is. Losses are means since the last report; seconds of wall time, left ones estimated."""

    stage: str
    """"pictures" while they are prepared, "training" afterwards."""
    done: int
    total: int
    """Steps of the whole run; with a time budget as planned now."""
    loss: float = 0.0
    loss_original: float = 0.0
    loss_new: float = 0.0
    loss_auxiliary: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By name."""
    learning_rate: float = 0.0
    watched: float | None = None
    """mAP at IoU 0.33 of the averaged weights on the watched original parts; None: not measured at this step."""
    seconds: float = 0.0
    """Of all steps, those before the run was resumed too."""
    seconds_left: float = 0.0


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Takes progress and shows nothing."""


def mean_losses(recent: Sequence[StepLosses], processes: Processes) -> dict[str, float]:
    """Means over steps, summed over processes: "total", "original", "new", and auxiliary ones as "auxiliary/NAME"."""
    rows = [
        {"total": item.total, "original": item.original, "new": item.new}
        | {f"auxiliary/{name}": value for name, value in item.auxiliary.items()}
        for item in recent
    ]
    means = {name: sum(float(row[name]) for row in rows) / len(rows) for name in rows[-1]}
    whole = processes.total(torch.tensor(list(means.values()), dtype=torch.float64))
    return dict(zip(means, whole.tolist(), strict=True))


class Journal:
    """Curves of a run: a line a report in OUT/history.jsonl and, where asked for, TensorBoard's event files.

    Each line is on its way to the disk before training goes on, so a killed run keeps its curves.

    Args:
        out: the run's folder.
        done: steps that were done before; lines beyond them are of a run that was killed, and will come again.
        board: folder of event files; None: none.
        about: the run's configuration as text, shown beside the curves.

    Raises:
        MissingExtraError: a board is asked for and the library is not installed.
    """

    def __init__(self, out: Path, *, done: int, board: Path | None = None, about: str = "") -> None:
        self._board = Board(board, first=done + 1 if done else 0) if board is not None else None
        if self._board is not None and about:
            self._board.describe("configuration", f"```\n{about}\n```")
        path = out / HISTORY_NAME
        kept = _lines_until(path, done) if done and path.is_file() else []
        self._file: TextIO = open(path, "w", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        self._file.writelines(f"{line}\n" for line in kept)
        self._file.flush()

    def note(self, progress: Progress) -> None:
        """One line of history, and a point on each curve."""
        self._file.write(json.dumps(dataclasses.asdict(progress)) + "\n")
        self._file.flush()
        if self._board is None:
            return
        points = {
            "loss/total": progress.loss,
            "loss/original": progress.loss_original,
            "loss/new": progress.loss_new,
            "learning_rate": progress.learning_rate,
        }
        points |= {f"loss/{name}": value for name, value in progress.loss_auxiliary.items()}
        if progress.watched is not None:
            points["original/map_33"] = progress.watched
        if progress.seconds > 0:
            points["steps_per_second"] = progress.done / progress.seconds
        self._board.add(points, progress.done)

    def close(self) -> None:
        """Everything is in the files afterwards."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _lines_until(path: Path, done: int) -> list[str]:
    """The lines of history up to a step; a line cut short by a power cut and everything after it is gone."""
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["done"] > done:
                break
        except ValueError:
            break
        kept.append(line)
    return kept
