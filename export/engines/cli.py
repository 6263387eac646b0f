"""The verbs of `export/build_engine.py` and `lineside export engine`. Parses, calls, prints; knows nothing itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from export.engines.prune import Limits, choose
from export.engines.text import entry_json, inspect_text, list_text
from export.engines.variants import PRECISIONS
from lineside import signing
from lineside.engines.key import BatchRange
from lineside.engines.layers import as_json
from lineside.engines.lock import LockBusyError, exclusive
from lineside.engines.store import EngineRefusedError, EngineStore
from lineside.engines.tensorrt_api import BUILDERS, EngineBuildError, EngineCancelledError, TensorRt, load_tensorrt
from lineside.package import GRAPH_NAME, Package, read_package
from lineside.pixels import Pixels, decode
from lineside.reasons import ContractError

VERBS = ("build", "list", "inspect", "verify", "prune")
_STORE = Path("engines")
_PICTURES = (".bmp", ".jpg", ".jpeg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_INTERRUPTED = 130


def main(arguments: Sequence[str], prog: str) -> int:
    """Runs one verb: 0 done, 1 an engine is not sound, 2 refused with one line that says why, 130 stopped."""
    words = list(arguments)
    if words and words[0] not in (*VERBS, "-h", "--help"):
        words.insert(0, "build")
    given = _parser(prog).parse_args(words)
    run: Callable[[argparse.Namespace], int] = given.run
    try:
        return run(given)
    except (KeyboardInterrupt, EngineCancelledError):
        sys.stderr.write(f"{prog}: stopped; nothing was stored\n")
        return _INTERRUPTED
    except (EngineBuildError, EngineRefusedError, ContractError, LockBusyError, ValueError, OSError) as error:
        sys.stderr.write(f"{prog}: {error}\n")
        return 2


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Builds TensorRT engines for packages and looks after them. A package without a verb is built.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    build = verbs.add_parser("build", help="build a package's engine, or find it in the store (the default)")
    build.add_argument("package", type=Path, metavar="PACKAGE", help="package folder")
    build.add_argument("--store", type=Path, help="folder of engines (default: engines beside the package)")
    build.add_argument("--builder", choices=BUILDERS, help="which TensorRT (default: the first installed)")
    build.add_argument("--target", help="compute capability, e.g. SM89 (default: this machine's GPU, else SM89)")
    build.add_argument("--precision", choices=PRECISIONS, help="convert the graph first (default: as it is)")
    build.add_argument("--frames", type=Path, help="folder of pictures as the camera takes them, to calibrate int8")
    build.add_argument(
        "--batch",
        type=BatchRange.parse,
        action="append",
        metavar="MIN:BEST:MAX",
        help="batch sizes; again for another optimisation profile (default: 1:1:8)",
    )
    build.add_argument("--workspace-mb", type=int, default=1024, help="memory for kernels (%(default)s)")
    build.add_argument("--trusted-key", type=Path, action="append", default=[], help="public key that must have signed")
    build.add_argument("--force", action="store_true", help="build even if the store has it")
    build.add_argument("--no-wait", action="store_true", help="do not wait for another process that builds it")
    build.set_defaults(run=_build)
    listing = verbs.add_parser("list", help="what the store holds")
    _store_argument(listing)
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(run=_list)
    inspect = verbs.add_parser("inspect", help="layers, precision and sizes of an engine")
    inspect.add_argument("engine", metavar="ENGINE", help="beginning of its name, or its file")
    _store_argument(inspect)
    inspect.add_argument("--json", action="store_true", help="for programs")
    inspect.set_defaults(run=_inspect)
    verify = verbs.add_parser("verify", help="may they be loaded? digest, record, owner, and the builder's own check")
    verify.add_argument("engines", metavar="ENGINE", nargs="*", help="beginning of a name, or a file (default: all)")
    _store_argument(verify)
    verify.add_argument("--package", type=Path, help="and are they of this package")
    verify.set_defaults(run=_verify)
    prune = verbs.add_parser("prune", help="delete engines that are old, unused or too many, and what killed ones left")
    _store_argument(prune)
    prune.add_argument("--older-than", type=float, metavar="DAYS", help="built longer ago")
    prune.add_argument("--unused-for", type=float, metavar="DAYS", help="not asked for since")
    prune.add_argument("--keep-mb", type=float, metavar="MB", help="most recently used ones that fit; the rest goes")
    prune.add_argument("--keep-package", type=Path, action="append", help="only engines of these packages stay")
    prune.add_argument("--dry-run", action="store_true", help="say it, delete nothing")
    prune.set_defaults(run=_prune)
    return parser


def _store_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, default=_STORE, help="folder of engines (%(default)s)")


def _build(given: argparse.Namespace) -> int:
    from export.build_engine import DEFAULT_PROFILES, Settings, build_engine

    settings = Settings(
        target=given.target,
        precision=given.precision,
        profiles=tuple(given.batch or DEFAULT_PROFILES),
        workspace_mb=given.workspace_mb,
        force=given.force,
        wait=not given.no_wait,
    )
    tensorrt = load_tensorrt(given.builder)
    if given.trusted_key:
        signing.verify(given.package, given.trusted_key)
    package = read_package(given.package)
    with _progress() as (show, say):
        built = build_engine(
            package,
            EngineStore(given.store or given.package.resolve().parent / _STORE),
            tensorrt=tensorrt,
            settings=settings,
            frames=_frames(given.frames),
            on_progress=show,
            on_wait=lambda who: say(f"{who} is building this engine; waiting"),
        )
    record, key = built.record, built.key
    if built.refused is not None:
        print(f"the stored engine was refused and built again: {built.refused}")
    print(built.path)
    how = "taken from the store" if built.reused else f"built in {record.build_seconds:.1f} s"
    print(f"{record.size / 1e6:.1f} MB, {how}: {key.builder}, {key.target}, {key.precision}, {key.profiles}")
    agreement = built.variant.agreement
    if agreement is not None:
        tolerance = package.manifest.parity
        print(
            f"{built.variant.conversion}: on the golden cases in ONNX Runtime scores differ by up to"
            f" {agreement.score:.2g} (allowed {tolerance.score:g}), boxes by {agreement.box:.2g} model pixels"
            f" (allowed {tolerance.box:g}): {agreement.fault or 'within tolerance'}\nwhat it costs in mAP is not"
            " measured here: lineside export quantise measures it and makes a package"
        )
    if record.warnings and not built.reused:
        print(f"the builder warned {len(record.warnings)} times, the last time: {record.warnings[-1]}")
    print("not executed: its golden cases are checked where it serves")
    return 0


def _frames(folder: Path | None) -> list[Pixels]:
    if folder is None:
        return []
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in _PICTURES)
    if not files:
        raise FileNotFoundError(f"no pictures in {folder}; expected files ending in {', '.join(_PICTURES)}")
    return [decode(path.read_bytes()) for path in files]


@contextlib.contextmanager
def _progress() -> Iterator[tuple[Callable[[str, str | None, int, int], bool], Callable[[str], None]]]:
    """A bar for each phase of the build that runs, and a way to say something above them."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, TaskID] = {}

        def show(phase: str, parent: str | None, done: int, steps: int) -> bool:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase if parent is None else f"  {phase}", total=steps)
            bar.update(tasks[phase], completed=done, total=steps, visible=parent is None or done < steps)
            return True

        yield show, console.print


def _list(given: argparse.Namespace) -> int:
    entries = EngineStore(given.store).entries()
    if given.json:
        print(json.dumps([entry_json(entry) for entry in entries], indent=1))
    else:
        print(list_text(entries, given.store))
    return 0


def _inspect(given: argparse.Namespace) -> int:
    store = EngineStore(given.store)
    path = store.find(given.engine)
    _, record = store.read_file(path)
    if given.json:
        print(json.dumps({**json.loads(record.to_json()), "layers": as_json(record.layers)}, indent=1))
        return 0
    print(inspect_text(path, record))
    return 0


def _verify(given: argparse.Namespace) -> int:
    store = EngineStore(given.store)
    package = None if given.package is None else read_package(given.package)
    paths = [store.find(text) for text in given.engines] or [entry.path for entry in store.entries()]
    loaded: dict[str, TensorRt | None] = {}
    bad = 0
    for path in paths:
        fault, unchecked = _fault(store, path, package, loaded)
        bad += fault is not None
        note = f" ({unchecked})" if unchecked and fault is None else ""
        print(f"{path.stem[:12]}  {'sound' if fault is None else 'refused: ' + fault}{note}")
    print(f"{len(paths) - bad} of {len(paths)} engines may be loaded; not executed here")
    return 1 if bad else 0


def _fault(
    store: EngineStore, path: Path, package: Package | None, loaded: dict[str, TensorRt | None]
) -> tuple[str | None, str]:
    """What is wrong with an engine, and what could not be looked at."""
    try:
        engine, record = store.read_file(path)
    except EngineRefusedError as error:
        return str(error), ""
    if package is not None and record.origin.source_graph_sha256 != _graph_sha256(package):
        return f"foreign: it is of {record.origin.model}, not of this package's graph", ""
    name = record.key.builder.split(" ")[0]
    if name not in loaded:
        try:
            loaded[name] = load_tensorrt(name)
        except EngineBuildError:
            loaded[name] = None
    tensorrt = loaded[name]
    if tensorrt is None:
        return None, f"{name} is not installed here, so it was not asked"
    if tensorrt.title != record.key.builder:
        return f"of another version: {record.key.builder}, installed is {tensorrt.title}; build again", ""
    return tensorrt.engine_fault(engine), ""


def _prune(given: argparse.Namespace) -> int:
    store = EngineStore(given.store)
    limits = Limits(
        older_than_days=given.older_than,
        unused_for_days=given.unused_for,
        total_mb=given.keep_mb,
        graphs=None
        if given.keep_package is None
        else {_graph_sha256(read_package(folder)) for folder in given.keep_package},
    )
    freed = 0
    for removal in choose(store.entries(), limits, time.time()):
        entry = removal.entry
        try:
            with exclusive(entry.path.with_suffix(".lock"), wait=False):
                if not given.dry_run:
                    store.remove(entry.path)
        except LockBusyError:
            print(f"{entry.name[:12]}  stays: it is being built")
            continue
        freed += entry.size
        print(f"{entry.name[:12]}  {entry.size / 1e6:.1f} MB  {removal.reason}")
    for left in store.leftovers(time.time()):
        freed += left.stat().st_size
        print(f"{left.name}  left by a build that was killed")
        if not given.dry_run:
            left.unlink(missing_ok=True)
    print(f"{'would free' if given.dry_run else 'freed'} {freed / 1e6:.1f} MB")
    return 0


def _graph_sha256(package: Package) -> str:
    return next(item.sha256 for item in package.manifest.files if item.name == GRAPH_NAME)
