"""From a foreign detector's file to a package: read, recognised, wrapped, proven against the original, written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.adopt.choose import AUTO, Attempt, attempts, choose
from export.adopt.families import FAMILIES
from export.adopt.foreign import Foreign, read_foreign
from export.adopt.reading import Anchors, Reading, Wanted
from export.adopt.reference import best, decode, original
from export.adopt.surgery import wrap
from export.package import with_class_names, write_signed
from export.papers import papers
from export.parity import Images, Infer, blind_spots, in_onnxruntime, letterbox_input, require_parity
from export.strength import strong_cases
from export.use import Use
from lineside import golden
from lineside.areas import write_head
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package, check_manifest
from lineside.pixels import Pixels
from lineside.v1 import model_pb2

OnStep = Callable[[str], None]
DEFAULT_THRESHOLD = 0.5
TOP_K = 300
TOLERANCE = model_pb2.ParityTolerance(score=2e-3, box=0.25)
"""As for networks of our own: the original and its wrapped form differ by rounding alone."""
_USUAL = Use()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the engineer says of the network; None, empty or "auto": the family's own, or to be found out."""

    head: str = AUTO
    classes: tuple[str, ...] = ()
    """In the order of the network's own list."""
    size: tuple[int, int] | None = None
    """Width and height, where the file leaves them open."""
    strides: tuple[int, ...] | None = None
    anchors: Anchors | None = None
    tensors: tuple[str, ...] = ()
    box: str | None = None
    unit: str | None = None
    scores: str | None = None
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Changes of the family's, by field of `Preprocessing`."""
    padding: int | None = None
    """Grey level of the letterbox border."""
    nms_iou: float | None = None
    exclusive: bool = True
    """Whether a place can be of one class only."""

    def wanted(self, classes: int) -> Wanted:
        """What is looked for in the graph."""
        return Wanted(
            classes=classes,
            strides=self.strides,
            anchors=self.anchors,
            tensors=self.tensors,
            box=self.box,
            unit=self.unit,
            scores=self.scores,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A package, and what was found out on the way."""

    package: Package
    attempt: Attempt
    blind: tuple[str, ...]
    """Faults that the golden frames would not notice."""


def adopt(
    data: bytes,
    out: Path,
    declared: Declared,
    *,
    name: str,
    version: str,
    golden_frames: Sequence[Pixels],
    threshold: float = DEFAULT_THRESHOLD,
    top_k: int = TOP_K,
    spdx_license: str = "",
    use: Use = _USUAL,
    private_key: Path | None = None,
    replace: bool = False,
    on_step: OnStep = lambda _: None,
) -> Adopted:
    """Writes a package folder, whole or not at all, after the wrapped graph has repeated the original's answers.

    Args:
        data: the ONNX file.
        out: the package folder; its name begins with no dot.
        declared: what is said of the network.
        golden_frames: uint8 (h, w) or (h, w, 3) RGB as a camera gives them, at least one, some with defects.
        threshold: of every class.
        top_k: candidates of the graph; fewer where there are fewer.
        spdx_license: of the weights.
        use: what it is for and how long it may serve.
        private_key: PEM file of a P-256 key; None: the package is not signed.
        replace: take the place of a package of that name.
        on_step: told what happens next, in words.

    Raises:
        ValueError: the detector cannot be adopted, with the missing piece; golden frames that prove nothing.
        ContractError: PKG_PARITY, the wrapped graph does not repeat the original; PKG_* for impossible values.
        FileNotFoundError: no key.
        FileExistsError: the folder exists.
    """
    if not golden_frames:
        raise ValueError("no golden frame; give at least one picture as a camera takes it, best one with defects")
    if out.exists() and not replace:
        raise FileExistsError(f"{out} exists; choose another name or ask to replace it")
    if private_key is not None and not private_key.is_file():
        raise FileNotFoundError(f"no private key at {private_key}; make one with: lineside export keys FOLDER")
    on_step("reading the graph")
    foreign = read_foreign(data, size=declared.size)
    classes = declared.classes or foreign.class_names
    if not classes:
        raise ValueError("the file does not name its classes; say --classes in the order of the network's own list")
    on_step("asking the network which head it has")
    size = model_input(foreign, declared)
    pictures = [letterbox_input(frame, size)[0] for frame in golden_frames]
    tried = attempts(foreign, declared.wanted(len(classes)), pictures, declared.head, declared.preprocessing)
    attempt = choose(tried)
    reading = attempt.reading
    assert reading is not None
    size = model_input(foreign, declared, attempt.family)
    top_k = min(top_k, reading.rows * reading.classes)
    manifest = _manifest(foreign, declared, attempt, reading, size, top_k)
    manifest.name, manifest.version, manifest.license = name, version, spdx_license
    manifest.classes.extend(model_pb2.ModelClass(name=item, threshold=threshold) for item in classes)
    use.write(manifest)
    _check_early(manifest)
    on_step("wrapping the graph")
    graph = with_class_names(wrap(foreign, reading, attempt.preprocessing, top_k=top_k), classes)
    on_step("comparing it with the original on the golden frames")
    try:
        cases = strong_cases(as_the_original(foreign, attempt, top_k), golden_frames, manifest)
    except ValueError as error:
        raise ValueError(f"{error}; or other levels: --white, --order, --mean, --deviation") from None
    infer = in_onnxruntime(graph)
    require_parity(cases, infer, manifest)
    blind = blind_spots(cases, infer, manifest)
    on_step("writing the package")
    files = {GRAPH_NAME: graph, GOLDEN_NAME: golden.pack(cases)}
    files |= papers(manifest, files, made_by=_facts(manifest.adoption), blind=blind)
    return Adopted(package=write_signed(out, manifest, files, private_key), attempt=attempt, blind=blind)


def as_the_original(foreign: Foreign, attempt: Attempt, top_k: int) -> Infer:
    """The network as it was given, prepared for and decoded in numpy, with the contract's outputs."""
    reading = attempt.reading
    assert reading is not None
    network = original(foreign, reading.tensors, attempt.preprocessing)

    def infer(images: Images) -> Mapping[str, NDArray[np.generic]]:
        answers = [best(decode(network(image), reading, foreign), top_k) for image in images]
        return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}

    return infer


def _facts(adoption: model_pb2.Adoption) -> list[tuple[str, str]]:
    """For the model card."""
    return [
        ("network", f"trained by others and adopted as {adoption.family}; file {adoption.source_sha256}"),
        ("written by", adoption.producer or "not said"),
        ("takes", adoption.preprocessing),
        ("areas", adoption.areas),
        ("further training", adoption.not_trainable or "possible"),
    ]


def model_input(foreign: Foreign, declared: Declared, family: str = "yolov8") -> model_pb2.ModelInput:
    """What the station puts into the graph."""
    padding = FAMILIES[family].padding if declared.padding is None else declared.padding
    return model_pb2.ModelInput(width=foreign.width, height=foreign.height, channels=foreign.channels, padding=padding)


AREAS = {
    "points": "points of the network's maps, counted level by level, row by row; each stands for a square of four"
    " strides, which is what drawn boxes are assigned by",
    "anchors": "anchor boxes, counted level by level, row, column, shape",
    "queries": "points of the encoder's maps, counted level by level, row by row: the point that a query grew from;"
    " each stands for a square of four strides",
}


def _manifest(
    foreign: Foreign,
    declared: Declared,
    attempt: Attempt,
    reading: Reading,
    size: model_pb2.ModelInput,
    top_k: int,
) -> model_pb2.PackageManifest:
    nms_iou = FAMILIES[attempt.family].nms_iou if declared.nms_iou is None else declared.nms_iou
    manifest = model_pb2.PackageManifest(
        format_version=1,
        input=size,
        decode=model_pb2.DecodeParameters(
            nms_iou=nms_iou,
            area_iou=min(0.3, nms_iou),
            minimum_cells=1,
            maximum_detections=100,
            exclusive_classes=declared.exclusive,
        ),
        parity=TOLERANCE,
        lineage=model_pb2.Lineage(recipe="adopted"),
        adoption=model_pb2.Adoption(
            family=attempt.family,
            source_sha256=foreign.sha256,
            producer=foreign.producer,
            preprocessing=attempt.preprocessing.in_words(foreign.channels),
            areas=AREAS[reading.family.areas],
            not_trainable=(
                f"the network came as ONNX from elsewhere ({attempt.family}), and Lineside's training builds and goes"
                " on from networks of its own"
            ),
        ),
    )
    write_head(reading.grid, manifest, top_k=top_k)
    return manifest


def _check_early(manifest: model_pb2.PackageManifest) -> None:
    """Impossible words are refused before the network is run; the files' hashes are not known yet."""
    complete = model_pb2.PackageManifest()
    complete.CopyFrom(manifest)
    for file in (GRAPH_NAME, GOLDEN_NAME):
        complete.files.add(name=file)
    check_manifest(complete)
