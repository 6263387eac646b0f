"""The table's views say the same thing, and no name gets through as markup."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import re

import pytest
from support.tables import document, result

from training.table1.charts import spread
from training.table1.crops import Crop, Drawn
from training.table1.document import to_csv, to_json
from training.table1.html import Gallery, better, to_html
from training.table1.plan import Job, TablePlan
from training.table1.settle import Budgeted
from training.table1.statistics import Estimate, estimate
from training.table1.summary import COLUMNS, rows_of
from training.table1.text import change, number, percent, to_text
from training.table1.verdict import choose

SCORES = {
    "baseline": [0.60, 0.62, 0.61],
    "recommended": [0.80, 0.83, 0.81],
    "second_round": [[0.80, 0.86], [0.83, 0.87], [0.81, 0.85]],
    "full": [0.90, 0.92, 0.91],
}


def cells(page: str) -> list[list[str]]:
    """Texts of the first cells of all table rows."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, flags=re.DOTALL)
    return [
        [
            html.unescape(re.sub(r"<[^>]+>", " ", cell))
            for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        ]
        for row in rows
    ]


def test_csv_json_text_and_page_show_the_same_figures() -> None:
    table = document(SCORES)
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    values = json.loads(to_json(table))
    page, text = to_html(table, {}, ()), to_text(table)
    assert [line["recipe"] for line in lines if line["last"] == "1"] == [row["recipe"] for row in values["rows"]]
    shown = [row for row in cells(page) if row and row[0].split()[:1] == ["recommended"]]
    for line in lines:
        row = next(item for item in values["rows"] if item["recipe"] == line["recipe"])
        entry = next(item for item in row["rounds"] if str(item["number"]) == line["round"])
        for domain in ("original", "new"):
            for column in COLUMNS:
                told = entry["figures"][domain][column.field]
                for name, suffix in (("mean", ""), ("low", "_low"), ("high", "_high")):
                    assert float(line[f"{domain}_{column.field}{suffix}"]) == pytest.approx(told[name], abs=1e-5)
    recommended = values["rows"][1]["rounds"][0]["figures"]["new"]["map_33"]
    assert recommended["values"] == [0.80, 0.83, 0.81]
    mean = f"{recommended['mean']:.3f}"
    assert any(mean in row[1] for row in shown)
    assert mean in text


def test_each_round_of_a_row_is_a_line() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(document(SCORES)))))
    assert [(line["recipe"], line["round"], line["last"]) for line in lines] == [
        ("baseline", "0", "1"),
        ("recommended", "1", "1"),
        ("second_round", "1", "0"),
        ("second_round", "2", "1"),
        ("full", "0", "1"),
    ]
    assert float(lines[3]["operator_seconds"]) == 200.0


def test_the_page_needs_nothing_from_anywhere_and_runs_nothing() -> None:
    page = to_html(
        document(SCORES), {"full": [[{"stage": "training", "done": 20, "loss_original": 1.0, "loss_new": 0.5}]]}, ()
    )
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert page.count("data:image/svg+xml;base64,") == 3


def test_the_same_table_is_the_same_page() -> None:
    assert to_html(document(SCORES), {}, ()) == to_html(document(SCORES), {}, ())


def test_the_recommendation_and_ties_are_said_on_the_page_and_in_the_text() -> None:
    table = document({"baseline": [0.6, 0.61, 0.62], "transfer": [0.75, 0.8, 0.7], "mentored": [0.76, 0.74, 0.73]})
    for view in (to_html(table, {}, ()), to_text(table)):
        assert "No clear winner" in view
        assert "Recommended: transfer" in view


def test_with_one_seed_no_view_shows_an_interval() -> None:
    table = document({"baseline": [0.6], "transfer": [0.7]}, seeds=1)
    assert "±" not in to_html(table, {}, ()).replace("± half", "")
    assert "±" not in to_text(table).replace("± half", "")
    assert "there are no intervals" in to_html(table, {}, ())
    assert '"low": null' in to_json(table)


def test_what_is_missing_is_said_with_the_words_of_the_failure() -> None:
    job = Job(recipe="full", seed=1)
    scores = {**SCORES, "full": [0.90]}
    table = document(scores, failures={job: "the <disk> is full"})
    page = to_html(table, {}, ())
    assert "2 runs are not there" in page
    assert "the &lt;disk&gt; is full" in page
    assert json.loads(to_json(table))["failures"] == {"full-seed1": "the <disk> is full"}
    assert "Failed: full-seed1: the <disk> is full" in to_text(table)


def test_an_empty_table_can_be_shown() -> None:
    table = document({"baseline": []})
    assert "nothing to judge" in to_html(table, {}, ())
    assert to_csv(table).startswith("recipe,round")
    assert json.loads(to_json(table))["rows"] == []
    assert "Not there: baseline-seed0" in to_text(table)


def test_names_are_escaped_everywhere() -> None:
    evil = '<img src=x onerror="alert(1)">'
    classes = (evil, "b")
    found = {Job(recipe="baseline", seed=0): result("baseline", 0, [0.5], classes=classes)}
    plan = TablePlan(data=f"coco:{evil}.json", new="yolo:b", recipes=("baseline",), seeds=1)
    rows = rows_of(plan, found)
    table = document({"baseline": [0.5]}, seeds=1, command=f"python {evil}")
    crop = Crop(
        picture="data:,",
        side=10,
        name=evil,
        caption=evil,
        boxes=(Drawn(kind="met", x=0, y=0, width=1, height=1, words=evil),),
    )
    gallery = Gallery(recipe="baseline", seed=0, kinds={"Missed": (crop,)})
    page = to_html(dataclasses.replace(table, plan=plan, rows=rows, verdict=choose(rows)), {}, (gallery,))
    assert evil not in page
    assert page.count("&lt;img src=x onerror=") >= 6


def test_a_change_is_marked_only_where_its_interval_leaves_out_nothing() -> None:
    fewer = next(column for column in COLUMNS if not column.more_is_better)
    more = COLUMNS[0]

    def of(low: float, high: float) -> Estimate:
        return Estimate(mean=(low + high) / 2, n=3, low=low, high=high)

    assert [better(of(0.1, 0.2), more), better(of(-0.2, -0.1), more)] == ["good", "bad"]
    assert [better(of(0.1, 0.2), fewer), better(of(-0.2, -0.1), fewer)] == ["bad", "good"]
    assert better(of(-0.1, 0.2), more) == ""
    assert better(estimate([0.3]), more) == ""
    assert better(None, more) == ""


def test_figures_are_written_as_the_paper_writes_them() -> None:
    assert change(estimate([0.14, 0.14])) == "+0.14"
    assert change(None) == "–"
    assert number(estimate([0.8124])) == "0.812"
    assert number(None) == "–"
    assert percent(estimate([0.81])) == "81 %"


def test_seeds_that_cannot_measure_the_gap_are_named_in_text_and_page() -> None:
    table = document({**SCORES, "full": [0.90, 0.61, 0.91]})
    words = "Gap closed leaves out seed 1,"
    assert words in to_text(table)
    assert words in to_html(table, {}, ())
    assert "leaves out" not in to_text(document(SCORES))


def test_a_table_cut_to_a_fraction_of_its_steps_says_so_where_it_is_read() -> None:
    short = Budgeted(budget=1200.0, asked_scale=0.45, scale=0.037, parallel=2, timing={})
    table = dataclasses.replace(document(SCORES), budgeted=short)
    words = "in 1200 s rows get 8% of the steps they should have"
    assert words in to_text(table)
    assert words in to_html(table, {}, ())
    fair = dataclasses.replace(table, budgeted=dataclasses.replace(short, scale=0.3))
    assert "Warning" not in to_text(fair)
    assert "Warning" not in to_html(fair, {}, ())


def test_labels_are_moved_apart_as_little_as_need_be() -> None:
    assert spread([0.0, 5.0], 1.0, -10, 10) == [0.0, 5.0]
    # Three that want the same place lie around it.
    assert spread([2.0, 2.0, 2.0], 1.0, -10, 10) == pytest.approx([1.0, 2.0, 3.0])
    assert spread([9.8, 9.9], 1.0, 0, 10) == pytest.approx([9.0, 10.0])
    assert spread([0.0, 0.1], 1.0, 0, 10) == pytest.approx([0.0, 1.0])
