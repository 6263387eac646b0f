"""Real TensorRT engines (tensorrt_rtx builds without a GPU), kept under a key that names the weights.

Most are built in the process of the test: the first one there takes a second, the next ones a fifth of it. Builds in a
process of their own are in engines/test_process.py.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from support import packages
from support.checkpoints import checkpoint, frames

from export import build_engine as module
from export.build_engine import BuiltEngine, Settings, build_engine, key_of
from export.engines.compile import Compile, Compiled, compile_here
from export.engines.variants import variant_of
from export.package import export_package
from lineside.engines.gpu import Gpu
from lineside.engines.key import BatchRange, EngineKey
from lineside.engines.lock import exclusive
from lineside.engines.store import EngineStore, new_record
from lineside.engines.tensorrt_api import EngineBuildError, EngineCancelledError, TensorRt, load_tensorrt
from lineside.golden import unpack
from lineside.package import GRAPH_NAME, Package


@pytest.fixture(scope="module")
def tensorrt() -> TensorRt:
    pytest.importorskip("tensorrt_rtx", reason="needs pip install 'lineside[tensorrt-rtx]'")
    return load_tensorrt("tensorrt_rtx")


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return packages.make_anchor_package(tmp_path / "p")


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("trained")
    file = checkpoint(folder / "checkpoint", "anchors")
    return export_package(file, folder / "p", name="boards", version="1.0.0", golden_frames=frames((64, 80)))


def here(tensorrt: TensorRt) -> Compile:
    return functools.partial(compile_here, tensorrt)


def build(package: Package, store: EngineStore, tensorrt: TensorRt, **settings: object) -> BuiltEngine:
    return build_engine(
        package,
        store,
        tensorrt=tensorrt,
        settings=Settings(**settings),
        compile_graph=here(tensorrt),  # type: ignore[arg-type]
    )


def test_a_trained_networks_package_becomes_an_engine_with_its_layers_told(
    trained: Package, store: EngineStore, tensorrt: TensorRt
) -> None:
    phases: list[str] = []

    def watch(phase: str, parent: str | None, done: int, steps: int) -> bool:
        assert 0 <= done <= steps
        phases.append(phase)
        return True

    built = build_engine(trained, store, tensorrt=tensorrt, compile_graph=here(tensorrt), on_progress=watch)
    record = built.record
    assert built.path.stat().st_size == record.size > 10_000
    assert not built.reused
    assert "Building engine" in phases
    assert (built.key.target, built.key.precision, built.key.gpu) == ("SM89", "fp32", "any")
    assert tensorrt.engine_fault(built.path.read_bytes()) is None
    assert record.origin.model == "boards 1.0.0"
    assert record.origin.package_digest == trained.digest
    assert record.layers_from == "builder's log"
    assert record.figures["total weights memory"] > 0
    # Every part of the graph that computes is in some layer.
    nodes = {node for layer in record.layers for node in layer.nodes}
    convolutions = {
        node.name for node in onnx.load_from_string(trained.read(GRAPH_NAME)).graph.node if "Conv" in node.op_type
    }
    assert convolutions
    assert convolutions <= nodes


def test_a_cell_head_is_built_as_well(tmp_path: Path, store: EngineStore, tensorrt: TensorRt) -> None:
    assert build(packages.make_cell_package(tmp_path / "c"), store, tensorrt).record.size > 10_000


def test_fp16_is_the_converted_graph_and_its_layers_compute_in_it(
    trained: Package, store: EngineStore, tensorrt: TensorRt
) -> None:
    half = build(trained, store, tensorrt, precision="fp16")
    assert half.key.precision == "fp16"
    assert half.record.origin.conversion == "fp16 by conversion of the trunk"
    assert half.record.origin.source_graph_sha256 != half.key.graph_sha256
    assert any("fp16" in layer.outputs for layer in half.record.layers)
    assert half.variant.agreement is not None
    assert 0 < half.variant.agreement.score < 0.01
    assert build(trained, store, tensorrt, precision="fp16").reused


def test_int8_is_calibrated_on_frames_and_other_frames_make_another_engine(
    trained: Package, store: EngineStore, tensorrt: TensorRt
) -> None:
    def quantised(seed: int) -> BuiltEngine:
        pictures = frames(*[(64, 96)] * 6, seed=seed)
        return build_engine(
            trained,
            store,
            tensorrt=tensorrt,
            settings=Settings(precision="int8"),
            frames=pictures,
            compile_graph=here(tensorrt),
        )

    first = quantised(1)
    assert first.key.precision == "int8"
    assert "6 frames" in first.record.origin.conversion
    convolutions = [layer for layer in first.record.layers if any("Conv" in node for node in layer.nodes)]
    assert sum(layer.inputs == "int8" for layer in convolutions) >= 4
    assert quantised(1).reused
    assert quantised(2).path != first.path


def test_int8_without_frames_says_what_it_needs(trained: Package, store: EngineStore, tensorrt: TensorRt) -> None:
    with pytest.raises(EngineBuildError, match=r"0 given, at least 4 needed.*--frames"):
        build(trained, store, tensorrt, precision="int8")


def test_a_graph_that_was_converted_already_is_not_converted_back(
    tmp_path: Path, trained: Package, store: EngineStore, tensorrt: TensorRt
) -> None:
    from export.quantise.fp16 import to_fp16

    cases = unpack(trained.read("golden.npz"), trained.manifest)
    half = packages.write(tmp_path / "half", trained.manifest, to_fp16(trained.read(GRAPH_NAME)), cases=cases)
    assert build(half, store, tensorrt).key.precision == "fp16"
    with pytest.raises(EngineBuildError, match="is fp16 already and cannot become fp32"):
        build(half, store, tensorrt, precision="fp32")


def test_the_store_answers_the_second_time_and_force_builds_again(
    store: EngineStore, tensorrt: TensorRt, package: Package
) -> None:
    first = build(package, store, tensorrt)
    assert build(package, store, tensorrt).reused
    assert not build(package, store, tensorrt, force=True).reused
    assert not build(package, store, tensorrt, profiles=(BatchRange(largest=4),)).reused
    assert not build(package, store, tensorrt, workspace_mb=64).reused
    assert not build(package, store, tensorrt, target="SM120").reused
    assert len(store.entries()) == 4
    assert first.path.exists()


def test_two_models_of_the_same_shape_never_share_an_engine(
    tmp_path: Path, store: EngineStore, tensorrt: TensorRt
) -> None:
    built = [
        build(packages.make_anchor_package(tmp_path / str(bias), bias=bias), store, tensorrt) for bias in (0.0, 0.1)
    ]
    assert built[0].key.profiles == built[1].key.profiles
    assert built[0].path != built[1].path
    assert not built[1].reused


def test_an_engine_may_have_several_profiles(store: EngineStore, tensorrt: TensorRt, package: Package) -> None:
    built = build(package, store, tensorrt, profiles=(BatchRange(largest=1), BatchRange.parse("2:4:8")))
    assert built.key.profiles == "1x64x64x1 1x64x64x1 1x64x64x1; 2x64x64x1 4x64x64x1 8x64x64x1"


def fixed_to(package: Package, folder: Path, batch: int) -> Package:
    model = onnx.load_from_string(package.read(GRAPH_NAME))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    cases = unpack(package.read("golden.npz"), package.manifest)
    return packages.write(folder, package.manifest, model.SerializeToString(), cases=cases)


def test_batch_sizes_are_checked_against_the_graph(
    tmp_path: Path, store: EngineStore, tensorrt: TensorRt, package: Package
) -> None:
    fixed = fixed_to(package, tmp_path / "fixed", 2)
    with pytest.raises(ValueError, match=r"fixed to batches of 2.*--batch 2"):
        build(fixed, store, tensorrt)
    assert build(fixed, store, tensorrt, profiles=(BatchRange.parse("2"),)).record.size > 10_000


def damage_engine(store: EngineStore, key: EngineKey) -> None:
    raw = bytearray(store.path(key).read_bytes())
    raw[len(raw) // 2] ^= 1
    store.path(key).write_bytes(raw)


def lose_record(store: EngineStore, key: EngineKey) -> None:
    store.path(key).with_suffix(".json").unlink()


def not_an_engine(store: EngineStore, key: EngineKey) -> None:
    """Well recorded, and yet no engine: only the builder can tell."""
    found = store.read(key)
    assert found is not None
    junk = b"no engine at all" * 100
    store.write(junk, new_record(junk, key, found[1].origin, build_seconds=0.0))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(damage_engine, "damaged"), (lose_record, "missing"), (not_an_engine, "MALFORMED_ENGINE")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_or_foreign_engine_is_refused_and_built_again(
    store: EngineStore,
    tensorrt: TensorRt,
    package: Package,
    spoil: Callable[[EngineStore, EngineKey], None],
    reason: str,
) -> None:
    spoil(store, build(package, store, tensorrt).key)
    again = build(package, store, tensorrt)
    assert not again.reused
    assert reason in str(again.refused)
    assert build(package, store, tensorrt).reused


def test_bytes_that_are_no_engine_are_told_from_one(tensorrt: TensorRt) -> None:
    for raw in (b"", b"text" * 50, bytes(1000)):
        assert tensorrt.engine_fault(raw) is not None


def with_node(package: Package, folder: Path, node: onnx.NodeProto) -> Package:
    model = onnx.load_from_string(package.read(GRAPH_NAME))
    model.graph.node.append(node)
    model.graph.output.append(onnx.helper.make_tensor_value_info("extra", onnx.TensorProto.INT64, None))
    cases = unpack(package.read("golden.npz"), package.manifest)
    return packages.write(folder, package.manifest, model.SerializeToString(), cases=cases)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("Wizardry", r"(?s)cannot read the graph.*own words:.*Wizardry.*does not know an operation.*ONNX Runtime"),
        ("NonZero", r"(?s)cannot read the graph.*own words:.*NonZero.*size depends on the picture.*ONNX Runtime"),
    ],
)
def test_a_failed_build_tells_the_builders_own_words_and_what_to_do(
    tmp_path: Path, store: EngineStore, tensorrt: TensorRt, package: Package, operation: str, words: str
) -> None:
    strange = with_node(package, tmp_path / "strange", onnx.helper.make_node(operation, ["scores"], ["extra"]))
    with pytest.raises(EngineBuildError, match=words):
        build(strange, store, tensorrt)
    assert list(store.folder.iterdir()) == []


def test_a_workspace_that_is_too_small_is_told_as_such(
    trained: Package, store: EngineStore, tensorrt: TensorRt
) -> None:
    with pytest.raises(EngineBuildError, match=r"(?s)built nothing.*workspace.*Give more --workspace-mb"):
        build(trained, store, tensorrt, workspace_mb=1)


def test_a_build_can_be_stopped_and_leaves_nothing(store: EngineStore, tensorrt: TensorRt, package: Package) -> None:
    with pytest.raises(EngineCancelledError, match="nothing was stored"):
        build_engine(package, store, tensorrt=tensorrt, compile_graph=here(tensorrt), on_progress=lambda *_: False)
    assert list(store.folder.iterdir()) == []


def test_two_who_want_the_same_engine_build_it_once(store: EngineStore, tensorrt: TensorRt, package: Package) -> None:
    builds: list[str] = []
    told: list[str] = []
    both_asked = threading.Event()

    def compile_slowly(*arguments: object) -> Compiled:
        builds.append("one")
        assert both_asked.wait(20)
        return compile_here(tensorrt, *arguments)  # type: ignore[arg-type]

    def waits(who: str) -> None:
        told.append(who)
        both_asked.set()

    results: list[BuiltEngine] = []

    def ask() -> None:
        results.append(build_engine(package, store, tensorrt=tensorrt, compile_graph=compile_slowly, on_wait=waits))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(30)
    assert builds == ["one"]
    assert len(told) == 1
    assert sorted(result.reused for result in results) == [False, True]


def test_whoever_does_not_want_to_wait_is_told_who_builds(
    store: EngineStore, tensorrt: TensorRt, package: Package
) -> None:
    key = key_of(variant_of(package, None), tensorrt, Settings())
    with (
        exclusive(store.lock(key)),
        pytest.raises(EngineBuildError, match=rf"process {os.getpid()} is at it already: this engine is being built"),
    ):
        build(package, store, tensorrt, wait=False)


def test_a_target_that_it_does_not_know_is_answered_with_those_it_does(
    store: EngineStore, tensorrt: TensorRt, package: Package
) -> None:
    with pytest.raises(EngineBuildError, match=r"does not build for SM87; it knows SM75, SM80"):
        build(package, store, tensorrt, target="SM87")


def test_impossible_settings_are_refused_by_name(store: EngineStore, tensorrt: TensorRt, package: Package) -> None:
    with pytest.raises(ValueError, match="workspace is 0 MB"):
        Settings(workspace_mb=0)
    with pytest.raises(ValueError, match="precision is 'fp8', expected one of fp32, fp16, int8"):
        build(package, store, tensorrt, precision="fp8")


@pytest.fixture
def classic(tensorrt: TensorRt) -> TensorRt:
    """What is peculiar to RTX is hidden; everything that is called is the real library's."""
    peculiar = {"ComputeCapability", "Runtime"}
    names = {name: getattr(tensorrt.module, name) for name in dir(tensorrt.module) if name not in peculiar}

    class Runtime:
        def __init__(self, logger: object) -> None:
            pass

    return TensorRt(name="tensorrt", version="11.0", module=SimpleNamespace(**names, Runtime=Runtime), log=tensorrt.log)


@pytest.mark.filterwarnings("ignore:.*Timing cache:DeprecationWarning")
def test_the_path_of_classic_tensorrt_keeps_timings_and_names_gpu_and_driver(
    store: EngineStore, classic: TensorRt, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run with RTX's library in its place: the same calls, another machine's answers are not shown by it."""
    gpus = [Gpu(name="NVIDIA Orin", capability="SM87", driver=f"driver {number}") for number in (1, 2)]
    monkeypatch.setattr(module, "local_gpu", lambda: gpus[0])
    first = build(package, store, classic)
    assert (first.key.builder, first.key.target) == ("tensorrt 11.0", "SM87")
    assert (first.key.gpu, first.key.driver) == ("NVIDIA Orin", "driver 1")
    timing = store.timing("tensorrt 11.0", "NVIDIA Orin", "driver 1")
    assert timing.stat().st_size > 0
    timing.write_bytes(b"damaged")
    assert not build(package, store, classic, force=True).reused
    assert timing.read_bytes() != b"damaged"
    with pytest.raises(EngineBuildError, match=r"NVIDIA Orin \(SM87\), not for SM89"):
        build(package, store, classic, target="SM89")
    monkeypatch.setattr(module, "local_gpu", lambda: gpus[1])
    assert build(package, store, classic).path != first.path
    monkeypatch.setattr(module, "local_gpu", lambda: None)
    with pytest.raises(EngineBuildError, match="there is none; build on the station"):
        build(package, store, classic)
