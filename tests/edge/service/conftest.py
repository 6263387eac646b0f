"""A listening station in this process, with a real engine or one that is held."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.packages import make_anchor_package
from support.station import HeldBackend, Listening, Serving, serving_model

from edge.models.slot import ServingModel
from edge.service.server import GrpcSettings
from lineside.package import Package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_anchor_package(tmp_path_factory.mktemp("package") / "p")


@pytest.fixture(scope="module")
def model(package: Package) -> Iterator[ServingModel]:
    with serving_model(package) as loaded:
        yield loaded


@pytest.fixture
def line(model: ServingModel) -> Iterator[Listening]:
    with Listening(Serving(model)) as listening:
        yield listening


@pytest.fixture
def held(package: Package) -> Iterator[tuple[Listening, HeldBackend]]:
    """A station whose engine waits until it is let go, with room for two calls."""
    backends: list[HeldBackend] = []

    def open_held(graph: bytes) -> HeldBackend:
        backends.append(HeldBackend(graph))
        return backends[-1]

    with (
        serving_model(package, open_held) as loaded,
        Listening(
            Serving(loaded), settings=GrpcSettings(listen="127.0.0.1:0", workers=2, watchers=1, drain_seconds=20)
        ) as listening,
    ):
        try:
            yield listening, backends[0]
        finally:
            backends[0].go.set()
