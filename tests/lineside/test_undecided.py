"""What is undecided, by SQL, is what the fold leaves undecided: whatever was said, in whatever order it arrived."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.mentoring_log import SCHEMA, SCHEMA_VERSION, MentoringLogReader, pack_areas
from lineside.records import Gesture

FRAMES = 3
DETECTIONS = 2

target = st.one_of(
    st.tuples(st.integers(0, FRAMES - 1), st.integers(0, DETECTIONS - 1), st.just(0)),
    st.tuples(st.integers(0, FRAMES - 1), st.none(), st.integers(0, 2)),
)
event = st.tuples(target, st.sampled_from(("ada", "grace")), st.integers(1, 4), st.booleans(), st.booleans())


def write(root: Path, events: list[tuple[tuple[int, int | None, int], str, int, bool, bool]]) -> None:
    connection = sqlite3.connect(root / "log.sqlite")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.executescript(SCHEMA)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    for number in range(FRAMES):
        connection.execute(
            "INSERT INTO frames VALUES (?, 'boot', 'station', 'top', 'part', 1, 1, 1, 10, 11, '', 'pgm', 1, '',"
            " 'REJECT', '', 'any_detection', 1.0, ?, '', 1)",
            (f"frame{number}", number),
        )
        for found in range(DETECTIONS):
            connection.execute(
                "INSERT INTO detections VALUES (?, ?, ?, 1, 'dent', 0.75, 1, 2, 3, 4, ?, 1, 'frame', 1)",
                (f"frame{number}/{found}", f"frame{number}", found, pack_areas(np.array([3], np.int32))),
            )
    for key, ((frame, found, missed), operator, revision, retracted, other) in enumerate(events):
        if found is not None:
            gesture = Gesture.UNSURE if other else Gesture.REJECT
        elif missed:
            gesture = Gesture.MISSED
        else:
            gesture = Gesture.FRAME_HEALTHY if other else Gesture.FRAME_COMPLETE
        connection.execute(
            "INSERT INTO feedback (key, payload_sha256, frame_id, detection_id, gesture, class_name, x1, y1, x2, y2,"
            " missed_index, revision, operator, seconds, client_unix_ns, received_unix_ns)"
            " VALUES (?, '', ?, ?, ?, NULL, NULL, NULL, NULL, NULL, ?, ?, ?, 1, 0, 0)",
            (
                f"key{key:04}",
                f"frame{frame}",
                None if found is None else f"frame{frame}/{found}",
                (Gesture.RETRACT if retracted else gesture).name,
                missed,
                revision,
                operator,
            ),
        )
    connection.commit()
    connection.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(event, max_size=14))
def test_undecided_is_what_the_fold_leaves_open(
    events: list[tuple[tuple[int, int | None, int], str, int, bool, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), events)
        with MentoringLogReader(Path(folder)) as log:
            expected = []
            for record in reversed(list(log.records())):
                said = record.judgements
                if any(item.gesture in (Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE) for item in said):
                    continue
                answered = {item.detection_id for item in said}
                expected += [item.detection_id for item in record.detections if item.detection_id not in answered]
            found, count = log.undecided(frames=100, limit=100)
            assert [detection.detection_id for _, detection in found] == expected
            assert count == len(expected)
            few, still = log.undecided(frames=100, limit=1)
            assert ([item.detection_id for _, item in few], still) == (expected[:1], len(expected))
            newest, _ = log.undecided(frames=1, limit=100)
            assert all(frame.frame_id == f"frame{FRAMES - 1}" for frame, _ in newest)


def test_the_events_of_a_frame_are_its_own_in_the_order_of_the_log(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            ((0, 0, 0), "ada", 2, False, False),
            ((1, 0, 0), "ada", 1, False, False),
            ((0, None, 1), "ada", 1, False, True),
        ],
    )
    with MentoringLogReader(tmp_path) as log:
        assert [(item.key, item.gesture) for item in log.events("frame0")] == [
            ("key0000", Gesture.REJECT),
            ("key0002", Gesture.MISSED),
        ]
        assert log.events("nobody") == []
