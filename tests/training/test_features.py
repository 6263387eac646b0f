"""Features of areas by domain: which areas, what the probe may know, and the picture of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lessons import CLASSES, pcb_folder, squares, tiny

from lineside.boxes import as_boxes
from training.checkpoint import Lineage, Metadata, save
from training.cli import main
from training.data.prepared import Annotated
from training.data.sample import Dataset, Experiment
from training.evaluate.features import BACKGROUND, Features, balanced, collect, places_of
from training.evaluate.probe import FOLDS, change, probe_domains
from training.evaluate.tsne import choose, draw
from training.models.detector import Detector
from training.shift import Shift


def features(
    *,
    pictures: int = 40,
    each: int = 12,
    width: int = 8,
    shift: float = 0.0,
    own: float = 0.0,
    seed: int = 0,
) -> Features:
    """Gaussian features: every picture moved by `own` in a direction of its own, the new domain by `shift`."""
    generator = np.random.default_rng(seed)
    picture = np.repeat(np.arange(pictures, dtype=np.int32), each)
    new = picture % 2 == 1
    vectors = generator.normal(size=(len(picture), width)) + own * generator.normal(size=(pictures, width))[picture]
    vectors[:, 0] += shift * new
    return Features(
        vectors=vectors.astype(np.float32),
        classes=generator.integers(0, 2, len(picture)).astype(np.int32),
        new=new,
        pictures=picture,
    )


def ungrouped(mine: Features) -> Features:
    """The same areas, each as if it were a picture of its own."""
    return Features(
        vectors=mine.vectors, classes=mine.classes, new=mine.new, pictures=np.arange(len(mine), dtype=np.int32)
    )


def test_a_probe_is_at_chance_on_one_distribution_and_right_on_a_shifted_one() -> None:
    same = probe_domains(features(), pictures=40).accuracy()
    assert 0.42 < same.value < 0.58
    assert same.low < 0.5 < same.high
    apart = probe_domains(features(shift=8.0), pictures=40).accuracy()
    assert apart.value > 0.99
    assert apart.low > 0.98


def test_a_probe_comes_near_the_best_there_can_be() -> None:
    # Two unit normals 2 apart: the best any probe can do is Phi(1) = 0.841.
    found = probe_domains(features(pictures=80, shift=2.0), pictures=80).accuracy()
    assert found.value == pytest.approx(0.841, abs=0.04)
    assert found.low < 0.841 < found.high


def test_a_probe_cannot_know_a_domain_by_having_met_the_picture() -> None:
    # Pictures differ, domains do not. A probe that has met other areas of the same picture knows its domain by heart.
    mine = features(pictures=24, each=30, width=40, own=3.0)
    assert probe_domains(mine, pictures=24).accuracy().value < 0.7
    assert probe_domains(ungrouped(mine), pictures=len(mine)).accuracy().value > 0.95


def test_the_interval_counts_pictures_and_not_areas() -> None:
    mine = features(pictures=24, each=30, own=2.0)
    grouped = probe_domains(mine, pictures=24).accuracy()
    # 360 areas of a domain as independent witnesses would give +- 0.04.
    assert grouped.high - grouped.low > 0.12


def test_classes_that_differ_in_number_tell_nothing_about_the_domain() -> None:
    # Class 0 sits apart from class 1 and is rare in the new domain: its place alone would give the domain away.
    mine = features(pictures=40, each=20)
    keep = (mine.classes == 1) | ~mine.new | (np.arange(len(mine)) % 10 == 0)
    mine.vectors[:, 1] += 20.0 * mine.classes
    assert 0.38 < probe_domains(mine.only(keep), pictures=40).accuracy().value < 0.62


def test_a_change_is_measured_on_the_same_pictures() -> None:
    before = probe_domains(features(shift=3.0, own=1.0), pictures=40)
    after = probe_domains(features(shift=0.0, own=1.0), pictures=40)
    found = change(before, after)
    assert found.value == pytest.approx(after.accuracy().value - before.accuracy().value)
    assert found.high < -0.2
    nothing = change(before, before)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="other pictures"):
        change(before, probe_domains(features(pictures=20), pictures=20))


def test_a_probe_is_the_same_for_the_same_seed() -> None:
    first, second, other = (probe_domains(features(shift=1.0), pictures=40, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.right, second.right)
    assert not np.array_equal(first.right, other.right)


def test_too_few_pictures_are_refused_and_a_few_take_fewer_folds() -> None:
    assert 2 * FOLDS > 4
    assert probe_domains(features(pictures=4, shift=9.0), pictures=4).accuracy().value > 0.9
    with pytest.raises(ValueError, match="expected at least 2"):
        probe_domains(features(pictures=2), pictures=2)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(-1, 3), st.booleans()), min_size=1, max_size=60),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_a_balanced_choice_has_as_many_of_each_class_from_either_domain(
    areas: list[tuple[int, bool]], most: int | None
) -> None:
    classes = np.array([kind for kind, _ in areas], np.int32)
    new = np.array([domain for _, domain in areas], bool)
    mine = Features(
        vectors=np.zeros((len(areas), 1), np.float32), classes=classes, new=new, pictures=np.zeros_like(classes)
    )
    chosen = balanced(mine, np.random.default_rng(0), most=most)
    assert len(set(chosen.tolist())) == len(chosen)
    for kind in set(classes.tolist()):
        there = [int(((classes == kind) & (new == domain)).sum()) for domain in (False, True)]
        expected = min(*there, most or len(areas))
        for domain in (False, True):
            assert int(((classes[chosen] == kind) & (new[chosen] == domain)).sum()) == expected


@pytest.mark.parametrize(
    ("head", "box", "expected"),
    [
        # Rows and columns 2 and 3 of 8 have their middles in the box.
        ("cells", (16, 16, 32, 32), {18, 19, 26, 27}),
        # The 12 x 12 anchor at (20, 20) is the box; the slender ones there overlap it by 120 / 224 = 0.54, those of the
        # next place by 48 / 240: three areas, one place.
        ("anchors", (14, 14, 26, 26), {18}),
    ],
)
def test_defective_areas_are_those_the_assigner_gives_to_a_defect(
    head: str, box: tuple[int, int, int, int], expected: set[int]
) -> None:
    config = tiny(head)
    item = Annotated(
        pixels=np.zeros((64, 64, 1), np.uint8),
        boxes=as_boxes([box]),
        classes=np.array([1], np.int32),
        inside=(0, 8, 64, 56),
    )
    places, kinds = places_of(item, config, background=1000, generator=np.random.default_rng(0))
    assert set(places[kinds == 1].tolist()) == expected
    free = places[kinds == BACKGROUND]
    assert len(set(places.tolist())) == len(places)
    # None on the border of the letterbox, which are the rows 0 and 7, and none where an anchor is left alone.
    assert free.min() >= 8
    assert free.max() < 56
    assert not expected & set(free.tolist())


def experiment(count: int = 8, *, grey: int = 128) -> Experiment:
    nothing = Dataset(name="none", classes=CLASSES, samples=())
    return Experiment(
        name="squares",
        train=nothing,
        eval_original=squares(count, seed=1, name="old"),
        mentoring=nothing,
        eval_new=squares(count, seed=2, name="new", grey=grey),
    )


def test_features_are_the_networks_own_at_those_places() -> None:
    import torch

    torch.manual_seed(0)
    network = Detector(tiny("cells"))
    found = collect(network, experiment(), background=2, seed=5)
    assert found.vectors.shape == (len(found), network.backbone.outputs)
    # Every fourth picture is healthy: 6 of 8 have a defect, and all 16 give two background areas.
    assert len(found.background) == 32
    assert set(found.defective.pictures.tolist()) == {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14}
    assert found.new.tolist() == [int(picture) >= 8 for picture in found.pictures]
    with torch.no_grad():
        pixels = experiment().eval_original[0].picture.read()
        maps = network.features(torch.from_numpy(pixels.copy())[None, None].float())[0]
    mine = found.only(found.pictures == 0).vectors
    assert all(any(np.allclose(vector, place, atol=1e-5) for place in maps.flatten(1).T.numpy()) for vector in mine)
    again = collect(network, experiment(), background=2, seed=5)
    assert np.array_equal(found.vectors, again.vectors)


def test_one_domain_alone_or_other_classes_cannot_be_compared() -> None:
    network = Detector(tiny())
    alone = Experiment(**{**_fields(experiment()), "eval_new": Dataset(name="none", classes=CLASSES, samples=())})
    with pytest.raises(ValueError, match="the new domain has no pictures"):
        collect(network, alone)
    with pytest.raises(ValueError, match="the network knows classes"):
        collect(Detector(tiny(classes=("a", "b"))), experiment())


def _fields(value: Experiment) -> dict[str, object]:
    return {name: getattr(value, name) for name in ("name", "train", "eval_original", "mentoring", "eval_new")}


def test_a_panel_has_a_point_for_each_feature_and_is_drawn_the_same_again() -> None:
    panels = [("first", features(pictures=12, each=5)), ("second", features(pictures=12, each=5, shift=5.0))]
    figure = draw(panels, CLASSES, seed=1)
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    for axes, (_, mine) in zip(figure.axes, panels, strict=True):
        points = [np.asarray(part.get_offsets()) for part in axes.collections]
        assert sum(len(part) for part in points) == len(mine)
        # One collection for each class and domain that there is: colour and marker tell both.
        assert len(points) == 4
    again = draw(panels, CLASSES, seed=1)
    for axes, other in zip(figure.axes, again.axes, strict=True):
        for part, twin in zip(axes.collections, other.collections, strict=True):
            assert np.array_equal(np.asarray(part.get_offsets()), np.asarray(twin.get_offsets()))


def test_a_panel_shows_as_many_areas_of_either_domain_and_no_more_than_asked() -> None:
    mine = features(pictures=41, each=20)
    shown = choose(mine, points=100, seed=0)
    assert len(shown) == 100
    assert int(shown.new.sum()) == 50


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path]]:
    """A folder of pictures with a second camera, and two checkpoints that have not learned anything."""
    import torch

    folder = tmp_path_factory.mktemp("features")
    data = pcb_folder(folder / "pcb", each=8)
    names = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = Detector(tiny("cells", classes=names))
        files.append(
            save(folder / f"run{seed}", network, Metadata(config=network.config, recipe="dann", lineage=Lineage()))
        )
    return f"deeppcb:{data}", files


def test_the_command_writes_one_page_and_the_figures(
    line: tuple[str, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, files = line
    page, figures = tmp_path / "deep" / "fig3.html", tmp_path / "deep" / "fig3.json"
    arguments = ["features", *(str(file) for file in files), "--data", data, "--progress", "none"]
    assert main([*arguments, "--out", str(page), "--json", str(figures)]) == 0
    printed = capsys.readouterr().out
    values = json.loads(figures.read_text())
    assert values["pictures"] == [16, 16]
    first, second = values["checkpoints"]
    assert first["change"] is None
    assert second["change"]["value"] == pytest.approx(
        second["defective"]["value"] - first["defective"]["value"], abs=2e-4
    )
    assert first["defective"]["low"] <= first["defective"]["value"] <= first["defective"]["high"]
    assert first["background"]["areas"] == 128
    assert f"{first['defective']['value']:.2f}" in printed
    text = page.read_text(encoding="utf-8")
    assert text.count('src="data:image/png;base64,') == 1
    assert "dann (run0)" in text
    before = figures.read_bytes()
    assert main([*arguments, "--out", str(tmp_path / "fig3.png"), "--json", str(figures)]) == 0
    assert figures.read_bytes() == before
    assert (tmp_path / "fig3.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--out", "fig3.pdf"], "expected a name that ends in .html or .png"),
        (["--out", "fig3.png", "--points", "3"], "expected at least 8"),
    ],
)
def test_what_the_command_cannot_use_is_one_line(
    line: tuple[str, list[Path]], capsys: pytest.CaptureFixture[str], changes: list[str], message: str
) -> None:
    data, files = line
    assert main(["features", str(files[0]), "--data", data, "--progress", "none", *changes]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_second_camera_shows_in_an_untrained_networks_features() -> None:
    import torch

    torch.manual_seed(0)
    shift = Shift(seed=0, blur_sigma=0.5, contrast=0.4, brightness=0.3, gradient=0.01, angle_deg=0, noise=0.001)
    whole = experiment(16)
    dark = Dataset(
        name="shifted",
        classes=CLASSES,
        samples=tuple(
            type(sample)(
                name=sample.name,
                picture=type(sample.picture)(pixels=shift.apply(sample.picture.read(), sample.name)),  # type: ignore[call-arg]
                boxes=sample.boxes,
                classes=sample.classes,
            )
            for sample in whole.eval_new
        ),
    )
    network = Detector(tiny("cells"))
    apart = collect(network, Experiment(**{**_fields(whole), "eval_new": dark}))
    assert probe_domains(apart.background, pictures=32).accuracy().value > 0.95
    together = collect(network, whole)
    assert probe_domains(together.background, pictures=32).accuracy().value < 0.75
