"""The model card: what an auditor asks for is on it, from no other place, and the same each time."""

from __future__ import annotations

import datetime
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from support import packages

from export.card import card_of, limits_of
from export.evidence import Curve, Evidence, curves_of, worst_of
from export.papers import papers
from export.use import Use, parse_date
from lineside.decode import Found
from lineside.golden import unpack
from lineside.package import CARD_NAME, GOLDEN_NAME, GRAPH_NAME, SBOM_NAME, Package, write_package
from lineside.v1 import model_pb2
from training.data.sample import ArrayPicture, Sample
from training.evaluate.figures import figures_of
from training.evaluate.predictor import Answer

CLASSES = ("dent", "scratch")


def found(*detections: tuple[float, int, float]) -> Found:
    """(left edge, class, score): boxes of 10 x 10 pixels, best first."""
    return Found(
        boxes=np.array([[x, 0, x + 10, 10] for x, _, _ in detections], np.float32).reshape(-1, 4),
        scores=np.array([score for _, _, score in detections], np.float32),
        classes=np.array([kind for _, kind, _ in detections], np.int32),
        areas=tuple(np.array([number], np.int32) for number in range(len(detections))),
    )


def sample(name: str, *defects: tuple[float, int]) -> Sample:
    return Sample(
        name=name,
        picture=ArrayPicture(pixels=np.full((20, 60), 128, np.uint8)),
        boxes=np.array([[x, 0, x + 10, 10] for x, _ in defects], np.float32).reshape(-1, 4),
        classes=np.array([kind for _, kind in defects], np.int32),
    )


def answer(every: Found, threshold: float = 0.5) -> Answer:
    kept = every.scores >= threshold
    return Answer(
        found=every,
        deployed=Found(
            boxes=every.boxes[kept],
            scores=every.scores[kept],
            classes=every.classes[kept],
            areas=tuple(area for area, keep in zip(every.areas, kept, strict=True) if keep),
        ),
    )


@pytest.fixture
def answers() -> list[tuple[Sample, Answer]]:
    return [
        (sample("met", (0, 0)), answer(found((0, 0, 0.9)))),
        (sample("escape", (0, 0)), answer(found((0, 0, 0.4)))),
        (sample("noisy", (0, 0), (40, 1)), answer(found((20, 0, 0.8), (0, 0, 0.7), (20, 1, 0.6)))),
        (sample("healthy"), answer(found())),
    ]


def test_a_curve_is_what_a_hand_counts(answers: list[tuple[Sample, Answer]]) -> None:
    # Dents, best first: 0.9 right, 0.8 false, 0.7 right, 0.4 right; of 3 defects.
    # Precision 1, 1/2, 2/3, 3/4 at recall 1/3, 1/3, 2/3, 1. At 0.5 three are raised: the third point.
    dent, scratch = curves_of(answers, CLASSES, [0.5, 0.5])
    assert dent == Curve(
        name="dent", points=((0.3333, 1.0), (0.3333, 0.5), (0.6667, 0.6667), (1.0, 0.75)), deployed=(0.6667, 0.6667)
    )
    assert scratch.points == ((0.0, 0.0),)
    assert curves_of(answers, CLASSES, [0.95, 0.5])[0].deployed is None
    # A class without a defect has no recall.
    assert [curve.name for curve in curves_of(answers[:2], CLASSES, [0.5, 0.5])] == ["dent"]


def test_the_worst_pictures_are_escapes_first_then_most_errors(answers: list[tuple[Sample, Answer]]) -> None:
    shots = worst_of(answers, CLASSES)
    assert [shot.title for shot in shots] == ["escape: escape: nothing was raised", "noisy: 1 missed, 2 false"]
    kinds = [(mark.kind, mark.text) for mark in shots[1].marks]
    assert kinds == [
        ("met", "dent"),
        ("missed", "scratch"),
        ("false", "dent 0.80"),
        ("right", "dent 0.70"),
        ("false", "scratch 0.60"),
    ]
    assert [shot.title for shot in worst_of(answers, CLASSES, count=1)] == ["escape: escape: nothing was raised"]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    manifest = packages.manifest_for(packages.anchor_head())
    manifest.lineage.training_config_json = '{"note":"<script>alert(1)</script>"}'
    manifest.lineage.parent_digest = "sha256:" + "7" * 64
    manifest.lineage.logs.add(station="north", first_sequence=4, last_sequence=90, frames=20, feedback_events=40)
    manifest.responsible = "J. <b>Weber</b>"
    figures = manifest.evaluations.add(domain="original", images=30, healthy_images=5, map_33=0.9121, escapes=0.1)
    figures.classes.add(name="dent", defects=12, ap_33=0.875)
    return packages.write(tmp_path / "p", manifest, packages.graph_for(packages.anchor_head()))


class Page(HTMLParser):
    """What a browser would ask for, and whether tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asked: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asked += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "br", "img", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def made(package: Package, answers: list[tuple[Sample, Answer]]) -> bytes:
    limits = np.array([0.5, 0.5], np.float32)
    evidence = Evidence(
        figures=figures_of(answers, limits, classes=CLASSES, domain="original"),
        curves=curves_of(answers, CLASSES, limits.tolist()),
        worst=worst_of(answers, CLASSES),
    )
    return card_of(
        package.manifest,
        unpack(package.read(GOLDEN_NAME), package.manifest),
        files={GRAPH_NAME: (package.manifest.files[1].size, package.manifest.files[1].sha256)},
        evidence=[evidence],
        made_by=[("network", "anchors")],
    )


def test_the_card_has_what_an_auditor_asks_for(package: Package, answers: list[tuple[Sample, Answer]]) -> None:
    text = made(package, answers).decode()
    for word in (
        "0.912",  # mAP, to three places
        "0.875",  # average precision of dents
        "sha256:" + "7" * 64,  # the parent
        package.manifest.files[1].sha256,  # the graph
        "<td>north</td><td>20</td><td>40</td><td>4</td><td>90</td>",
        "escape: escape: nothing was raised",
        "on 3 of 30 defective pictures nothing was raised at all",
        "few defects of dent (12)",
        "how it does in other light is not known",
    ):
        assert word in text, word
    page = Page(text)
    assert page.open == []
    assert page.tags.count("polyline") == 2
    # Two golden frames and two of the worst; each golden frame shows what the thresholds raise.
    assert page.tags.count("image") == 4
    expected = [unpack(package.read(GOLDEN_NAME), package.manifest)[number].outputs["scores"] for number in (0, 1)]
    assert any((scores >= 0.5).any() for scores in expected)
    assert 'class="golden"' in text


def test_the_card_asks_for_nothing_and_runs_nothing(package: Package, answers: list[tuple[Sample, Answer]]) -> None:
    text = made(package, answers).decode()
    page = Page(text)
    assert page.asked
    assert all(address.startswith("data:image/") for address in page.asked)
    assert not {"script", "link", "iframe", "object", "img", "a", "b"} & set(page.tags)
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert not re.search(r"url\(|@import|https?://", text)
    assert "&lt;script&gt;" in text


def test_the_same_package_has_the_same_papers(package: Package) -> None:
    files = {name: package.read(name) for name in (GRAPH_NAME, GOLDEN_NAME)}
    once, again = (papers(package.manifest, files, blind=("squash",)) for _ in range(2))
    assert once == again
    assert set(once) == {CARD_NAME, SBOM_NAME}
    assert b"would not notice squash" in once[CARD_NAME]
    assert b"lineside 0." in once[CARD_NAME]
    whole = write_package(package.folder.parent / "whole", package.manifest, {**files, **once})
    assert {item.name for item in whole.manifest.files} == {GRAPH_NAME, GOLDEN_NAME, CARD_NAME, SBOM_NAME}


def test_a_package_without_figures_says_that_nobody_knows() -> None:
    manifest = packages.manifest_for(packages.cell_head())
    assert limits_of(manifest) == ["Nothing was measured: how good it is nobody knows."]
    manifest.purpose = model_pb2.PURPOSE_TRIAL
    assert limits_of(manifest)[0].startswith("Made for trial")
    manifest.evaluations.add(domain="new", images=400)
    assert "not measured class by class" in limits_of(manifest)[-1]


def test_dates_are_whole_days_in_utc_unless_they_say_otherwise() -> None:
    utc = datetime.timezone.utc
    assert parse_date("2026-12-31") == datetime.datetime(2026, 12, 31, tzinfo=utc)
    assert parse_date("2026-12-31", end_of_day=True) == datetime.datetime(2026, 12, 31, 23, 59, 59, tzinfo=utc)
    assert parse_date("2026-12-31T18:00:00+01:00", end_of_day=True) == datetime.datetime(2026, 12, 31, 17, tzinfo=utc)
    assert parse_date("2026-12-31T18:00:00Z") == datetime.datetime(2026, 12, 31, 18, tzinfo=utc)
    with pytest.raises(ValueError, match=r"'soon' is no date; expected e\.g\. 2026"):
        parse_date("soon")
    with pytest.raises(ValueError, match="no time zone"):
        Use(not_after=datetime.datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="'test', expected one of release, trial"):
        Use(purpose="test")
    manifest = model_pb2.PackageManifest()
    Use(purpose="trial", not_before=parse_date("2026-06-01"), responsible="J. Weber").write(manifest)
    assert manifest.not_before.ToJsonString() == "2026-06-01T00:00:00Z"
    assert (manifest.purpose, manifest.responsible) == (model_pb2.PURPOSE_TRIAL, "J. Weber")
    assert not manifest.HasField("not_after")
