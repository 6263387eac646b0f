"""One frame through the station; every fault on the way is NO_VERDICT, never PASS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.packages import (
    SIZE,
    anchor_head,
    expected_score,
    graph_for,
    make_anchor_package,
    make_cell_package,
    manifest_for,
    picture,
    write,
)
from support.station import HeldBackend, KeptFrames, Serving, frame, serving_model

from edge.backends.contract import BackendError
from edge.backends.scripted import Scripted
from edge.detections import inside_frame
from edge.frame import Frame
from edge.inspection import Inspection, Verdict
from edge.models.slot import ServingModel
from edge.verdict import RecipeSettings
from lineside.golden import GoldenCase
from lineside.package import Package
from lineside.reasons import Reason


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_anchor_package(tmp_path_factory.mktemp("package") / "p")


@pytest.fixture
def model(package: Package) -> Iterator[ServingModel]:
    with serving_model(package) as loaded:
        yield loaded


def published(serving: Serving) -> list[str]:
    with serving.bus.subscribe(from_sequence=1) as events:
        found = []
        while (event := events.get(0)) is not None:
            found.append(event.inspection.frame_id)
        return found


def test_a_frame_with_a_defect_is_rejected_with_what_was_found(model: ServingModel, package: Package) -> None:
    serving = Serving(model)
    seen = frame(picture(1, 2, size=2 * SIZE))
    inspection = serving.pipeline.inspect(seen, queue_us=5, decode_us=7)
    (detection,) = inspection.detections
    assert inspection.verdict is Verdict.REJECT
    assert detection.detection_id == f"{seen.frame_id}/0"
    assert (detection.class_name, detection.class_index) == ("dent", 0)
    assert detection.score == pytest.approx(expected_score(0.0), abs=1e-6)
    assert detection.box == (64, 32, 96, 64)  # the area (16, 32, 32, 48)'s place, in a frame twice the model's size
    assert detection.areas.tolist() == [6]
    assert inspection.model is not None
    assert inspection.model.digest == package.digest
    assert (inspection.width, inspection.height, inspection.station) == (128, 128, "line-1")
    assert published(serving) == [seen.frame_id]


def test_a_frame_without_one_passes_and_is_told_all_the_same(model: ServingModel) -> None:
    serving = Serving(model)
    inspection = serving.pipeline.inspect(frame(np.zeros((SIZE, SIZE), np.uint8)))
    assert (inspection.verdict, inspection.verdict_reason, inspection.detections) == (Verdict.PASS, "", ())
    assert inspection.model is not None
    assert len(published(serving)) == 1


def test_a_cell_model_is_served_as_well(tmp_path: Path) -> None:
    with serving_model(make_cell_package(tmp_path / "p")) as cells:
        inspection = Serving(cells).pipeline.inspect(frame(picture(2, 3)))
    assert [item.areas.tolist() for item in inspection.detections] == [[11]]


def test_a_colour_frame_is_judged_by_a_mono_model(model: ServingModel) -> None:
    colour = np.repeat(picture()[:, :, None], 3, axis=2)
    assert Serving(model).pipeline.inspect(frame(colour)).verdict is Verdict.REJECT


def test_stages_add_up_to_the_total(model: ServingModel) -> None:
    timings = Serving(model).pipeline.inspect(frame(picture()), queue_us=1000, decode_us=2000).timings
    parts = (timings.queue_us, timings.decode_us, timings.preprocess_us, timings.inference_us, timings.decide_us)
    assert sum(parts) == timings.total_us
    assert parts[:2] == (1000, 2000)
    assert timings.inference_us > 0


def test_the_recipe_of_camera_and_part_decides(model: ServingModel) -> None:
    serving = Serving(model, recipes=[RecipeSettings(name="lax", camera="top", part="A*", maximum_count=1)])
    assert serving.pipeline.inspect(frame(picture(), part_id="A1")).verdict is Verdict.PASS
    assert serving.pipeline.inspect(frame(picture(), part_id="B1")).verdict is Verdict.REJECT


def test_a_chosen_frame_is_kept_before_anybody_hears_of_it(model: ServingModel) -> None:
    kept = KeptFrames()
    serving = Serving(model, kept=kept)
    order: list[str] = []
    keep, publish = kept.keep, serving.bus.publish
    kept.keep = lambda *args, **more: order.append("kept") or keep(*args, **more)  # type: ignore[method-assign,func-returns-value]
    serving.bus.publish = lambda event: order.append("told") or publish(event)  # type: ignore[method-assign,func-returns-value]
    assert serving.pipeline.inspect(frame(picture())).mentored
    assert order == ["kept", "told"]
    assert not serving.pipeline.inspect(frame(np.zeros((8, 8), np.uint8))).mentored


def test_a_log_that_does_not_take_the_frame_or_fails_changes_no_verdict(model: ServingModel) -> None:
    full = Serving(model, kept=KeptFrames(takes=False)).pipeline.inspect(frame(picture()))
    assert (full.verdict, full.mentored) == (Verdict.REJECT, False)
    broken = KeptFrames()

    def fail(*_: object, **__: object) -> bool:
        raise OSError("disk")

    broken.keep = fail  # type: ignore[method-assign]
    torn = Serving(model, kept=broken).pipeline.inspect(frame(picture()))
    assert (torn.verdict, torn.mentored) == (Verdict.REJECT, False)


def no_verdict(inspection: Inspection, reason: Reason) -> None:
    assert (inspection.verdict, inspection.verdict_reason) == (Verdict.NO_VERDICT, reason.value)
    assert inspection.detections == ()


def test_without_a_model_there_is_no_verdict() -> None:
    serving = Serving(None)
    inspection = serving.pipeline.inspect(frame(picture()))
    no_verdict(inspection, Reason.NO_MODEL)
    assert inspection.model is None
    assert published(serving) == [inspection.frame_id]


@pytest.mark.parametrize(
    ("fault", "reason"), [(BackendError("the device fell off"), Reason.INTERNAL), (MemoryError(), Reason.INTERNAL)]
)
def test_an_engine_that_fails_gives_no_verdict_and_the_next_frame_is_judged(
    package: Package, fault: Exception, reason: Reason
) -> None:
    outputs = {
        "boxes": np.zeros((24, 4), np.float32),
        "scores": np.zeros(24, np.float32),
        "classes": np.zeros(24, np.int32),
        "areas": np.zeros(24, np.int32),
    }

    class Failing(Scripted):
        def _infer(self, images: np.ndarray) -> dict[str, np.ndarray]:
            answers.append(1)
            if len(answers) == 1:
                raise fault
            return super()._infer(images)

    answers: list[int] = []
    with serving_model(package, lambda _graph: Failing([outputs])) as failing:
        serving = Serving(failing)
        no_verdict(serving.pipeline.inspect(frame(picture())), reason)
        assert serving.pipeline.inspect(frame(picture())).verdict is Verdict.PASS


def test_a_model_that_answers_nan_gives_no_verdict(tmp_path: Path) -> None:
    manifest = manifest_for(anchor_head())
    graph = graph_for(anchor_head(), bias=float("nan"))
    case = GoldenCase(frame=picture(), outputs={"boxes": np.zeros((24, 4), np.float32)})
    odd = write(tmp_path / "p", manifest, graph, cases=[case])
    with serving_model(odd) as loaded:
        no_verdict(Serving(loaded).pipeline.inspect(frame(picture())), Reason.PKG_NAN)


def test_a_deadline_that_is_over_costs_the_engine_nothing(package: Package) -> None:
    backends: list[HeldBackend] = []

    def held(graph: bytes) -> HeldBackend:
        backends.append(HeldBackend(graph))
        return backends[-1]

    with serving_model(package, held) as loaded:
        inspection = Serving(loaded).pipeline.inspect(frame(picture()), deadline_monotonic_ns=time.monotonic_ns())
    no_verdict(inspection, Reason.DEADLINE)
    assert backends[0].calls == 0


def test_one_that_waits_for_the_engine_too_long_is_never_run(package: Package) -> None:
    backends: list[HeldBackend] = []

    def held(graph: bytes) -> HeldBackend:
        backends.append(HeldBackend(graph))
        return backends[-1]

    with serving_model(package, held) as loaded:
        serving = Serving(loaded)
        first = threading.Thread(target=serving.pipeline.inspect, args=(frame(picture()),))
        first.start()
        assert backends[0].entered.acquire(timeout=30)
        soon = time.monotonic_ns() + 20_000_000
        no_verdict(serving.pipeline.inspect(frame(picture()), deadline_monotonic_ns=soon), Reason.DEADLINE)
        backends[0].go.set()
        first.join(30)
    assert backends[0].calls == 1


def test_the_last_picture_of_each_camera_is_at_hand(model: ServingModel) -> None:
    serving = Serving(model)
    frames = [frame(picture(), camera=name) for name in ("a", "b", "a")]
    for item in frames:
        serving.pipeline.inspect(item)
    latest = serving.pipeline.pictures.get("a")
    assert latest is not None
    assert latest[0] is frames[2]
    assert latest[1].frame_id == frames[2].frame_id
    assert serving.pipeline.pictures.cameras() == ("b", "a")
    assert serving.pipeline.pictures.get("c") is None


def test_callers_cannot_fill_the_memory_with_camera_names(model: ServingModel) -> None:
    serving = Serving(model)
    for number in range(70):
        serving.pipeline.inspect(frame(np.zeros((4, 4), np.uint8), camera=f"c{number}"))
    assert len(serving.pipeline.pictures.cameras()) == 64
    assert serving.pipeline.pictures.get("c0") is None


coordinates = st.floats(-1e4, 1e4, width=32)


@given(
    boxes=hnp.arrays(np.float32, st.tuples(st.integers(0, 8), st.just(4)), elements=coordinates),
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
)
def test_every_box_has_an_inside_and_lies_in_the_frame(boxes: np.ndarray, width: int, height: int) -> None:
    cut = inside_frame(boxes, width, height)
    assert cut.shape == boxes.shape
    assert (cut[:, :2] < cut[:, 2:]).all()
    assert (cut >= 0).all()
    assert (cut[:, [0, 2]] <= width).all()
    assert (cut[:, [1, 3]] <= height).all()


def test_a_box_that_lies_in_the_frame_is_left_as_it_is() -> None:
    boxes = np.array([[1.5, 2.25, 3.5, 4.75]], np.float32)
    assert np.array_equal(inside_frame(boxes, 10, 10), boxes)


@pytest.mark.parametrize(
    ("box", "expected"),
    [((-20, 3, -10, 5), (0, 3, 1, 5)), ((95, 3, 120, 5), (95, 3, 100, 5)), ((120, 60, 130, 70), (99, 49, 100, 50))],
)
def test_a_box_outside_becomes_the_nearest_pixel_of_the_frame(
    box: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    assert inside_frame(np.array([box], np.float32), 100, 50).tolist() == [list(expected)]


def test_an_observer_that_fails_changes_no_verdict(model: ServingModel, caplog: pytest.LogCaptureFixture) -> None:
    class Blind:
        def saw(self, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:
            raise RuntimeError("it looked away")

    serving = Serving(model)
    serving.pipeline._observer = Blind()
    assert serving.pipeline.inspect(frame(picture())).verdict is Verdict.REJECT
    assert "could not be shown" in caplog.text
