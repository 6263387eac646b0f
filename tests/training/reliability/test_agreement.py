"""Who errs stands apart: three operators, one of whom flips three answers in ten."""

from __future__ import annotations

import numpy as np

from training.reliability.agreement import agreements
from training.reliability.questions import Place, Question

ERRORS = {"ada": 0.02, "bea": 0.02, "bob": 0.3}


def stream(answers: int, *, known_share: float, seed: int) -> tuple[list[Question], dict[Place, bool]]:
    """Questions in turn to one operator each; `known_share` of them about known parts."""
    generator = np.random.default_rng([seed, 1])
    names = list(ERRORS)
    questions, known = [], {}
    for number in range(answers):
        right = bool(generator.random() < 0.4)
        name, place = names[number % 3], (f"{number}", "0")
        if generator.random() < known_share:
            known[place] = right
        questions.append(Question(places=(place,), votes=((name, right ^ bool(generator.random() < ERRORS[name])),)))
    return questions, known


def apart(answers: int, known_share: float) -> float:
    streams = 40
    count = 0
    for seed in range(streams):
        found = agreements(*stream(answers, known_share=known_share, seed=seed))
        count += len(found) == 3 and all(found["bob"].below(found[name]) for name in ("ada", "bea"))
    return count / streams


def test_within_two_hundred_answers_about_known_parts_the_one_who_flips_stands_apart() -> None:
    assert apart(200, 1.0) >= 0.9


def test_with_fewer_known_parts_it_takes_more_answers() -> None:
    assert apart(200, 0.2) < 0.5 < apart(600, 0.5)


def test_hidden_repeats_are_compared_with_the_others_where_they_are_of_one_mind() -> None:
    votes = (("ada", True), ("bea", True), ("bob", False))
    found = agreements([Question(places=((str(number), "0"),), votes=votes) for number in range(4)])
    # The others of ada disagree with each other, so only bob has a reference.
    assert {name: item.compared for name, item in found.items()} == {"bob": 4}
    assert agreements([Question(places=(("1", "0"),), votes=(("ada", True),))]) == {}
