"""Detectors that others exported, adopted: the station finds what the network means, at the areas it means."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support import foreign
from support.foreign import CLASSES, HEIGHT, WIDTH, pictures

from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu
from export.adopt.adopt import Adopted, Declared, adopt
from export.parity import letterbox_input
from lineside.areas import AnchorGrid
from lineside.decode import Found, decode_anchors
from lineside.golden import unpack
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package

THRESHOLD = 0.3
FRAMES = pictures((64, 80), (128, 180), seed=5)
"""Others than the golden ones, with narrow borders: in a wide one all places of a column say the same, and tie."""


class Case(NamedTuple):
    """A network of others, how its own users prepare a picture for it, and what must be found out."""

    network: torch.nn.Module
    meaning: foreign.Network
    family: str
    levels: dict[str, object] = {}  # noqa: RUF012 - a NamedTuple's default, never changed
    export: dict[str, bool] = {}  # noqa: RUF012
    declared: Declared = Declared(size=(WIDTH, HEIGHT), classes=CLASSES)


def case(network: foreign.Network, family: str, **more: object) -> Case:
    return Case(network, network, family, **more)


DETR = foreign.RtDetr()
X = {"white": 255.0, "bgr": True}
CASES = {
    "yolov8": case(foreign.YoloV8(), "yolov8"),
    "yolov8, sides and batch open": case(foreign.YoloV8(seed=1), "yolov8", export={"batch": True, "sides": True}),
    "yolov10, its own choice inside": case(foreign.YoloV10(), "yolov10"),
    "yolov5": case(foreign.YoloV5(), "yolov5"),
    "yolox": case(foreign.YoloX(), "yolox", levels=X),
    "yolox, decoded inside": case(foreign.YoloX(decoded=True), "yolox", levels=X),
    "boxes and scores apart": case(foreign.Apart(), "dense"),
    "rtdetr, logits": case(DETR, "rtdetr"),
    "rtdetr, labels boxes scores": Case(foreign.Deployed(DETR), DETR, "rtdetr"),
}


class Made(NamedTuple):
    case: Case
    adopted: Adopted

    @property
    def package(self) -> Package:
        return self.adopted.package


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    case = CASES[request.param]
    data = foreign.exported(case.network, **case.export)
    return Made(case, adopted(data, tmp_path_factory.mktemp("adopted") / "p", case.declared))


def adopted(data: bytes, out: Path, declared: Declared = CASES["yolov8"].declared, **more: object) -> Adopted:
    values: dict[str, object] = {
        "threshold": THRESHOLD,
        "top_k": 150,
        "golden_frames": pictures((64, 80), (128, 90)),
        **more,
    }
    return adopt(data, out, declared, name="boards", version="1.0.0", **values)


def at_the_station(package: Package, frame: NDArray[np.uint8]) -> Found:
    """Detections in model pixels, as the station's backend and decoder raise them."""
    manifest = package.manifest
    with OnnxRuntimeCpu(package.read(GRAPH_NAME)) as backend:
        outputs = {name: values[0] for name, values in backend.infer(letterbox_input(frame, manifest.input)).items()}
    return decode_anchors(
        outputs["boxes"],
        outputs["scores"],
        outputs["classes"],
        outputs["areas"],
        thresholds=np.array([item.threshold for item in manifest.classes], np.float32),
        parameters=manifest.decode,
    )


def by_the_book(case: Case, package: Package, frame: NDArray[np.uint8]) -> list[foreign.Raised]:
    picture = letterbox_input(frame, package.manifest.input)[0]
    places = case.meaning.places(foreign.prepared(picture, **case.levels))
    return foreign.raised(places, threshold=THRESHOLD, nms_iou=package.manifest.decode.nms_iou)


def test_the_station_finds_what_the_network_means_where_it_means_it(made: Made) -> None:
    """Box, class and score of every detection, and its area: level, row, column and shape of the place."""
    grid = made.package.head
    assert isinstance(grid, AnchorGrid)
    count = 0
    for frame in FRAMES:
        found, expected = at_the_station(made.package, frame), by_the_book(made.case, made.package, frame)
        assert len(found) == len(expected)
        for number, item in enumerate(expected):
            assert found.classes[number] == item.class_index
            assert found.scores[number] == pytest.approx(item.score, abs=1e-4)
            assert found.boxes[number] == pytest.approx(item.box, abs=1e-2)
            assert grid.index(*item.position) in found.areas[number]
        count += len(expected)
    assert 4 <= count < 100


def test_the_head_is_found_out_and_declared(made: Made) -> None:
    manifest = made.package.manifest
    assert manifest.adoption.family == made.case.family == made.adopted.attempt.family
    assert made.package.class_names == CLASSES
    assert (manifest.input.width, manifest.input.height, manifest.input.channels) == (WIDTH, HEIGHT, 3)
    assert [level.stride for level in manifest.anchors.levels] == list(foreign.STRIDES)
    assert manifest.lineage.recipe == "adopted"
    assert len(manifest.adoption.source_sha256) == 64
    assert "Lineside's training" in manifest.adoption.not_trainable
    order = "BGR" if made.case.levels.get("bgr") else "RGB"
    assert manifest.adoption.preprocessing == f"levels 0 to {made.case.levels.get('white', 1):g}; {order}"
    if made.case.family == "yolov5":
        shapes = tuple(tuple((s.width, s.height) for s in level.shapes) for level in manifest.anchors.levels)
        assert shapes == foreign.ANCHORS


def test_golden_cases_are_the_original_networks_answers(made: Made) -> None:
    """Not the wrapped graph's: a mistake in the surgery cannot hide in them."""
    (first, *_) = unpack(made.package.read(GOLDEN_NAME), made.package.manifest)
    picture = letterbox_input(first.frame, made.package.manifest.input)[0]
    places = made.case.meaning.places(foreign.prepared(picture, **made.case.levels))
    best = max(((max(place.scores), place) for place in places), key=lambda pair: pair[0])
    assert first.outputs["scores"][0] == pytest.approx(best[0], abs=1e-4)
    assert first.outputs["boxes"][0] == pytest.approx(best[1].box, abs=1e-2)
    grid = made.package.head
    assert isinstance(grid, AnchorGrid)
    assert grid.position(int(first.outputs["areas"][0])) == best[1].position


def test_the_same_file_and_words_give_the_same_bytes(tmp_path: Path) -> None:
    data = foreign.exported(foreign.YoloV8())
    first, second = adopted(data, tmp_path / "a"), adopted(data, tmp_path / "b")
    assert first.package.digest == second.package.digest
    assert (tmp_path / "a" / GRAPH_NAME).read_bytes() == (tmp_path / "b" / GRAPH_NAME).read_bytes()


@pytest.mark.parametrize(
    ("changes", "levels", "channels"),
    [
        ({"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}, None, 3),
        ({"white": 255.0, "order": "bgr", "mean": (103.5, 116.3, 123.7), "deviation": (57.4, 57.1, 58.4)}, None, 3),
        ({"mean": (0.5,), "deviation": (0.25,)}, None, 1),
    ],
)
def test_what_the_network_wants_of_a_picture_is_inside_the_graph(
    changes: dict[str, object], levels: None, channels: int, tmp_path: Path
) -> None:
    network = foreign.YoloV8(channels=channels)
    declared = dataclasses.replace(CASES["yolov8"].declared, preprocessing=changes)
    package = adopted(foreign.exported(network, channels=channels), tmp_path / "p", declared).package
    own = {"white": 1.0, "bgr": changes.get("order") == "bgr"}
    own |= {name: value for name, value in changes.items() if name != "order"}
    assert package.manifest.input.channels == channels
    case = Case(network, network, "yolov8", own)
    for frame in FRAMES:
        found, expected = at_the_station(package, frame), by_the_book(case, package, frame)
        assert len(found) == len(expected) > 0
        assert found.scores == pytest.approx([item.score for item in expected], abs=1e-4)
        assert found.boxes == pytest.approx(np.array([item.box for item in expected]), abs=1e-2)


class ChannelsLast(torch.nn.Module):
    """Channels last, levels 0 to 255: what other frameworks write, and those who put the preparation inside."""

    names = (("picture",), ("output0",))

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images.permute(0, 3, 1, 2).float() / 255)[0]


@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
def test_a_picture_input_of_another_order_or_type_is_met(kind: torch.dtype, tmp_path: Path) -> None:
    network = foreign.YoloV8()
    wrapped = ChannelsLast(network)
    file = tmp_path / "m.onnx"
    with foreign.quiet():
        example = torch.zeros((1, HEIGHT, WIDTH, 3), dtype=kind)
        torch.onnx.export(wrapped, (example,), file, dynamo=False, input_names=["picture"], opset_version=17)
    declared = dataclasses.replace(CASES["yolov8"].declared, preprocessing={"white": 255.0})
    package = adopted(file.read_bytes(), tmp_path / "p", declared).package
    expected = by_the_book(CASES["yolov8"]._replace(meaning=network), package, FRAMES[0])
    assert at_the_station(package, FRAMES[0]).scores == pytest.approx([item.score for item in expected], abs=1e-4)


def with_suppression(data: bytes, domain: str = "") -> bytes:
    """The graph with NonMaxSuppression behind it, as exporters bake it in; or with a plug-in of another domain."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    constants = {"rest": [4, 2**31 - 1], "most": [10], "iou": 0.5, "least": 0.1, "four": [0], "three": [4], "axis": [1]}
    for name, value in constants.items():
        kind = np.float32 if isinstance(value, float) else np.int64
        graph.initializer.append(numpy_helper.from_array(np.array(value, kind), name))
    graph.initializer.append(numpy_helper.from_array(np.array([4, 3], np.int64), "split"))
    graph.node.extend(
        [
            helper.make_node("Split", ["output0", "split"], ["nms_boxes", "nms_scores"], axis=1),
            helper.make_node("Transpose", ["nms_boxes"], ["nms_rows"], perm=[0, 2, 1]),
            helper.make_node(
                "NonMaxSuppression" if not domain else "EfficientNMS_TRT",
                ["nms_rows", "nms_scores", "most", "iou", "least"],
                ["selected"],
                domain=domain,
            ),
        ]
    )
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("selected", TensorProto.INT64, [None, 3]))
    return model.SerializeToString()


@pytest.mark.parametrize("domain", ["", "trt.plugins"])
def test_suppression_baked_in_is_cut_off_where_the_whole_head_stands_before_it(domain: str, tmp_path: Path) -> None:
    network = foreign.YoloV8(seed=1)
    package = adopted(with_suppression(foreign.exported(network), domain), tmp_path / "cut").package
    found, expected = (
        at_the_station(package, FRAMES[0]),
        by_the_book(CASES["yolov8"]._replace(meaning=network), package, FRAMES[0]),
    )
    assert found.scores == pytest.approx([item.score for item in expected], abs=1e-4)
    assert found.boxes == pytest.approx(np.array([item.box for item in expected]), abs=1e-2)


def test_an_open_batch_stays_open_and_a_fixed_one_fixed(made: Made) -> None:
    graph = made.package.read(GRAPH_NAME)
    (batch, *_) = onnx.load_model_from_string(graph).graph.input[0].type.tensor_type.shape.dim
    if not made.case.export.get("batch"):
        assert batch.dim_value == 1
        return
    one, two = (letterbox_input(frame, made.package.manifest.input) for frame in FRAMES)
    with OnnxRuntimeCpu(graph) as backend:
        both = backend.infer(np.concatenate([one, two]))
        for number, image in enumerate((one, two)):
            alone = backend.infer(image)
            assert (both["areas"][number] == alone["areas"][0]).all()
            assert both["boxes"][number] == pytest.approx(alone["boxes"][0], abs=1e-3)
