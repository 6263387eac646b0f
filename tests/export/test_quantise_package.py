"""A package of fewer bits: what it says of itself, what it must repeat, and when it is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import CLASSES, frames
from support.quantised import float_package

from edge.backends import open_backend
from edge.models.checks import check_golden
from export.cli import main
from export.keys import make_key_pair
from export.parity import in_onnxruntime
from export.quantise import package as module
from export.quantise.choose import choose, disagreement, movement
from export.quantise.damage import damage_of, table_of, too_much
from export.quantise.int8 import quantisable
from export.quantise.measured import Served
from export.quantise.package import TooMuchLostError, Wanted, next_version, quantise_package
from export.strength import unnoticed
from lineside import golden
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package, read_package
from lineside.pixels import encode_png
from lineside.reasons import ContractError
from lineside.signing import verify
from training.data.sample import ArrayPicture, Dataset, Sample
from training.evaluate.figures import ClassFigures, Figures

CALIBRATION = frames((64, 96), (128, 192), (96, 64), (64, 96), (80, 80))


@pytest.fixture(scope="module", params=["anchors", "cells"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return float_package(tmp_path_factory.mktemp(request.param) / "float", request.param)


def annotated(package: Package) -> Dataset:
    """Pictures whose truth is what the float graph raises, so that its own figures are perfect."""
    served = Served(in_onnxruntime(package.read(GRAPH_NAME)), package.manifest)
    samples = []
    for number, frame in enumerate(frames((64, 96), (128, 192), seed=11)):
        found = served.answer(frame).deployed
        samples.append(
            Sample(
                name=str(number),
                picture=ArrayPicture(pixels=frame),
                boxes=found.boxes,
                classes=found.classes,
            )
        )
    return Dataset(name="own", classes=CLASSES, samples=tuple(samples))


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_the_station_takes_it_as_a_successor_that_repeats_its_golden_cases(
    source: Package, precision: str, tmp_path: Path
) -> None:
    keys = make_key_pair(tmp_path / "keys")
    made = quantise_package(
        source, tmp_path / "out", Wanted(precision=precision), CALIBRATION, private_key=keys.private
    )
    package = read_package(tmp_path / "out")
    manifest = package.manifest
    assert verify(package.folder, [keys.public]) == keys.public
    assert (manifest.name, manifest.version) == (source.manifest.name, "1.2.4")
    assert manifest.lineage == source.manifest.lineage
    done = manifest.quantisation
    assert (done.precision, done.source_digest) == (precision, source.digest)
    assert (done.calibration != "", done.pictures) == ((True, 5) if precision == "int8" else (False, 0))
    assert len(package.read(GRAPH_NAME)) < len(source.read(GRAPH_NAME))
    assert manifest.parity.score >= source.manifest.parity.score
    cases = golden.unpack(package.read(GOLDEN_NAME), manifest)
    assert unnoticed(cases, manifest) == ()
    with open_backend("onnxruntime-cpu", package.read(GRAPH_NAME)) as backend:
        assert check_golden(manifest, cases, backend.infer).score == 0.0
    assert made.package.digest == package.digest


def test_the_same_arithmetic_unfused_is_within_the_stated_tolerance_and_the_float_graph_is_not_the_measure(
    source: Package, tmp_path: Path
) -> None:
    quantise_package(source, tmp_path / "out", Wanted(precision="int8", method="minmax"), CALIBRATION)
    package = read_package(tmp_path / "out")
    cases = golden.unpack(package.read(GOLDEN_NAME), package.manifest)
    unfused = in_onnxruntime(package.read(GRAPH_NAME), optimised=False)
    assert check_golden(package.manifest, cases, unfused).fault is None


def test_figures_of_the_float_package_are_not_passed_on_as_its_own(source: Package, tmp_path: Path) -> None:
    unmeasured = quantise_package(source, tmp_path / "a", Wanted(precision="fp16"), CALIBRATION)
    assert "not on this fp16 one" in unmeasured.package.manifest.evaluations[0].notes
    measured = quantise_package(
        source, tmp_path / "b", Wanted(precision="fp16"), CALIBRATION, domains=[("original", annotated(source))]
    )
    evaluation = measured.package.manifest.evaluations[0]
    assert evaluation.domain == "original"
    assert evaluation.map_33 == pytest.approx(measured.after[0].map_33)
    assert evaluation.notes == ""
    assert [figures.map_33 for figures in measured.before] == [pytest.approx(1.0)]


def test_a_class_that_loses_too_much_is_named_and_nothing_is_written(
    source: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module.choose

    def blunted(*given: object, **options: object) -> object:
        """A conversion that hears nothing: calibrated on black, it clips whatever comes."""
        black = [np.zeros((64, 96), np.uint8)] * 2
        return right(given[0], given[1], black, method="minmax")  # type: ignore[arg-type]

    monkeypatch.setattr(module, "choose", blunted)
    domains = [("original", annotated(source))]
    with pytest.raises(
        TooMuchLostError, match=r"original, (dent|scratch|hole): ap falls by .*--float-layers"
    ) as caught:
        quantise_package(source, tmp_path / "out", Wanted(precision="int8"), CALIBRATION, domains=domains)
    assert "\n" not in str(caught.value)
    assert len(table_of(caught.value.before, caught.value.after).splitlines()) == 2 + len(CLASSES)
    assert not (tmp_path / "out").exists()
    allowed = Wanted(precision="int8", most_loss=1.0)
    assert quantise_package(source, tmp_path / "out", allowed, CALIBRATION, domains=domains).after


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda given: given | {"wanted": Wanted(precision="int8", version="2")}, "major.minor.patch"),
        (lambda given: given | {"calibration": []}, "no calibration frame"),
        (lambda given: given | {"private_key": Path("nowhere.key")}, "no private key"),
        (lambda given: given | {"wanted": Wanted(precision="int8", float_layers=9)}, "expected 0 to 3"),
    ],
)
def test_what_cannot_be_is_said_early(
    source: Package,
    tmp_path: Path,
    change: Callable[[dict[str, object]], dict[str, object]],
    word: str,
) -> None:
    given = change({"wanted": Wanted(precision="int8"), "calibration": CALIBRATION})
    with pytest.raises((ValueError, ContractError, FileNotFoundError), match=word):
        quantise_package(source, tmp_path / "out", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_what_is_quantised_already_is_not_quantised_again(source: Package, tmp_path: Path) -> None:
    quantise_package(source, tmp_path / "a", Wanted(precision="fp16"), CALIBRATION)
    with pytest.raises(ValueError, match=f"fp16 already.*{source.digest}"):
        quantise_package(read_package(tmp_path / "a"), tmp_path / "b", Wanted(precision="int8"), CALIBRATION)
    with pytest.raises(FileExistsError, match="exists"):
        quantise_package(source, tmp_path / "a", Wanted(precision="fp16"), CALIBRATION)


def test_the_most_sensitive_layers_are_those_left_in_float(source: Package) -> None:
    graph = source.read(GRAPH_NAME)
    choice = choose(graph, source.manifest, CALIBRATION, method="minmax", float_layers=2)
    assert choice.float_nodes == tuple(choice.by_layer)[:2]
    assert set(choice.by_layer) == set(quantisable(graph))
    assert list(choice.by_layer.values()) == sorted(choice.by_layer.values(), reverse=True)
    free = choose(graph, source.manifest, CALIBRATION)
    assert free.method == min(free.by_method, key=lambda name: free.by_method[name])


def test_movement_counts_what_is_on_one_side_only() -> None:
    """(0.5 - 0.2)^2 + 0.4^2 = 0.25, its root 0.5; the second picture does not move; the mean is 0.25."""
    expected = [{(0, 0): 0.5, (1, 0): 0.4}, {(0, 0): 0.9}]
    assert movement(expected, [{(0, 0): 0.2}, {(0, 0): 0.9}]) == pytest.approx(0.25)


def test_a_graph_agrees_with_itself_and_not_with_silence(source: Package) -> None:
    served = Served(in_onnxruntime(source.read(GRAPH_NAME)), source.manifest)
    answers = [served.answer(frame) for frame in CALIBRATION]
    assert any(len(answer.deployed) for answer in answers)
    assert disagreement(answers, answers, source.manifest) == pytest.approx(0.0)
    nothing = dataclasses.replace(
        answers[0].found,
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        classes=np.zeros(0, np.int32),
        areas=(),
    )
    silent = [dataclasses.replace(answer, found=nothing, deployed=nothing) for answer in answers]
    assert disagreement(answers, silent, source.manifest) == pytest.approx(1.0)


def figures(ap: float | None, recall: float | None = 0.8, domain: str = "new") -> Figures:
    one = ClassFigures(name="dent", defects=10, ap_33=ap, ap_50=ap, precision=0.9, recall=recall, threshold=0.5)
    return Figures(
        domain=domain,
        images=3,
        healthy_images=0,
        map_33=ap,
        map_50=ap,
        precision=0.9,
        recall=recall,
        false_alarms_per_healthy=None,
        escapes=0.0,
        classes=(one,),
    )


def test_a_loss_of_exactly_the_limit_is_not_beyond_it() -> None:
    assert too_much(damage_of([figures(0.91)], [figures(0.90)])) == ()
    assert too_much(damage_of([figures(0.91)], [figures(0.899)])) == (
        "new, dent: ap falls by 0.0110 to 0.8990 (10 defects)",
    )
    assert too_much(damage_of([figures(0.90)], [figures(0.95)])) == ()
    assert too_much(damage_of([figures(None)], [figures(None)])) == ()


def test_what_is_judged_is_what_was_asked_for() -> None:
    damage = damage_of([figures(0.9, recall=0.8)], [figures(0.9, recall=0.7)])
    assert too_much(damage) == ()
    assert "recall falls by 0.1000" in too_much(damage, judged=("ap", "recall"))[0]
    with pytest.raises(ValueError, match="expected some of ap, recall, precision"):
        too_much(damage, judged=("speed",))
    with pytest.raises(ValueError, match="expected 0 or more"):
        too_much(damage, most_loss=-1)


def test_the_table_has_a_line_for_each_domain_and_class() -> None:
    lines = table_of([figures(0.91)], [figures(0.90)]).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:4] == ["new,", "all", "0.9000", "(-0.0100)"]
    assert lines[2].split()[0] == "dent"
    assert lines[2].endswith("10")


def test_versions_go_up_by_one() -> None:
    assert next_version("1.9.9") == "1.9.10"


def test_the_command_line_goes_from_package_to_package(
    source: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, frame in enumerate(CALIBRATION):
        (pictures / f"{number}.png").write_bytes(encode_png(frame))
    command = ["quantise", str(source.folder), str(tmp_path / "p"), "--precision", "int8"]
    command += ["--method", "minmax", "--calibration", str(pictures), "--count", "3"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "what it costs was not measured" in said
    assert read_package(tmp_path / "p").digest in said
    assert main(["parity", str(tmp_path / "p")]) == 0
    assert "would not notice: none" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "p")]) == 0
    assert f"int8, from {source.digest}" in capsys.readouterr().out
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*command[:-1], "0", "--replace"]) == 2
    assert "count is 0" in capsys.readouterr().err
