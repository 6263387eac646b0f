"""Checkpoint to package: deterministic, compared, refused where it cannot be answered for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from support import packages
from support.checkpoints import CLASSES, checkpoint, frames

from export import package as export_module
from export.cli import main
from export.keys import make_key_pair
from export.package import export_package, with_class_names
from export.parity import (
    blind_spots,
    compare_all,
    exchanged_input,
    in_onnxruntime,
    squashed_input,
    with_witnesses,
)
from export.provenance import evaluation_of
from export.use import Use, parse_date
from lineside.golden import unpack
from lineside.package import (
    CARD_NAME,
    CLASSES_KEY,
    GOLDEN_NAME,
    GRAPH_NAME,
    SBOM_NAME,
    WEIGHTS_NAME,
    Package,
    read_package,
)
from lineside.pixels import encode_png
from lineside.reasons import ContractError, Reason
from lineside.signing import verify
from lineside.v1 import model_pb2
from training.checkpoint import load
from training.data.sample import ArrayPicture, Dataset, Experiment, Sample
from training.evaluate.figures import Figures, evaluate_predictor
from training.evaluate.predictor import Predictor
from training.models import Detector


@pytest.fixture(scope="module", params=["anchors", "cells"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A coloured model's package, whose golden frames came grey and of the model's own shape; measured on a few."""
    folder = tmp_path_factory.mktemp(request.param)
    file = checkpoint(folder / "checkpoint", request.param, channels=3)
    return export_package(
        file,
        folder / "p",
        name="boards",
        version="1.0.0",
        golden_frames=frames((128, 192)),
        experiment=small_experiment(),
        use=Use(purpose="trial", responsible="J. Weber", not_after=parse_date("2027-06-30", end_of_day=True)),
    )


def small_experiment() -> Experiment:
    """Two pictures with defects and a healthy one, original; one of the new domain."""

    def sample(name: str, picture: np.ndarray, *defects: tuple[int, int]) -> Sample:
        boxes = np.array([[x, 8, x + 24, 32] for x, _ in defects], np.float32).reshape(-1, 4)
        kinds = np.array([kind for _, kind in defects], np.int32)
        return Sample(name=name, picture=ArrayPicture(pixels=picture), boxes=boxes, classes=kinds)

    one, two, three, four = frames((64, 96), (64, 96), (64, 96), (64, 96), seed=8)
    nothing = Dataset(name="none", classes=CLASSES, samples=())
    original = Dataset(
        name="original",
        classes=CLASSES,
        samples=(sample("one", one, (8, 0)), sample("two", two, (40, 1), (8, 2)), sample("sound", three)),
    )
    new = Dataset(name="new", classes=CLASSES, samples=(sample("four", four, (8, 0)),))
    return Experiment(name="small", train=nothing, eval_original=original, mentoring=nothing, eval_new=new)


def test_a_package_says_what_the_checkpoint_says(made: Package) -> None:
    manifest = made.manifest
    assert made.class_names == CLASSES
    assert [round(item.threshold, 3) for item in manifest.classes] == [0.25, 0.5, 0.5]
    assert (manifest.input.width, manifest.input.height, manifest.input.channels) == (96, 64, 3)
    assert manifest.lineage.recipe == "transfer"
    assert json.loads(manifest.lineage.training_config_json) == {"lambda": 1.0, "steps": 3}
    assert (manifest.lineage.feedback_events, manifest.lineage.last_log_sequence) == (12, 40)
    assert isinstance(load(made.folder / WEIGHTS_NAME).detector, Detector)
    assert (manifest.purpose, manifest.responsible) == (model_pb2.PURPOSE_TRIAL, "J. Weber")
    assert manifest.not_after.ToJsonString() == "2027-06-30T23:59:59Z"


def test_what_was_measured_is_in_the_manifest_and_on_the_card(made: Package) -> None:
    original, new = made.manifest.evaluations
    assert (original.domain, original.images, original.healthy_images) == ("original", 2, 1)
    assert (new.domain, new.images, new.healthy_images) == ("new", 1, 0)
    assert [(entry.name, entry.defects) for entry in original.classes] == [("dent", 1), ("scratch", 1), ("hole", 1)]
    # At the thresholds and with the grouping that are deployed.
    thresholds = {item.name: item.threshold for item in made.manifest.classes}
    predictor = Predictor(load(made.folder / WEIGHTS_NAME).detector, thresholds, made.manifest.decode)
    again = evaluate_predictor(predictor, small_experiment().eval_original, domain="original")
    assert original == evaluation_of(again)
    card = made.read(CARD_NAME).decode()
    assert card.count("<polyline") >= 1
    assert "curves and worst pictures" in card
    assert "few defects of dent (1), scratch (1), hole (1)" in card
    assert json.loads(made.read(SBOM_NAME))["metadata"]["component"]["name"] == "boards"


def test_the_graph_names_its_classes(made: Package) -> None:
    said = {entry.key: entry.value for entry in onnx.load_from_string(made.read(GRAPH_NAME)).metadata_props}
    assert json.loads(said[CLASSES_KEY]) == list(CLASSES)
    assert with_class_names(made.read(GRAPH_NAME), CLASSES) == made.read(GRAPH_NAME)


def test_golden_cases_tell_the_known_faults_from_the_truth(made: Package) -> None:
    """Letterbox replaced by squash, colours exchanged, a runtime that answers nothing: each is caught."""
    cases = unpack(made.read(GOLDEN_NAME), made.manifest)
    infer = in_onnxruntime(made.read(GRAPH_NAME))
    assert compare_all(cases, infer, made.manifest).fault is None
    assert compare_all(cases, infer, made.manifest, squashed_input).fault is not None
    assert compare_all(cases, infer, made.manifest, exchanged_input).fault is not None

    def silent(images: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.zeros_like(values) for name, values in infer(images).items()}

    assert compare_all(cases, silent, made.manifest).fault is not None
    assert blind_spots(cases, infer, made.manifest) == ()


def test_frames_that_cannot_tell_get_witnesses_and_others_do_not() -> None:
    size = model_pb2.ModelInput(width=96, height=64, channels=3)
    grey = frames((64, 96))
    assert [frame.shape for frame in with_witnesses(grey, size)] == [(64, 96), (64, 58), (64, 96, 3)]
    telling = frames((64, 64, 3))
    assert len(with_witnesses(telling, size)) == 1


def export_in_a_process(file: Path, out: Path, seed: str) -> str:
    code = (
        "import sys; from pathlib import Path; import numpy as np; from export.package import export_package\n"
        "frame = np.load(sys.argv[3])\n"
        "print(export_package(Path(sys.argv[1]), Path(sys.argv[2]), name='boards', version='1.0.0',"
        " golden_frames=[frame]).digest)"
    )
    picture = out.with_suffix(".npy")
    np.save(picture, frames((128, 192))[0])
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    said = subprocess.run(
        [sys.executable, "-c", code, str(file), str(out), str(picture)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.split()[-1]


def test_the_same_inputs_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "checkpoint")
    here = export_package(file, tmp_path / "a", name="boards", version="1.0.0", golden_frames=frames((128, 192)))
    assert export_in_a_process(file, tmp_path / "b", "77") == here.digest
    for path in sorted(here.folder.iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    other = checkpoint(tmp_path / "other", seed=1)
    there = export_package(other, tmp_path / "c", name="boards", version="1.0.0", golden_frames=frames((128, 192)))
    assert there.digest != here.digest


def test_a_signed_package_verifies_and_a_changed_one_does_not(tmp_path: Path) -> None:
    keys = make_key_pair(tmp_path / "keys")
    assert keys.private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError, match="never overwritten"):
        make_key_pair(tmp_path / "keys")
    file = checkpoint(tmp_path / "checkpoint", "cells")
    package = export_package(
        file, tmp_path / "p", name="boards", version="1.0.0", golden_frames=frames((64, 80)), private_key=keys.private
    )
    assert verify(package.folder, [keys.public]) == keys.public
    (package.folder / GRAPH_NAME).write_bytes(b"other")
    with pytest.raises(ContractError) as caught:
        verify(package.folder, [keys.public])
    assert caught.value.reason is Reason.PKG_SIGNATURE


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"golden_frames": []}, "no golden frame"),
        ({"version": "1"}, "major.minor.patch"),
        ({"name": "../x"}, "name is"),
        ({"thresholds": {"rust": 0.5}}, "thresholds name rust"),
        ({"thresholds": 1.5}, "threshold of class"),
        ({"private_key": Path("nowhere.key")}, "no private key"),
        ({"top_k": 0}, "top_k"),
    ],
)
def test_what_cannot_be_is_said_before_minutes_are_spent(
    tmp_path: Path, options: dict[str, object], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("the export began")

    monkeypatch.setattr(export_module, "to_onnx", never)
    file = checkpoint(tmp_path / "checkpoint")
    given = {"name": "boards", "version": "1.0.0", "golden_frames": frames((64, 80)), **options}
    with pytest.raises((ValueError, ContractError, FileNotFoundError), match=word):
        export_package(file, tmp_path / "p", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()


def test_a_graph_that_answers_otherwise_is_not_packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = export_module.to_onnx
    other = load(checkpoint(tmp_path / "other", seed=5)).detector

    def wrong(graph: object) -> bytes:
        return real(export_module.DeployedGraph(other, top_k=300))

    monkeypatch.setattr(export_module, "to_onnx", wrong)
    file = checkpoint(tmp_path / "checkpoint")
    with pytest.raises(ContractError, match="does not repeat the network") as caught:
        export_package(file, tmp_path / "p", name="boards", version="1.0.0", golden_frames=frames((64, 80)))
    assert caught.value.reason is Reason.PKG_PARITY
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "p"))] == []


def test_figures_become_evaluations_and_what_was_not_measured_stays_absent() -> None:
    figures = Figures(
        domain="new",
        images=7,
        healthy_images=0,
        map_33=0.5,
        map_50=None,
        precision=0.75,
        recall=0.25,
        false_alarms_per_healthy=None,
        escapes=0.1,
        classes=(),
    )
    evaluation = evaluation_of(figures, "at once")
    assert (evaluation.domain, evaluation.images, evaluation.map_33, evaluation.notes) == ("new", 7, 0.5, "at once")
    assert not evaluation.HasField("map_50")
    assert not evaluation.HasField("false_alarms_per_healthy")


def test_the_command_line_goes_from_checkpoint_to_parity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkpoint(tmp_path / "checkpoint", "cells")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, frame in enumerate(frames((64, 80), (80, 64))):
        (pictures / f"{number}.png").write_bytes(encode_png(frame))
    assert main(["keys", str(tmp_path / "keys")]) == 0
    arguments = ["--name", "boards", "--version", "2.0.0", "--key", str(tmp_path / "keys" / "station.key")]
    command = ["package", str(file), str(tmp_path / "p"), "--frames", str(pictures), *arguments]
    assert main(command) == 0
    assert read_package(tmp_path / "p").digest in capsys.readouterr().out
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["parity", str(tmp_path / "p"), "--frames", str(pictures)]) == 0
    said = capsys.readouterr().out
    assert said.count("equal within tolerance") == 3
    assert "TensorRT not run here" in said
    assert main(["parity", str(tmp_path / "nowhere")]) == 2
    assert "not a package folder" in capsys.readouterr().err
    assert main(["package", str(file), str(tmp_path / "q"), "--frames", str(tmp_path / "keys"), *arguments]) == 2
    assert "no pictures" in capsys.readouterr().err


def test_parity_that_does_not_hold_is_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = packages.make_cell_package(tmp_path / "sound")
    cases = unpack(sound.read(GOLDEN_NAME), sound.manifest)
    graph = packages.graph_for(packages.cell_head(), bias=0.2)
    packages.write(tmp_path / "lying", sound.manifest, graph, cases=cases)
    assert main(["parity", str(tmp_path / "lying")]) == 1
    assert "heat differs" in capsys.readouterr().out
