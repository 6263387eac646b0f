"""A model that disappoints on the line is taken back by the station itself, and no frame is lost over it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.model_line import DIM, Line, make, serve, wait_until
from support.pushes import ACTOR, Told, manager, push, states

from edge.backends import BackendError, open_backend
from edge.backends.contract import Backend, Images, Outputs
from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu
from edge.inspection import Verdict
from edge.models.manager import ModelManager
from lineside.package import Package
from lineside.reasons import ContractError, Reason

BEFORE = 150


@pytest.fixture
def good(tmp_path: Path) -> Package:
    return make(tmp_path, "1.0.0", 0.0)


@pytest.fixture
def eager(tmp_path: Path) -> Package:
    """Rejects the dim parts that `good` passes."""
    return make(tmp_path, "1.1.0", 0.25)


class Ailing(Backend):
    """A real engine that falls ill when it is told to."""

    name = "ailing"

    def __init__(self, graph: bytes, illness: threading.Event, kind: str) -> None:
        self._engine, self._illness, self._kind = OnnxRuntimeCpu(graph), illness, kind
        super().__init__(input_shape=self._engine.input_shape, outputs=self._engine.outputs)

    def _infer(self, images: Images) -> Outputs:
        outputs = self._engine.infer(images)
        if self._illness.is_set():
            if self._kind == "error":
                raise BackendError("the device is gone")
            if self._kind == "nan":
                outputs["scores"][:] = float("nan")
        return outputs

    def _close(self) -> None:
        self._engine.close()


def test_a_model_that_rejects_far_more_parts_is_taken_back(
    models: ModelManager, told: Told, good: Package, eager: Package
) -> None:
    serve(models, good)
    line = Line(models)
    assert {inspection.verdict for inspection in line.run(BEFORE, brightness=DIM)} == {Verdict.PASS}
    serve(models, eager, confirm=False)
    line.run_until(lambda: line.serving == "1.0.0", brightness=DIM, most=500)
    wait_until(lambda: models.list()[0].model.version == "1.0.0")
    status = models.status(eager.digest)
    assert "taken back by the station" in status.message
    assert "more than 2 times as often" in status.message
    assert states(models) == {"1.0.0": "CONFIRMED", "1.1.0": "RETIRED"}
    wait_until(lambda: list(models.audit())[-1].action == "rollback")
    last = list(models.audit())[-1]
    assert (last.actor, last.digest, last.outcome) == ("station", eager.digest, "done")
    assert "times as often" in last.message
    # The line goes on, and the old model's probation is not begun anew.
    assert line.run(1, brightness=DIM)[0].verdict is Verdict.PASS
    assert not models.status(good.digest).HasField("probation")


def test_the_same_share_of_rejected_parts_is_no_reason(models: ModelManager, good: Package, tmp_path: Path) -> None:
    alike = make(tmp_path, "1.2.0", 0.05)
    serve(models, good)
    line = Line(models)
    for part in range(20):
        line.run(1, brightness=0.8 if part % 5 == 0 else DIM)
    serve(models, alike, confirm=False)
    for part in range(200):
        line.run(1, brightness=0.8 if part % 5 == 0 else DIM)
    report = models.status(alike.digest).probation
    assert (report.frames, report.alarms, report.errors) == (200, 40, 0)
    assert (report.baseline_frames, report.baseline_alarms) == (20, 4)
    assert line.serving == "1.2.0"


@pytest.mark.parametrize(("kind", "word"), [("error", "could not be answered"), ("nan", "could not be answered")])
def test_a_model_that_fails_on_the_line_is_taken_back(
    tmp_path: Path, told: Told, good: Package, eager: Package, kind: str, word: str
) -> None:
    illness = threading.Event()
    sick = eager.read("model.onnx")

    def opener(name: str, graph: bytes, *, threads: int) -> Backend:
        return Ailing(graph, illness, kind) if graph == sick else open_backend(name, graph, threads=threads)

    with manager(tmp_path / "data", told, opener=opener) as models:
        serve(models, good)
        line = Line(models)
        line.run(10)
        serve(models, eager, confirm=False)
        assert line.run(1)[0].verdict is Verdict.REJECT
        illness.set()
        answers = []
        while line.serving != "1.0.0":
            answers += line.run(1)
            assert len(answers) < 500
        # Faults are told as such, never as PASS, and three are enough.
        assert {inspection.verdict for inspection in answers[:3]} == {Verdict.NO_VERDICT}
        wait_until(lambda: word in models.status(eager.digest).message)
        assert line.run(1)[0].verdict is Verdict.REJECT


def test_without_a_way_back_it_goes_on_and_says_so_once(
    tmp_path: Path, told: Told, good: Package, caplog: pytest.LogCaptureFixture
) -> None:
    illness = threading.Event()
    with manager(
        tmp_path / "data", told, opener=lambda name, graph, *, threads: Ailing(graph, illness, "error")
    ) as models:
        serve(models, good, confirm=False)
        line = Line(models)
        illness.set()
        line.run(3)
        wait_until(lambda: list(models.audit())[-1].outcome == "PKG_STATE")
        line.run(20)
        assert line.serving == "1.0.0"
        assert sum("cannot be done" in record.message for record in caplog.records) == 1
        illness.clear()
        assert line.run(1)[0].verdict is Verdict.REJECT


def test_a_start_in_the_middle_of_a_probation_knows_what_to_compare_with(
    tmp_path: Path, told: Told, good: Package, eager: Package
) -> None:
    with manager(tmp_path / "data", told) as models:
        serve(models, good)
        Line(models).run(BEFORE, brightness=DIM)
        serve(models, eager, confirm=False)
    with manager(tmp_path / "data", told) as models:
        line = Line(models)
        assert line.serving == "1.1.0"
        assert models.status(eager.digest).probation.baseline_frames == BEFORE
        line.run_until(lambda: line.serving == "1.0.0", brightness=DIM, most=500)


def test_a_station_that_may_confirms_by_itself(tmp_path: Path, told: Told, good: Package) -> None:
    with manager(tmp_path / "data", told, probation={"confirm_frames": 30}) as models:
        serve(models, good, confirm=False)
        line = Line(models)
        line.run(29)
        assert states(models) == {"1.0.0": "ACTIVE"}
        line.run(1)
        wait_until(lambda: states(models) == {"1.0.0": "CONFIRMED"})
        wait_until(lambda: list(models.audit())[-1].action == "confirm")
        assert "30 frames in a row" in list(models.audit())[-1].message


def test_while_frozen_nothing_is_activated_over_starts_too_and_going_back_is_always_possible(
    tmp_path: Path, told: Told, good: Package, eager: Package
) -> None:
    third = make(tmp_path, "1.2.0", 0.1)
    with manager(tmp_path / "data", told) as models:
        serve(models, good)
        serve(models, eager, confirm=False)
        models.freeze("audit week", ACTOR)
    with manager(tmp_path / "data", told) as models:
        assert models.frozen == f"by {ACTOR}: audit week"
        push(models, third.folder)
        with pytest.raises(ContractError, match="audit week") as caught:
            models.activate(third.digest, ACTOR)
        assert caught.value.reason is Reason.FROZEN
        assert states(models)["1.2.0"] == "BUILT"  # no word against it
        assert models.rollback("all the same", ACTOR).model.version == "1.0.0"
        models.thaw("over", ACTOR)
        assert models.activate(third.digest, ACTOR).serving
    with manager(tmp_path / "data", told, frozen=True) as models:
        for action in (lambda: models.thaw("please", ACTOR), lambda: models.activate(eager.digest, ACTOR)):
            with pytest.raises(ContractError, match=r"models\.frozen in station\.toml"):
                action()
        told_of = [(entry.action, entry.outcome) for entry in models.audit() if entry.action in ("freeze", "thaw")]
        assert told_of == [("freeze", "done"), ("thaw", "done"), ("thaw", "FROZEN")]
