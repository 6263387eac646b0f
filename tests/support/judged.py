"""Frames whose truth is known, in a few words, for tests of the estimates."""

from __future__ import annotations

import numpy as np

from lineside.boxes import as_boxes
from lineside.decode import Found
from lineside.fold import fold
from lineside.records import FeedbackEvent, Gesture, MentoringRecord, RecordedDetection, RecordedFrame
from training.estimate.judged import JudgedFrame, judged
from training.simulation.partial_log import Inspected, inspected
from training.simulation.truth import Truth

PLACES = tuple((40.0 * x, 40.0 * y, 40.0 * x + 20, 40.0 * y + 20) for y in range(2) for x in range(5))
"""Boxes that do not touch each other."""
CLASSES = ("dent", "scratch")


def say(
    gesture: Gesture,
    number: int | None = 0,
    *,
    class_name: str | None = None,
    place: int | None = None,
    operator: str = "ada",
    index: int = 0,
    seconds: float = 1.5,
) -> FeedbackEvent:
    """An answer about detection `number`, or about the frame; `place`: of a missed defect."""
    missed = gesture is Gesture.MISSED
    return FeedbackEvent(
        log_sequence=1,
        key=f"{operator}-{gesture.name}-{number}-{index}",
        frame_id="frame",
        detection_id=None if number is None or missed else f"frame/{number}",
        gesture=gesture,
        class_name=class_name,
        box=PLACES[place] if place is not None else None,
        missed_index=index + 1 if missed else 0,
        revision=1,
        operator=operator,
        seconds=seconds,
        client_unix_ns=0,
        received_unix_ns=0,
    )


def record(
    *said: FeedbackEvent,
    detections: tuple[tuple[str, float], ...] = (("dent", 0.9),),
    places: tuple[int, ...] | None = None,
    probability: float = 1.0,
    part: str = "part",
    verdict: str | None = None,
) -> MentoringRecord:
    """A frame with detections (class, score), each at a place of its own unless places are given."""
    return MentoringRecord(
        frame=RecordedFrame(
            frame_id="frame",
            boot_id="boot",
            station="line-1",
            camera="top",
            part_id=part,
            camera_sequence=0,
            width=200,
            height=80,
            captured_unix_ns=0,
            captured_monotonic_ns=0,
            image_sha256="",
            image_suffix="png",
            image_bytes=0,
            model_digest="sha256:" + "1" * 64,
            verdict=verdict or ("REJECT" if detections else "PASS"),
            verdict_reason="",
            selected_because="any_detection" if detections else "audit",
            selection_probability=probability,
            recorded_unix_ns=0,
        ),
        detections=tuple(
            RecordedDetection(
                detection_id=f"frame/{number}",
                class_index=CLASSES.index(name),
                class_name=name,
                score=score,
                box=PLACES[places[number] if places else number],
                areas=np.zeros(0, np.int32),
            )
            for number, (name, score) in enumerate(detections)
        ),
        judgements=fold(said),
    )


def frame(*said: FeedbackEvent, part: str = "part", **changes: object) -> JudgedFrame:
    """The same as answers."""
    return judged(record(*said, part=part, **changes))  # type: ignore[arg-type]


CONFIRM, REJECT = say(Gesture.CONFIRM), say(Gesture.REJECT)
HEALTHY, COMPLETE = say(Gesture.FRAME_HEALTHY, None), say(Gesture.FRAME_COMPLETE, None)


def pool(count: int, *, seed: int) -> list[Inspected]:
    """A line's frames: half of the parts have one to three defects, of which high-scored ones are raised more often.

    A dent is missed in 3 of 10 cases, a scratch in 1 of 10; false alarms have lower scores than right detections and
    come in crowds: where the surface is rough there are several.
    """
    generator = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        places = generator.permutation(len(PLACES))
        defects = int(generator.integers(1, 4)) if number % 2 == 0 else 0
        kinds = generator.integers(0, 2, defects)
        raised = [
            (places[place], int(kind), generator.uniform(0.55, 1.0))
            for place, kind in enumerate(kinds)
            if generator.random() >= (0.3, 0.1)[kind]
        ]
        if generator.random() < 0.3:
            rough = int(generator.integers(1, 5))
            raised += [(place, int(generator.integers(0, 2)), generator.uniform(0.5, 0.7)) for place in places[-rough:]]
        raised.sort(key=lambda item: -item[2])
        frames.append(
            inspected(
                f"frame-{number}",
                Found(
                    boxes=as_boxes([PLACES[place] for place, _, _ in raised]),
                    scores=np.array([score for _, _, score in raised], np.float32),
                    classes=np.array([kind for _, kind, _ in raised], np.int32),
                    areas=tuple(np.zeros(0, np.int32) for _ in raised),
                ),
                Truth(
                    boxes=as_boxes([PLACES[place] for place in places[:defects]]),
                    classes=tuple(CLASSES[kind] for kind in kinds),
                ),
                CLASSES,
                width=200,
                height=80,
            )
        )
    return frames
