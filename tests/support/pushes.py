"""Pushing package folders straight into a manager, as the gRPC service does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import packages

from edge.backends import open_backend
from edge.models.manager import ModelManager
from edge.models.prover import OpenBackend
from edge.models.settings import ModelsSettings
from edge.verdict import RecipeSettings
from lineside.client.models import announcement
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

ACTOR = "engineer"


class Told:
    """What a station was told about its models."""

    def __init__(self) -> None:
        self.events: list[model_pb2.ModelEvent] = []
        self.models: list[str] = []

    @property
    def story(self) -> list[tuple[str, str]]:
        """(version, state) of every event."""
        return [
            (event.status.model.version, model_pb2.ModelState.Name(event.status.state).removeprefix("MODEL_STATE_"))
            for event in self.events
        ]

    def model(self, package: Package) -> None:
        self.models.append(package.digest)


def manager(
    data_dir: Path,
    told: Told,
    *,
    opener: OpenBackend = open_backend,
    required: tuple[str, ...] = (),
    **settings: object,
) -> ModelManager:
    """A manager that is not started."""
    return ModelManager(
        ModelsSettings(**settings),  # type: ignore[arg-type]
        data_dir,
        opener,
        told.events.append,
        told.model,
        recipes=[RecipeSettings(name="all", thresholds=dict.fromkeys(required, 0.5))],
    )


def chunks(folder: Path, step: int = 1 << 18) -> Iterator[model_pb2.PushChunk]:
    for item in announcement(folder).files:
        data = (folder / item.name).read_bytes()
        for offset in range(0, len(data), step):
            yield model_pb2.PushChunk(name=item.name, offset=offset, data=data[offset : offset + step])


def push(models: ModelManager, folder: Path) -> model_pb2.ModelStatus:
    return models.push(announcement(folder), chunks(folder), ACTOR)


def score(models: ModelManager) -> float:
    """Score of the one detection that the serving model raises on the standard picture."""
    with models.slot.lease() as model:
        return float(model.answer(packages.picture()).found.scores[0])


def refused(action: Callable[[], object], reason: Reason, word: str) -> None:
    """The action is refused with this reason, and its words match."""
    with pytest.raises(ContractError, match=word) as caught:
        action()
    assert caught.value.reason is reason


def states(models: ModelManager) -> dict[str, str]:
    """State of each version."""
    return {
        status.model.version: model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_")
        for status in models.list()
    }
