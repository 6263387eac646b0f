"""Where hidden repeats are in a log, and what reliability does to lessons; the log is the station's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.lessons import squares, tiny
from support.mentored_line import Line
from support.mentoring import settings as log_settings
from support.scripted import scripted

from benchmarks.reliability import share_of_wrong
from edge.mentoring.log import MentoringLog
from lineside.log_snapshot import read_snapshot
from lineside.records import Gesture
from training.config import FeedbackPlan
from training.data.account import Ledger
from training.data.mentoring import Wanted, read_logs
from training.data.merging import merge
from training.losses.classification import ABSENT, PRESENT, UNKNOWN
from training.reliability.questions import Question, questions_of
from training.simulation.judging import Character
from training.simulation.shortcut import Member, Shortcut


class Station(Line):
    """A line whose log can be asked for its questions and lessons."""

    def questions(self) -> tuple[Question, ...]:
        return questions_of(
            merge([read_snapshot(self.log.root)], Ledger(), lambda log, frame: np.zeros((1, 1), np.uint8))
        )

    def votes(self) -> list[tuple[tuple[str, bool], ...]]:
        return sorted(question.votes for question in self.questions())


@pytest.fixture
def line(tmp_path: Path) -> object:
    with MentoringLog(tmp_path / "log", log_settings(), lambda event, sequence: None) as log:
        yield Station(log, tiny())


def test_two_operators_on_one_detection_are_a_hidden_repeat(line: Station) -> None:
    frame_id = line.keep([[3], [120]])
    line.say(frame_id, 0, Gesture.REJECT, operator="ada")
    line.say(frame_id, 0, Gesture.POOR_BOX, operator="bob")
    line.say(frame_id, 1, Gesture.WRONG_CLASS, operator="ada")
    assert line.votes() == [(("ada", False),), (("ada", False), ("bob", True))]
    assert [question.repeated for question in line.questions()] == [True, False]


def test_a_correction_is_no_repeat_and_unsure_is_no_answer(line: Station) -> None:
    frame_id = line.keep([[3], [120]])
    line.say(frame_id, 0, Gesture.REJECT)
    line.say(frame_id, 0, Gesture.CONFIRM, revision=2)
    line.say(frame_id, 1, Gesture.UNSURE)
    assert line.votes() == [(("ada", True),)]


def test_the_same_picture_kept_twice_is_a_repeat_also_for_one_operator(line: Station) -> None:
    first, second = line.keep([[3], [120]], seed=5), line.keep([[120], [3]], seed=5)
    line.say(first, 0, Gesture.REJECT)
    line.say(second, 1, Gesture.CONFIRM)  # the same place, numbered otherwise
    assert line.votes() == [(("ada", False), ("ada", True))]
    other = line.keep([[3]], seed=6)  # another picture: another question
    line.say(other, 0, Gesture.REJECT)
    assert len(line.votes()) == 2


def test_a_healthy_frame_answers_no_to_what_its_operator_did_not_answer(line: Station) -> None:
    frame_id = line.keep([[3], [120]])
    line.say(frame_id, 0, Gesture.CONFIRM, operator="ada")
    line.say(frame_id, None, Gesture.FRAME_HEALTHY, operator="ada")
    line.say(frame_id, 1, Gesture.CONFIRM, operator="bob")
    assert line.votes() == [(("ada", False), ("bob", True)), (("ada", True),)]


def fill(line: Station) -> tuple[str, str]:
    """Bob answers the other way round on every second of 30 shared pictures; then alone, and against ada."""
    for seed in range(30):
        frame_id = line.keep([[3]], seed=seed)
        for name in ("ada", "bea", "bob"):
            wrong = name == "bob" and seed % 2
            line.say(frame_id, 0, Gesture.CONFIRM if wrong else Gesture.REJECT, operator=name)
    alone = line.keep([[3], [120]], seed=100)
    line.say(alone, 0, Gesture.CONFIRM, operator="ada")
    line.say(alone, 1, Gesture.CONFIRM, operator="bob")
    fought = line.keep([[3]], seed=101)
    line.say(fought, 0, Gesture.CONFIRM, operator="ada")
    line.say(fought, 0, Gesture.REJECT, operator="bob")
    return alone, fought


def test_reliable_answers_weigh_more_and_settle_disputes(line: Station) -> None:
    alone, fought = fill(line)
    said = read_logs([line.log.root], tiny(), Wanted(reliability=True))
    plain = read_logs([line.log.root], tiny(), Wanted())
    # Plain: the 15 contradicted pictures and the last are disputed. Reliable: the majority's answer is taught.
    assert plain.account.judgements.disputed == {
        "operators ada, bea, bob disagree": 15,
        "operators ada, bob disagree": 1,
    }
    assert said.account.judgements.disputed == {}
    assert said.account.answers.disputed == {"outweighed by more reliable operators": 16}
    numbers = said.account.operators
    assert numbers["bob"]["high"] < numbers["ada"]["low"]
    assert numbers["bob"]["repeats"] == 31

    by_id = dict(zip(said.frame_ids, said.frames, strict=True))
    lesson = by_id[fought]
    assert lesson.states[3].max() == PRESENT
    assert all((item.states[3] == ABSENT).all() for name, item in by_id.items() if name not in (alone, fought))
    single = by_id[alone]
    assert single.weights is not None
    ada, bob = single.weights[3], single.weights[120]
    expected = (2 * numbers["bob"]["mean"] - 1) / (2 * numbers["ada"]["mean"] - 1)
    assert bob / ada == pytest.approx(max(0.0, expected), rel=1e-4)
    assert (single.weights[~single.spoken] == 1).all()
    # Their mean over all spoken areas is 1: answers are compared with each other, not with the background.
    taught = [(item, item.spoken & (item.states != UNKNOWN).any(axis=1)) for item in said.frames]
    every = np.concatenate([item.weights[chosen] for item, chosen in taught if item.weights is not None])
    assert every.mean() == pytest.approx(1, abs=1e-5)


def test_an_answer_that_repeats_contradict_on_another_frame_of_the_picture_teaches_nothing(line: Station) -> None:
    fill(line)
    first, second, third = (line.keep([[60]], seed=200) for _ in range(3))
    line.say(first, 0, Gesture.REJECT, operator="ada")
    line.say(second, 0, Gesture.REJECT, operator="bea")
    line.say(third, 0, Gesture.CONFIRM, operator="bob")
    said = read_logs([line.log.root], tiny(), Wanted(reliability=True))
    assert said.account.judgements.skipped == {"answers to hidden repeats speak against it": 1}
    assert third not in said.frame_ids
    assert {first, second} <= set(said.frame_ids)


def test_those_who_agree_that_the_class_is_wrong_teach_what_they_agree_about(line: Station) -> None:
    fill(line)
    frame_id = line.keep([[60]], seed=300)
    line.say(frame_id, 0, Gesture.WRONG_CLASS, class_name="bright", operator="ada")
    line.say(frame_id, 0, Gesture.REJECT, operator="bea")
    said = read_logs([line.log.root], tiny(), Wanted(reliability=True))
    lesson = dict(zip(said.frame_ids, said.frames, strict=True))[frame_id]
    assert lesson.states[60].tolist() == [ABSENT, UNKNOWN]


def test_without_repeats_answers_count_as_ever(line: Station) -> None:
    frame_id = line.keep([[3], [120]])
    line.say(frame_id, 0, Gesture.REJECT, operator="ada")
    line.say(frame_id, 1, Gesture.CONFIRM, operator="bob")
    (lesson,) = read_logs([line.log.root], tiny(), Wanted(reliability=True)).frames
    assert lesson.weights is not None
    assert (lesson.weights[(lesson.states != UNKNOWN).any(axis=1)] == 1).all()


CREW = (
    Member(name="ada", character=Character()),
    Member(name="bea", character=Character(error_rate=0.02)),
    Member(name="bob", character=Character(error_rate=0.3)),
)


def shift(seed: int, *, pictures: int = 110, repeats: float = 0.4, crew: tuple[Member, ...] = CREW) -> Shortcut:
    """Three operators on one stream."""
    data, config = squares(pictures, seed=seed), tiny()
    shortcut = Shortcut(data, Character(), FeedbackPlan(gestures="binary"), seed=seed, crew=crew, repeats=repeats)
    shortcut.round(scripted(data, config))
    return shortcut


def test_pictures_are_shared_out_and_a_share_is_shown_to_everybody() -> None:
    records = shift(0, repeats=0.25).records()
    shared = [record for record in records if any(len(item.operators) == 3 for item in record.judgements)]
    assert len(records) == 110
    assert 15 <= len(shared) <= 45
    names = {name for record in records for item in record.judgements for name in item.operators}
    assert names == {"ada", "bea", "bob"}
    assert shift(0, repeats=0.25).records()[5].judgements == records[5].judgements


def test_within_two_hundred_answers_each_the_bad_operator_stands_apart() -> None:
    apart = []
    for seed in range(5):
        numbers = shift(seed).lessons(tiny(), whole_frames=False, reliability=True).account.operators
        given = {
            name: sum(values[kind] for kind in ("used", "skipped", "disputed")) for name, values in numbers.items()
        }
        assert max(given.values()) <= 200
        apart.append(numbers["bob"]["high"] < min(numbers["ada"]["low"], numbers["bea"]["low"]))
    assert np.mean(apart) >= 0.8


def test_reliability_takes_most_of_the_weight_off_wrong_answers_and_most_of_the_disputes_back() -> None:
    perfect = tuple(Member(name=member.name, character=Character()) for member in CREW)
    plain, weighed, taught = [], [], []
    for seed in range(3):
        truth = shift(seed, repeats=0.2, crew=perfect).lessons(tiny(), whole_frames=False)
        noisy = shift(seed, repeats=0.2)
        transfer = noisy.lessons(tiny(), whole_frames=False)
        reliable = noisy.lessons(tiny(), whole_frames=False, reliability=True)
        plain.append(share_of_wrong(transfer, truth))
        weighed.append(share_of_wrong(reliable, truth))
        taught.append((transfer.account.judgements.used, reliable.account.judgements.used))
    assert np.mean(plain) > 0.05
    assert np.mean(weighed) < 0.7 * np.mean(plain)
    assert all(more > less for less, more in taught)
