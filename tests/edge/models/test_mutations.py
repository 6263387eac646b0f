"""400 altered packages at a station with keys: each refused for its reason, none parsed before its signature was right.

The alterations and the watching are `benchmarks.mutations`, which a figure is quoted from; here it also has to show
that it would notice.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import zipfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
from support.pushes import Told, manager

from benchmarks import mutants_on_the_way as way
from benchmarks import mutants_signed as signed
from benchmarks.mutants import BYTE_CLASSES, Kind, Mutant, Workshop, signed_content
from benchmarks.mutations import Watch, plan, prove
from edge.models.prover import Prover
from edge.models.settings import SignerSettings
from edge.service.models import ModelsServicer
from lineside.client.errors import station_errors
from lineside.package import Package, read_package
from lineside.reasons import ContractError
from lineside.v1 import model_pb2, model_pb2_grpc

SEED = 7


def test_400_mutants_are_refused_for_their_reason_and_none_is_parsed_before_its_signature(tmp_path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    report = prove(
        tmp_path, count=400, seed=SEED, apart=False, on_mutant=lambda mutant, _: seen.add((mutant.kind, mutant.what))
    )
    assert report.troubles == []
    assert report.written_outside == []
    assert (report.mutants, report.refused, report.parsed_before_signature) == (400, 400, 0)
    # Every variant there is was among them: each class of byte in each signed file, each name, field and graph.
    assert {what for kind, what in seen if kind == "byte"} == {
        f"{name}: {how}" for name in signed_content() for how in BYTE_CLASSES
    }
    assert {what for kind, what in seen if kind == "odd name"} == {repr(name[:40]) for name in way.ODD_NAMES}
    assert {what for kind, what in seen if kind == "manifest field"} == {what for what, *_ in signed.MANIFEST_EDITS}
    assert {what for kind, what in seen if kind == "graph"} == {what for what, *_ in signed.GRAPHS}
    assert {what for kind, what in seen if kind == "golden cases"} == {what for what, *_ in signed.GOLDENS}
    assert set(report.by_reason) == {
        "MSG_TOO_LARGE",
        "PKG_CLASSES",
        "PKG_HASH",
        "PKG_INPUT",
        "PKG_MALFORMED",
        "PKG_NAN",
        "PKG_PARITY",
        "PKG_ROLLBACK",
        "PKG_SIGNATURE",
        "PKG_VALIDITY",
        "ROLE",
    }


def test_the_figure_that_is_quoted_is_the_reports() -> None:
    root = Path(__file__).resolve().parents[3]
    report = json.loads((root / "docs" / "reports" / "mutations.json").read_text())
    text = " ".join((root / "docs" / "package.md").read_text().split())
    assert f"{report['refused']} of {report['mutants']} were refused for exactly their reason" in text
    assert report["tried_in_a_process"] == report["mutants"]
    assert not report["parsed_before_signature"]
    assert report["troubles"] == report["written_outside"] == []


def test_the_proof_notices_a_station_that_parses_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same station, with the two steps in the wrong order."""
    sound = Prover.open

    def hasty(self: Prover, folder: Path, *, new: bool = False) -> Package:
        read_package(folder)
        return sound(self, folder, new=new)

    monkeypatch.setattr(Prover, "open", hasty)
    report = prove(tmp_path, count=8, seed=SEED, apart=False)
    assert report.parsed_before_signature > 0
    assert "met lineside.package.parse_manifest before its signature was right" in " ".join(report.troubles)
    assert not report.sound


def test_the_watch_sees_parsers_unpickling_and_writes_elsewhere(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    buffer = io.BytesIO()
    np.savez(buffer, frame=np.zeros(3))
    with Watch(inside) as watch:
        (inside / "fine").write_bytes(b"x")
        (outside / "escaped").write_bytes(b"x")
        (inside / "fine").rename(outside / "moved")
        (outside / "link").symlink_to(inside)
        (inside / ".." / "climbed").write_bytes(b"x")
        (outside / "escaped").read_bytes()
        np.load(io.BytesIO(buffer.getvalue())).close()
        pickle.loads(pickle.dumps(Path("x")))
    assert watch.happened == ["numpy.load", "zipfile.ZipFile.__init__", "pickle.loads", "pickle.find_class"]
    assert [line.rpartition("/")[2] for line in watch.outside] == ["escaped", "moved", "link", "climbed"]
    (outside / "afterwards").write_bytes(b"x")
    assert len(watch.outside) == 4
    zipfile.ZipFile(io.BytesIO(buffer.getvalue())).close()
    assert len(watch.happened) == 4


def test_the_same_seed_makes_the_same_alterations(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "shop")

    def told(seed: int) -> list[tuple[str, str, bytes]]:
        made = [mutant for mutant in plan(shop, 30, seed) if mutant.kind == "byte"]
        return [(mutant.kind, mutant.what, b"".join(chunk.data for chunk in mutant.chunks)) for mutant in made]

    assert told(1) == told(1) != told(2)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def stub(tmp_path: Path, shop: Workshop) -> Iterator[model_pb2_grpc.ModelsStub]:
    signers = (SignerSettings(key=shop.trial_public, may_sign=("trial",)),)
    with manager(
        tmp_path / "data", Told(), trusted_keys=(shop.release_public,), signers=signers, maximum_package_mb=2
    ) as models:
        server = grpc.server(futures.ThreadPoolExecutor(2))
        model_pb2_grpc.add_ModelsServicer_to_server(ModelsServicer(models), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield model_pb2_grpc.ModelsStub(channel)
        server.stop(0).wait(30)


def requests(mutant: Mutant) -> Iterator[model_pb2.PushRequest]:
    yield model_pb2.PushRequest(begin=mutant.begin)
    for chunk in mutant.chunks:
        yield model_pb2.PushRequest(chunk=chunk)


# What is still in the socket's pocket when a station has refused early must not become another error.
@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (way.byte, 3),
        (way.odd_name, 0),
        (way.odd_name, 13),
        (way.missing, 0),
        (way.announcement, 11),
        (way.link, 5),
        (way.signer, 2),
        (signed.manifest_field, 1),
        (signed.graph, 5),
    ],
)
def test_refusals_arrive_over_a_real_socket(
    stub: model_pb2_grpc.ModelsStub, shop: Workshop, kind: Kind, number: int
) -> None:
    mutant = kind(shop, random.Random(SEED), number)
    with pytest.raises(ContractError) as caught, station_errors("the station"):
        stub.Push(requests(mutant), timeout=60)
    assert caught.value.reason is mutant.reason
