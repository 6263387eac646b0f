"""Replay and shadow on a station that asks for them: beside the serving model, counted, and with a consequence."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from support import packages
from support.model_line import DIM, Line, make, serve, wait_until
from support.pushes import ACTOR, Told, manager, push, refused, states
from support.replays import Part, Word, cell, dent, write_log
from support.station import HeldBackend

from edge.backends import open_backend
from edge.backends.contract import Backend
from edge.inspection import Verdict
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.records import Gesture
from lineside.v1 import model_pb2

FRAMES = 12


@pytest.fixture
def old(tmp_path: Path) -> Package:
    return make(tmp_path, "1.0.0", 0.0)


def test_a_candidate_answers_live_frames_before_it_may_serve(tmp_path: Path, told: Told, old: Package) -> None:
    new = make(tmp_path, "1.1.0", 0.1)
    with manager(tmp_path / "data", told, shadow={"frames": FRAMES}) as models:
        serve(models, old)
        line = Line(models)
        push(models, new.folder)
        refused(lambda: models.activate(new.digest, ACTOR), Reason.PKG_STATE, "asks for a shadow first")
        assert not models.status(new.digest).ready
        with models.watch() as watch:
            models.prepare(new.digest, ACTOR)
            wait_until(lambda: models.status(new.digest).HasField("shadow"))
            refused(lambda: models.activate(new.digest, ACTOR), Reason.PKG_STATE, rf"0 of {FRAMES} live frames")
            line.run_until(lambda: models.status(new.digest).shadow.frames >= FRAMES)
            # Nobody but the watchers is told of figures, and they are told when the candidate may serve.
            seen = []
            while (event := watch.get(10)) is not None:
                seen.append(event.status)
                if event.status.ready:
                    break
        report = models.status(new.digest).shadow
        assert (report.failed, report.pass_to_reject, report.reject_to_pass) == (0, 0, 0)
        (dents,) = report.classes
        assert (dents.class_name, dents.both, dents.only_serving) == ("dent", report.frames, 0)
        assert seen[-1].shadow.frames >= FRAMES
        assert all(
            event.status.model.digest != new.digest or not event.status.HasField("shadow") for event in told.events
        )
        assert models.activate(new.digest, ACTOR).serving
        assert line.run(1)[0].model.version == "1.1.0"  # type: ignore[union-attr]
        models.rollback("back", ACTOR)


def test_a_candidate_that_disagrees_too_much_is_refused_and_the_line_never_saw_its_answers(
    tmp_path: Path, told: Told, old: Package
) -> None:
    eager = make(tmp_path, "1.1.0", 0.25)
    with manager(tmp_path / "data", told, shadow={"frames": FRAMES}) as models:
        serve(models, old)
        line = Line(models)
        push(models, eager.folder)
        models.prepare(eager.digest, ACTOR)
        line.run_until(lambda: states(models)["1.1.0"] == "REFUSED", brightness=DIM)
        status = models.status(eager.digest)
        assert status.reason == "GATE_FAILED"
        assert "go from PASS to REJECT, 10.0% allowed" in status.message
        assert status.shadow.pass_to_reject == status.shadow.frames >= FRAMES
        assert (status.shadow.classes[0].only_candidate, status.shadow.classes[0].both) == (status.shadow.frames, 0)
        assert line.run(1, brightness=DIM)[0].verdict is Verdict.PASS
        wait_until(lambda: list(models.audit())[-1].action == "refuse")
        # It may be tried again, from the beginning.
        assert push(models, eager.folder).state == model_pb2.MODEL_STATE_BUILT


def test_a_busy_candidate_drops_frames_and_holds_up_nobody(tmp_path: Path, told: Told, old: Package) -> None:
    new = make(tmp_path, "1.1.0", 0.1)
    held: list[HeldBackend] = []
    graph_of_new = new.read("model.onnx")

    def opener(name: str, graph: bytes, *, threads: int) -> Backend:
        if graph != graph_of_new:
            return open_backend(name, graph, threads=threads)
        held.append(HeldBackend(graph))
        held[-1].go.set()
        return held[-1]

    with manager(tmp_path / "data", told, opener=opener) as models:
        serve(models, old)
        line = Line(models)
        push(models, new.folder)
        models.prepare(new.digest, ACTOR, shadow=True)
        wait_until(lambda: states(models)["1.1.0"] == "SHADOW")
        wait_until(lambda: models.status(new.digest).HasField("shadow"))
        beside = held[-1]
        beside.go.clear()
        answers = line.run(10)
        assert {inspection.model.version for inspection in answers if inspection.model} == {"1.0.0"}
        # One in its engine, at most one waiting; the others were let go, and that is said.
        assert models.status(new.digest).shadow.dropped >= 8
        beside.go.set()
        wait_until(lambda: models.status(new.digest).shadow.frames >= 1)
        # A shadow nobody asked for keeps nobody from activating.
        assert models.status(new.digest).ready
        assert models.activate(new.digest, ACTOR).serving


def test_a_candidate_that_fails_on_a_live_frame_is_refused(tmp_path: Path, told: Told, old: Package) -> None:
    new = make(tmp_path, "1.1.0", 0.1)
    ill = threading.Event()
    graph_of_new = new.read("model.onnx")

    class Nan(HeldBackend):
        def _infer(self, images):  # type: ignore[no-untyped-def]
            outputs = self._engine.infer(images)
            if ill.is_set():
                outputs["scores"][:] = float("nan")
            return outputs

    with manager(
        tmp_path / "data",
        told,
        opener=lambda name, graph, *, threads: Nan(graph) if graph == graph_of_new else open_backend(name, graph),
        shadow={"frames": 1000},
    ) as models:
        serve(models, old)
        push(models, new.folder)
        models.prepare(new.digest, ACTOR)
        wait_until(lambda: states(models)["1.1.0"] == "SHADOW")
        ill.set()
        Line(models).run_until(lambda: states(models)["1.1.0"] == "REFUSED")
        assert "live frames, 0 allowed: ContractError: PKG_NAN" in models.status(new.digest).message


def test_a_shadow_begins_anew_when_another_model_serves(tmp_path: Path, told: Told, old: Package) -> None:
    two, three = make(tmp_path, "1.1.0", 0.1), make(tmp_path, "1.2.0", 0.05)
    with manager(tmp_path / "data", told) as models:
        for package in (old, two):
            serve(models, package)
        push(models, three.folder)
        models.prepare(three.digest, ACTOR, shadow=True)
        line = Line(models)
        line.run_until(lambda: models.status(three.digest).shadow.frames >= 5)
        models.rollback("now", ACTOR)
        line.run_until(lambda: 0 < models.status(three.digest).shadow.frames < 5)


def test_a_candidate_is_given_up_for_another_and_at_a_start(tmp_path: Path, told: Told, old: Package) -> None:
    two, three = make(tmp_path, "1.1.0", 0.1), make(tmp_path, "1.2.0", 0.05)
    with manager(tmp_path / "data", told, shadow={"frames": FRAMES}) as models:
        serve(models, old)
        for package in (two, three):
            push(models, package.folder)
            models.prepare(package.digest, ACTOR)
            wait_until(lambda package=package: states(models)[package.manifest.version] == "SHADOW")  # type: ignore[misc]
        assert states(models)["1.1.0"] == "BUILT"
        refused(lambda: models.activate(two.digest, ACTOR), Reason.PKG_STATE, "asks for a shadow")
    with manager(tmp_path / "data", told, shadow={"frames": FRAMES}) as models:
        assert states(models) == {"1.0.0": "CONFIRMED", "1.1.0": "BUILT", "1.2.0": "BUILT"}


def clicks() -> list[Part]:
    """Four confirmed dents of falling brightness, and one rejected."""
    parts = [dent(f"P-{number}", Gesture.CONFIRM, brightness=0.9 - number / 10) for number in range(4)]
    wrong = Part(
        part_id="P-wrong",
        pixels=packages.picture(2, 2, brightness=0.55),
        detections=(("dent", cell(2, 2)),),
        words=(Word(gesture=Gesture.REJECT),),
    )
    return [*parts, wrong]


REPLAY = {"required": True, "least_records": 5, "most_firing_share": 1.0}


def test_a_candidate_answers_for_the_clicks_already_given_before_it_may_serve(
    tmp_path: Path, told: Told, old: Package
) -> None:
    good, blind = make(tmp_path, "1.1.0", 0.05), make(tmp_path, "1.2.0", -0.25)
    write_log(tmp_path / "data" / "log", old, clicks())
    with manager(tmp_path / "data", told, replay=REPLAY) as models:
        serve(models, old)
        line = Line(models)
        for package in (good, blind):
            push(models, package.folder)
        refused(lambda: models.activate(good.digest, ACTOR), Reason.PKG_STATE, "asks for a replay first")
        models.prepare(blind.digest, ACTOR)
        line.run_until(lambda: states(models)["1.2.0"] == "REFUSED")
        status = models.status(blind.digest)
        assert status.reason == "GATE_FAILED"
        assert "2 of 4 known defects escape, 0 allowed: P-2, P-3" in status.message
        assert (status.replay.finished, status.replay.escapes, status.replay.defects) == (True, 2, 4)
        models.prepare(good.digest, ACTOR)
        line.run_until(lambda: states(models)["1.1.0"] == "REPLAYED")
        wait_until(lambda: models.status(good.digest).ready)
        report = models.status(good.digest).replay
        assert (report.done, report.total, report.used, report.escapes) == (5, 5, 5, 0)
        assert not report.refusals
        assert models.activate(good.digest, ACTOR).serving


def test_too_few_clicks_decide_nothing_and_that_is_a_refusal(tmp_path: Path, told: Told, old: Package) -> None:
    new = make(tmp_path, "1.1.0", 0.05)
    write_log(tmp_path / "data" / "log", old, clicks())
    with manager(tmp_path / "data", told, replay={"required": True, "most_firing_share": 1.0}) as models:
        serve(models, old)
        push(models, new.folder)
        models.prepare(new.digest, ACTOR)
        wait_until(lambda: states(models)["1.1.0"] == "REFUSED")
        assert "5 judged records could be used, 20 needed" in models.status(new.digest).message


def test_a_shadow_without_a_serving_model_is_refused(tmp_path: Path, told: Told, old: Package) -> None:
    with manager(tmp_path / "data", told) as models:
        push(models, old.folder)
        with pytest.raises(ContractError, match="needs a serving model") as caught:
            models.prepare(old.digest, ACTOR, shadow=True)
        assert caught.value.reason is Reason.NO_MODEL


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a thread's own on Linux alone")
def test_a_candidates_threads_stand_back_and_those_that_serve_do_not(tmp_path: Path, told: Told, old: Package) -> None:
    new = make(tmp_path, "1.1.0", 0.1)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    with manager(tmp_path / "data", told) as models:
        serve(models, old)
        push(models, new.folder)
        models.prepare(new.digest, ACTOR, shadow=True)
        wait_until(lambda: models.status(new.digest).HasField("shadow"))
        nice = {
            thread.name: os.getpriority(os.PRIO_PROCESS, thread.native_id) - ours
            for thread in threading.enumerate()
            if thread.native_id is not None
        }
    short = new.digest[7:19]
    expected = min(10, 19 - ours)
    assert [nice[f"{kind} {short}"] for kind in ("candidate", "shadow")] == [expected] * 2
    assert nice[f"engine {old.digest[7:19]}"] == 0
