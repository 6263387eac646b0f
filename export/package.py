"""From a checkpoint to a model package: the same checkpoint, frames and words give the same bytes."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from export.graph import DeployedGraph
from export.parity import blind_spots, golden_cases, in_onnxruntime, in_torch, require_parity, with_witnesses
from export.to_onnx import to_onnx
from lineside import golden
from lineside.areas import write_head
from lineside.package import GOLDEN_NAME, GRAPH_NAME, WEIGHTS_NAME, Package, check_manifest, read_package, write_package
from lineside.pixels import Pixels
from lineside.signing import sign
from lineside.v1 import model_pb2
from training.checkpoint import FILE_NAME, Metadata, load
from training.evaluate.figures import Figures
from training.evaluate.predictor import TOP_K, decode_parameters
from training.models import DetectorConfig

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
    evaluations: Sequence[model_pb2.Evaluation] = (),
    lineage: model_pb2.Lineage | None = None,
    private_key: Path | None = None,
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
        evaluations: figures for the manifest.
        lineage: None: what the checkpoint says.
        private_key: PEM file of a P-256 key; None: the package is not signed.
        decode: grouping of areas; None: the usual one.
        top_k: candidates of an anchor head.
        tolerance: how closely a runtime must repeat the golden cases.
        spdx_license: of the weights.
        replace: take the place of a package of that name.
        on_step: told what happens next, in words.

    Raises:
        ContractError: PKG_PARITY, the graph does not repeat the network; PKG_* for impossible values.
        ValueError: no golden frame, golden frames on which the network says nothing, an unknown class's threshold.
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
    manifest.evaluations.extend(evaluations)
    manifest.lineage.CopyFrom(lineage if lineage is not None else lineage_of(metadata))
    manifest.license = spdx_license
    if decode is not None:
        manifest.decode.CopyFrom(decode)
    _check_early(manifest)
    on_step("exporting the graph")
    onnx_bytes = to_onnx(graph)
    on_step("comparing ONNX Runtime with PyTorch on the golden frames")
    cases = golden_cases(in_torch(graph), with_witnesses(golden_frames, manifest.input), manifest)
    infer = in_onnxruntime(onnx_bytes)
    require_parity(cases, infer, manifest)
    blind = blind_spots(cases, infer, manifest)
    if "silence" in blind:
        raise ValueError(
            "on none of the golden frames does the network say anything, so they could not tell it from one that is"
            " broken; give pictures with defects, or train longer"
        )
    if blind:
        _LOGGER.warning("the golden frames would not notice %s; frames with more in them would", " or ".join(blind))
    on_step("writing the package")
    weights = checkpoint / FILE_NAME if checkpoint.is_dir() else checkpoint
    files = {GRAPH_NAME: onnx_bytes, GOLDEN_NAME: golden.pack(cases), WEIGHTS_NAME: weights.read_bytes()}
    return _write(out, manifest, files, private_key)


def lineage_of(metadata: Metadata) -> model_pb2.Lineage:
    """What a checkpoint says about where it comes from."""
    lineage = metadata.lineage
    return model_pb2.Lineage(
        parent_digest=lineage.parent_digest,
        recipe=metadata.recipe,
        training_config_json=json.dumps(metadata.training, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        data_digest=lineage.data_digest,
        mentoring_digest=lineage.mentoring_digest,
        feedback_events=lineage.feedback_events,
        last_log_sequence=lineage.last_log_sequence,
        seed=lineage.seed,
    )


def evaluation_of(figures: Figures, notes: str = "") -> model_pb2.Evaluation:
    """One domain's figures for the manifest; what was not measured stays absent."""
    return model_pb2.Evaluation(
        domain=figures.domain,
        images=figures.images,
        map_33=figures.map_33,
        map_50=figures.map_50,
        precision=figures.precision,
        recall=figures.recall,
        false_alarms_per_healthy=figures.false_alarms_per_healthy,
        notes=notes,
    )


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


def _write(
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
