"""SQL on a log: the views say what the fold says, in both engines, and the documented questions have answers."""

from __future__ import annotations

import csv
import io
import random
import re
from pathlib import Path
from typing import Any

import pytest
from support.told import BOXES, frame_id, make_log, say

from lineside.log.cli import main
from lineside.log.views import VIEWS, ask, open_duckdb, open_sqlite
from lineside.mentoring_log import MentoringLogReader
from lineside.records import FeedbackEvent, Gesture

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "log.md"
ENGINES = pytest.mark.parametrize("engine", ["sqlite", "duckdb"])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_log(tmp_path_factory.mktemp("views") / "log")


def chatter(seed: int, count: int = 120) -> list[FeedbackEvent]:
    """Three operators who contradict, repeat and take back."""
    draw = random.Random(seed)
    events: dict[str, FeedbackEvent] = {}
    for _ in range(count):
        about = draw.choice(["detection", "frame", "missed"])
        operator, revision = draw.choice(["ada", "bob", "cyd"]), draw.randint(1, 4)
        if about == "detection":
            gesture = draw.choice(
                [
                    Gesture.CONFIRM,
                    Gesture.REJECT,
                    Gesture.WRONG_CLASS,
                    Gesture.UNSURE,
                    Gesture.POOR_BOX,
                    Gesture.RETRACT,
                ]
            )
            name = draw.choice(["scratch", "stain", None]) if gesture is Gesture.WRONG_CLASS else None
            event = say(
                draw.randint(0, 4), draw.randint(0, 2), gesture, operator=operator, revision=revision, class_name=name
            )
        elif about == "frame":
            gesture = draw.choice([Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE, Gesture.RETRACT])
            event = say(draw.randint(0, 4), None, gesture, operator=operator, revision=revision)
        else:
            gesture, index = draw.choice([Gesture.MISSED, Gesture.RETRACT]), draw.randint(1, 2)
            drawn = {"class_name": "dent", "box": BOXES[0]} if gesture is Gesture.MISSED else {}
            event = say(draw.randint(0, 4), None, gesture, operator=operator, revision=revision, index=index, **drawn)
        events.setdefault(f"{event.key}{event.class_name}{event.missed_index}", event)
    unique = {event.key: event for event in events.values()}
    return list(unique.values())


@ENGINES
@pytest.mark.parametrize("seed", range(3))
def test_the_judgements_are_those_of_the_fold(tmp_path: Path, engine: str, seed: int) -> None:
    root = make_log(tmp_path / "log", chatter(seed))
    with MentoringLogReader(root) as reader:
        expected = sorted(
            (
                record.frame.frame_id,
                item.detection_id or "",
                item.outcome.name,
                len(item.operators),
                pytest.approx(item.seconds),
            )
            for record in reader.records()
            for item in record.judgements
        )
    assert len(expected) > 10
    assert {row[2] for row in expected} == {"SAID", "DISPUTED"}
    query = "SELECT frame_id, coalesce(detection_id, ''), outcome, operators, seconds FROM judgements"
    found = sorted(ask([root], query, engine=engine)[1])
    assert found == expected


@ENGINES
def test_every_view_has_the_rows_that_a_person_would_count(log: Path, engine: str) -> None:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return ask([log], query, engine=engine)[1]

    assert rows("SELECT count(*) FROM answers") == [(14,)]
    assert rows("SELECT count(*) FROM answers WHERE NOT standing") == [(2,)]  # a confirm and its retraction
    # Frame 0: dent right, dent wrong, scratch right. 2: dent right, dent of another class. 3: dent wrong, one disputed.
    assert rows("SELECT raised_class, judged, confirmed FROM precision_by_class ORDER BY raised_class") == [
        ("dent", 5, 2),
        ("scratch", 1, 1),
    ]
    assert rows("SELECT operator, answers, disputed FROM operators ORDER BY operator") == [
        ("ada", 12, 1),
        ("bob", 2, 1),
    ]
    judged = rows("SELECT frame_id, path FROM pictures WHERE judged ORDER BY frame_id")
    assert [row[0] for row in judged] == [frame_id(number) for number in range(4)]
    assert all((log / row[1]).is_file() for row in judged)


def test_several_logs_are_one_and_what_is_in_two_counts_once(log: Path, tmp_path: Path) -> None:
    other = make_log(
        tmp_path / "other",
        [say(5, 0, Gesture.REJECT, operator="cyd"), say(2, 0, Gesture.CONFIRM)],
        frames=6,
        station="line-2",
    )
    with open_duckdb([log, other]) as tables:
        assert tables.execute("SELECT count(*) FROM frames").fetchall() == [(6,)]
        assert tables.execute("SELECT count(*) FROM feedback").fetchall() == [(15,)]
    with pytest.raises(ValueError, match="--engine duckdb"):
        ask([log, other], "SELECT 1", engine="sqlite")


def test_a_log_cannot_be_changed_through_its_views(log: Path) -> None:
    for query in ("DELETE FROM feedback", "UPDATE frames SET part_id = 'x'", "DROP TABLE feedback"):
        with pytest.raises(ValueError, match="cannot be answered"):
            ask([log], query, engine="sqlite")
    assert ask([log], "SELECT count(*) FROM feedback", engine="sqlite")[1] == [(14,)]
    with open_sqlite(log) as connection:
        assert not {name for (name,) in connection.execute("SELECT name FROM main.sqlite_master")} & set(VIEWS)


def test_the_command_prints_a_table_or_csv_and_tells_a_wrong_query(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "SELECT operator, answers FROM operators ORDER BY operator"
    assert main(["sql", str(log), query]) == 0
    assert capsys.readouterr().out.splitlines() == ["operator  answers", "ada       12", "bob       2"]
    assert main(["sql", str(log), query, "--csv", "--engine", "duckdb"]) == 0
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["operator", "answers"],
        ["ada", "12"],
        ["bob", "2"],
    ]
    for engine in ("sqlite", "duckdb"):
        assert main(["sql", str(log), "SELECT nothing FROM nowhere", "--engine", engine]) == 2
        assert "the query cannot be answered" in capsys.readouterr().err


def documented() -> list[str]:
    blocks = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return [query.strip() for block in blocks for query in block.split(";") if query.strip()]


@ENGINES
def test_the_documented_queries_run_and_find_something(log: Path, engine: str) -> None:
    assert len(documented()) >= 5
    for query in documented():
        names, rows = ask([log], query, engine=engine)
        assert names, query
        assert rows, query


def test_the_document_names_every_view() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in VIEWS if f"| `{name}` |" not in text] == []


def test_the_documented_python_runs(log: Path) -> None:
    [block] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    seen: dict[str, Any] = {}
    exec(block.replace('"LOG"', repr(str(log))), seen)
    assert seen["by_camera"] == [("top", 14)]
