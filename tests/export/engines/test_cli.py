"""The verbs, as an engineer types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support import packages

from export.build_engine import main
from export.cli import main as export_main
from lineside.package import GRAPH_NAME, Package

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package with two engines beside it, built by the script."""
    pytest.importorskip("tensorrt_rtx", reason="needs pip install 'lineside[tensorrt-rtx]'")
    package = packages.make_anchor_package(tmp_path_factory.mktemp("cli") / "p")
    command = [sys.executable, str(ROOT / "export" / "build_engine.py")]
    for words in ([str(package.folder)], ["build", str(package.folder), "--batch", "1:2:4", "--target", "SM120"]):
        said = subprocess.run([*command, *words], capture_output=True, text=True, env=os.environ, check=False)
        assert said.returncode == 0, said.stderr
        assert "tensorrt_rtx" in said.stdout
        assert "not executed" in said.stdout
    return package


@pytest.fixture
def store(built: Package) -> str:
    return str(built.folder.parent / "engines")


def test_list_has_a_line_for_each(built: Package, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--store", store]) == 0
    said = capsys.readouterr().out
    assert "tiles 1.0.0" in said
    assert "1:2:4" in said
    assert "SM120" in said
    assert "2 engines" in said
    assert export_main(["engine", "list", "--store", store, "--json"]) == 0
    assert {entry["key"]["target"] for entry in json.loads(capsys.readouterr().out)} == {"SM89", "SM120"}


def test_inspect_says_layers_precision_and_sizes(
    built: Package, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = next(Path(store).glob("*.engine")).stem
    assert main(["inspect", name[:8], "--store", store]) == 0
    said = capsys.readouterr().out
    assert "layers, from the builder's log" in said
    assert "node_of_scores" in said
    assert "max scratch memory" in said
    assert main(["inspect", name, "--store", store, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["key"]["precision"] == "fp32"
    assert any("fp32" in layer["outputs"] for layer in document["layers"])


def test_verify_tells_sound_from_damaged_and_from_foreign(
    built: Package, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--store", store, "--package", str(built.folder)]) == 0
    assert "2 of 2 engines may be loaded; not executed here" in capsys.readouterr().out
    other = packages.make_anchor_package(tmp_path / "other", bias=0.2)
    assert main(["verify", "--store", store, "--package", str(other.folder)]) == 1
    assert "foreign: it is of tiles 1.0.0" in capsys.readouterr().out
    victim = next(Path(store).glob("*.engine"))
    sound = victim.read_bytes()
    victim.write_bytes(sound[:-1])
    try:
        assert main(["verify", "--store", store]) == 1
    finally:
        victim.write_bytes(sound)
    said = capsys.readouterr().out
    assert f"{victim.stem[:12]}  refused: damaged" in said
    assert "1 of 2" in said


def test_verify_refuses_an_engine_of_another_version_of_the_builder(
    built: Package, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import dataclasses

    from lineside.engines.store import EngineStore

    engine, record = EngineStore(Path(store)).read_file(next(Path(store).glob("*.engine")))
    older = dataclasses.replace(record, key=dataclasses.replace(record.key, builder="tensorrt_rtx 1.6.0.1"))
    foreign = dataclasses.replace(record, key=dataclasses.replace(record.key, builder="tensorrt 10.3.0"))
    for each in (older, foreign):
        EngineStore(tmp_path).write(engine, each)
    assert main(["verify", "--store", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "of another version: tensorrt_rtx 1.6.0.1, installed is tensorrt_rtx 1.7" in said
    assert "sound (tensorrt is not installed here, so it was not asked)" in said


def test_prune_says_what_it_would_do_and_then_does_it(
    built: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    store = tmp_path / "engines"
    shutil.copytree(built.folder.parent / "engines", store)
    words = ["prune", "--store", str(store), "--keep-package", str(built.folder)]
    assert main(words) == 0
    assert "freed 0.0 MB" in capsys.readouterr().out
    words = ["prune", "--store", str(store), "--keep-mb", "0.7"]
    assert main([*words, "--dry-run"]) == 0
    assert "would free 0.6 MB" in capsys.readouterr().out
    assert len(list(store.glob("*.engine"))) == 2
    assert main(words) == 0
    assert len(list(store.iterdir())) == 2
    other = packages.make_anchor_package(tmp_path / "other", bias=0.2)
    assert main(["prune", "--store", str(store), "--keep-package", str(other.folder)]) == 0
    assert "no package named has its graph" in capsys.readouterr().out
    assert list(store.iterdir()) == []


def test_a_conversion_is_told_with_what_it_costs_and_what_was_not_measured(
    built: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        cv2.imwrite(str(pictures / f"{number}.png"), packages.picture())
    words = [str(built.folder), "--precision", "int8"]
    assert main([*words, "--frames", str(pictures)]) == 2
    assert "2 given, at least 4 needed" in capsys.readouterr().err
    assert main([*words, "--frames", str(tmp_path / "none")]) == 2
    assert "no pictures in" in capsys.readouterr().err


def test_known_errors_are_one_line_and_exit_code_2(
    built: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = packages.make_anchor_package(tmp_path / "broken")
    (broken.folder / GRAPH_NAME).write_bytes(b"x")
    cases = {
        (str(broken.folder),): "PKG_HASH",
        (str(built.folder), "--target", "SM87"): "it knows SM75",
        (str(built.folder), "--workspace-mb", "0"): "workspace is 0 MB",
        (str(built.folder), "--trusted-key", "nobody.pub"): "PKG_SIGNATURE",
        ("inspect", "zz", "--store", str(tmp_path)): "there are: none",
        ("prune", "--keep-mb", "-1", "--store", str(tmp_path)): "expected 0 or more",
    }
    for words, reason in cases.items():
        assert main(list(words)) == 2, words
        said = capsys.readouterr().err
        assert said.startswith("build_engine.py: ")
        assert reason in said
        assert "Traceback" not in said


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("build", "list", "inspect", "verify", "prune"):
        with pytest.raises(SystemExit) as done:
            main([verb, "--help"])
        assert done.value.code == 0
        assert f"build_engine.py {verb}" in capsys.readouterr().out
