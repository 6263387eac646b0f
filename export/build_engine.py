"""A TensorRT engine for a package: `python export/build_engine.py PACKAGE`, the same as `lineside export engine`.

Built with `tensorrt_rtx` on any machine, for a named compute capability; with `tensorrt` for the GPU of this machine
(that path is the same code and was not run here). The engine is not executed: whether it repeats the golden cases is
decided where it serves.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from export.engine_store import EngineKey, EngineStore
from export.tensorrt_api import BUILDERS, EngineBuildError, TensorRt, load_tensorrt, local_gpu
from lineside import signing
from lineside.package import GRAPH_NAME, Package, read_package
from lineside.reasons import ContractError

_LOGGER = logging.getLogger(__name__)

DEFAULT_TARGET = "SM89"
_PRECISIONS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
}

OnProgress = Callable[[str, "str | None", int, int], bool]
"""Phase, the phase it is part of, steps done, steps in all; False stops the build."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchRange:
    """Batch sizes an engine takes; it is tuned for `best`."""

    smallest: int = 1
    best: int = 1
    largest: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.best <= self.largest:
            raise ValueError(
                f"batch sizes are {self.smallest}, {self.best}, {self.largest}; expected 1 or more, not falling"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltEngine:
    """An engine in the store."""

    path: Path
    key: EngineKey
    size: int
    """Bytes."""
    seconds: float
    """The build took; 0 where the store had it."""
    reused: bool


def build_engine(
    package: Package,
    store: EngineStore,
    *,
    tensorrt: TensorRt,
    target: str | None = None,
    batch: BatchRange = BatchRange(),
    workspace_mb: int = 1024,
    force: bool = False,
    on_progress: OnProgress = lambda *_: True,
) -> BuiltEngine:
    """The package's engine, from the store or built now.

    Args:
        target: compute capability such as "SM89"; None: SM89 where the builder builds for others, else this GPU.
        workspace_mb: memory the engine's kernels may use for themselves.
        force: build even if the store has it.

    Raises:
        EngineBuildError: the graph cannot be built, with the builder's own lines.
        ContractError: PKG_HASH, the package changed since it was read.
    """
    graph = package.read(GRAPH_NAME)
    size = package.manifest.input
    sides = f"{size.height}x{size.width}x{size.channels}"
    key = EngineKey(
        graph_sha256=hashlib.sha256(graph).hexdigest(),
        builder=f"{tensorrt.name} {tensorrt.version}",
        target=_target(tensorrt, target),
        precision=precision_of(graph),
        shapes=" ".join(f"{count}x{sides}" for count in (batch.smallest, batch.best, batch.largest)),
        options=f"workspace {workspace_mb} MB",
    )
    kept = None if force else store.read(key)
    if kept is not None:
        fault = tensorrt.engine_fault(kept)
        if fault is None:
            return BuiltEngine(path=store.path(key), key=key, size=len(kept), seconds=0.0, reused=True)
        _LOGGER.warning("the stored engine is not used and built again: %s", fault)
    started = time.perf_counter()
    engine = _build(
        tensorrt, graph, key.target, (size.height, size.width, size.channels), batch, workspace_mb, on_progress
    )
    seconds = time.perf_counter() - started
    fault = tensorrt.engine_fault(engine)
    if fault is not None:
        raise EngineBuildError(f"{tensorrt.name} built an engine that it would not load itself: {fault}")
    return BuiltEngine(
        path=store.write(key, engine, seconds=seconds), key=key, size=len(engine), seconds=seconds, reused=False
    )


def precision_of(graph: bytes) -> str:
    """What a graph's own tensors say: fp32, fp16, bf16 or int8. Builders without precision flags follow it.

    Raises:
        EngineBuildError: the graph keeps weights in another file, or cannot be read.
    """
    try:
        model = onnx.load_from_string(graph)
    except Exception as error:  # protobuf's and onnx's own kinds
        raise EngineBuildError(f"model.onnx cannot be read: {error}") from error
    if any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer):
        raise EngineBuildError("model.onnx keeps weights in another file; export it with external_data=False")
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    types = {tensor.data_type for tensor in model.graph.initializer} & _PRECISIONS.keys()
    reduced = types - {onnx.TensorProto.FLOAT}
    return _PRECISIONS[min(reduced)] if reduced else "fp32"


def _target(tensorrt: TensorRt, target: str | None) -> str:
    if not tensorrt.builds_for_others:
        gpu = local_gpu()
        if gpu is None:
            raise EngineBuildError(
                f"{tensorrt.name} builds for the GPU of this machine and there is none; build on the station, or with"
                " tensorrt_rtx for a named capability"
            )
        if target is not None and not gpu.endswith(target):
            raise EngineBuildError(f"{tensorrt.name} builds for the GPU of this machine, {gpu}, not for {target}")
        return gpu
    chosen = target or DEFAULT_TARGET
    if chosen not in tensorrt.targets():
        raise EngineBuildError(
            f"{tensorrt.name} {tensorrt.version} does not build for {chosen}; it knows {', '.join(tensorrt.targets())}."
            " Jetson (SM87) and Hopper (SM90) take classic tensorrt, on the device"
        )
    return chosen


def _build(
    tensorrt: TensorRt,
    graph: bytes,
    target: str,
    sides: tuple[int, int, int],
    batch: BatchRange,
    workspace_mb: int,
    on_progress: OnProgress,
) -> bytes:
    """One build. TensorRT answers None instead of raising, so every answer is looked at."""
    trt, log = tensorrt.module, tensorrt.log
    log.lines.clear()
    builder = trt.Builder(log.sink)
    # Strongly typed: the precision is what the graph says, in both builders, and no flag second-guesses it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log.sink)
    if not parser.parse(graph):
        raise _failure(tensorrt, "cannot read the graph", log.lines)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    config.progress_monitor = _monitor(trt, on_progress)
    if tensorrt.builds_for_others:
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(getattr(trt.ComputeCapability, target), 0):
            raise _failure(tensorrt, f"does not take the target {target}", log.lines)
    profile = builder.create_optimization_profile()
    counts = (batch.smallest, batch.best, batch.largest)
    if profile.set_shape("image", *((count, *sides) for count in counts)) is False:
        raise _failure(tensorrt, f"does not take the batch sizes {counts}", log.lines)
    if config.add_optimization_profile(profile) < 0:
        raise _failure(tensorrt, "does not take the shapes", log.lines)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise _failure(tensorrt, "built nothing", log.lines)
    return bytes(engine)


def _failure(tensorrt: TensorRt, what: str, lines: Sequence[str]) -> EngineBuildError:
    said = "\n".join(f"  {line}" for line in lines[-8:]) or "  (it said nothing)"
    return EngineBuildError(
        f"{tensorrt.name} {tensorrt.version} {what}. Its own words:\n{said}\n"
        "What helps most often: another version of the builder, a smaller largest batch, or more workspace; the package"
        " serves on ONNX Runtime meanwhile"
    )


def _monitor(trt: Any, on_progress: OnProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called from the builder's threads; an exception here would end the process, so none leaves."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._phases: dict[str, tuple[str | None, int]] = {}
            self._go_on = True

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = (parent_phase, num_steps)
            self._tell(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return self._go_on

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self._phases.get(phase_name, (None, 0))[1])
            self._phases.pop(phase_name, None)

        def _tell(self, phase: str, done: int) -> None:
            parent, steps = self._phases.get(phase, (None, 0))
            try:
                self._go_on = on_progress(phase, parent, done, steps) and self._go_on
            except Exception:
                _LOGGER.exception("the progress of the build cannot be shown")

    return Monitor()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("package", type=Path, metavar="PACKAGE", help="package folder")
    parser.add_argument("--store", type=Path, help="folder of engines (default: engines beside the package)")
    parser.add_argument("--builder", choices=BUILDERS, help="which TensorRT (default: the first installed)")
    parser.add_argument("--target", help=f"compute capability, e.g. {DEFAULT_TARGET}; tensorrt builds for this GPU")
    parser.add_argument("--best-batch", type=int, default=1, help="batch size to tune for (%(default)s)")
    parser.add_argument("--largest-batch", type=int, default=8, help="largest batch size (%(default)s)")
    parser.add_argument("--workspace-mb", type=int, default=1024, help="memory for kernels (%(default)s)")
    parser.add_argument(
        "--trusted-key", type=Path, action="append", default=[], help="public key that must have signed"
    )
    parser.add_argument("--force", action="store_true", help="build even if the store has it")


def run(given: argparse.Namespace) -> int:
    """Builds, with a progress bar; 0 done, 2 refused with the reason."""
    from rich.console import Console
    from rich.progress import Progress

    try:
        tensorrt = load_tensorrt(given.builder)
        if given.trusted_key:
            signing.verify(given.package, given.trusted_key)
        package = read_package(given.package)
        batch = BatchRange(best=given.best_batch, largest=given.largest_batch)
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
            tasks: dict[str, Any] = {}

            def show(phase: str, parent: str | None, done: int, steps: int) -> bool:
                if parent is None or phase not in tasks:
                    tasks.setdefault(phase, bar.add_task(phase, total=steps))
                bar.update(tasks[phase], completed=done, total=steps)
                return True

            built = build_engine(
                package,
                EngineStore(given.store or given.package.resolve().parent / "engines"),
                tensorrt=tensorrt,
                target=given.target,
                batch=batch,
                workspace_mb=given.workspace_mb,
                force=given.force,
                on_progress=show,
            )
    except (EngineBuildError, ContractError, ValueError, OSError) as error:
        sys.stderr.write(f"build_engine: {error}\n")
        return 2
    how = "taken from the store" if built.reused else f"built in {built.seconds:.1f} s"
    sys.stdout.write(
        f"{built.path}\n{built.size / 1e6:.1f} MB, {how}: {built.key.builder}, {built.key.target},"
        f" {built.key.precision}, {built.key.shapes}\nnot executed: its golden cases are checked where it serves\n"
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """`python export/build_engine.py PACKAGE`."""
    parser = argparse.ArgumentParser(prog="build_engine.py", description="Builds a TensorRT engine for a package.")
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
