"""After a start, a power cut or damage: a model serves that was allowed to, and no package is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import packages
from support.pushes import ACTOR, Told, manager, push, refused, score, states

from edge.backends import BackendError
from edge.backends.contract import Backend
from edge.models.journal import Journal
from edge.models.manager import ModelManager
from lineside.package import Package
from lineside.reasons import Reason
from lineside.v1 import model_pb2


def restart(tmp_path: Path, told: Told, **options: object) -> ModelManager:
    return manager(tmp_path / "data", told, **options)  # type: ignore[arg-type]


def test_after_a_start_the_same_model_serves_and_can_be_gone_back_from(
    tmp_path: Path, told: Told, one: Package, two: Package
) -> None:
    with restart(tmp_path, told) as models:
        for package in (one, two):
            push(models, package.folder)
            models.activate(package.digest, ACTOR)
    with restart(tmp_path, told) as models:
        assert score(models) == pytest.approx(packages.expected_score(0.1), abs=1e-5)
        assert states(models) == {"1.1.0": "ACTIVE", "1.0.0": "RETIRED"}
        assert models.rollback("still worse", ACTOR).model.version == "1.0.0"
    with restart(tmp_path, told) as models:
        assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)


def damage(package: Package, tmp_path: Path) -> None:
    stored = tmp_path / "data" / "models" / "packages" / package.digest.removeprefix("sha256:")
    (stored / "model.onnx").write_bytes(b"rotten")


def test_a_trial_whose_files_are_damaged_is_undone_at_the_start(
    tmp_path: Path, told: Told, one: Package, two: Package
) -> None:
    with restart(tmp_path, told) as models:
        for package in (one, two):
            push(models, package.folder)
            models.activate(package.digest, ACTOR)
            models.confirm(package.digest, ACTOR)
    damage(two, tmp_path)
    with restart(tmp_path, told) as models:
        assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
        assert states(models) == {"1.0.0": "CONFIRMED", "1.1.0": "REFUSED"}


def test_with_every_model_damaged_the_station_starts_and_serves_none(tmp_path: Path, told: Told, one: Package) -> None:
    with restart(tmp_path, told) as models:
        push(models, one.folder)
        models.activate(one.digest, ACTOR)
    damage(one, tmp_path)
    with restart(tmp_path, told) as models:
        refused(lambda: score(models), Reason.NO_MODEL, "no model serves")
        assert push(models, one.folder).state == model_pb2.MODEL_STATE_BUILT
        assert models.activate(one.digest, ACTOR).serving


def test_trouble_of_the_station_itself_is_no_word_against_the_package(tmp_path: Path, told: Told, one: Package) -> None:
    with restart(tmp_path, told) as models:
        push(models, one.folder)
        models.activate(one.digest, ACTOR)

    def no_memory(name: str, graph: bytes, *, threads: int) -> Backend:
        raise BackendError("no memory")

    with restart(tmp_path, told, opener=no_memory) as models:
        assert states(models) == {"1.0.0": "RETIRED"}
        refused(lambda: models.activate(one.digest, ACTOR), Reason.PKG_MALFORMED, "no memory")
    with restart(tmp_path, told) as models:
        assert models.activate(one.digest, ACTOR).serving


def test_a_lost_journal_loses_no_package(tmp_path: Path, told: Told, one: Package) -> None:
    with restart(tmp_path, told) as models:
        push(models, one.folder)
    (tmp_path / "data" / "models" / "journal.json").write_text("{")
    (tmp_path / "data" / "models" / "packages" / ("c" * 64)).mkdir()
    with restart(tmp_path, told) as models:
        assert states(models) == {"1.0.0": "VERIFIED"}
        assert models.activate(one.digest, ACTOR).serving


def test_a_full_disk_refuses_a_swap_and_never_a_rollback(
    models: ModelManager, one: Package, two: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in (one, two):
        push(models, package.folder)
        models.activate(package.digest, ACTOR)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "save", full)
    refused(lambda: models.confirm(two.digest, ACTOR), Reason.STORAGE_FULL, "disk is full")
    assert models.rollback("it is worse", ACTOR).model.digest == one.digest
    refused(lambda: models.activate(two.digest, ACTOR), Reason.STORAGE_FULL, "disk is full")
    assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)


class Killed(BaseException):
    """The power goes."""


@pytest.mark.parametrize("step", range(1, 9))
def test_a_power_cut_at_any_step_leaves_a_model_that_serves(
    tmp_path: Path, told: Told, one: Package, two: Package, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cuts before the journal's n-th write from the second push on; the next start serves one of the two."""
    with restart(tmp_path, told) as models:
        push(models, one.folder)
        models.activate(one.digest, ACTOR)
        models.confirm(one.digest, ACTOR)
    left = step
    real = Journal.save

    def save(journal: Journal, lineup: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        if left > 0:
            real(journal, lineup)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, restart(tmp_path, told) as models:
        patch.setattr(Journal, "save", save)
        try:
            push(models, two.folder)
            models.activate(two.digest, ACTOR)
            models.confirm(two.digest, ACTOR)
            models.rollback("why not", ACTOR)
        except Killed:
            pass
        # What a dead process cannot do: nothing more is written.
        left = -1
    with restart(tmp_path, told) as models:
        serving = models.list()[0]
        assert serving.serving
        expected = {one.digest: packages.expected_score(0.0), two.digest: packages.expected_score(0.1)}
        assert score(models) == pytest.approx(expected[serving.model.digest], abs=1e-5)
        assert push(models, two.folder).model.digest == two.digest


def test_old_packages_make_room_and_those_a_rollback_needs_stay(tmp_path: Path, told: Told) -> None:
    made = [
        packages.make_cell_package(tmp_path / str(number), version=f"1.{number}.0", bias=number / 100)
        for number in range(5)
    ]
    with manager(tmp_path / "data", told, keep_packages=2) as models:
        for package in made[:2]:
            push(models, package.folder)
            models.activate(package.digest, ACTOR)
        for package in made[2:]:
            push(models, package.folder)
    with manager(tmp_path / "data", told, keep_packages=2) as models:
        assert sorted(states(models)) == ["1.0.0", "1.1.0"]
        assert models.rollback("back", ACTOR).model.version == "1.0.0"
    assert len(list((tmp_path / "data" / "models" / "packages").iterdir())) == 2
