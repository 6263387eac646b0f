"""What changed between two packages: each thing an engineer asks about, and nothing that did not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import packages

from export.cli import main
from export.diff import Change, compare
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package, read_package, write_package
from lineside.v1 import model_pb2

Edit = Callable[[model_pb2.PackageManifest], None]


@pytest.fixture
def old(tmp_path: Path) -> Package:
    manifest = packages.manifest_for(packages.anchor_head())
    lineage = manifest.lineage
    lineage.recipe, lineage.seed, lineage.data_digest = "transfer", 3, "sha256:" + "d" * 64
    lineage.training_config_json = '{"config":{"steps":300,"old_only":true},"recipe":"transfer"}'
    lineage.feedback_events, lineage.last_log_sequence = 12, 40
    lineage.mentoring_digest = "sha256:" + "e" * 64
    lineage.logs.add(station="north", first_sequence=5, last_sequence=40, feedback_events=12, frames=9)
    figures = manifest.evaluations.add(domain="original", images=30, map_33=0.9, recall=0.8)
    figures.classes.add(name="dent", defects=12, ap_33=0.875)
    return packages.write(tmp_path / "old", manifest, packages.graph_for(packages.anchor_head()))


def edited(old: Package, folder: Path, edit: Edit) -> Package:
    """The same files under a changed manifest."""
    manifest = model_pb2.PackageManifest()
    manifest.CopyFrom(old.manifest)
    edit(manifest)
    return write_package(folder, manifest, {name: old.read(name) for name in (GRAPH_NAME, GOLDEN_NAME)})


def changes(old: Package, folder: Path, edit: Edit) -> list[tuple[str, str, object, object]]:
    found = compare(old, edited(old, folder, edit)).changes
    return [(change.section, change.what, change.before, change.after) for change in found]


def rename(manifest: model_pb2.PackageManifest) -> None:
    manifest.classes[1].name = "hole"


def turn_round(manifest: model_pb2.PackageManifest) -> None:
    manifest.classes.reverse()


def raise_threshold(manifest: model_pb2.PackageManifest) -> None:
    manifest.classes[0].threshold = 0.7


def measure_anew(manifest: model_pb2.PackageManifest) -> None:
    manifest.evaluations[0].map_33 = 0.85
    manifest.evaluations[0].ClearField("recall")
    manifest.evaluations[0].classes[0].ap_33 = 0.75
    manifest.evaluations.add(domain="new", images=7, escapes=0.25)


def click_on(manifest: model_pb2.PackageManifest) -> None:
    lineage = manifest.lineage
    lineage.feedback_events, lineage.last_log_sequence = 20, 61
    lineage.logs[0].last_sequence, lineage.logs[0].feedback_events = 61, 16
    lineage.logs.add(station="south", first_sequence=1, last_sequence=8, feedback_events=4, frames=4)
    lineage.mentoring_digest = "sha256:" + "f" * 64


def train_otherwise(manifest: model_pb2.PackageManifest) -> None:
    manifest.lineage.recipe, manifest.lineage.seed = "dann", 4
    manifest.lineage.training_config_json = '{"config":{"steps":500},"recipe":"dann"}'


def meant_for_trial(manifest: model_pb2.PackageManifest) -> None:
    manifest.purpose = model_pb2.PURPOSE_TRIAL
    manifest.not_after.FromSeconds(1_782_864_000)
    manifest.decode.nms_iou = 0.5


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (rename, [("classes", "scratch", "known", None), ("classes", "hole", None, "known")]),
        (turn_round, [("classes", "order", "dent, scratch", "scratch, dent")]),
        (raise_threshold, [("thresholds", "dent", 0.5, 0.7)]),
        (
            measure_anew,
            [
                ("figures, original domain", "map_33", 0.9, 0.85),
                ("figures, original domain", "recall", 0.8, None),
                ("figures, original domain", "dent ap_33", 0.875, 0.75),
                ("figures, new domain", "escapes", None, 0.25),
                ("figures, new domain", "images", 0, 7),
            ],
        ),
        (
            click_on,
            [
                ("clicks", "feedback events", 12, 20),
                ("clicks", "up to log number", 40, 61),
                ("clicks", "digest of the records", "sha256:" + "e" * 64, "sha256:" + "f" * 64),
                ("clicks", "log of north, numbers", "5 to 40", "5 to 61"),
                ("clicks", "log of north, answers", 12, 16),
                ("clicks", "log of south, numbers", None, "1 to 8"),
                ("clicks", "log of south, answers", None, 4),
                ("clicks", "log of south, frames", None, 4),
            ],
        ),
        (
            train_otherwise,
            [
                ("lineage", "recipe", "transfer", "dann"),
                ("lineage", "seed", 3, 4),
                ("training configuration", "config.steps", 300, 500),
                ("training configuration", "config.old_only", "true", None),
                ("training configuration", "recipe", "transfer", "dann"),
            ],
        ),
        (
            meant_for_trial,
            [
                ("what it is", "purpose", "release", "trial"),
                ("what it is", "not_after", None, "2026-07-01T00:00:00Z"),
                ("input, head and decoder", "decode.nms_iou", 0.45, 0.5),
            ],
        ),
    ],
)
def test_what_changed_is_told_and_nothing_else(
    old: Package, tmp_path: Path, edit: Edit, expected: list[tuple[str, str, object, object]]
) -> None:
    assert changes(old, tmp_path / "new", edit) == expected


def test_files_are_told_apart_by_size_and_by_contents(old: Package, tmp_path: Path) -> None:
    graph = packages.graph_for(packages.anchor_head(), bias=0.1)  # one other float in as many bytes
    other = packages.write(tmp_path / "other", old.manifest, graph)
    told = {(change.section, change.what) for change in compare(old, other).changes}
    assert ("files, contents", GRAPH_NAME) in told
    files = {name: old.read(name) for name in (GRAPH_NAME, GOLDEN_NAME)}
    longer = write_package(tmp_path / "longer", old.manifest, {**files, "card.html": b"12345"})
    (change,) = compare(old, longer).changes
    assert (change.section, change.what, change.before, change.after) == ("files, bytes", "card.html", None, 5)


def test_a_number_is_told_with_its_difference() -> None:
    assert Change(section="s", what="map_33", before=0.9, after=0.85).text == "map_33: 0.9 -> 0.85 (-0.05)"
    assert Change(section="s", what="recipe", before="", after="dann").text == "recipe: – -> dann"
    assert Change(section="s", what="recall", before=None, after=0.5).difference is None


def test_parent_and_child_are_told(old: Package, tmp_path: Path) -> None:
    def child(manifest: model_pb2.PackageManifest) -> None:
        manifest.version, manifest.lineage.parent_digest = "1.1.0", old.digest

    new = edited(old, tmp_path / "child", child)
    assert compare(old, new).relation == "1.1.0 was trained from 1.0.0"
    assert "way back" in compare(new, old).relation


def test_the_command_answers_with_text_json_and_an_exit_code(
    old: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(old.folder, tmp_path / "copy"))
    (copy / "model.sig").write_bytes(b"another signature is no other package")
    assert main(["diff", str(old.folder), str(copy)]) == 0
    assert "are the same package" in capsys.readouterr().out
    new = edited(old, tmp_path / "new", measure_anew)
    assert main(["diff", str(old.folder), str(new.folder)]) == 1
    said = capsys.readouterr().out
    assert "figures, original domain\n  map_33: 0.9 -> 0.85 (-0.05)\n  recall: 0.8 -> –" in said
    assert main(["diff", str(old.folder), str(new.folder), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["same"]
    assert document["changes"][0]["difference"] == -0.05
    assert main(["diff", str(old.folder), str(tmp_path / "nowhere")]) == 2
    assert "not a package folder" in capsys.readouterr().err


def test_a_package_can_be_shown_and_its_signer_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private, public = packages.make_key(tmp_path / "keys")
    _, other = packages.make_key(tmp_path / "keys", "other")
    package = packages.make_cell_package(tmp_path / "p", sign_key=private)
    assert main(["show", str(package.folder)]) == 0
    said = capsys.readouterr().out
    assert "tiles 1.0.0" in said
    assert package.digest in said
    assert "not checked: give --trusted-key" in said
    assert "nothing was measured" in said
    assert "float32" in said
    assert "scores within" in said
    assert main(["show", str(package.folder), "--trusted-key", str(other), "--trusted-key", str(public), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["signed_by"] == "signer.pub"
    assert document["manifest"]["name"] == "tiles"
    assert main(["show", str(package.folder), "--trusted-key", str(other)]) == 2
    assert "PKG_SIGNATURE" in capsys.readouterr().err
    assert read_package(package.folder).digest == package.digest
