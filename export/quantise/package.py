"""From a float package to one of fewer bits: calibrated, measured, compared, refused where it lost too much, signed.

The new package has the name of the old one and a higher version, so a station takes it as the successor it is. Its
lineage is the old one's (the same training, the same clicks); what was done to the graph stands in its manifest.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from export.package import write_signed
from export.papers import papers
from export.parity import compare_all, golden_cases, in_onnxruntime, letterbox_input
from export.provenance import evaluation_of
from export.quantise.choose import Choice, choose
from export.quantise.damage import MOST_LOSS, damage_of, too_much
from export.quantise.fp16 import to_fp16
from export.quantise.measured import figures_on
from export.quantise.ranges import Images
from export.strength import strong_cases
from lineside import golden
from lineside.package import GOLDEN_NAME, GRAPH_NAME, WEIGHTS_NAME, Package, check_manifest
from lineside.pixels import Pixels
from lineside.v1 import model_pb2
from training.data.sample import Dataset
from training.evaluate.figures import Figures

PRECISIONS = ("int8", "fp16")
# Between the fused graph and the same arithmetic one operation after another, times this: what other processors and
# GPUs may add, which round at other places.
_ROOM = 2.0

OnStep = Callable[[str], None]


class TooMuchLostError(ValueError):
    """A class lost more than allowed; nothing was written."""

    def __init__(self, message: str, before: Sequence[Figures], after: Sequence[Figures]) -> None:
        super().__init__(message)
        self.before = tuple(before)
        self.after = tuple(after)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be made, and what is too much."""

    precision: str
    version: str = ""
    """Empty: the source's, its last number raised by one."""
    method: str | None = None
    """int8: of calibration; None: what moves the answers least."""
    form: str = "portable"
    float_layers: int = 0
    """int8: how many sensitive layers stay in float."""
    most_loss: float = MOST_LOSS
    judged: tuple[str, ...] = ("ap",)
    """Out of `export.quantise.damage.JUDGED`."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        too_much((), self.most_loss, self.judged)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantised:
    """What came out."""

    package: Package
    choice: Choice | None
    """None: fp16."""
    before: tuple[Figures, ...]
    after: tuple[Figures, ...]
    """Empty: no annotated pictures were given."""
    tolerance: model_pb2.ParityTolerance


def quantise_package(
    source: Package,
    out: Path,
    wanted: Wanted,
    calibration: Sequence[Pixels],
    *,
    domains: Sequence[tuple[str, Dataset]] = (),
    private_key: Path | None = None,
    replace: bool = False,
    on_step: OnStep = lambda _: None,
) -> Quantised:
    """Writes the new package, whole or not at all.

    Args:
        source: a float package, read and checked.
        out: folder of the new one.
        wanted: precision, method, limits.
        calibration: frames as the camera takes them; they go through the contract's letterbox. fp16 needs none, but
            they say how closely a runtime must repeat it.
        domains: name and annotated pictures of each, for mAP before and after; empty: nothing is judged.
        private_key: PEM file of a P-256 key; None: the package is not signed.
        replace: take the place of a package of that name.
        on_step: told what happens next.

    Raises:
        TooMuchLostError: a class lost more than `wanted.most_loss`; says which.
        ValueError: the source is quantised already; no calibration frame; goldens that notice too little.
        FileExistsError, FileNotFoundError: the folder exists, the key does not.
    """
    _check(source, out, wanted, calibration, private_key, replace)
    manifest = model_pb2.PackageManifest()
    manifest.CopyFrom(source.manifest)
    graph = source.read(GRAPH_NAME)
    cases = golden.unpack(source.read(GOLDEN_NAME), manifest)
    pictures = [letterbox_input(frame, manifest.input) for frame in calibration]
    choice: Choice | None = None
    if wanted.precision == "int8":
        choice = choose(
            graph,
            manifest,
            calibration,
            method=wanted.method,
            float_layers=wanted.float_layers,
            form=wanted.form,
            on_step=on_step,
        )
        made = choice.graph
    else:
        on_step("converting")
        made = to_fp16(graph)
    before, after = _measured(graph, made, manifest, domains, wanted, on_step)
    manifest.version = wanted.version or next_version(manifest.version)
    manifest.quantisation.CopyFrom(_record(source, wanted, choice, pictures))
    if after:
        del manifest.evaluations[:]
        manifest.evaluations.extend(evaluation_of(figures) for figures in after)
    else:
        _forget(manifest)
    on_step("how closely runtimes repeat it")
    frames = [case.frame for case in cases]
    manifest.parity.CopyFrom(tolerance_of(made, [*frames, *calibration], source.manifest))
    fresh = strong_cases(in_onnxruntime(made), frames, manifest, spare=calibration)
    _check_written_out(made, fresh, manifest)
    on_step("writing the package")
    files = {GRAPH_NAME: made, GOLDEN_NAME: golden.pack(fresh)}
    if any(item.name == WEIGHTS_NAME for item in source.manifest.files):
        files[WEIGHTS_NAME] = source.read(WEIGHTS_NAME)
    del manifest.files[:]
    files |= papers(manifest, files, made_by=_facts(manifest, before, after))
    package = write_signed(out, manifest, files, private_key)
    return Quantised(package=package, choice=choice, before=before, after=after, tolerance=manifest.parity)


def next_version(version: str) -> str:
    """Its last number raised by one."""
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def tolerance_of(
    graph: bytes, frames: Sequence[Pixels], manifest: model_pb2.PackageManifest
) -> model_pb2.ParityTolerance:
    """How far a right runtime may be from the golden answers: what the fused graph and the same graph one operation
    after another differ by on these frames, times two; never less than the source's own tolerance.

    With eight bits a value near the edge of a step goes up in one runtime and down in the next, so the tolerance of a
    float graph would refuse runtimes that do nothing wrong.
    """
    wide = model_pb2.PackageManifest()
    wide.CopyFrom(manifest)
    wide.parity.score, wide.parity.box = 2.0, 1e6
    cases = golden_cases(in_onnxruntime(graph), frames, wide)
    seen = compare_all(cases, in_onnxruntime(graph, optimised=False), wide)
    if seen.fault is not None:
        raise ValueError(f"the reduced graph has no stable answer: {seen.fault}")
    return model_pb2.ParityTolerance(
        score=_rounded(max(manifest.parity.score, _ROOM * seen.score)),
        box=_rounded(max(manifest.parity.box, _ROOM * seen.box)),
    )


def _rounded(value: float) -> float:
    """Up, to two digits: a tolerance is no measurement."""
    digits = 1 - int(np.floor(np.log10(value)))
    return float(np.ceil(value * 10**digits - 1e-9) / 10**digits)


def _check(
    source: Package, out: Path, wanted: Wanted, calibration: Sequence[Pixels], private_key: Path | None, replace: bool
) -> None:
    """Impossible words are refused before minutes are spent."""
    if source.manifest.HasField("quantisation"):
        done = source.manifest.quantisation
        raise ValueError(
            f"the package is {done.precision} already; quantise the float package it was made from,"
            f" {done.source_digest}"
        )
    if not calibration:
        raise ValueError("no calibration frame; give a folder of pictures as the camera takes them, some dozens")
    if out.exists() and not replace:
        raise FileExistsError(f"{out} exists; choose another name or ask to replace it")
    if private_key is not None and not private_key.is_file():
        raise FileNotFoundError(f"no private key at {private_key}; make one with: lineside export keys FOLDER")
    if wanted.version:
        tried = model_pb2.PackageManifest()
        tried.CopyFrom(source.manifest)
        tried.version = wanted.version
        check_manifest(tried)


def _measured(
    graph: bytes,
    made: bytes,
    manifest: model_pb2.PackageManifest,
    domains: Sequence[tuple[str, Dataset]],
    wanted: Wanted,
    on_step: OnStep,
) -> tuple[tuple[Figures, ...], tuple[Figures, ...]]:
    if not domains:
        return (), ()
    both = figures_on(
        {"before": graph, "after": made},
        manifest,
        domains,
        on_picture=lambda done, total: on_step(f"measuring before and after, picture {done} of {total}"),
    )
    before, after = both["before"], both["after"]
    losses = too_much(damage_of(before, after), wanted.most_loss, wanted.judged)
    if losses:
        raise TooMuchLostError(
            f"{wanted.precision} loses more than {wanted.most_loss:g} and was not packaged: {'; '.join(losses)}. What"
            " helps: more calibration pictures, from both domains; sensitive layers left in float (--float-layers 2);"
            " fp16. Or say what loss is acceptable (--most-loss)",
            before,
            after,
        )
    return before, after


def _record(
    source: Package, wanted: Wanted, choice: Choice | None, pictures: Sequence[Images]
) -> model_pb2.Quantisation:
    record = model_pb2.Quantisation(precision=wanted.precision, source_digest=source.digest)
    if choice is not None:
        whole = hashlib.sha256()
        for picture in pictures:
            whole.update(picture.tobytes())
        record.form, record.calibration, record.pictures = wanted.form, choice.method, len(pictures)
        record.pictures_digest = "sha256:" + whole.hexdigest()
        record.float_layers.extend(choice.float_nodes)
    return record


def _forget(manifest: model_pb2.PackageManifest) -> None:
    """The source's figures are not this graph's."""
    for evaluation in manifest.evaluations:
        told = f"measured on the float package, not on this {manifest.quantisation.precision} one"
        evaluation.notes = f"{evaluation.notes}; {told}" if evaluation.notes else told


def _check_written_out(made: bytes, cases: Sequence[golden.GoldenCase], manifest: model_pb2.PackageManifest) -> None:
    seen = compare_all(cases, in_onnxruntime(made, optimised=False), manifest)
    if seen.fault is not None:
        raise ValueError(f"the reduced graph does not repeat itself within its own tolerance: {seen.fault}")


def _facts(
    manifest: model_pb2.PackageManifest, before: Sequence[Figures], after: Sequence[Figures]
) -> list[tuple[str, str]]:
    """For the card."""
    done = manifest.quantisation
    how = f"{done.precision}, from {done.source_digest}"
    if done.calibration:
        how += f"; {done.form}, {done.calibration} on {done.pictures} pictures"
        how += f", in float: {', '.join(done.float_layers)}" if done.float_layers else ""
    facts = [("quantised", how)]
    facts.extend(
        (f"mAP before, {old.domain}", f"{old.map_33:.4f}, now {new.map_33:.4f}")
        for old, new in zip(before, after, strict=True)
        if old.map_33 is not None and new.map_33 is not None
    )
    return facts
