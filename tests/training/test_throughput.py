"""What a remedy costs is measured on the remedy, against the plain step of the same round."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.lessons import squares, tiny

from benchmarks.throughput import PLAIN, REMEDIES, Row, Steps, answered, main, take_turns
from training.data.prepared import annotate, annotate_all
from training.device import CPU
from training.losses.classification import ABSENT, PRESENT, UNKNOWN


def test_a_ratio_is_to_the_plain_step_of_the_same_round() -> None:
    plain = Row(name=PLAIN, seconds=(1.0, 2.0, 4.0))
    slower = Row(name="dann", seconds=(1.1, 2.4, 4.0))
    assert slower.ratios(plain) == pytest.approx((1.1, 1.2, 1.0))
    values = slower.to_json(plain, 12)
    assert (values["ratio"], values["ratio_lowest"], values["ratio_highest"]) == (1.1, 1.0, 1.2)
    assert (values["seconds_a_step"], values["pictures_a_second"]) == (2.4, 5.0)
    with pytest.raises(ValueError, match="dann has 1 rounds, mentored 3"):
        Row(name="dann", seconds=(1.0,)).ratios(plain)


def test_rows_take_turns_and_the_first_call_is_not_measured() -> None:
    now = 0.0
    calls: list[str] = []

    def row(name: str, seconds: float) -> object:
        def step(number: int) -> None:
            nonlocal now
            calls.append(f"{name}{number}")
            now += 100.0 if number == 0 else seconds

        return step

    rows = {"a": row("a", 1.0), "b": row("b", 3.0)}
    found = take_turns(rows, rounds=2, clock=lambda: now, steps={"a": 2, "b": 1})  # type: ignore[arg-type]
    assert [(made.name, made.seconds) for made in found] == [("a", (1.0, 1.0)), ("b", (3.0, 3.0))]
    assert calls == ["a0", "b0", "a1", "a2", "b1", "b2", "a3", "a4"]


def test_answers_made_from_labels_confirm_the_defects_and_reject_as_many_places() -> None:
    config = tiny("cells")
    item = annotate(squares(1)[0], config)
    said = answered(item, config, np.random.default_rng(0), whole=True)
    confirmed = (said.states == PRESENT).any(axis=1)
    assert confirmed.any()
    assert said.states[confirmed, item.classes[0]].tolist() == [PRESENT] * int(confirmed.sum())
    rejected = (said.states == ABSENT).all(axis=1)
    assert int(rejected.sum()) == 6
    assert (said.states[~said.spoken] == UNKNOWN).all()
    healthy = annotate(squares(4)[3], config)
    assert (answered(healthy, config, np.random.default_rng(0), whole=True).states == ABSENT).all()
    assert int((answered(healthy, config, np.random.default_rng(0), whole=False).states == ABSENT).sum()) == 12


def test_every_remedy_is_at_work_in_the_step_that_is_measured() -> None:
    config = tiny()
    old, new = annotate_all(squares(4), config), annotate_all(squares(4, seed=1), config)
    heard = {}
    for name in ("mentored", "dann", "distil", "teacher"):
        steps = Steps(name, config, batch=2, old=old, new=new, device=CPU)
        learned = steps.learner.losses(steps._sampler.batch(0), 900, 1000)[1]
        heard[name] = {key: float(value) for key, value in learned.auxiliary.items()}
    assert heard["mentored"] == {}
    assert {name: list(losses) for name, losses in heard.items() if losses} == {
        "dann": ["dann"],
        "distil": ["distil"],
        "teacher": ["teacher"],
    }
    assert heard["dann"]["dann"] > 0.1


def test_the_command_writes_a_row_for_each_remedy_and_backbone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "throughput.json"
    small = ["--rounds", "1", "--steps", "1", "--batch", "2", "--size", "64", "--parts", "4"]
    assert main([*small, "--backbones", "medium", "--json", str(file)]) == 0
    values = json.loads(file.read_text())
    assert [row["name"] for row in values["rows"]] == [*REMEDIES, "mentored, medium backbone"]
    plain = next(row for row in values["rows"] if row["name"] == PLAIN)
    assert plain["ratio"] == plain["ratio_lowest"] == plain["ratio_highest"] == 1
    assert values["data_digest"].startswith("sha256:")
    assert "medium backbone" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--recipes", "dann"])
