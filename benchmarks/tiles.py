"""Tiny real model packages for benchmarks and tests, made with onnx.helper alone (no torch).

What the graph does is simple enough to know the answer by heart. The model's input is cut into square areas of STRIDE
pixels; an area's brightness is the mean of its pixels divided by 255, 0 to 1:

    score of class c in an area = clip(brightness / 2**c + bias, 0, 1)

So a bright square on a dark picture is a detection of class 0 whose score is its brightness plus `bias`, and two
packages with different `bias` answer every picture with different scores: a reply that mixes two models shows. The box
of a detection is its area.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lineside import golden
from lineside.areas import AnchorGrid, AnchorLevel, CellGrid, Head, write_head
from lineside.letterbox import Letterbox
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package, write_package
from lineside.pixels import letterboxed
from lineside.signing import sign
from lineside.v1 import model_pb2

SIZE = 64
STRIDE = 16
CELLS = SIZE // STRIDE
TOP_K = 24
CLASSES = ("dent", "scratch")
THRESHOLD = 0.5
PADDING = 0


def picture(row: int = 1, column: int = 1, *, brightness: float = 0.8, size: int = SIZE) -> NDArray[np.uint8]:
    """(size, size) uint8: dark, one area bright, so that the answer is one detection of score `brightness` + bias."""
    pixels = np.zeros((size, size), np.uint8)
    step = size // CELLS
    pixels[row * step : (row + 1) * step, column * step : (column + 1) * step] = round(brightness * 255)
    return pixels


def expected_score(bias: float, brightness: float = 0.8) -> float:
    """Score of `picture`'s detection in a package with this bias."""
    return float(np.clip(np.float32(round(brightness * 255)) / 255 + np.float32(bias), 0, 1))


def make_key(folder: Path, name: str = "signer") -> tuple[Path, Path]:
    """A new P-256 key pair as PEM files; gives back (private, public)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def make_anchor_package(
    folder: Path,
    *,
    name: str = "tiles",
    version: str = "1.0.0",
    bias: float = 0.0,
    classes: Sequence[str] = CLASSES,
    channels: int = 1,
    sign_key: Path | None = None,
) -> Package:
    """Writes a package with an anchor head: one anchor of STRIDE x STRIDE pixels per area."""
    return _make(
        folder, anchor_head(), name=name, version=version, bias=bias, classes=classes, channels=channels, key=sign_key
    )


def make_cell_package(
    folder: Path,
    *,
    name: str = "tiles",
    version: str = "1.0.0",
    bias: float = 0.0,
    classes: Sequence[str] = CLASSES,
    channels: int = 1,
    sign_key: Path | None = None,
) -> Package:
    """Writes a package with a cell head: its heat is the score above."""
    return _make(
        folder, cell_head(), name=name, version=version, bias=bias, classes=classes, channels=channels, key=sign_key
    )


def anchor_head() -> AnchorGrid:
    """The areas of `make_anchor_package`."""
    level = AnchorLevel(rows=CELLS, columns=CELLS, stride=STRIDE, shapes=((STRIDE, STRIDE),))
    return AnchorGrid(levels=(level,))


def cell_head() -> CellGrid:
    """The areas of `make_cell_package`."""
    return CellGrid(rows=CELLS, columns=CELLS, stride=STRIDE)


def manifest_for(
    head: Head,
    *,
    name: str = "tiles",
    version: str = "1.0.0",
    classes: Sequence[str] = CLASSES,
    channels: int = 1,
) -> model_pb2.PackageManifest:
    """A manifest without files."""
    manifest = model_pb2.PackageManifest(
        format_version=1,
        name=name,
        version=version,
        input=model_pb2.ModelInput(width=SIZE, height=SIZE, channels=channels, padding=PADDING),
        classes=[model_pb2.ModelClass(name=item, threshold=THRESHOLD) for item in classes],
        decode=model_pb2.DecodeParameters(
            nms_iou=0.45, area_iou=0.3, minimum_cells=1, maximum_detections=100, exclusive_classes=True
        ),
        parity=model_pb2.ParityTolerance(score=1e-4, box=1e-2),
    )
    write_head(head, manifest, top_k=top_k(len(classes)))
    return manifest


def top_k(classes: int) -> int:
    """Candidates of an anchor graph with so many classes."""
    return min(TOP_K, CELLS * CELLS * classes)


def graph_for(head: Head, *, bias: float = 0.0, classes: int = len(CLASSES), channels: int = 1) -> bytes:
    """The serialised ONNX graph; `bias` may be NaN."""
    weights = np.array([0.5**number for number in range(classes)], np.float32) / 255
    tensors: dict[str, NDArray[np.generic]] = {
        "weights": weights,
        "bias": np.array(bias, np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "channel_axis": np.array([3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "channel_axis"], ["grey"], keepdims=1),
        helper.make_node("Transpose", ["grey"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[STRIDE] * 2, strides=[STRIDE] * 2),
        helper.make_node("Transpose", ["means"], ["cells"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["cells", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["shifted"]),
    ]
    if isinstance(head, CellGrid):
        nodes.append(helper.make_node("Clip", ["shifted", "zero", "one"], ["heat"]))
        outputs = [helper.make_tensor_value_info("heat", TensorProto.FLOAT, ["N", CELLS, CELLS, classes])]
    else:
        count = top_k(classes)
        tensors |= {
            "flat": np.array([0, -1], np.int64),
            "k": np.array([count], np.int64),
            "class_count": np.array(classes, np.int64),
            "anchors": head.boxes(),
        }
        nodes += [
            helper.make_node("Clip", ["shifted", "zero", "one"], ["all"]),
            helper.make_node("Reshape", ["all", "flat"], ["row"]),
            helper.make_node("TopK", ["row", "k"], ["scores", "places"], axis=1),
            helper.make_node("Div", ["places", "class_count"], ["areas64"]),
            helper.make_node("Mod", ["places", "class_count"], ["classes64"]),
            helper.make_node("Gather", ["anchors", "areas64"], ["boxes"], axis=0),
            helper.make_node("Cast", ["areas64"], ["areas"], to=TensorProto.INT32),
            helper.make_node("Cast", ["classes64"], ["classes"], to=TensorProto.INT32),
        ]
        outputs = [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", count, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", count]),
            helper.make_tensor_value_info("classes", TensorProto.INT32, ["N", count]),
            helper.make_tensor_value_info("areas", TensorProto.INT32, ["N", count]),
        ]
    graph = helper.make_graph(
        nodes,
        "tiles",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIZE, SIZE, channels])],
        outputs,
        [numpy_helper.from_array(values, tensor) for tensor, values in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def golden_frames(channels: int = 1) -> list[NDArray[np.uint8]]:
    """Two frames that are not square: a squash instead of a letterbox changes their answers; coloured if 3 channels."""
    generator = np.random.default_rng(7)
    shapes = [(96, 48), (40, 120)]
    coarse = [generator.integers(0, 256, (height // 8, width // 8, 3), np.uint8) for height, width in shapes]
    frames = [np.repeat(np.repeat(block, 8, axis=0), 8, axis=1) for block in coarse]
    return frames if channels == 3 else [np.ascontiguousarray(frame[:, :, 0]) for frame in frames]


def run_graph(graph: bytes, frame: NDArray[np.uint8], manifest: model_pb2.PackageManifest) -> golden.Arrays:
    """The graph's outputs for one frame, through the contract's letterbox, by onnxruntime."""
    height, width = frame.shape[:2]
    size = manifest.input
    geometry = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
    image = letterboxed(frame, geometry, channels=size.channels, padding=size.padding)
    names = golden.output_names(manifest)
    values = _session(graph).run(list(names), {"image": image[None]})
    return {item: np.asarray(value)[0] for item, value in zip(names, values, strict=True)}


def write(
    folder: Path,
    manifest: model_pb2.PackageManifest,
    graph: bytes,
    *,
    cases: Sequence[golden.GoldenCase] | None = None,
    key: Path | None = None,
) -> Package:
    """Writes a package out of its parts; golden cases are computed unless given."""
    if cases is None:
        frames = golden_frames(manifest.input.channels)
        cases = [golden.GoldenCase(frame=frame, outputs=run_graph(graph, frame, manifest)) for frame in frames]
    package = write_package(folder, manifest, {GRAPH_NAME: graph, GOLDEN_NAME: golden.pack(cases)})
    if key is not None:
        sign(folder, key)
    return package


def _make(
    folder: Path,
    head: Head,
    *,
    name: str,
    version: str,
    bias: float,
    classes: Sequence[str],
    channels: int,
    key: Path | None,
) -> Package:
    manifest = manifest_for(head, name=name, version=version, classes=classes, channels=channels)
    graph = graph_for(head, bias=bias, classes=len(classes), channels=channels)
    return write(folder, manifest, graph, key=key)


@functools.lru_cache(maxsize=4)
def _session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
