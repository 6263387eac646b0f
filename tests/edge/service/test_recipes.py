"""Rules that come with a request: they decide instead of the station's, and impossible ones are refused by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.packages import make_anchor_package, picture
from support.station import Listening, Serving, refusal, serving_model, write_pictures

from edge.cameras import make_camera
from edge.cameras.folder import FolderCameraSettings
from edge.cameras.thread import CameraThread
from edge.models.slot import ServingModel
from edge.service.server import GrpcSettings
from edge.verdict import RecipeSettings
from lineside.client.inspection import pixels_request
from lineside.reasons import Reason
from lineside.v1 import inspection_pb2, mentoring_pb2

PASS, REJECT = inspection_pb2.VERDICT_PASS, inspection_pb2.VERDICT_REJECT
STATION = (
    RecipeSettings(name="bolts", part="B-*", maximum_count=1),
    RecipeSettings(name="strict dents", part="none", thresholds={"dent": 0.9}),
)


@pytest.fixture(scope="module")
def ruled(model: ServingModel) -> Iterator[Listening]:
    with Listening(Serving(model, recipes=STATION)) as listening:
        yield listening


def rules(**fields: object) -> inspection_pb2.Recipe:
    return inspection_pb2.Recipe(**fields)  # type: ignore[arg-type]


def box(x1: float, y1: float, x2: float, y2: float) -> mentoring_pb2.Box:
    return mentoring_pb2.Box(x1=x1, y1=y1, x2=x2, y2=y2)


# `picture()` has one dent of score 0.8 at 16 to 32 in both directions.


def test_the_part_id_chooses_among_the_stations_recipes_and_the_answer_names_it(ruled: Listening) -> None:
    answers = [ruled.client.inspect_pixels(picture(), part_id=part) for part in ("B-7", "C-7")]
    assert [(answer.verdict, answer.recipe) for answer in answers] == [(PASS, "bolts"), (REJECT, "default")]


def test_a_request_may_name_a_recipe_that_is_for_other_parts(ruled: Listening) -> None:
    answer = ruled.client.inspect_pixels(picture(), part_id="B-7", recipe="strict dents")
    assert (answer.verdict, answer.recipe) == (PASS, "strict dents")
    error = refusal(lambda: ruled.client.inspect_pixels(picture(), recipe="nuts"))
    assert error.reason is Reason.RECIPE_UNKNOWN
    assert error.message == "no recipe 'nuts' at this station; there are: bolts, strict dents"


@pytest.mark.parametrize(
    ("recipe", "verdict"),
    [
        (rules(), REJECT),
        (rules(thresholds={"dent": 0.79}), REJECT),
        (rules(thresholds={"dent": 0.81}), PASS),
        (rules(thresholds={"scratch": 0.81}), REJECT),
        (rules(regions=[box(0, 0, 16, 64), box(31, 0, 64, 64)]), REJECT),
        (rules(regions=[box(0, 0, 16, 64), box(32, 0, 64, 64)]), PASS),
        (rules(minimum_side=16), REJECT),
        (rules(minimum_side=16.5), PASS),
        (rules(maximum_count=1), PASS),
    ],
)
def test_the_rules_of_a_request_decide_instead_of_the_stations(
    ruled: Listening, recipe: inspection_pb2.Recipe, verdict: inspection_pb2.Verdict
) -> None:
    answer = ruled.client.inspect_pixels(picture(), part_id="B-7", recipe=recipe)
    assert (answer.verdict, answer.recipe) == (verdict, "request")
    assert len(answer.detections) == 1  # the rules decide, they hide nothing
    (streamed,) = ruled.client.stream(iter([pixels_request(picture(), part_id="B-7", recipe=recipe)]))
    assert streamed.result is not None
    assert streamed.result.verdict == verdict


def test_classes_that_exclude_each_other_count_once_a_place(tmp_path: Path) -> None:
    package = make_anchor_package(tmp_path / "p")
    package.manifest.decode.exclusive_classes = False
    # A white area is a dent of score 1 and, at the very place, a scratch of score 0.5.
    white = picture(brightness=1.0)
    with serving_model(package) as model, Listening(Serving(model)) as line:
        both = line.client.inspect_pixels(white, recipe=rules(maximum_count=1))
        assert sorted(found.class_name for found in both.detections) == ["dent", "scratch"]
        assert both.verdict == REJECT
        exclusive = rules(name="one a place", maximum_count=1, exclusive_classes=["dent", "scratch"])
        one = line.client.inspect_pixels(white, recipe=exclusive)
        assert (one.verdict, one.recipe) == (PASS, "one a place")


def test_a_trigger_brings_its_rules_to_the_picture_it_takes(model: ServingModel, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", {"a.png": picture()})
    serving = Serving(model, recipes=STATION)
    settings = FolderCameraSettings(kind="folder", name="files", folder=tmp_path / "pictures", loop=True)
    camera = CameraThread(
        lambda: make_camera(settings),
        lambda taken, deadline: serving.pipeline.inspect(taken, deadline_monotonic_ns=deadline),
        lambda bad: pytest.fail(bad.message),
        lambda *_: None,
    )
    with camera, Listening(serving, cameras={"files": camera}) as line:
        seen = [
            line.client.trigger("files", part_id="C-1", recipe=recipe)
            for recipe in (None, "bolts", rules(name="mine", minimum_side=20))
        ]
        assert [(answer.verdict, answer.recipe) for answer in seen] == [
            (REJECT, "default"),
            (PASS, "bolts"),
            (PASS, "mine"),
        ]
        assert refusal(lambda: line.client.trigger("files", recipe="nuts")).reason is Reason.RECIPE_UNKNOWN


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (rules(name="x" * 65), "recipe.name"),
        (rules(thresholds={"dnet": 0.5}), "names the class 'dnet'; the model's are dent, scratch"),
        (rules(exclusive_classes=["dent", "hole"]), "names the class 'hole'"),
        (rules(thresholds={"dent": 0.0}), "recipe.thresholds.dent: Input should be greater than 0"),
        (rules(thresholds={"dent": 1.5}), "recipe.thresholds.dent: Input should be less than or equal to 1"),
        (rules(thresholds={"dent": math.nan}), "recipe.thresholds.dent"),
        (rules(regions=[box(5, 0, 5, 9)]), "must have x1 < x2"),
        (rules(regions=[box(0, math.nan, 5, 9)]), "must have x1 < x2"),
        (rules(regions=[box(0, 0, 5, 9)] * 257), "recipe.regions are 257, expected at most 256"),
        (rules(minimum_side=-1), "recipe.minimum_side"),
        (rules(minimum_side=math.inf), "recipe.minimum_side"),
    ],
)
def test_impossible_rules_are_refused_by_name(ruled: Listening, recipe: inspection_pb2.Recipe, says: str) -> None:
    error = refusal(lambda: ruled.client.inspect_pixels(picture(), recipe=recipe))
    assert error.reason is Reason.REQUEST_MALFORMED
    assert says in error.message


def test_a_station_may_take_no_rules_from_requests_but_its_own_by_name(model: ServingModel) -> None:
    settings = GrpcSettings(listen="127.0.0.1:0", request_recipes=False)
    with Listening(Serving(model, recipes=STATION), settings=settings) as closed:
        error = refusal(lambda: closed.client.inspect_pixels(picture(), recipe=rules(maximum_count=9)))
        assert error.reason is Reason.ROLE
        assert closed.client.inspect_pixels(picture(), recipe="bolts").verdict == PASS


def test_without_a_verdict_no_recipe_has_decided() -> None:
    with Listening(Serving(None, recipes=STATION)) as empty:
        answer = empty.client.inspect_pixels(picture(), recipe=rules(maximum_count=9))
        assert (answer.verdict_reason, answer.recipe) == ("NO_MODEL", "")


def test_the_observer_is_told_the_rules_that_decided(ruled: Listening) -> None:
    seen = []

    class Looking:
        def saw(self, frame: object, inspection: object, recipe: RecipeSettings) -> None:
            seen.append(recipe.name)

    ruled.serving.pipeline._observer = Looking()
    ruled.client.inspect_pixels(np.zeros((64, 64), np.uint8), part_id="B-1")
    ruled.client.inspect_pixels(picture(), part_id="B-1", recipe=rules(name="mine"))
    assert seen == ["bolts", "mine"]
