"""What one run of the table gave: one recipe, one seed. Plain values, written as JSON beside its checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.evaluate.figures import Figures

FILE_NAME = "result.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """One mentoring round: what it cost until then, and what the model trained after it can."""

    number: int
    """From 1; 0 for a run without clicks."""
    operator_seconds: float
    """Of the operator's time, all rounds until this one."""
    clicks: Mapping[str, int]
    """Answers in this round by gesture's name."""
    frames: int
    """Frames about which something was said in this round."""
    original: Figures
    new: Figures


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """One recipe with one seed. `rounds` ends with the figures that count."""

    recipe: str
    seed: int
    experiment: str
    head: str
    rounds: tuple[RoundResult, ...]
    full_seconds: float
    """What annotating the mentoring pictures by hand takes the same operator."""
    steps: int
    """Optimiser steps of all rounds."""
    training_seconds: float
    """Wall time of the steps."""
    precision: str
    """"float32" or "bfloat16"."""
    checkpoint: str
    """File, relative to the table's folder."""
    history: str
    """Curves of the last round: JSON lines, relative to the table's folder."""
    config: Mapping[str, Any]
    """The whole `TrainConfig` as plain values."""
    data_digest: str
    """Of the original training data."""
    mentoring_digest: str
    """Of the lessons; empty: none."""

    @property
    def original(self) -> Figures:
        """The original domain after the last round."""
        return self.rounds[-1].original

    @property
    def new(self) -> Figures:
        """The new domain after the last round."""
        return self.rounds[-1].new

    @property
    def operator_seconds(self) -> float:
        """Of the operator's time, in all. Full annotation: that of annotating by hand."""
        return self.rounds[-1].operator_seconds

    @property
    def share_of_full(self) -> float:
        """Operator's time as a share of that of annotating everything by hand; 0 where nothing was asked."""
        return self.operator_seconds / self.full_seconds if self.full_seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = dataclasses.asdict(self)
        values["config"] = dict(self.config)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunResult:
        """The result again.

        Raises:
            ValueError: a field is missing or unknown.
        """
        try:
            rounds = tuple(
                RoundResult(
                    **{
                        **item,
                        "original": Figures.from_json(item["original"]),
                        "new": Figures.from_json(item["new"]),
                    }
                )
                for item in values["rounds"]
            )
            return cls(**{**values, "rounds": rounds})
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no result of a table's run: {error}") from None


def read_result(path: Path) -> RunResult:
    """A result from its file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged.
    """
    return RunResult.from_json(json.loads(path.read_text(encoding="utf-8")))
