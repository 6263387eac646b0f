"""Several logs as one, answers left out on request, and parts that must stay unseen."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.lessons import SIDE, squares, tiny
from support.mentored_line import Line, rewrite
from support.mentoring import settings as log_settings

from edge.mentoring.log import MentoringLog
from lineside.boxes import as_boxes
from lineside.pixels import Pixels
from lineside.records import Gesture
from training.data import leaks
from training.data.account import Count
from training.data.leaks import Seen, overlap, picture_digest, seen_in, unseen, warnings
from training.data.mentoring import MentoringData, Wanted, read_logs
from training.data.merging import AGAIN, OTHER_ANSWER, OTHER_FRAME, SAME_REVISION
from training.data.sample import ArrayPicture, Dataset, Experiment, Sample
from training.data.without import Without, parse_without
from training.losses.classification import ABSENT, UNKNOWN

Fill = Callable[[Line], None]


def station(folder: Path, fill: Fill) -> Path:
    """A closed log."""
    with MentoringLog(folder, log_settings(), lambda event, sequence: None) as log:
        fill(Line(log, tiny()))
    return folder


def few(name: str, *, seeds: range) -> Fill:
    def fill(line: Line) -> None:
        for seed in seeds:
            frame_id = line.keep([[3], [120]], seed=seed, station=name)
            line.say(frame_id, 0, Gesture.REJECT)
            line.say(frame_id, 1, Gesture.CONFIRM, operator="bob")

    return fill


def read(*roots: Path, **wanted: object) -> MentoringData:
    return read_logs(roots, tiny(), Wanted(**wanted))  # type: ignore[arg-type]


@pytest.fixture
def north(tmp_path: Path) -> Path:
    return station(tmp_path / "north", few("north", seeds=range(3)))


@pytest.fixture
def south(tmp_path: Path) -> Path:
    return station(tmp_path / "south", few("south", seeds=range(10, 12)))


def test_two_stations_are_read_as_one_and_every_frame_keeps_its_station(north: Path, south: Path) -> None:
    said = read(north, south)
    assert sorted(said.stations) == ["north"] * 3 + ["south"] * 2
    assert said.account.answers == Count(read=10, used=10)
    assert said.account.stations == {
        "north": {"frames": 3, "answers": 6, "first_log_sequence": 1, "last_log_sequence": 6},
        "south": {"frames": 2, "answers": 4, "first_log_sequence": 1, "last_log_sequence": 4},
    }


def test_the_order_of_the_logs_and_copies_of_them_change_no_lesson(north: Path, south: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(north, tmp_path / "copy"))
    expected = read(north, south)
    for roots in itertools.permutations((north, south, copy)):
        said = read(*roots)
        assert said.digest == expected.digest
        assert said.frame_ids == expected.frame_ids
        assert said.account.answers == Count(read=16, used=10, skipped={AGAIN: 6})
        assert said.account.frames == Count(read=8, used=5, skipped={AGAIN: 3})
    assert read(north, north).account.answers.used == 6


def test_a_copy_and_its_newer_original_overlap_and_the_newer_answer_counts(tmp_path: Path) -> None:
    ids: list[str] = []

    def first(line: Line) -> None:
        ids.append(line.keep([[3]], seed=0))
        line.say(ids[0], 0, Gesture.CONFIRM)

    def later(line: Line) -> None:
        line.say(ids[0], 0, Gesture.REJECT, revision=2)
        line.say(line.keep([[3]], seed=1), 0, Gesture.REJECT)

    log = station(tmp_path / "log", first)
    copy = Path(shutil.copytree(log, tmp_path / "copy"))
    station(log, later)
    said = read(copy, log)
    assert said.digest == read(log).digest
    assert (said.frames[0].states[3] == ABSENT).all()
    assert said.account.answers == Count(
        read=4, used=2, skipped={AGAIN: 1, "superseded or taken back by the same operator": 1}
    )


def test_a_picture_that_one_copy_lost_is_taken_from_another(north: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(north, tmp_path / "copy"))
    shutil.rmtree(north / "images")
    assert read(north, copy).digest == read(copy).digest


def test_one_key_with_two_contents_is_disputed_and_its_place_stays_unsettled(north: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(north, tmp_path / "copy"))
    rewrite(copy, "UPDATE feedback SET gesture = 'CONFIRM' WHERE log_sequence = 1", sign=True)
    for roots in ((north, copy), (copy, north)):
        said = read(*roots)
        assert said.account.answers == Count(read=12, used=5, skipped={AGAIN: 5}, disputed={OTHER_ANSWER: 2})
        assert said.account.judgements == Count(read=6, used=5, disputed={OTHER_ANSWER: 1})
        first = said.frames[0]
        assert (first.states[3] == UNKNOWN).all()


def test_one_frame_id_with_two_contents_is_disputed_with_all_that_was_said_of_it(north: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(north, tmp_path / "copy"))
    rewrite(copy, "UPDATE frames SET station = 'elsewhere' WHERE part_id = 'part-0'")
    account = read(north, copy).account
    assert account.frames == Count(read=6, used=2, skipped={AGAIN: 3}, disputed={OTHER_FRAME: 1})
    assert account.judgements.disputed == {OTHER_FRAME: 2}


def test_copies_that_both_went_on_may_not_say_two_things_as_one_revision(tmp_path: Path) -> None:
    ids: list[str] = []
    log = station(tmp_path / "log", lambda line: ids.append(line.keep([[3], [120]], seed=0)))
    copy = Path(shutil.copytree(log, tmp_path / "copy"))
    station(log, lambda line: line.say(ids[0], 0, Gesture.REJECT))
    station(copy, lambda line: line.say(ids[0], 0, Gesture.CONFIRM))
    account = read(log, copy).account
    assert account.answers == Count(read=2, disputed={SAME_REVISION: 2})
    assert account.frames.disputed == {"all that was said about it is disputed": 1}


def test_a_range_of_sequences_is_not_asked_of_two_logs(north: Path, south: Path) -> None:
    with pytest.raises(ValueError, match="each log counts its own"):
        read(north, south, after=3)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("operator=bob", 5),
        ("station=south", 6),
        ("station=south,operator=ada", 8),
        ("sequences=1-2", 6),
        ("station=north,sequences=1-2", 8),
        ("time=2020-01-01/2021-01-01T06:00Z", 10),
        ("time=2020-01-01/2199-01-01", 0),
    ],
)
def test_answers_are_left_out_by_operator_station_sequence_or_time(
    north: Path, south: Path, rule: str, left: int
) -> None:
    account = read(north, south, without=(parse_without(rule),)).account
    assert account.answers.used == left
    assert account.answers.read == 10
    assert sum(number for reason, number in account.answers.skipped.items() if "on request" in reason) == 10 - left


def test_leaving_out_an_operator_settles_his_disputes_as_if_he_had_never_answered(tmp_path: Path) -> None:
    def fill(line: Line) -> None:
        frame_id = line.keep([[3]], seed=0)
        line.say(frame_id, 0, Gesture.REJECT, operator="ada")
        line.say(frame_id, 0, Gesture.CONFIRM, operator="bob")

    log = station(tmp_path / "log", fill)
    assert read(log).account.judgements.disputed == {"operators ada, bob disagree": 1}
    (lesson,) = read(log, without=(Without(operator="bob"),)).frames
    assert (lesson.states[3] == ABSENT).all()


def test_what_was_left_out_is_not_settled_by_a_word_about_the_whole_frame(tmp_path: Path) -> None:
    def fill(line: Line) -> None:
        frame_id = line.keep([[3]], seed=0)
        line.say(frame_id, 0, Gesture.CONFIRM, operator="bob")
        line.say(frame_id, None, Gesture.FRAME_COMPLETE, operator="ada")

    log = station(tmp_path / "log", fill)
    (lesson,) = read(log, without=(Without(operator="bob"),)).frames
    assert (lesson.states[3] == UNKNOWN).all()
    assert (lesson.states == ABSENT).sum() > 300


@pytest.mark.parametrize(
    "text",
    ["", "bob", "operator=", "person=bob", "operator=a,operator=b", "sequences=5", "sequences=9-5", "time=now/then"],
)
def test_a_rule_that_cannot_be_read_says_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_without(text)


# --- parts and pictures that must stay unseen


def set_of(*named: tuple[str, Pixels], name: str = "set") -> Dataset:
    samples = tuple(
        Sample(
            name=f"{name}-{number}",
            picture=ArrayPicture(pixels=pixels),
            boxes=as_boxes([]),
            classes=np.zeros(0, np.int32),
            part_id=part,
        )
        for number, (part, pixels) in enumerate(named)
    )
    return Dataset(name=name, classes=("dark", "bright"), samples=samples)


def experiment(*, original: Dataset, new: Dataset, part_ids: str = "piece") -> Experiment:
    return Experiment(
        name="mine",
        train=squares(4, name="train"),
        eval_original=original,
        mentoring=squares(4, name="m"),
        eval_new=new,
        part_ids=part_ids,
    )


def picture_of(seed: int) -> Pixels:
    """As `support.mentoring.frame` makes them."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)


def test_equal_pictures_are_found_whatever_their_channels(north: Path) -> None:
    grey = picture_of(0)
    assert picture_digest(np.repeat(grey[:, :, None], 3, axis=2)) == picture_digest(grey)
    assert picture_digest(grey.T) != picture_digest(grey)
    other = grey.copy()
    other[0, 0] ^= 1
    assert picture_digest(other) != picture_digest(grey)


def test_mentored_parts_and_pictures_of_the_evaluation_are_left_out_and_told(north: Path) -> None:
    held = experiment(original=set_of(("part-1", picture_of(500)), name="o"), new=set_of(("", picture_of(2)), name="n"))
    account = read(north, held_out=unseen(held)).account
    assert account.frames == Count(read=3, used=1, skipped={leaks.PART: 1, leaks.PICTURE: 1})
    kinds = read(north, held_out=unseen(dataclasses.replace(held, part_ids="kind"))).account
    assert kinds.frames == Count(read=3, used=2, skipped={leaks.PICTURE: 1})


def test_a_set_that_is_trained_on_is_no_evaluation_to_be_kept_unseen(north: Path) -> None:
    both = set_of(("part-1", picture_of(1)))
    whole = Experiment(name="one set", train=both, eval_original=both, mentoring=both, eval_new=set_of())
    assert read(north, held_out=unseen(whole)).account.frames.used == 3


def test_figures_on_what_was_trained_on_come_with_a_warning(north: Path) -> None:
    said = read(north)
    assert said.seen.parts == {"part-0", "part-1", "part-2"}
    judged = set_of(("part-0", picture_of(0)), ("part-1", picture_of(77)), ("new", picture_of(78)), ("", picture_of(2)))
    assert overlap(said.seen, judged, part_ids="piece") == (2, 1)
    assert overlap(said.seen, judged, part_ids="kind") == (2, 0)
    (line,) = warnings(said.seen, experiment(original=set_of(("x", picture_of(79))), new=judged))
    assert line == (
        "new: 2 of 4 pictures were trained on and 1 more are of parts that were trained on; its figures flatter the"
        " model"
    )
    assert Seen.from_json(said.seen.joined(seen_in(judged)).to_json()).parts == {"part-0", "part-1", "part-2", "new"}
    with pytest.raises(ValueError, match="piece, kind"):
        overlap(said.seen, judged, part_ids="serial")
