"""The client's push over a link that breaks, against a real server: it goes on where it was, by itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from support import packages
from support.links import BreakingLink

from edge.models.manager import ModelManager
from edge.service.models import ModelsServicer
from lineside.client import cli
from lineside.client.errors import StationUnreachableError
from lineside.client.models import ModelsClient
from lineside.client.push import Patience
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2, model_pb2_grpc

FILLING = 3 << 20
"""Bytes that make a package long enough for a link to break in it."""


def quick(**changes: float) -> Patience:
    return Patience(pause=lambda _: None, **changes)  # type: ignore[arg-type]


@pytest.fixture
def long_package(tmp_path: Path) -> Package:
    """As `one`, with a model card of some MB that does not shrink."""
    import numpy as np

    sound = packages.make_anchor_package(tmp_path / "sound")
    card = np.random.default_rng(3).integers(0, 256, FILLING, np.uint8).tobytes()
    from lineside.package import GOLDEN_NAME, GRAPH_NAME, write_package

    files = {name: sound.read(name) for name in (GRAPH_NAME, GOLDEN_NAME)}
    return write_package(tmp_path / "long", sound.manifest, {**files, "card.html": card})


@pytest.fixture
def target(models: ModelManager) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    model_pb2_grpc.add_ModelsServicer_to_server(ModelsServicer(models), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait(30)


def test_a_push_goes_on_where_the_link_broke_and_sends_little_twice(
    target: str, long_package: Package, models: ModelManager
) -> None:
    troubles: list[Exception] = []
    told: list[tuple[int, int]] = []
    with BreakingLink(target, [1_000_000] * 4) as link, ModelsClient(link.address, actor="ada@desk") as client:
        status = client.push(
            long_package.folder,
            patience=Patience(without_progress=60),
            on_trouble=lambda error, _: troubles.append(error),
            on_progress=lambda sent, total: told.append((sent, total)),
        )
    assert status.state == model_pb2.MODEL_STATE_BUILT
    assert len(troubles) >= 3
    assert all(isinstance(error, StationUnreachableError) for error in troubles)
    assert told[-1][0] == told[-1][1] > FILLING
    # What was on its way at each break may have to be sent again, no more.
    assert link.carried < FILLING + 5 * 700_000
    entries = list(models.audit())
    # Breaks are no deeds: nothing was done.
    assert [(entry.action, entry.outcome) for entry in entries] == [("start", "done"), ("push", "done")]
    assert entries[-1].actor.startswith("ada@desk (ipv4:")


def test_without_progress_it_gives_up_with_what_went_wrong(target: str, long_package: Package) -> None:
    with (
        BreakingLink(target, [200_000] + [60] * 1000) as link,
        ModelsClient(link.address, timeout=20) as client,
        pytest.raises(StationUnreachableError),
    ):
        client.push(long_package.folder, patience=quick(without_progress=2.0))


def test_a_wrong_address_is_said_at_once(long_package: Package) -> None:
    with (
        ModelsClient("127.0.0.1:1") as client,
        pytest.raises(StationUnreachableError, match=r"no station answers at 127\.0\.0\.1:1"),
    ):
        client.push(long_package.folder)


def test_a_refusal_is_not_tried_again(target: str, long_package: Package) -> None:
    (long_package.folder / "golden.npz").write_bytes(b"torn")
    with ModelsClient(target) as client, pytest.raises(ContractError, match=r"golden\.npz has 4 bytes") as caught:
        client.push(long_package.folder, patience=quick())
    assert caught.value.reason is Reason.PKG_HASH


def test_the_command_line_says_when_it_goes_on(
    target: str, long_package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    with BreakingLink(target, [1_000_000]) as link:
        assert cli.main(["push", str(long_package.folder), "--station", link.address]) == 0
    said = capsys.readouterr()
    assert "BUILT" in said.out
    assert "goes on in 0.5 s" in said.err
