"""A TensorRT engine is built beside serving, tried, and takes over between two frames; a bad one changes nothing."""

from __future__ import annotations

import dataclasses
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import packages
from support.engines_on_host import HostMachine, record_of
from support.pushes import ACTOR, Told, push, score

from edge.backends import open_backend
from edge.backends.contract import Backend
from edge.models import engine_builds, trial
from edge.models.audit import Entry
from edge.models.manager import ModelManager
from edge.models.prover import Prover
from edge.models.settings import ModelsSettings
from lineside.engines.store import EngineStore
from lineside.package import GRAPH_NAME, Package
from lineside.reasons import ContractError, Reason


class Station:
    """A manager on a machine whose GPU is the host's memory."""

    def __init__(
        self,
        models: ModelManager,
        machine: HostMachine,
        opened: list[str],
        deeds: list[Entry],
        noted: threading.Event,
    ) -> None:
        self.models, self.machine, self.opened, self._deeds, self._noted = models, machine, opened, deeds, noted

    def engine_deeds(self) -> list[str]:
        assert self._noted.wait(240)  # a build stands back behind whatever else the machine does
        return [entry.message for entry in self._deeds]


@contextmanager
def station(
    folder: Path, package: Package, monkeypatch: pytest.MonkeyPatch, *, tried: Callable[[], None] = lambda: None
) -> Iterator[Station]:
    machine = HostMachine()
    machine.built_here = package.read(GRAPH_NAME)
    opened: list[str] = []

    def opener(name: str, graph: bytes, *, threads: int) -> Backend:
        backend = open_backend(name, graph, threads=threads, engines=folder / "engines", parts=machine.parts)
        opened.append(backend.name)
        return backend

    # A trial is another process, which knows nothing of this test's GPU.
    monkeypatch.setattr(Prover, "try_apart", lambda self, digest: tried())
    deeds: list[Entry] = []
    noted = threading.Event()

    def deed(entry: Entry) -> None:
        if entry.action == "engine":
            deeds.append(entry)
            noted.set()

    told, settings = Told(), ModelsSettings(backend="tensorrt")
    with ModelManager(settings, folder, opener, told.events.append, told.model, on_deed=deed) as models:
        yield Station(models, machine, opened, deeds, noted)


@pytest.fixture
def built_before(tmp_path: Path, one: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build takes an instant: what it would make is copied."""
    engine, record = record_of(one.read(GRAPH_NAME))
    origin = dataclasses.replace(record.origin, package_digest=one.digest)
    EngineStore(tmp_path / "made").write(engine, dataclasses.replace(record, origin=origin))
    copy = f"import shutil, sys; shutil.copytree({str(tmp_path / 'made')!r}, sys.argv[3], dirs_exist_ok=True)"
    monkeypatch.setattr(engine_builds, "BUILD_COMMAND", (sys.executable, "-c", copy))


def test_a_model_serves_at_once_and_moves_to_its_engine_when_that_is_built(
    tmp_path: Path, one: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build is the real command in a process of its own."""
    with station(tmp_path / "data", one, monkeypatch) as here:
        push(here.models, one.folder)
        here.models.activate(one.digest, ACTOR)
        assert score(here.models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
        assert here.opened[0] == "onnxruntime-cpu"
        with here.models.slot.lease() as old:  # a frame that is under way while the engine takes over
            assert "no engine was built here yet" in old.stands_in
            waiting = threading.Event()
            while here.models.slot.serving is old:
                waiting.wait(0.01)
            assert score(here.models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
            assert old.answer(packages.picture()).found.scores[0] == pytest.approx(0.8, abs=1e-5)
        assert here.engine_deeds() == ["built, tried and taken into use"]
        assert here.opened == ["onnxruntime-cpu", "tensorrt"]
        assert here.models.status(one.digest).serving
        assert score(here.models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
        assert here.machine.cuda.counted["enqueue"] > 0
        (entry,) = EngineStore(tmp_path / "data" / "engines").entries()
        assert entry.record is not None
        assert entry.record.origin.package_digest == one.digest
    assert (here.machine.cuda.left(), here.machine.cuda.faults) == ({}, [])


@pytest.mark.usefixtures("built_before")
def test_after_a_start_the_engine_serves_from_the_first_frame(
    tmp_path: Path, one: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    with station(folder, one, monkeypatch) as here:
        push(here.models, one.folder)
        here.models.activate(one.digest, ACTOR)
        here.engine_deeds()
    with station(folder, one, monkeypatch) as again:
        assert again.opened == ["tensorrt"]
        assert score(again.models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)


@pytest.mark.usefixtures("built_before")
def test_a_package_that_is_prepared_has_its_engine_before_it_serves(
    tmp_path: Path, one: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    with station(tmp_path / "data", one, monkeypatch) as here:
        push(here.models, one.folder)
        here.models.prepare(one.digest, ACTOR)
        (deed,) = here.engine_deeds()
        assert deed.startswith("built, tried and ")
        here.models.activate(one.digest, ACTOR)
        assert here.models.slot.serving is not None
        assert here.models.slot.serving.stands_in == ""


@pytest.mark.usefixtures("built_before")
def test_engines_of_packages_that_are_gone_go_too(
    tmp_path: Path, one: Package, two: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EngineStore(tmp_path / "data" / "engines")
    with station(tmp_path / "data", one, monkeypatch) as here:
        push(here.models, one.folder)
        here.models.activate(one.digest, ACTOR)
        here.engine_deeds()
        here.models._engines.forget([two.digest])
        assert len(store.entries()) == 1
        here.models._engines.forget([one.digest])
        assert store.entries() == ()


@pytest.mark.usefixtures("built_before")
def test_an_engine_that_fails_its_trial_is_thrown_away_and_the_model_serves_on(
    tmp_path: Path, one: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EngineStore(tmp_path / "data" / "engines")

    def tried() -> None:
        if store.entries():
            raise ContractError(Reason.PKG_MALFORMED, "its trial was killed by SIGSEGV")

    with station(tmp_path / "data", one, monkeypatch, tried=tried) as here:
        push(here.models, one.folder)
        here.models.activate(one.digest, ACTOR)
        assert here.engine_deeds() == ["thrown away: its trial was killed by SIGSEGV"]
        assert store.entries() == ()
        assert here.opened == ["onnxruntime-cpu"]
        assert score(here.models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)


def test_a_build_that_fails_is_told_once_and_changes_nothing(
    tmp_path: Path, one: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no importer registered for op Wizardry')")
    monkeypatch.setattr(engine_builds, "BUILD_COMMAND", command)
    with station(tmp_path / "data", one, monkeypatch) as here:
        push(here.models, one.folder)
        here.models.activate(one.digest, ACTOR)
        assert here.engine_deeds() == ["not built: no importer registered for op Wizardry"]
        here.models.confirm(one.digest, ACTOR)
        here.models._engines.look()
        assert here.engine_deeds() == ["not built: no importer registered for op Wizardry"]
        assert score(here.models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)


def test_a_station_that_stops_ends_a_build_under_way(
    tmp_path: Path, one: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    code = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)"
    monkeypatch.setattr(engine_builds, "BUILD_COMMAND", (sys.executable, "-c", code))
    with station(tmp_path / "data", one, monkeypatch) as here:
        push(here.models, one.folder)
        here.models.activate(one.digest, ACTOR)
        waiting = threading.Event()
        while not begun.exists():
            waiting.wait(0.01)
        child = here.models._engines._child
        assert child is not None
    assert child.poll() is not None


def test_the_builders_command_is_there() -> None:
    import importlib.util

    assert importlib.util.find_spec(engine_builds.BUILD_COMMAND[2]) is not None


def test_a_trial_on_a_machine_without_a_gpu_blames_the_machine(tmp_path: Path, one: Package) -> None:
    machine = HostMachine()
    machine.gpu = None
    opener = functools.partial(open_backend, parts=machine.parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.backends.open_backend", opener)
        with pytest.raises(ContractError, match=r"backend cannot run: .*no GPU here") as caught:
            trial.try_package(one.folder, "tensorrt", 1)
    assert caught.value.reason is Reason.PKG_GPU
