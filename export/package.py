"""From a checkpoint to a model package: the same checkpoint, frames and words give the same bytes."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx

from export.evidence import Evidence, measure
from export.graph import DeployedGraph
from export.papers import papers
from export.parity import blind_spots, in_onnxruntime, in_torch, require_parity
from export.provenance import evaluations_of, known_evaluations, lineage_of, made_by
from export.strength import strong_cases
from export.to_onnx import to_onnx
from export.use import Use
from lineside import golden
from lineside.areas import write_head
from lineside.package import (
    CLASSES_KEY,
    GOLDEN_NAME,
    GRAPH_NAME,
    WEIGHTS_NAME,
    Package,
    check_manifest,
    read_package,
    write_package,
)
from lineside.pixels import Pixels
from lineside.signing import sign
from lineside.v1 import model_pb2
from training.checkpoint import FILE_NAME, Metadata, load
from training.data.sample import Experiment
from training.evaluate.predictor import TOP_K, Predictor, decode_parameters
from training.models import Detector, DetectorConfig

_LOGGER = logging.getLogger(__name__)

DEFAULT_THRESHOLD = 0.5
# Torch and ONNX Runtime differ by less than 1e-5 on a CPU; the rest is room for a GPU's TF32.
TOLERANCE = model_pb2.ParityTolerance(score=2e-3, box=0.25)

OnStep = Callable[[str], None]


def export_package(
    checkpoint: Path,
    out: Path,
    *,
    name: str,
    version: str,
    golden_frames: Sequence[Pixels],
    thresholds: Mapping[str, float] | float | None = None,
    evaluations: Sequence[model_pb2.Evaluation] | None = None,
    experiment: Experiment | None = None,
    lineage: model_pb2.Lineage | None = None,
    private_key: Path | None = None,
    use: Use = Use(),  # noqa: B008
    decode: model_pb2.DecodeParameters | None = None,
    top_k: int = TOP_K,
    tolerance: model_pb2.ParityTolerance = TOLERANCE,
    spdx_license: str = "",
    replace: bool = False,
    on_step: OnStep = lambda _: None,
) -> Package:
    """Writes a package folder, whole or not at all, after the exported graph has repeated the network's answers.

    Args:
        checkpoint: written by the training.
        out: the package folder; its name begins with no dot.
        golden_frames: uint8 (h, w) or (h, w, 3) RGB as a camera gives them, at least one, some with defects.
        thresholds: score per class name, or one for all; None: the checkpoint's own, else 0.5.
        evaluations: figures for the manifest; None: those of the checkpoint, as far as they hold for the thresholds.
        experiment: measured here instead, on the domains it has; then the card has curves and the worst pictures.
        lineage: None: what the checkpoint says.
        private_key: PEM file of a P-256 key; None: the package is not signed.
        use: what it is for, and who answers for it.
        decode: grouping of areas; None: the usual one.
        top_k: candidates of an anchor head.
        tolerance: how closely a runtime must repeat the golden cases.
        spdx_license: of the weights.
        replace: take the place of a package of that name.
        on_step: told what happens next, in words.

    Raises:
        ContractError: PKG_PARITY, the graph does not repeat the network; PKG_* for impossible values.
        ValueError: no golden frame, golden frames that would not notice a known fault (export.strength), an unknown
            class's threshold, an experiment of other classes.
        FileNotFoundError: no checkpoint, no key.
        FileExistsError: the folder exists.
    """
    if not golden_frames:
        raise ValueError("no golden frame; give at least one picture as a camera takes it, best one with defects")
    if out.exists() and not replace:
        raise FileExistsError(f"{out} exists; choose another name or ask to replace it")
    if private_key is not None and not private_key.is_file():
        raise FileNotFoundError(f"no private key at {private_key}; make one with: lineside export keys FOLDER")
    on_step("reading the checkpoint")
    detector, metadata = load(checkpoint)
    graph = DeployedGraph(detector, top_k=top_k)
    manifest = _manifest(metadata, graph, name=name, version=version, thresholds=thresholds, tolerance=tolerance)
    manifest.lineage.CopyFrom(lineage if lineage is not None else lineage_of(metadata))
    manifest.license = spdx_license
    use.write(manifest)
    if decode is not None:
        manifest.decode.CopyFrom(decode)
    _check_early(manifest)
    evidence: tuple[Evidence, ...] = ()
    if experiment is not None:
        evidence = _measured(detector, manifest, experiment, on_step)
        evaluations = evaluations_of(evidence, metadata, experiment)
    manifest.evaluations.extend(known_evaluations(metadata, manifest) if evaluations is None else evaluations)
    on_step("exporting the graph")
    onnx_bytes = with_class_names(to_onnx(graph), detector.config.classes)
    on_step("comparing ONNX Runtime with PyTorch on the golden frames")
    cases = strong_cases(in_torch(graph), golden_frames, manifest)
    infer = in_onnxruntime(onnx_bytes)
    require_parity(cases, infer, manifest)
    blind = blind_spots(cases, infer, manifest)
    if blind:
        _LOGGER.warning("the golden frames would not notice %s; frames with more in them would", " or ".join(blind))
    on_step("writing the package")
    weights = checkpoint / FILE_NAME if checkpoint.is_dir() else checkpoint
    files = {GRAPH_NAME: onnx_bytes, GOLDEN_NAME: golden.pack(cases), WEIGHTS_NAME: weights.read_bytes()}
    files |= papers(
        manifest,
        files,
        evidence=evidence,
        made_by=made_by(metadata, detector),
        account=metadata.lineage.account,
        blind=blind,
    )
    return write_signed(out, manifest, files, private_key)


def with_class_names(graph: bytes, classes: Sequence[str]) -> bytes:
    """The graph with the names of its class axis inside, so that a manifest cannot give them in another order."""
    model = onnx.ModelProto.FromString(graph)
    kept = [entry for entry in model.metadata_props if entry.key != CLASSES_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=CLASSES_KEY, value=json.dumps(list(classes), ensure_ascii=False))
    return bytes(model.SerializeToString(deterministic=True))


def _measured(
    detector: Detector, manifest: model_pb2.PackageManifest, experiment: Experiment, on_step: OnStep
) -> tuple[Evidence, ...]:
    """The experiment at the thresholds and with the grouping that are deployed."""
    thresholds = {item.name: item.threshold for item in manifest.classes}
    predictor = Predictor(detector, thresholds, manifest.decode)

    def told(done: int, total: int) -> None:
        on_step(f"measuring, picture {done} of {total}")

    return measure(predictor, experiment, told)


def _manifest(
    metadata: Metadata,
    graph: DeployedGraph,
    *,
    name: str,
    version: str,
    thresholds: Mapping[str, float] | float | None,
    tolerance: model_pb2.ParityTolerance,
) -> model_pb2.PackageManifest:
    config = metadata.config
    chosen = _thresholds(config, metadata.thresholds if thresholds is None else thresholds)
    manifest = model_pb2.PackageManifest(
        format_version=1,
        name=name,
        version=version,
        input=model_pb2.ModelInput(
            width=config.width, height=config.height, channels=config.channels, padding=config.padding
        ),
        classes=[model_pb2.ModelClass(name=item, threshold=chosen[item]) for item in config.classes],
        decode=decode_parameters(exclusive_classes=config.exclusive_classes),
        parity=tolerance,
    )
    write_head(graph.detector.head, manifest, top_k=graph.top_k)
    return manifest


def _thresholds(config: DetectorConfig, given: Mapping[str, float] | float) -> dict[str, float]:
    if not isinstance(given, Mapping):
        return dict.fromkeys(config.classes, float(given))
    unknown = sorted(given.keys() - set(config.classes))
    if unknown:
        raise ValueError(f"thresholds name {', '.join(unknown)}; the network's classes are {', '.join(config.classes)}")
    return {name: float(given.get(name, DEFAULT_THRESHOLD)) for name in config.classes}


def _check_early(manifest: model_pb2.PackageManifest) -> None:
    """Impossible words are refused before minutes are spent; the files' hashes are not known yet."""
    complete = model_pb2.PackageManifest()
    complete.CopyFrom(manifest)
    for name in (GRAPH_NAME, GOLDEN_NAME):
        complete.files.add(name=name)
    check_manifest(complete)


def write_signed(
    out: Path, manifest: model_pb2.PackageManifest, files: Mapping[str, bytes], private_key: Path | None
) -> Package:
    """The folder appears under its name when it is whole and signed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=out.parent) as scratch:
        made = Path(scratch) / "package"
        write_package(made, manifest, files)
        if private_key is not None:
            sign(made, private_key)
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    return read_package(out)
