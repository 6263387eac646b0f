"""Figures are what was counted, their means are means, and a table shows every one of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from lineside.records import Gesture
from loop.figures import digest_of_folder, gap_closed, loop_figures, mean_of, model_figures, write_json
from loop.operator import Tally
from loop.run import Mentoring, Swap
from loop.stream import Count
from loop.table import COLUMNS, counts, number, table
from training.evaluate.figures import Figures


def figures(domain: str, value: float | None) -> Figures:
    return Figures(
        domain=domain,
        images=2,
        healthy_images=2,
        map_33=value,
        map_50=value,
        precision=value,
        recall=value,
        false_alarms_per_healthy=value,
        escapes=value,
        classes=(),
    )


def test_a_models_figures_say_which_domain_they_are_of() -> None:
    values = model_figures((figures("original", 0.9), figures("new", 0.4)))
    assert values["original_map"] == values["original_precision"] == 0.9
    assert values["new_map"] == values["precision"] == values["recall"] == values["false_alarms_per_healthy"] == 0.4
    assert {key for key, _ in COLUMNS} <= set(values)


def test_frames_and_clicks_are_added_up_and_what_is_missing_is_lost() -> None:
    streamed = Count(sent=10, answered=7, no_verdict=Counter(NO_MODEL=1), refused=Counter(QUEUE_FULL=1))
    swapped = Count(sent=5, answered=5)
    tally = Tally(clicks={Gesture.CONFIRM: 2, Gesture.REJECT: 3}, seconds=7.5, frames_judged=4)
    values = loop_figures(Mentoring(count=streamed, tally=tally), Swap(count=swapped, seconds=0.2, probation="ACTIVE"))
    assert values["frames_sent"] == 15
    assert values["frames_answered"] == 12
    assert values["frames_lost"] == 1
    assert values["frames_without_verdict"] == values["frames_refused"] == 1
    assert values["clicks"] == 5
    assert values["operator_seconds"] == 7.5
    json.dumps(values)


def test_the_gap_is_closed_by_a_share() -> None:
    models = {"baseline": {"new_map": 0.6}, "candidate": {"new_map": 0.75}, "full": {"new_map": 0.8}}
    assert gap_closed(models) == pytest.approx(0.75)
    assert gap_closed({**models, "full": {"new_map": 0.6}}) is None
    assert gap_closed({**models, "full": {"new_map": None}}) is None


def test_means_go_down_into_what_is_nested_and_keep_what_is_unknown() -> None:
    seeds = [{"a": 1, "b": {"c": 2.0, "d": None}}, {"a": 2, "b": {"c": 4.0, "d": 1.0}}]
    assert mean_of(seeds) == {"a": 1.5, "b": {"c": 3.0, "d": None}}


def test_a_table_has_a_line_a_model_and_a_dash_where_nothing_was_measured() -> None:
    rows = {
        "baseline": model_figures((figures("original", 0.871), figures("new", None))),
        "candidate": model_figures((figures("original", 0.861), figures("new", 0.8149))),
    }
    text = table(rows, title="a title")
    lines = text.splitlines()
    assert lines[0] == "a title"
    assert len({line.index("|") for line in lines[1:3] + lines[4:6]}) == 1
    assert lines[4].split() == ["baseline", "|", *["0.87"] * 5, "|", *["-"] * 5]
    assert lines[5].split() == ["candidate", "|", *["0.86"] * 5, "|", *["0.81"] * 5]


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (3, "3.00"), (0.0, "0.00"), (1.239, "1.24")])
def test_numbers_are_written_as_what_they_are(value: float | None, text: str) -> None:
    assert number(value) == text


def test_counts_are_named_in_words() -> None:
    lines = counts({"frames_lost": 0.0, "clicks": 12, "answers": 2.5, "none": None}).splitlines()
    assert lines == ["frames lost  0", "clicks       12", "answers      2.5", "none         -"]


def test_a_folders_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"1")
    first = digest_of_folder(tmp_path)
    assert first == digest_of_folder(tmp_path)
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    assert digest_of_folder(tmp_path) != first


def test_figures_are_written_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.json"
    write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]
