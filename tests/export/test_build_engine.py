"""Real TensorRT engines (tensorrt_rtx builds without a GPU), kept under a key that names the weights."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from support import packages
from support.checkpoints import checkpoint, frames

from export import build_engine as module
from export.build_engine import BatchRange, build_engine, precision_of
from export.engine_store import EngineKey, EngineStore
from export.package import export_package
from export.tensorrt_api import EngineBuildError, TensorRt, load_tensorrt
from lineside.package import GRAPH_NAME, Package

ROOT = Path(module.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tensorrt() -> TensorRt:
    pytest.importorskip("tensorrt_rtx", reason="needs pip install 'lineside[tensorrt-rtx]'")
    return load_tensorrt("tensorrt_rtx")


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return packages.make_anchor_package(tmp_path / "p")


@pytest.mark.parametrize("head", ["anchors", "cells"])
def test_a_trained_networks_package_becomes_an_engine(tmp_path: Path, tensorrt: TensorRt, head: str) -> None:
    file = checkpoint(tmp_path / "checkpoint", head)
    made = export_package(file, tmp_path / "p", name="boards", version="1.0.0", golden_frames=frames((64, 80)))
    phases: list[str] = []

    def watch(phase: str, parent: str | None, done: int, steps: int) -> bool:
        assert 0 <= done <= steps
        phases.append(phase)
        return True

    built = build_engine(made, EngineStore(tmp_path / "engines"), tensorrt=tensorrt, on_progress=watch)
    assert built.path.stat().st_size == built.size > 10_000
    assert not built.reused
    assert "Building engine" in phases
    assert (built.key.target, built.key.precision) == ("SM89", "fp32")
    assert tensorrt.engine_fault(built.path.read_bytes()) is None


def test_the_store_answers_the_second_time_and_force_builds_again(
    tmp_path: Path, tensorrt: TensorRt, package: Package
) -> None:
    store = EngineStore(tmp_path / "engines")
    first = build_engine(package, store, tensorrt=tensorrt)
    assert build_engine(package, store, tensorrt=tensorrt).reused
    assert not build_engine(package, store, tensorrt=tensorrt, force=True).reused
    assert not build_engine(package, store, tensorrt=tensorrt, batch=BatchRange(largest=4)).reused
    assert not build_engine(package, store, tensorrt=tensorrt, target="SM120").reused
    assert len(list((tmp_path / "engines").glob("*.engine"))) == 3
    assert first.path.exists()


def test_two_models_of_the_same_shape_never_share_an_engine(tmp_path: Path, tensorrt: TensorRt) -> None:
    store = EngineStore(tmp_path / "engines")
    built = [
        build_engine(packages.make_anchor_package(tmp_path / str(bias), bias=bias), store, tensorrt=tensorrt)
        for bias in (0.0, 0.1)
    ]
    assert built[0].key.shapes == built[1].key.shapes
    assert built[0].path != built[1].path


def test_every_part_of_the_key_makes_another_engine(tmp_path: Path) -> None:
    key = EngineKey(graph_sha256="0" * 64, builder="b 1", target="SM89", precision="fp32", shapes="1x8x8x1")
    store = EngineStore(tmp_path)
    store.write(key, b"engine", seconds=0.0)
    assert store.read(key) == b"engine"
    for field in dataclasses.fields(key):
        other = dataclasses.replace(key, **{field.name: "another"})
        assert other.digest != key.digest
        assert store.read(other) is None


def damage_engine(store: EngineStore, key: EngineKey) -> None:
    raw = bytearray(store.path(key).read_bytes())
    raw[len(raw) // 2] ^= 1
    store.path(key).write_bytes(raw)


def cut_engine(store: EngineStore, key: EngineKey) -> None:
    store.path(key).write_bytes(store.path(key).read_bytes()[:-1])


def lose_note(store: EngineStore, key: EngineKey) -> None:
    store.path(key).with_suffix(".json").unlink()


def break_note(store: EngineStore, key: EngineKey) -> None:
    store.path(key).with_suffix(".json").write_text("[]")


def foreign(store: EngineStore, key: EngineKey) -> None:
    """An engine of another model under our name, with its own note."""
    other = dataclasses.replace(key, graph_sha256="f" * 64)
    store.write(other, store.path(key).read_bytes(), seconds=0.0)
    for suffix in (".engine", ".json"):
        store.path(other).with_suffix(suffix).replace(store.path(key).with_suffix(suffix))


def not_an_engine(store: EngineStore, key: EngineKey) -> None:
    """Well noted, and yet no engine: only the builder can tell."""
    store.write(key, b"no engine at all" * 100, seconds=0.0)


@pytest.mark.parametrize(
    "spoil", [damage_engine, cut_engine, lose_note, break_note, foreign, not_an_engine], ids=lambda f: f.__name__
)
def test_a_damaged_or_foreign_engine_is_not_used_but_built_again(
    tmp_path: Path, tensorrt: TensorRt, package: Package, spoil: object
) -> None:
    store = EngineStore(tmp_path / "engines")
    key = build_engine(package, store, tensorrt=tensorrt).key
    spoil(store, key)  # type: ignore[operator]
    again = build_engine(package, store, tensorrt=tensorrt)
    assert not again.reused
    assert build_engine(package, store, tensorrt=tensorrt).reused


def test_bytes_that_are_no_engine_are_told_from_one(tensorrt: TensorRt) -> None:
    for raw in (b"", b"text" * 50, bytes(1000)):
        assert tensorrt.engine_fault(raw) is not None


def with_node(package: Package, folder: Path, node: onnx.NodeProto) -> Package:
    model = onnx.load_from_string(package.read(GRAPH_NAME))
    model.graph.node.append(node)
    model.graph.output.append(onnx.helper.make_tensor_value_info("extra", onnx.TensorProto.INT64, None))
    cases = packages.make_anchor_package(folder.with_name("sound"))
    from lineside.golden import unpack

    return packages.write(
        folder,
        package.manifest,
        model.SerializeToString(),
        cases=unpack(cases.read("golden.npz"), cases.manifest),
    )


def test_a_failed_build_tells_the_builders_own_words(tmp_path: Path, tensorrt: TensorRt, package: Package) -> None:
    strange = with_node(package, tmp_path / "strange", onnx.helper.make_node("Wizardry", ["scores"], ["extra"]))
    with pytest.raises(EngineBuildError, match=r"(?s)cannot read the graph.*Wizardry.*What helps"):
        build_engine(strange, EngineStore(tmp_path / "engines"), tensorrt=tensorrt)
    assert not (tmp_path / "engines").exists()


def test_a_build_can_be_stopped_and_leaves_nothing(tmp_path: Path, tensorrt: TensorRt, package: Package) -> None:
    with pytest.raises(EngineBuildError, match="built nothing"):
        build_engine(package, EngineStore(tmp_path / "engines"), tensorrt=tensorrt, on_progress=lambda *_: False)
    assert not (tmp_path / "engines").exists()


def test_a_target_that_it_does_not_know_is_answered_with_those_it_does(
    tmp_path: Path, tensorrt: TensorRt, package: Package
) -> None:
    with pytest.raises(EngineBuildError, match=r"does not build for SM87; it knows SM75, SM80"):
        build_engine(package, EngineStore(tmp_path), tensorrt=tensorrt, target="SM87")


def test_a_builder_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineBuildError, match="JetPack"):
        load_tensorrt("tensorrt")
    with pytest.raises(EngineBuildError, match="no builder 'x'"):
        load_tensorrt("x")


def test_batch_sizes_have_to_rise() -> None:
    with pytest.raises(ValueError, match="not falling"):
        BatchRange(best=9, largest=8)


def test_precision_is_what_the_graph_says(package: Package) -> None:
    assert precision_of(package.read(GRAPH_NAME)) == "fp32"
    model = onnx.load_from_string(package.read(GRAPH_NAME))
    model.graph.node.append(onnx.helper.make_node("QuantizeLinear", ["scores", "one"], ["q"]))
    assert precision_of(model.SerializeToString()) == "int8"
    outside = onnx.load_from_string(package.read(GRAPH_NAME))
    outside.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    with pytest.raises(EngineBuildError, match="external_data=False"):
        precision_of(outside.SerializeToString())


def test_it_runs_as_a_script_and_says_what_it_did_not_do(package: Package, tensorrt: TensorRt) -> None:
    command = [sys.executable, str(ROOT / "export" / "build_engine.py")]
    said = subprocess.run([*command, str(package.folder)], capture_output=True, text=True, env=os.environ, check=False)
    assert said.returncode == 0, said.stderr
    assert "tensorrt_rtx" in said.stdout
    assert "not executed" in said.stdout
    assert list((package.folder.parent / "engines").glob("*.engine"))
    (package.folder / GRAPH_NAME).write_bytes(b"x")
    refused = subprocess.run(
        [*command, str(package.folder)], capture_output=True, text=True, env=os.environ, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("build_engine: PKG_HASH")
    assert "Traceback" not in refused.stderr
