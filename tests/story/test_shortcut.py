"""The simulated operator's shortcut gives the records that a real station and its feedback socket give.

A real daemon process, a real package, the real operator client over gRPC and ZeroMQ, on one side; on the other the same
model asked directly. What must be equal is everything a lesson is made of: detections, areas, judgements, seconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.packages import CELLS, CLASSES, SIZE, make_anchor_package, make_cell_package, make_key

from lineside.boxes import as_boxes
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.mentoring_log import MentoringLogReader
from lineside.package import Package
from lineside.records import MentoringRecord
from loop.answers import PackageAnswers
from loop.operator import SimulatedOperator
from loop.station import StationProcess
from loop.stream import Count, Part, send
from training.config import FeedbackPlan
from training.data.sample import ArrayPicture, Dataset, Sample
from training.simulation.judging import Character
from training.simulation.shortcut import Shortcut, character_for
from training.simulation.truth import of_dataset, usual_sides

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]

SEED = 11
CAMERA = "top"


def parts(count: int) -> Dataset:
    """Bright squares on dark pictures; some are defects, some of those of another class than the model says, some
    defects are too dark to be found, every third part is healthy."""
    samples = []
    for number in range(count):
        generator = np.random.default_rng([SEED, number])
        step = SIZE // CELLS
        pixels: NDArray[np.uint8] = np.zeros((SIZE, SIZE), np.uint8)
        boxes, classes = [], []
        for place in generator.choice(CELLS * CELLS, 4, replace=False):
            row, column = divmod(int(place), CELLS)
            y, x = row * step, column * step
            pixels[y : y + step, x : x + step] = generator.integers(60, 255)
            if number % 3 and generator.random() < 0.6:
                boxes.append((x, y, x + step, y + step))
                classes.append(int(generator.integers(len(CLASSES))))
        samples.append(
            Sample(
                name=f"part{number}",
                picture=ArrayPicture(pixels=pixels),
                boxes=as_boxes(boxes),
                classes=np.array(classes, np.int32),
            )
        )
    return Dataset(name="parts", classes=CLASSES, samples=tuple(samples))


PLANS = {
    "answers": (FeedbackPlan(), Character()),
    "two buttons, and errs": (FeedbackPlan(gestures="binary"), Character(error_rate=0.2, indecision=0.1, fatigue=1.0)),
    "healthy": (FeedbackPlan(frames="healthy"), Character(error_rate=0.1)),
    "complete": (FeedbackPlan(frames="complete", audit=1.0), Character(error_rate=0.1)),
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return parts(24)


@pytest.mark.parametrize("head", ["anchors", "cells"])
@pytest.mark.parametrize("name", PLANS)
def test_the_shortcut_gives_the_records_of_the_real_socket(
    tmp_path: Path, dataset: Dataset, name: str, head: str
) -> None:
    plan, character = PLANS[name]
    private, public = make_key(tmp_path / "keys")
    make = make_anchor_package if head == "anchors" else make_cell_package
    package = make(tmp_path / "package", sign_key=private)

    shortcut = Shortcut(dataset, character, plan, seed=SEED)
    with PackageAnswers(package) as model:
        spent = shortcut.round(model.answer)
    real, seconds = from_a_station(tmp_path, package, public, dataset, plan, character)

    expected = shortcut.records()
    assert len(expected) > 8
    assert [content(item) for item in expected] == [content(item) for item in real]
    assert sum(len(item.judgements) for item in expected) == sum(spent.clicks.values())
    assert seconds == pytest.approx(spent.seconds)


def from_a_station(
    folder: Path, package: Package, public: Path, dataset: Dataset, plan: FeedbackPlan, character: Character
) -> tuple[list[MentoringRecord], float]:
    sections = {
        "station": {"name": "shortcut"},
        "grpc": {"listen": "127.0.0.1:0"},
        "stream": {"listen": "tcp://127.0.0.1:0"},
        "feedback": {"listen": "tcp://127.0.0.1:0"},
        "panel": {"listen": "127.0.0.1:0"},
        "models": {"trusted_keys": [str(public)]},
    }
    if plan.audit:
        policies = [{"kind": "any_detection"}, {"kind": "audit", "share": plan.audit}]
        sections["mentoring"] = {"policies": policies}
    truth = of_dataset(dataset)
    answered: list[str] = []
    with StationProcess(folder / "station", sections) as station:
        addresses = station.addresses
        with ModelsClient(addresses.grpc) as models:
            models.push(package.folder)
            models.activate(package.digest)
        with (
            SimulatedOperator(
                grpc=addresses.grpc,
                feedback=addresses.feedback,
                truth=truth.get,
                character=character_for(plan, character),
                seed=SEED,
                cameras=(CAMERA,),
                usual_sides=usual_sides(list(truth.values())),
            ) as operator,
            InspectionClient(addresses.grpc) as client,
        ):
            shown = (Part(part_id=sample.name, pixels=sample.picture.read()) for sample in dataset)
            send(
                client,
                shown,
                camera=CAMERA,
                count=Count(),
                on_answer=lambda _, result: answered.append(result.frame_id),
            )
            tally = operator.wait_for(answered, 120)
        with MentoringLogReader(station.log_folder) as log:
            records = {record.frame.part_id: record for record in log.records(judged_only=False)}
    return [records[sample.name] for sample in dataset if sample.name in records], tally.seconds


def content(record: MentoringRecord) -> object:
    """Everything of a record but ids, times and digests."""
    detections = [
        (
            item.detection_id.partition("/")[2],
            item.class_index,
            item.class_name,
            round(item.score, 5),
            tuple(round(value, 3) for value in item.box),
            item.areas.tolist(),
        )
        for item in record.detections
    ]
    judgements = [
        (
            item.outcome,
            (item.detection_id or "").partition("/")[2],
            item.gesture,
            item.class_name,
            None if item.box is None else tuple(round(value, 3) for value in item.box),
            round(item.seconds, 3),
        )
        for item in record.judgements
    ]
    return record.frame.part_id, detections, sorted(judgements, key=repr)
