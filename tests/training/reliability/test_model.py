"""Operators' reliability against hand-computed numbers, an independent integral, limits and laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from training.reliability.model import PRIOR, Reliability, chance_of_right, chance_of_yes, estimate, posterior
from training.reliability.questions import Question


def asked(*answers: tuple[int, dict[str, bool]]) -> list[Question]:
    """Questions by how often, and who said what."""
    return [
        Question(places=((f"f{number}-{again}", "d"),), votes=tuple(sorted(votes.items())))
        for number, (times, votes) in enumerate(answers)
        for again in range(times)
    ]


def certain(**means: float) -> dict[str, Reliability]:
    return {name: Reliability(mean=mean, low=0.0, high=1.0, repeats=9) for name, mean in means.items()}


def test_the_chance_of_yes_is_the_product_of_odds() -> None:
    known = certain(ada=0.9, bob=0.7)
    # ada yes: 9 to 1. bob no: 3 to 7. Together 27 to 7.
    assert chance_of_yes([("ada", True), ("bob", False)], known) == pytest.approx(27 / 34)
    assert chance_of_yes([("ada", True), ("ada", True)], known) == pytest.approx(81 / 82)
    assert chance_of_yes([], known) == 0.5
    assert chance_of_right(["bob"], known) == pytest.approx(0.7)
    # Somebody nobody knows is as the prior says: 0.9.
    assert chance_of_right(["eve"], known) == pytest.approx(0.9)


def test_without_repeats_everybody_is_as_the_prior_says() -> None:
    found = estimate(asked((40, {"ada": True}), (3, {"bob": False})))
    for item in found.values():
        assert item.mean == pytest.approx(PRIOR[0] / sum(PRIOR), abs=0.01)
        assert item.repeats == 0
    assert estimate([]) == {}


def test_the_draws_agree_with_the_integral_over_a_grid() -> None:
    # Two operators, 14 questions: both yes 6, both no 4, ada alone yes 3, bob alone yes 1.
    table = [(6, 1, 1), (4, 0, 0), (3, 1, 0), (1, 0, 1)]
    grid = (np.arange(60) + 0.5) / 60
    weights = np.zeros((60, 60))
    for share in grid:
        a, b = grid[:, None], grid[None, :]
        logs = np.zeros((60, 60))
        for times, ada, bob in table:
            if_yes = (a if ada else 1 - a) * (b if bob else 1 - b)
            if_no = (1 - a if ada else a) * (1 - b if bob else b)
            logs = logs + times * np.log(share * if_yes + (1 - share) * if_no)
        weights += np.exp(logs)
    for axis in (0, 1):
        prior = grid ** (PRIOR[0] - 1) * (1 - grid) ** (PRIOR[1] - 1)
        weights = weights * (prior[:, None] if axis == 0 else prior[None, :])
    weights /= weights.sum()
    expected = [float((weights.sum(axis=1) * grid).sum()), float((weights.sum(axis=0) * grid).sum())]
    yes = np.array([[ada, bob] for times, ada, bob in table for _ in range(times)], float)
    draws = posterior(yes, 1 - yes, seed=1)
    assert draws.mean(axis=0) == pytest.approx(expected, abs=0.02)


def test_two_who_disagree_are_equally_doubted_for_nobody_can_tell_who_errs() -> None:
    found = estimate(
        asked((14, {"ada": True, "bob": True}), (3, {"ada": True, "bob": False}), (3, {"ada": False, "bob": True}))
    )
    assert found["ada"].mean == pytest.approx(found["bob"].mean, abs=0.03)
    assert found["ada"].low < found["bob"].mean < found["ada"].high
    assert found["ada"].high - found["ada"].low > 0.2


def test_a_third_tells_who_errs() -> None:
    votes = {"ada": True, "bea": True, "bob": True}
    found = estimate(asked((20, votes), (6, votes | {"bob": False}), (4, dict.fromkeys(votes, False))))
    assert found["bob"].high < min(found["ada"].mean, found["bea"].mean)
    assert found["bob"].mean == pytest.approx((4.5 + 24) / (5 + 30), abs=0.03)  # all but conjugate: truth is plain


def test_exchanging_yes_and_no_changes_nobody() -> None:
    questions = [(9, {"ada": True, "bob": True}), (4, {"ada": True, "bob": False}), (5, {"ada": False, "bob": False})]
    turned = [(times, {name: not said for name, said in votes.items()}) for times, votes in questions]
    one, other = estimate(asked(*questions)), estimate(asked(*turned))
    for name in one:
        assert one[name].mean == pytest.approx(other[name].mean, abs=0.02)


def test_more_repeats_narrow_the_interval() -> None:
    widths = []
    for times in (5, 20, 80):
        item = estimate(asked((times, {"ada": True, "bea": True, "bob": True})))["ada"]
        widths.append(item.high - item.low)
    assert widths[0] > widths[1] > widths[2]


def test_equal_questions_give_equal_numbers_in_any_order() -> None:
    questions = asked((5, {"ada": True, "bob": True}), (2, {"ada": True, "bob": False}))
    assert estimate(questions) == estimate(list(questions))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(11)
    covered = []
    for run in range(40):
        true = generator.beta(*PRIOR, 3)
        truth = generator.random(25) < generator.random()
        said = truth[:, None] ^ (generator.random((25, 3)) > true)
        draws = posterior(said.astype(float), (~said).astype(float), seed=run)
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        covered += [bool(a <= r <= b) for a, r, b in zip(low, true, high, strict=True)]
    assert np.mean(covered) >= 0.9


def test_a_reliability_out_of_order_is_refused() -> None:
    for mean, low, high in itertools.permutations((0.5, 0.2, 0.8)):
        if not low <= mean <= high:
            with pytest.raises(ValueError, match="in this order"):
                Reliability(mean=mean, low=low, high=high, repeats=1)
