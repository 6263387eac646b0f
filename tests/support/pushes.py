"""Pushing package folders straight into a manager, as the gRPC service does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.backends import open_backend
from edge.models.manager import ModelManager
from edge.models.prover import OpenBackend
from edge.models.settings import ModelsSettings
from lineside.client.models import announcement
from lineside.package import Package
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
        required_classes=required,
    )


def chunks(folder: Path, step: int = 1 << 18) -> Iterator[model_pb2.PushChunk]:
    for item in announcement(folder).files:
        data = (folder / item.name).read_bytes()
        for offset in range(0, len(data), step):
            yield model_pb2.PushChunk(name=item.name, offset=offset, data=data[offset : offset + step])


def push(models: ModelManager, folder: Path) -> model_pb2.ModelStatus:
    return models.push(announcement(folder), chunks(folder), ACTOR)
