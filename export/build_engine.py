"""A TensorRT engine for a package: `python export/build_engine.py PACKAGE`, the same as `lineside export engine`.

Built with `tensorrt_rtx` on any machine, for a named compute capability; with `tensorrt` for the GPU of this machine
(that path is the same code and was not run here). The engine is not executed: whether it repeats the golden cases is
decided where it serves.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from export.engines.compile import Compile, Job, OnProgress
from export.engines.process import compile_apart
from export.engines.variants import Variant, variant_of
from lineside.engines.gpu import local_gpu
from lineside.engines.key import ANY, BatchRange, EngineKey, check_profiles, shapes_of
from lineside.engines.lock import LockBusyError, exclusive
from lineside.engines.store import EngineRefusedError, EngineStore, Origin, Record, new_record
from lineside.engines.tensorrt_api import EngineBuildError, TensorRt
from lineside.package import GRAPH_NAME, Package
from lineside.pixels import Pixels

_LOGGER = logging.getLogger(__name__)

DEFAULT_TARGET = "SM89"
DEFAULT_PROFILES = (BatchRange(),)
DEFAULT_WORKSPACE_MB = 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an engine is to be built."""

    target: str | None = None
    """Compute capability such as "SM89"; None: this machine's GPU, else SM89 where the builder builds for others."""
    precision: str | None = None
    """fp32, fp16 or int8; None: as the package's graph has it."""
    profiles: tuple[BatchRange, ...] = DEFAULT_PROFILES
    """One optimisation profile each."""
    workspace_mb: int = DEFAULT_WORKSPACE_MB
    """Memory the engine's kernels may use for themselves, 1 upwards."""
    force: bool = False
    """Build even if the store has it."""
    wait: bool = True
    """For another process that builds the same engine; else that is an error."""

    def __post_init__(self) -> None:
        if not 1 <= self.workspace_mb < 1 << 24:
            raise ValueError(f"workspace is {self.workspace_mb} MB, expected 1 to {(1 << 24) - 1}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltEngine:
    """An engine in the store."""

    path: Path
    record: Record
    reused: bool
    """The store had it."""
    refused: str | None
    """Why the stored one was not used, where there was one."""
    variant: Variant

    @property
    def key(self) -> EngineKey:
        """What it depends on."""
        return self.record.key


def build_engine(
    package: Package,
    store: EngineStore,
    *,
    tensorrt: TensorRt,
    settings: Settings = Settings(),
    frames: Sequence[Pixels] = (),
    compile_graph: Compile = compile_apart,
    on_progress: OnProgress = lambda *_: True,
    on_wait: Callable[[str], None] = lambda _: None,
) -> BuiltEngine:
    """The package's engine, from the store or built now.

    Args:
        frames: as the line's camera takes them, for int8.
        compile_graph: does the work; a process of its own unless said otherwise.
        on_progress: called with each step; False stops the build.
        on_wait: told who is building this engine, before waiting.

    Raises:
        EngineBuildError: the graph cannot be built, with the builder's own lines and what to do.
        EngineCancelledError: `on_progress` said so.
        ContractError: PKG_HASH, the package changed since it was read.
        ValueError: settings that do not fit the graph.
    """
    variant = variant_of(package, settings.precision, frames)
    check_profiles(settings.profiles, variant.graph.batch)
    key = key_of(variant, tensorrt, settings)
    job = Job(
        builder=tensorrt.name,
        target=key.target,
        input_name=variant.graph.input_name,
        sides=variant.graph.sides,
        profiles=settings.profiles,
        workspace_mb=settings.workspace_mb,
    )
    kept, refused = (None, None) if settings.force else _stored(store, key, tensorrt)
    if kept is None:
        try:
            with exclusive(store.lock(key), wait=settings.wait, on_wait=on_wait):
                # Another may have built it while we waited.
                kept, refused = (None, None) if settings.force else _stored(store, key, tensorrt)
                if kept is None:
                    if refused is not None:
                        _LOGGER.warning("the stored engine %s is not used and built again: %s", key.name, refused)
                    path, record = _build(package, store, tensorrt, key, job, variant, compile_graph, on_progress)
                    return BuiltEngine(path=path, record=record, reused=False, refused=refused, variant=variant)
        except LockBusyError as error:
            raise EngineBuildError(f"{error}: this engine is being built; ask without --no-wait to wait") from None
    return BuiltEngine(path=store.path(key), record=kept, reused=True, refused=None, variant=variant)


def key_of(variant: Variant, tensorrt: TensorRt, settings: Settings) -> EngineKey:
    """Everything the engine depends on.

    Raises:
        EngineBuildError: the builder does not build for that target.
    """
    target, gpu, driver = _target(tensorrt, settings.target)
    return EngineKey(
        graph_sha256=variant.graph.sha256,
        builder=tensorrt.title,
        target=target,
        gpu=gpu,
        driver=driver,
        precision=variant.graph.precision,
        profiles=shapes_of(settings.profiles, variant.graph.sides),
        options=f"workspace {settings.workspace_mb} MB",
    )


def _target(tensorrt: TensorRt, target: str | None) -> tuple[str, str, str]:
    """Capability, GPU and driver for the key."""
    gpu = local_gpu()
    if not tensorrt.builds_for_others:
        if gpu is None:
            raise EngineBuildError(
                f"{tensorrt.name} builds for the GPU of this machine and there is none; build on the station, or with"
                " tensorrt_rtx for a named capability"
            )
        if target not in (None, gpu.capability):
            raise EngineBuildError(
                f"{tensorrt.name} builds for the GPU of this machine, {gpu.name} ({gpu.capability}), not for {target}"
            )
        return gpu.capability, gpu.name, gpu.driver
    known = tensorrt.targets()
    chosen = target or (gpu.capability if gpu is not None and gpu.capability in known else DEFAULT_TARGET)
    if chosen not in known:
        raise EngineBuildError(
            f"{tensorrt.title} does not build for {chosen}; it knows {', '.join(known)}."
            " Jetson (SM87) and Hopper (SM90) take classic tensorrt, on the device"
        )
    return chosen, ANY, ANY


def _stored(store: EngineStore, key: EngineKey, tensorrt: TensorRt) -> tuple[Record | None, str | None]:
    """The record of a sound engine, or why the one that lies there is not used."""
    try:
        found = store.read(key)
    except EngineRefusedError as error:
        fault: str | None = str(error)
    else:
        if found is None:
            return None, None
        fault = tensorrt.engine_fault(found[0])
        if fault is None:
            return found[1], None
    return None, fault


def _build(
    package: Package,
    store: EngineStore,
    tensorrt: TensorRt,
    key: EngineKey,
    job: Job,
    variant: Variant,
    compile_graph: Compile,
    on_progress: OnProgress,
) -> tuple[Path, Record]:
    timing = store.timing(key.builder, key.gpu, key.driver)
    earlier = timing.read_bytes() if tensorrt.times_kernels and timing.is_file() else b""
    made = compile_graph(job, variant.graph.data, earlier, on_progress)
    fault = tensorrt.engine_fault(made.engine)
    if fault is not None:
        raise EngineBuildError(f"{tensorrt.name} built an engine that it would not load itself: {fault}")
    manifest = package.manifest
    source = next(item.sha256 for item in manifest.files if item.name == GRAPH_NAME)
    record = new_record(
        made.engine,
        key,
        Origin(
            model=f"{manifest.name} {manifest.version}",
            package_digest=package.digest,
            source_graph_sha256=source,
            conversion=variant.conversion,
        ),
        build_seconds=made.seconds,
        layers=made.layers,
        layers_from=made.layers_from,
        figures=made.figures,
        warnings=made.warnings,
    )
    path = store.write(made.engine, record, made.runtime_cache)
    if made.timing_cache:
        store.write_timing(timing, made.timing_cache)
    return path, record


def main(arguments: Sequence[str] | None = None, prog: str = "build_engine.py") -> int:
    """`python export/build_engine.py [VERB] ...`; a package instead of a verb is built."""
    from export.engines.cli import main as command_line

    return command_line(sys.argv[1:] if arguments is None else arguments, prog)


if __name__ == "__main__":
    sys.exit(main())
