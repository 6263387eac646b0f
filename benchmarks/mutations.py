"""Packages altered in every way a station has to notice: each refused for its reason, none parsed before its signature.

    python -m benchmarks.mutations [--count 400] [--seed 7] [--json FILE]

A manager with keys, as the daemon has it, serves a confirmed model while the mutants of `mutants_on_the_way.py` and
`mutants_signed.py` are pushed. Watched meanwhile: every parser a package could meet (manifest, graph, golden cases,
numpy, zip, pickle) and when it is called; and, by Python's own audit events, every file that is opened for writing,
made, renamed or linked. At the end the old model still answers, a sound package is taken, and nothing is left.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pkgutil
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import mutants_on_the_way as way
from benchmarks import mutants_signed as signed
from benchmarks import tiles
from benchmarks.mutants import FLOOR, LIMIT_BYTES, Kind, Mutant, Workshop, announced, chunked
from edge.backends import open_backend
from edge.models import trial
from edge.models.manager import ModelManager
from edge.models.settings import ModelsSettings, SignerSettings
from edge.verdict import RecipeSettings
from lineside import signing
from lineside.reasons import ContractError
from lineside.v1 import model_pb2

ACTOR = "benchmark"
_TRIALS = str(Path(tempfile.gettempdir()) / "lineside-trial-")
LIGHT: tuple[Kind, ...] = (
    way.signature,
    signed.manifest_field,
    way.odd_name,
    way.missing,
    way.exchanged,
    signed.manifest_field,
    way.mixed,
    way.announcement,
    way.odd_name,
    way.link,
    signed.manifest_field,
    way.signer,
    signed.manifest_text,
    signed.file_list,
)
"""In turn; those with many variants come more often, so that 400 mutants hold every variant."""
HEAVY: tuple[Kind, ...] = (signed.graph, signed.golden_cases, signed.graph, signed.classes)
"""These go as far as a trial."""
PARSERS = (
    "lineside.package.parse_manifest",
    "edge.models.intake.parse_manifest",
    "lineside.golden.unpack",
    "edge.models.trial.try_package",
    "edge.models.external_data.refuse_external_data",
    "edge.models.graph_facts.check_class_names",
    "numpy.load",
    "zipfile.ZipFile.__init__",
    "onnxruntime.InferenceSession.__init__",
    "pickle.loads",
    "pickle.load",
)
"""Whatever could look into a package's files."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Report:
    """What became of the mutants."""

    seed: int
    mutants: int = 0
    refused: int = 0
    """For exactly the reason their kind states."""
    by_reason: dict[str, int] = dataclasses.field(default_factory=dict)
    by_kind: dict[str, int] = dataclasses.field(default_factory=dict)
    parsed_before_signature: int = 0
    vouched: int = 0
    """Mutants that a trusted key had signed; only these may be parsed at all."""
    tried_in_a_process: int = 0
    written_outside: list[str] = dataclasses.field(default_factory=list)
    troubles: list[str] = dataclasses.field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether everything was as it has to be."""
        clean = not (self.troubles or self.written_outside or self.parsed_before_signature)
        return clean and self.refused == self.mutants


class Watch:
    """Sees parsers called, signatures verified and files written, in the order in which they happen. A context manager.

    Args:
        allowed: folders in which files may be written.
    """

    def __init__(self, *allowed: Path) -> None:
        self._allowed = tuple(str(folder.resolve()) + os.sep for folder in allowed)
        self._stack = contextlib.ExitStack()
        self._on = False
        self.happened: list[str] = []
        """"verified", or the name of a parser."""
        self.outside: list[str] = []
        """Writes elsewhere."""

    def __enter__(self) -> Watch:
        verify = signing.verify

        def verified(*arguments: Any, **options: Any) -> Path:
            key = verify(*arguments, **options)
            self.happened.append("verified")
            return key

        self._stack.enter_context(mock.patch("lineside.signing.verify", verified))
        for name in PARSERS:
            owner, _, attribute = name.rpartition(".")
            self._stack.enter_context(
                mock.patch(name, self._told(name, getattr(pkgutil.resolve_name(owner), attribute)))
            )
        sys.addaudithook(self._audit)
        self._on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False  # an audit hook cannot be taken out
        self._stack.close()

    def _told(self, name: str, parse: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.happened.append(name)
            return parse(*arguments, **options)

        return wrapped

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "pickle.find_class":
            self.happened.append(event)
        elif event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes and isinstance(path, (str, bytes)):
                self._wrote(event, path)
        elif event in ("os.symlink", "os.link"):  # a station makes none, wherever
            self.outside.append(f"{event}: {os.fsdecode(arguments[1])}")
        elif event in ("os.mkdir", "os.rename", "os.truncate"):
            for path in arguments[:2]:
                if isinstance(path, (str, bytes)):
                    self._wrote(event, path)

    def _wrote(self, event: str, path: str | bytes) -> None:
        # Not resolved: that would ask the disk, from inside the hook.
        text = os.path.normpath(Path.cwd() / os.fsdecode(path))
        # A trial's empty folder; and its answer, a file without a name in the folder of temporary ones.
        trials = text.startswith(_TRIALS) or text == tempfile.gettempdir()
        if not (trials or "__pycache__" in text or text == os.devnull or text.startswith(self._allowed)):
            self.outside.append(f"{event}: {text}")


def plan(shop: Workshop, count: int, seed: int) -> Iterator[Mutant]:
    """So many mutants: every second one altered bytes, every eighth as far as a trial, the others kind by kind.

    Args:
        shop: makes them.
        count: how many.
        seed: the same one gives the same alterations.
    """
    chance = random.Random(seed)
    turns: collections.Counter[str] = collections.Counter()
    for number in range(count):
        if number % 8 == 7:
            kind: Kind = HEAVY[number // 8 % len(HEAVY)]
        elif number % 8 in (0, 4):
            kind = way.byte
        else:
            kind = LIGHT[turns["light"] % len(LIGHT)]
            turns["light"] += 1
        yield kind(shop, chance, turns[kind.__name__])
        turns[kind.__name__] += 1


def prove(
    folder: Path,
    *,
    count: int,
    seed: int,
    apart: bool = True,
    on_mutant: Callable[[Mutant, Report], None] = lambda *_: None,
) -> Report:
    """Pushes mutants to a station's manager and sees what becomes of them.

    Args:
        folder: for keys, packages and the station; empty.
        count: how many mutants.
        seed: of the alterations.
        apart: try every package in a process of its own, as a station does; False: only those that may bring a process
            down, the others by the same code in this one.
        on_mutant: told after each.
    """
    shop = Workshop(folder / "shop")
    data = folder / "data"
    settings = ModelsSettings(
        trusted_keys=(shop.release_public,),
        signers=(
            SignerSettings(key=shop.trial_public, may_sign=("trial",)),
            SignerSettings(key=shop.retired_public, retired=True),
        ),
        maximum_package_mb=LIMIT_BYTES >> 20,
        trial_memory_mb=2048,
    )
    recipes = [RecipeSettings(name="all", thresholds={"dent": 0.5})]
    report = Report(seed=seed)
    serving = tiles.make_anchor_package(folder / "serving", version=FLOOR, bias=0.1, sign_key=shop.release)
    with ModelManager(settings, data, open_backend, lambda _: None, lambda _: None, recipes=recipes) as models:
        files = {path.name: path.read_bytes() for path in serving.folder.iterdir()}
        models.push(announced(files), chunked(files), ACTOR)
        models.activate(serving.digest, ACTOR)
        models.confirm(serving.digest, ACTOR)
        made = list(plan(shop, count, seed))  # making them writes and parses; being refused must not
        before = _tree(folder, data)
        with Watch(data / "models") as watch:
            for mutant in made:
                with contextlib.nullcontext() if apart or mutant.process else _in_this_process():
                    _push(models, mutant, watch, report)
                report.tried_in_a_process += apart or mutant.process
                on_mutant(mutant, report)
            report.written_outside = watch.outside
        if _tree(folder, data) != before:
            report.troubles.append("files outside the station's folder changed")
        _after(models, shop, serving.digest, data, report)
    return report


def _push(models: ModelManager, mutant: Mutant, watch: Watch, report: Report) -> None:
    watch.happened.clear()
    report.mutants += 1
    report.vouched += mutant.vouched
    report.by_kind[mutant.kind] = report.by_kind.get(mutant.kind, 0) + 1
    name = f"{mutant.kind}: {mutant.what}"
    try:
        models.push(mutant.begin, mutant.chunks, ACTOR)
        report.troubles.append(f"{name} was taken")
    except ContractError as error:
        report.by_reason[error.reason.value] = report.by_reason.get(error.reason.value, 0) + 1
        if error.reason is mutant.reason:
            report.refused += 1
        else:
            report.troubles.append(f"{name} was refused for {error}, expected {mutant.reason.value}")
    seen = list(watch.happened)
    first = seen.index("verified") if "verified" in seen else len(seen)
    if seen[:first]:
        report.parsed_before_signature += 1
        report.troubles.append(f"{name} met {', '.join(seen[:first])} before its signature was right")
    if not mutant.vouched and seen:
        report.troubles.append(f"{name} came as far as {', '.join(seen)}")
    if "pickle.find_class" in seen:
        report.troubles.append(f"{name} was unpickled")


def _after(models: ModelManager, shop: Workshop, serving: str, data: Path, report: Report) -> None:
    """The old model answers, a sound package is taken by the same station, and of the mutants nothing is left."""
    with models.slot.lease() as model:
        score = float(model.answer(tiles.picture()).found.scores[0])
    if not np.isclose(score, tiles.expected_score(0.1), atol=1e-6) or models.describe("")[0].model.digest != serving:
        report.troubles.append("the model that served before does not serve as before")
    status = models.push(announced(shop.sound), chunked(shop.sound), ACTOR)
    if status.state != model_pb2.MODEL_STATE_BUILT:
        report.troubles.append("a sound package was not taken afterwards")
    kept = {path.name for path in (data / "models" / "packages").iterdir()}
    expected = {digest.removeprefix("sha256:") for digest in (serving, status.model.digest)}
    left = [*(data / "models" / "staging").iterdir(), *(kept - expected)]
    if left:
        report.troubles.append(f"left behind: {', '.join(str(item) for item in left)}")


@contextlib.contextmanager
def _in_this_process() -> Iterator[None]:
    """Trials by the child's own code, here."""

    def run(self: trial.Trials, folder: Path) -> None:
        del self
        trial.try_package(folder, "onnxruntime-cpu", 1)

    with mock.patch.object(trial.Trials, "run", run):
        yield


def _tree(folder: Path, data: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if data not in path.parents and path != data}


def main(arguments: list[str] | None = None) -> int:
    """Runs the proof; 0: everything was refused as it has to be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutations", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:

        def told(_: Mutant, report: Report) -> None:
            if sys.stderr.isatty():
                print(f"\r{report.refused} of {report.mutants} refused  ", end="", file=sys.stderr)

        report = prove(Path(name), count=given.count, seed=given.seed, on_mutant=told)
    document = dataclasses.asdict(report)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(json.dumps(document, indent=1, sort_keys=True))
    return 0 if report.sound else 1


if __name__ == "__main__":
    sys.exit(main())
