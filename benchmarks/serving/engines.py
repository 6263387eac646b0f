"""The two engines everything is measured against, bare and inside a station.

`network` is a real network of about 1.5 GFLOP at 320 pixels, on one core: there the engine is nearly everything.
`waiting` takes 2 ms a call without using the processor, one call after another: it stands for a GPU and leaves the
station alone on the scale. Both find nothing in any picture, so every answer must be PASS.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks import tiles
from edge.backends.contract import Backend, Images, Outputs
from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu
from lineside.areas import CellGrid, write_head
from lineside.package import Package
from lineside.v1 import model_pb2

WAIT_SECONDS = 0.002
_CLASSES = ("dent", "scratch")
_WIDTH = 64
_LAYERS = 11
_GOLDEN_CASES = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One of the two."""

    name: str
    size: int
    """Side of its input and of the pictures sent, pixels; they are RGB."""
    waits: bool


ENGINES = (Engine(name="waiting", size=640, waits=True), Engine(name="network", size=320, waits=False))


def picture(size: int, seed: int = 0) -> NDArray[np.uint8]:
    """(size, size, 3): a surface with grain, whose JPEG at 640 pixels has about 100 kB."""
    generator = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(generator.integers(0, 256, (size, size, 3), np.uint8), (0, 0), 1.7)
    return np.asarray(cv2.normalize(grain, None, 0, 255, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """The picture as a camera's JPEG, quality 80."""
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())


def make_package(engine: Engine, folder: Path) -> Package:
    """Writes the engine's package."""
    stride = 32 if engine.waits else 16
    cells = engine.size // stride
    manifest = model_pb2.PackageManifest(
        format_version=1,
        name=engine.name,
        version="1.0.0",
        input=model_pb2.ModelInput(width=engine.size, height=engine.size, channels=3, padding=0),
        classes=[model_pb2.ModelClass(name=item, threshold=0.5) for item in _CLASSES],
        decode=model_pb2.DecodeParameters(
            nms_iou=0.45, area_iou=0.3, minimum_cells=1, maximum_detections=100, exclusive_classes=True
        ),
        parity=model_pb2.ParityTolerance(score=1e-4, box=1e-2),
    )
    write_head(CellGrid(rows=cells, columns=cells, stride=stride), manifest, top_k=0)
    return tiles.write(folder, manifest, _means(engine.size, stride) if engine.waits else _network(engine.size))


def bare(engine: Engine, graph: bytes) -> Callable[[], object]:
    """One call of the engine alone, on a tensor that is ready."""
    if engine.waits:
        return lambda: time.sleep(WAIT_SECONDS)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    images = picture(engine.size)[None]
    return lambda: session.run(None, {"image": images})


class Waiting(Backend):
    """Answers its golden cases as the graph does, and from then on waits: nothing found.

    Args:
        graph: of `make_package`.
    """

    name = "waiting"

    def __init__(self, graph: bytes) -> None:
        self._graph: Backend | None = OnnxRuntimeCpu(graph)
        super().__init__(input_shape=self._graph.input_shape, outputs=self._graph.outputs)
        self._proofs = _GOLDEN_CASES
        self._nothing = np.zeros((1, *self.outputs["heat"].shape), np.float32)

    def _infer(self, images: Images) -> Outputs:
        if self._graph is not None:
            self._proofs -= 1
            outputs = self._graph.infer(images)
            if not self._proofs:
                self._graph.close()
                self._graph = None
            return outputs
        time.sleep(WAIT_SECONDS)
        return {"heat": np.repeat(self._nothing, len(images), axis=0)}

    def _close(self) -> None:
        if self._graph is not None:
            self._graph.close()


def _network(size: int) -> bytes:
    """A plain convolutional network with random weights; its last bias keeps every score near 0."""
    generator = np.random.default_rng(0)
    tensors: dict[str, NDArray[np.generic]] = {"scale": np.array(1 / 255, np.float32)}
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["x0"]),
    ]
    layers = [(3, 16, 2), (16, 32, 2), (32, _WIDTH, 2), *[(_WIDTH, _WIDTH, 1)] * _LAYERS, (_WIDTH, _WIDTH, 2)]
    for number, (inputs, outputs, stride) in enumerate(layers):
        deviation = np.sqrt(2 / (9 * inputs))
        tensors[f"w{number}"] = generator.normal(0, deviation, (outputs, inputs, 3, 3)).astype(np.float32)
        tensors[f"b{number}"] = np.zeros(outputs, np.float32)
        nodes += [
            helper.make_node(
                "Conv",
                [f"x{number}", f"w{number}", f"b{number}"],
                [f"c{number}"],
                kernel_shape=[3, 3],
                pads=[1] * 4,
                strides=[stride] * 2,
            ),
            helper.make_node("Relu", [f"c{number}"], [f"x{number + 1}"]),
        ]
    count = len(_CLASSES)
    tensors["last"] = generator.normal(0, 0.01, (count, _WIDTH, 1, 1)).astype(np.float32)
    tensors["bias"] = np.full(count, -6, np.float32)
    nodes += [
        helper.make_node("Conv", [f"x{len(layers)}", "last", "bias"], ["logits"], kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Transpose", ["scores"], ["heat"], perm=[0, 2, 3, 1]),
    ]
    return _model(nodes, tensors, size, size // 16)


def _means(size: int, stride: int) -> bytes:
    """Half the brightness of each cell, far below the threshold; only the golden cases ever run it."""
    tensors: dict[str, NDArray[np.generic]] = {
        "weights": np.array([0.25, 0.125], np.float32) / 255,
        "axis": np.array([3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axis"], ["grey"], keepdims=1),
        helper.make_node("Transpose", ["grey"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[stride] * 2, strides=[stride] * 2),
        helper.make_node("Transpose", ["means"], ["cells"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["cells", "weights"], ["heat"]),
    ]
    return _model(nodes, tensors, size, size // stride)


def _model(nodes: list[onnx.NodeProto], tensors: dict[str, NDArray[np.generic]], size: int, cells: int) -> bytes:
    graph = helper.make_graph(
        nodes,
        "serving",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("heat", TensorProto.FLOAT, ["N", cells, cells, len(_CLASSES)])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
