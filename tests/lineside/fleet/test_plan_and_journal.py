"""Who goes when, and a journal that may be cut off anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.fleet.inventory import Station
from lineside.fleet.journal import ALARM, BEGUN, DONE, Journal, Line, read
from lineside.fleet.plan import Limits, Plan, make_plan

STATIONS = [Station(name=f"line-{number}", address=f"h:{number}") for number in range(1, 8)]
PLAN = Plan(digest="sha256:x", canaries=("line-1",), waves=(("line-2", "line-3"), ("line-4",)), limits=Limits())


def plan(canary: Sequence[str], *, wave: int = 3, answering: Sequence[str] = ()) -> Plan:
    return make_plan(STATIONS, canary, digest="sha256:x", limits=Limits(), wave=wave, answering=answering)


def test_a_number_of_canaries_are_the_first_that_answer_and_the_others_follow_in_waves() -> None:
    made = plan(["2"], answering=["line-2", "line-5", "line-6"])
    assert made.canaries == ("line-2", "line-5")
    assert made.waves == (("line-1", "line-3", "line-4"), ("line-6", "line-7"))


def test_named_canaries_need_not_answer_yet() -> None:
    assert plan(["line-7", "line-1"], wave=0).stages == (
        ("line-1", "line-7"),
        ("line-2", "line-3", "line-4", "line-5", "line-6"),
    )


@pytest.mark.parametrize(
    ("canary", "said"),
    [
        (["0"], "canary is 0, expected 1 to 7"),
        (["8"], "canary is 8, expected 1 to 7"),
        (["3"], "3 canaries are wanted and 2 of 7 stations answer"),
        (["line-9"], "canary 'line-9' is none of the stations"),
        (["line-1", "2"], "canary '2' is none of the stations"),
    ],
)
def test_canaries_that_make_no_sense_are_refused(canary: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan(canary, answering=["line-1", "line-2"])


@given(st.integers(1, 7), st.integers(0, 9), st.sets(st.integers(1, 7)))
def test_every_station_gets_it_exactly_once_and_canaries_first(number: int, wave: int, answering: set[int]) -> None:
    ready = [f"line-{each}" for each in answering]
    if len(ready) < number:
        return
    made = plan([str(number)], wave=wave, answering=ready)
    assert sorted(made.names) == [station.name for station in STATIONS]
    assert set(made.canaries) <= set(ready)
    assert all(len(each) <= (wave or 7) for each in made.waves)
    assert Plan.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"frames": -1}, "frames is -1"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"most_flips": 1.5}, "most_flips is 1.5"),
        ({"most_flips": 0.1}, "ask for one with shadow_frames"),
        ({"risk": 0.0}, "risk is 0.0"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(limits: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Limits(**limits)  # type: ignore[arg-type]


def write(path: Path, *lines: tuple[str, str, str]) -> None:
    with Journal(path) as journal:
        journal.begin(PLAN)
        for name, step, outcome in lines:
            journal.note(Line(station=name, step=step, outcome=outcome, text="…"))


def test_a_journal_says_how_far_each_station_came(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    write(
        path,
        ("line-1", "activate", BEGUN),
        ("line-1", "watch", DONE),
        ("line-2", "activate", BEGUN),
        ("line-3", "push", DONE),
    )
    progress = read(path)
    assert progress.plan == PLAN
    assert (progress.settled, progress.touched) == ({"line-1"}, {"line-1", "line-2"})
    assert (progress.finished, progress.alarm) == (False, None)
    with Journal(path) as journal:
        journal.note(Line(station="line-1", step="rollback", outcome=DONE))
        assert journal.progress.settled == set()
        assert journal.progress.touched == {"line-2"}
        journal.note(Line(station="line-1", step="activate", outcome=BEGUN))  # a second try
        assert journal.progress.touched == {"line-1", "line-2"}
        journal.note(Line(station="line-2", step="watch", outcome=ALARM, text="worse"))
        assert journal.progress.alarm is not None
        journal.begin(PLAN)
        assert (journal.progress.lines, read(path).lines) == ((), ())


def test_a_journal_cut_off_anywhere_is_read_up_to_its_last_whole_line_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, ("line-1", "push", DONE), ("line-1", "activate", BEGUN))
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for end in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:end])
        kept = sum(place <= end for place in ends)
        progress = read(path)
        assert (progress.plan is not None, len(progress.lines)) == (kept > 0, max(0, kept - 1))
        with Journal(path) as journal:
            journal.note(Line(station="line-9", step="push", outcome=DONE))
        assert [line.station for line in read(path).lines][-1] == "line-9"


def test_two_roll_outs_cannot_write_one_journal_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path), pytest.raises(ValueError, match="being written by another roll-out"):
        Journal(path).__enter__()
    path.write_text('{"plan": 3}\n')
    with pytest.raises(ValueError, match=r"journal\.jsonl: line 1 is no line of a roll-out"):
        read(path)
