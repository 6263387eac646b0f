"""The deployed graph says what the network says, in PyTorch and in ONNX Runtime, for any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.checkpoints import CLASSES, detector, frames

from export.graph import DeployedGraph
from export.parity import in_onnxruntime, in_torch
from export.to_onnx import FORBIDDEN_OPS, check_operations, to_onnx
from lineside.areas import AnchorGrid
from lineside.v1 import model_pb2
from training.models import Detector


@pytest.fixture(scope="module", params=[("anchors", 1), ("anchors", 3), ("cells", 1), ("cells", 3)], ids=str)
def deployed(request: pytest.FixtureRequest) -> tuple[DeployedGraph, bytes]:
    head, channels = request.param
    graph = DeployedGraph(detector(head, channels=channels), top_k=50)
    return graph, to_onnx(graph)


def pictures(graph: DeployedGraph, count: int) -> np.ndarray:
    config = graph.detector.config
    return np.stack(frames(*[(config.height, config.width, config.channels)] * count))


def test_onnxruntime_repeats_pytorch_for_any_batch(deployed: tuple[DeployedGraph, bytes]) -> None:
    graph, raw = deployed
    infer = in_onnxruntime(raw)
    for count in (1, 2, 5):
        images = pictures(graph, count)
        expected, seen = in_torch(graph)(images), infer(images)
        assert seen.keys() == expected.keys()
        for name, values in expected.items():
            assert seen[name].dtype == values.dtype
            assert seen[name].shape == (count, *graph.output_shapes[name])
            np.testing.assert_allclose(seen[name], values, atol=1e-3 if name == "boxes" else 1e-5)


def test_the_graph_takes_bytes_and_gives_fixed_shapes(deployed: tuple[DeployedGraph, bytes]) -> None:
    graph, raw = deployed
    model = onnx.load_from_string(raw)
    [image] = model.graph.input
    assert image.name == "image"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    for value in model.graph.output:
        sides = value.type.tensor_type.shape.dim
        assert sides[0].dim_param == "N"
        assert tuple(side.dim_value for side in sides[1:]) == graph.output_shapes[value.name]
    assert not {node.op_type for node in model.graph.node} & FORBIDDEN_OPS
    # The first thing that happens to the bytes is a cast: TensorRT allows no other.
    assert [node.op_type for node in model.graph.node if "image" in node.input] == ["Cast"]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"/" + Path(__file__).parts[1].encode() + b"/" not in raw


def plain_answer(network: Detector, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The head's answer by the contract's words: scores (N, A, C) and boxes, from float32 planes 0..255."""
    planes = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        raw = network(planes)
    return 1 / (1 + np.exp(-raw.logits.numpy())), None if raw.boxes is None else raw.boxes.numpy()


def test_candidates_are_the_best_of_areas_times_classes() -> None:
    network = detector("anchors")
    graph = DeployedGraph(network, top_k=40)
    images = pictures(graph, 2)
    scores, boxes = plain_answer(network, images)
    outputs = in_torch(graph)(images)
    assert boxes is not None
    assert isinstance(network.head, AnchorGrid)
    for number in range(2):
        order = np.sort(scores[number].ravel())[::-1][:40]
        np.testing.assert_allclose(outputs["scores"][number], order, atol=1e-6)
        areas, classes = outputs["areas"][number], outputs["classes"][number]
        assert areas.max() < network.head.count
        assert classes.max() < len(CLASSES)
        np.testing.assert_allclose(scores[number][areas, classes], outputs["scores"][number], atol=1e-6)
        np.testing.assert_allclose(boxes[number][areas], outputs["boxes"][number], atol=1e-4)
        assert len({(area, kind) for area, kind in zip(areas.tolist(), classes.tolist(), strict=True)}) == 40


def test_heat_is_the_sigmoid_of_every_cell_and_class_in_place() -> None:
    network = detector("cells")
    graph = DeployedGraph(network, top_k=1)
    images = pictures(graph, 2)
    scores, _ = plain_answer(network, images)
    heat = in_torch(graph)(images)["heat"]
    assert heat.shape == (2, 8, 12, 3)
    np.testing.assert_allclose(heat.reshape(2, -1, 3), scores, atol=1e-6)


def test_more_candidates_than_there_are_is_all_of_them() -> None:
    graph = DeployedGraph(detector("anchors"), top_k=10**6)
    assert graph.top_k == graph.detector.head.count * len(CLASSES)
    with pytest.raises(ValueError, match="top_k is 0"):
        DeployedGraph(detector("anchors"), top_k=0)


def test_operations_that_a_runtime_cannot_build_are_refused_by_name() -> None:
    node = onnx.helper.make_node("NonZero", ["image"], ["places"])
    graph = onnx.helper.make_graph([node], "g", [], [])
    with pytest.raises(ValueError, match="NonZero"):
        check_operations(onnx.helper.make_model(graph))


def test_a_manifest_of_another_head_has_other_outputs() -> None:
    assert DeployedGraph(detector("cells"), top_k=1).output_names == ("heat",)
    assert DeployedGraph(detector("anchors"), top_k=1).output_names == ("boxes", "scores", "classes", "areas")
    assert model_pb2.PackageManifest().WhichOneof("head") is None
