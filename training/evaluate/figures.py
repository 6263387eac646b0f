"""The figures of one domain: mean average precision, and what the line sees at the deployed thresholds."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from lineside.decode import Found
from training.data.sample import Dataset, Sample
from training.evaluate.matching import match
from training.evaluate.predictor import Answer, Detect, Predictor, at_thresholds

IOUS = (0.33, 0.5)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """One class; shares 0 to 1, None where nothing was there to be measured."""

    name: str
    defects: int
    ap_33: float | None
    ap_50: float | None
    precision: float | None
    recall: float | None
    threshold: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One domain. None where nothing was there to be measured.

    Mean average precision (`map_33`, `map_50`: over classes, at IoU 0.33 and 0.5), precision and recall are over
    pictures with a defect; a detection counts when it meets a defect of its class at IoU 0.33. `escapes` is the share
    of defective pictures without any detection.
    """

    domain: str
    images: int
    healthy_images: int
    map_33: float | None
    map_50: float | None
    precision: float | None
    recall: float | None
    false_alarms_per_healthy: float | None
    escapes: float | None
    classes: tuple[ClassFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Figures:
        """The figures again."""
        classes = tuple(ClassFigures(**entry) for entry in values["classes"])
        return cls(**{**values, "classes": classes})


OnPicture = Callable[[int, int], None]
"""Pictures done, pictures in all."""


def evaluate(
    detect: Detect,
    defective: Sequence[Sample],
    healthy: Sequence[Sample],
    thresholds: Mapping[str, float] | float,
    *,
    classes: Sequence[str],
    domain: str,
    deployed: Detect | None = None,
    on_picture: OnPicture | None = None,
) -> Figures:
    """Measures anything that turns a frame into detections.

    Args:
        detect: a frame's detections from a low score on, boxes in frame pixels.
        defective: pictures with all their defects.
        healthy: pictures without any.
        thresholds: deployed score per class name, or one for all.
        classes: names in the order of the class axis.
        domain: "original", "new" or another word for the figures.
        deployed: a frame's detections at the thresholds, as the station raises them; None: those of `detect` at or
            above the thresholds, which differ only where classes exclude each other and thresholds are unequal.
        on_picture: called after each picture.
    """
    limits = np.array([_threshold(thresholds, name) for name in classes], np.float32)

    def ask(sample: Sample) -> Answer:
        frame = sample.picture.read()
        found = detect(frame)
        return Answer(found=found, deployed=deployed(frame) if deployed else at_thresholds(found, limits))

    return figures_of(_asked(ask, defective, healthy, on_picture), limits, classes=classes, domain=domain)


def evaluate_predictor(
    predictor: Predictor, dataset: Dataset, *, domain: str, on_picture: OnPicture | None = None
) -> Figures:
    """Measures a checkpoint at its own thresholds on a set with its healthy pictures."""
    answers = _asked(
        lambda sample: predictor.answer(sample.picture.read()), dataset.defective, dataset.healthy, on_picture
    )
    return figures_of(answers, predictor.thresholds, classes=dataset.classes, domain=domain)


def figures_of(
    answers: Sequence[tuple[Sample, Answer]],
    thresholds: NDArray[np.float32],
    *,
    classes: Sequence[str],
    domain: str,
) -> Figures:
    """The figures of answers that were already given."""
    defective = [(sample, answer) for sample, answer in answers if not sample.healthy]
    healthy = [answer for sample, answer in answers if sample.healthy]
    count = len(classes)
    right, raised, met, defects = (np.zeros(count, int) for _ in range(4))
    for sample, answer in defective:
        outcome = match(answer.deployed, sample.boxes, sample.classes)
        raised += np.bincount(answer.deployed.classes, minlength=count)
        right += np.bincount(answer.deployed.classes[outcome.right], minlength=count)
        met += np.bincount(sample.classes[outcome.met], minlength=count)
        defects += np.bincount(sample.classes, minlength=count)
    precisions = average_precisions([(sample, answer.found) for sample, answer in defective], count)

    def mean(values: NDArray[np.float64]) -> float | None:
        return float(np.nanmean(values)) if np.isfinite(values).any() else None

    return Figures(
        domain=domain,
        images=len(defective),
        healthy_images=len(healthy),
        map_33=mean(precisions[0]),
        map_50=mean(precisions[1]),
        precision=_share(right.sum(), raised.sum()),
        recall=_share(met.sum(), defects.sum()),
        false_alarms_per_healthy=_share(sum(len(answer.deployed) for answer in healthy), len(healthy)),
        escapes=_share(sum(len(answer.deployed) == 0 for _, answer in defective), len(defective)),
        classes=tuple(
            ClassFigures(
                name=name,
                defects=int(defects[index]),
                ap_33=_finite(precisions[0, index]),
                ap_50=_finite(precisions[1, index]),
                precision=_share(right[index], raised[index]),
                recall=_share(met[index], defects[index]),
                threshold=float(thresholds[index]),
            )
            for index, name in enumerate(classes)
        ),
    )


def average_precisions(answers: Sequence[tuple[Sample, Found]], classes: int) -> NDArray[np.float64]:
    """(2, classes) average precision at IoU 0.33 and 0.5 by the COCO protocol (101 recall points); NaN without defects.

    Boxes are float, at most 100 detections a picture count.
    """
    empty = np.full((len(IOUS), classes), np.nan)
    truth: list[dict[str, Any]] = []
    answer_rows: list[dict[str, Any]] = []
    for image, (sample, found) in enumerate(answers, 1):
        for box, kind in zip(sample.boxes.astype(float), sample.classes, strict=True):
            x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": int(kind) + 1,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
        for box, score, kind in zip(found.boxes.astype(float), found.scores, found.classes, strict=True):
            answer_rows.append(
                {
                    "image_id": image,
                    "category_id": int(kind) + 1,
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "score": float(score),
                }
            )
    if not truth:
        return empty
    defects = np.bincount([row["category_id"] - 1 for row in truth], minlength=classes)
    if not answer_rows:
        return np.where(defects > 0, 0.0, empty)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(
            {
                "info": {},
                "images": [{"id": image, "width": 1, "height": 1} for image in range(1, len(answers) + 1)],
                "categories": [{"id": index + 1, "name": str(index)} for index in range(classes)],
                "annotations": truth,
            }
        )
        protocol = COCOeval_faster(known, known.loadRes(answer_rows), iouType="bbox")
        protocol.params.iouThrs = np.array(IOUS)
        protocol.evaluate()
        protocol.accumulate()
    # (IoU, recall points, classes, area ranges, detection limits); -1 where a class has no defect.
    table = np.asarray(protocol.eval["precision"])[:, :, :, 0, -1]
    return np.where(defects > 0, table.mean(axis=1), np.nan)


def _asked(
    ask: Callable[[Sample], Answer],
    defective: Sequence[Sample],
    healthy: Sequence[Sample],
    on_picture: OnPicture | None,
) -> list[tuple[Sample, Answer]]:
    answers = []
    total = len(defective) + len(healthy)
    for sample in (*defective, *healthy):
        answers.append((sample, ask(sample)))
        if on_picture is not None:
            on_picture(len(answers), total)
    return answers


def _threshold(thresholds: Mapping[str, float] | float, name: str) -> float:
    if isinstance(thresholds, Mapping):
        return float(thresholds.get(name, 0.5))
    return float(thresholds)


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
