"""What is known of a frame: masks and rectangles say the same, class by class."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some
from support.told import HEIGHT, WIDTH, frame_id, recorded

from lineside.areas import CellGrid
from lineside.gestures import labels_of
from lineside.letterbox import Letterbox
from lineside.log.known import KNOWN, PARTLY, UNKNOWN, knowledge_of
from lineside.log.rectangles import without
from lineside.records import Gesture, Judgement, MentoringRecord, Outcome, RecordedDetection

CLASSES = ("dent", "scratch", "stain")
SAYINGS = (Gesture.CONFIRM, Gesture.REJECT, Gesture.WRONG_CLASS, Gesture.UNSURE, Gesture.POOR_BOX, None)

corners = some.tuples(some.integers(0, 60), some.integers(0, 44), some.integers(1, 20), some.integers(1, 20))
rectangles = corners.map(lambda item: (item[0], item[1], item[0] + item[2], item[1] + item[3]))


@given(some.lists(rectangles, min_size=1, max_size=4), some.lists(rectangles, max_size=6))
def test_what_is_left_without_the_holes_is_covered_and_nothing_else(regions, holes) -> None:
    wanted, found = np.zeros((70, 90), bool), np.zeros((70, 90), bool)
    for x1, y1, x2, y2 in regions:
        wanted[y1:y2, x1:x2] = True
    for x1, y1, x2, y2 in holes:
        wanted[y1:y2, x1:x2] = False
    left = without(regions, holes)
    for x1, y1, x2, y2 in left:
        found[y1:y2, x1:x2] = True
    assert (found == wanted).all()
    assert not any(
        a != b and a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3] for a in left for b in left
    )


SIDE = 8
GRID = CellGrid(rows=HEIGHT // SIDE, columns=WIDTH // SIDE, stride=SIDE)
cells = some.tuples(some.integers(0, 6), some.integers(0, 4), some.integers(1, 3), some.integers(1, 3)).map(
    lambda item: (item[0], item[1], min(8, item[0] + item[2]), min(6, item[1] + item[3]))
)


@given(some.data())
@settings(deadline=None, max_examples=60)
def test_what_an_export_leaves_open_is_exactly_what_training_is_not_taught(data) -> None:
    detections, judgements = [], []
    for number, (x1, y1, x2, y2) in enumerate(data.draw(some.lists(cells, max_size=4))):
        name, predicted = f"{frame_id(0)}/{number}", data.draw(some.sampled_from(CLASSES))
        areas = [GRID.index(row, column) for row in range(y1, y2) for column in range(x1, x2)]
        detections.append(
            RecordedDetection(
                detection_id=name,
                class_index=CLASSES.index(predicted),
                class_name=predicted,
                score=0.9,
                box=(x1 * SIDE, y1 * SIDE, x2 * SIDE, y2 * SIDE),
                areas=np.array(areas, np.int32),
            )
        )
        gesture = data.draw(some.sampled_from(SAYINGS))
        if gesture is not None:
            right = data.draw(some.sampled_from([None, *(other for other in CLASSES if other != predicted)]))
            said = right if gesture is Gesture.WRONG_CLASS else None
            judgements.append(judgement(gesture, detection_id=name, class_name=said))
    whole = data.draw(some.sampled_from([None, Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE]))
    if whole is not None:
        judgements.append(judgement(whole))
    exclusive = data.draw(some.booleans())
    record = MentoringRecord(frame=recorded(0), detections=tuple(detections), judgements=tuple(judgements))
    letterbox = Letterbox(frame_width=WIDTH, frame_height=HEIGHT, model_width=WIDTH, model_height=HEIGHT)
    states = labels_of(
        record, head=GRID, recorded_head=GRID, classes=CLASSES, exclusive=exclusive, letterbox=letterbox
    ).states
    taught = states.reshape(GRID.rows, GRID.columns, len(CLASSES)) != -1
    knowledge = knowledge_of(record, exclusive=exclusive)
    for number, name in enumerate(CLASSES):
        left_open = np.zeros((HEIGHT, WIDTH), bool)
        for x1, y1, x2, y2 in knowledge.open_for(name):
            left_open[y1:y2, x1:x2] = True
        assert (left_open == ~taught[:, :, number].repeat(SIDE, axis=0).repeat(SIDE, axis=1)).all()
    mask = knowledge.mask()[::SIDE, ::SIDE]
    # A class that was never named is as open as the most open one; three classes are named by at most four answers.
    assert ((mask == KNOWN) <= taught.all(axis=2)).all()
    assert ((mask == UNKNOWN) <= ~taught.any(axis=2)).all()
    assert ((mask == PARTLY) >= (taught.any(axis=2) & ~taught.all(axis=2))).all()


def judgement(gesture: Gesture, *, detection_id: str | None = None, class_name: str | None = None) -> Judgement:
    return Judgement(
        outcome=Outcome.SAID,
        detection_id=detection_id,
        gesture=gesture,
        class_name=class_name,
        box=None,
        operators=("ada",),
        seconds=1.0,
        events=(1,),
    )
