"""The slot: one model per frame, a switch that waits for nobody, an old model that stays until its frames are done."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import packages

from edge.backends import BackendError, open_backend
from edge.backends.contract import Backend, Images, Outputs
from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu
from edge.models.slot import EngineThread, ModelSlot, ServingModel
from lineside.package import Package
from lineside.reasons import ContractError, Reason


def loaded(package: Package) -> ServingModel:
    return ServingModel(package, lambda graph: open_backend("onnxruntime-cpu", graph))


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[ServingModel, ServingModel]]:
    one = packages.make_anchor_package(tmp_path / "one")
    other = packages.make_anchor_package(tmp_path / "two", version="1.1.0", bias=0.1)
    with loaded(one) as first, loaded(other) as second:
        yield first, second


class Gated(Backend):
    """Waits inside each call until it is let go."""

    name = "gated"

    def __init__(self, graph: bytes) -> None:
        self.inner = OnnxRuntimeCpu(graph)
        super().__init__(input_shape=self.inner.input_shape, outputs=self.inner.outputs)
        self.entered, self.go = threading.Event(), threading.Event()
        self.threads: set[int] = {threading.get_ident()}
        self.calls = 0

    def _infer(self, images: Images) -> Outputs:
        self.calls += 1
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.go.wait(60)
        return self.inner.infer(images)

    def _close(self) -> None:
        self.threads.add(threading.get_ident())
        self.inner.close()


@pytest.mark.parametrize("make", [packages.make_anchor_package, packages.make_cell_package])
def test_an_answer_is_the_pictures_detection_in_model_pixels(tmp_path: Path, make: object) -> None:
    with loaded(make(tmp_path / "p", bias=0.05)) as model:  # type: ignore[operator]
        answer = model.answer(packages.picture(2, 3, size=128))
    assert answer.found.boxes.tolist() == [[48, 32, 64, 48]]
    assert answer.letterbox.to_frame(answer.found.boxes).tolist() == [[96, 64, 128, 96]]
    assert answer.found.scores[0] == pytest.approx(packages.expected_score(0.05), abs=1e-5)
    assert [areas.tolist() for areas in answer.found.areas] == [[2 * packages.CELLS + 3]]


def test_without_a_model_there_is_no_lease() -> None:
    with pytest.raises(ContractError) as caught, ModelSlot().lease():
        pass
    assert caught.value.reason is Reason.NO_MODEL


def test_a_frame_keeps_its_model_over_a_switch(two: tuple[ServingModel, ServingModel]) -> None:
    first, second = two
    slot = ModelSlot()
    assert slot.switch(first) is None
    with slot.lease() as mine:
        assert slot.switch(second) is first
        assert mine is first
        with slot.lease() as next_one:
            assert next_one is second
        assert not slot.drained(first, timeout=0)
        assert slot.drained(second, timeout=0)
        assert mine.answer(packages.picture()).found.scores[0] == pytest.approx(0.8, abs=1e-5)
    assert slot.drained(first, timeout=0)
    assert slot.serving is second


def test_waiting_for_a_model_ends_with_its_last_lease(two: tuple[ServingModel, ServingModel]) -> None:
    slot = ModelSlot()
    slot.switch(two[0])
    done = threading.Event()
    with slot.lease():
        thread = threading.Thread(target=lambda: (slot.drained(two[0]), done.set()))
        thread.start()
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()


def test_frames_of_many_threads_get_whole_answers_while_models_are_switched(
    two: tuple[ServingModel, ServingModel],
) -> None:
    slot = ModelSlot()
    slot.switch(two[0])
    expected = {two[0]: packages.expected_score(0.0), two[1]: packages.expected_score(0.1)}
    mixed: list[float] = []
    seen: set[str] = set()
    stop = threading.Event()

    def frames() -> None:
        while not stop.is_set():
            with slot.lease() as model:
                score = float(model.answer(packages.picture()).found.scores[0])
                seen.add(model.identity.version)
                if abs(score - expected[model]) > 1e-5:
                    mixed.append(score)

    threads = [threading.Thread(target=frames) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        slot.switch(two[(number + 1) % 2])
        with slot.lease() as model:
            model.answer(packages.picture())
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not mixed
    assert seen == {"1.0.0", "1.1.0"}


def test_only_the_engines_own_thread_touches_it(tmp_path: Path) -> None:
    made: list[Gated] = []

    def open_gated(graph: bytes) -> Backend:
        made.append(Gated(graph))
        made[0].go.set()
        return made[0]

    with ServingModel(packages.make_cell_package(tmp_path / "p"), open_gated) as model:
        workers = [threading.Thread(target=model.answer, args=(packages.picture(),)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
    assert made[0].calls == 4
    assert len(made[0].threads) == 1
    assert threading.get_ident() not in made[0].threads


def test_a_frame_whose_time_is_over_is_not_run(tmp_path: Path) -> None:
    made: list[Gated] = []

    def open_gated(graph: bytes) -> Backend:
        made.append(Gated(graph))
        return made[0]

    with ServingModel(packages.make_cell_package(tmp_path / "p"), open_gated) as model:
        first = threading.Thread(target=model.answer, args=(packages.picture(),))
        first.start()
        assert made[0].entered.wait(30)
        with pytest.raises(ContractError) as caught:
            model.answer(packages.picture(), deadline_monotonic_ns=time.monotonic_ns())
        assert caught.value.reason is Reason.DEADLINE
        made[0].go.set()
        first.join(30)
    assert made[0].calls == 1


def test_faults_reach_whoever_waits(tmp_path: Path) -> None:
    def cannot() -> Backend:
        raise BackendError("no memory")

    with pytest.raises(BackendError, match="no memory"):
        EngineThread("engine", cannot)
    package = packages.make_cell_package(tmp_path / "p")
    with loaded(package) as model:
        with pytest.raises(ValueError, match="images are"):
            model.run(np.zeros((1, 8, 8, 1), np.uint8))
        assert len(model.answer(packages.picture()).found) == 1
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.answer(packages.picture())
