"""What cannot be adopted is refused with the missing piece named, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import foreign
from support.foreign import CLASSES, pictures

from export.adopt.adopt import Declared, adopt
from export.adopt.families import foreign_order, parse_anchors, point_grid
from export.cli import main
from lineside.areas import AnchorGrid, AnchorLevel
from lineside.package import read_package
from lineside.pixels import encode_png
from lineside.reasons import ContractError

Change = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def yolov8() -> bytes:
    return foreign.exported(foreign.YoloV8())


def refusal(data: bytes, tmp_path: Path, declared: Declared | None = None, **more: object) -> str:
    values: dict[str, object] = {"golden_frames": pictures((64, 80)), "version": "1.0.0", **more}
    with pytest.raises((ValueError, ContractError)) as caught:
        adopt(data, tmp_path / "p", declared or Declared(classes=CLASSES), name="boards", **values)
    assert list(tmp_path.iterdir()) == []
    return str(caught.value)


def outside(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 24


def older(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9


def four_pictures(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


def open_sides(model: onnx.ModelProto) -> None:
    for place in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = f"side{place}"


def open_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "channels"


def whole_numbers(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("scale_factor", TensorProto.FLOAT, [1, 2]))


def of_a_segmenter(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="task", value="segment")


def own_operation(model: onnx.ModelProto) -> None:
    first = model.graph.node[0]
    first.domain, first.op_type = "com.acme", "FancyConv"
    model.opset_import.append(helper.make_opsetid("com.acme", 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (outside, r"weights lie in another file .* write one file: python -c"),
        (newer, "opset 24, expected 11 to 23; export it again with opset 17"),
        (older, "opset 9, expected 11 to 23"),
        (four_pictures, "takes 4 pictures at a time; export it with batch 1"),
        (open_sides, r"\(1, 3, side2, side3\) and its sides are open; say --size WIDTHxHEIGHT"),
        (open_channels, r"\(1, channels, 64, 96\); expected 1 or 3 channels in second or last place"),
        (whole_numbers, "images is int32, expected float, float16 or uint8"),
        (second_input, "inputs are images, scale_factor; expected one picture"),
        (of_a_segmenter, "its task is 'segment'; only detectors of boxes"),
        (own_operation, "FancyConv.*no operation of ONNX"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_missing_piece(
    change: Change, words: str, yolov8: bytes, tmp_path: Path
) -> None:
    model = onnx.load_model_from_string(yolov8)
    change(model)
    assert_says(refusal(model.SerializeToString(), tmp_path), words)


def assert_says(said: str, words: str) -> None:
    import re

    assert re.search(words, said), said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (Declared(), "does not name its classes; say --classes"),
        (Declared(classes=("a", "b")), "fits yolov8 with 3 classes as well, and 2 are named; name all"),
        (Declared(classes=(*CLASSES, "crack")), r"7 columns, which is 3 classes, and 4 are named"),
        (Declared(classes=CLASSES, head="ssd"), "head is 'ssd', expected auto or one of yolov8"),
        (
            Declared(classes=CLASSES, head="yolov5"),
            "the anchor boxes are not among the graph's constants; say --anchors",
        ),
        (Declared(classes=CLASSES, head="yolov10"), "this is no yolov10: .* negative side"),
        (Declared(classes=CLASSES, head="rtdetr"), "no TopK over the points"),
        (Declared(classes=CLASSES, strides=(16, 32)), r"no tensor has 7 columns for 30 areas .*say --strides"),
        (Declared(classes=CLASSES, strides=(5,)), r"strides \(5,\) do not divide an input of 96x64"),
        (Declared(classes=CLASSES, tensors=("nowhere",)), "the graph has no tensor nowhere"),
        (Declared(classes=CLASSES, head="yolov8", unit="sides"), "this is no yolov8: "),
        (Declared(classes=CLASSES, head="yolov8", box="circle"), "box is 'circle', expected one of centre, corners"),
        (Declared(classes=CLASSES, preprocessing={"white": 2.0}), "white is 2, expected 1"),
        (Declared(classes=CLASSES, preprocessing={"mean": (1.0, 2.0)}), "mean has 2 values and the network 3 channels"),
        (Declared(classes=CLASSES, preprocessing={"deviation": (1.0, 0.0, 1.0)}), "expected values above 0"),
    ],
)
def test_words_that_do_not_fit_the_network_are_refused(
    declared: Declared, words: str, yolov8: bytes, tmp_path: Path
) -> None:
    assert_says(refusal(yolov8, tmp_path, declared), words)


def test_other_files_are_no_models(tmp_path: Path) -> None:
    assert_says(refusal(b"\xff\x00 no model", tmp_path), "no ONNX model")
    assert_says(refusal(b"", tmp_path), "holds no ONNX graph")


def test_a_choice_with_no_whole_head_before_it_leaves_no_areas_and_is_refused(tmp_path: Path) -> None:
    """Two stages: the second judges cut-out pieces; what comes out has no place in any map."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
            helper.make_node("Reshape", ["mean", "flat"], ["row"]),
            helper.make_node("MatMul", ["row", "weights"], ["values"]),
            helper.make_node("Reshape", ["values", "pairs"], ["table"]),
            helper.make_node("TopK", ["values", "six"], ["best", "index"], axis=1),
            helper.make_node("Reshape", ["table", "out"], ["output"]),
        ],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 11, 7])],
        [
            numpy_helper.from_array(np.array([1, 3], np.int64), "flat"),
            numpy_helper.from_array(np.ones((3, 77), np.float32), "weights"),
            numpy_helper.from_array(np.array([1, 11, 7], np.int64), "pairs"),
            numpy_helper.from_array(np.array([1, 11, 7], np.int64), "out"),
            numpy_helper.from_array(np.array([6], np.int64), "six"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    said = refusal(model.SerializeToString(), tmp_path)
    assert_says(said, r"output \(1, 11, 7\); suppression or a choice of the best is baked in, and before it no tensor")
    assert_says(said, "from which area a detection came; export without it")


def test_queries_that_grew_from_no_place_are_refused(tmp_path: Path) -> None:
    data = foreign.exported(foreign.RtDetr(learned=True))
    assert_says(refusal(data, tmp_path, Declared(classes=CLASSES, head="rtdetr")), "learned and grew from no place")


def test_wrong_anchors_and_a_wrong_order_are_seen_in_what_the_network_says(tmp_path: Path) -> None:
    data = foreign.exported(foreign.YoloV5())
    small = parse_anchors("2,3 3,6; 6,12 12,9; 12,8 18,12")
    said = refusal(data, tmp_path, Declared(classes=CLASSES, head="yolov5", anchors=small))
    assert_says(said, "a box is at most four times its anchor and a cell away")
    turned = Declared(classes=CLASSES, head="yolov5", strides=(32, 16, 8), anchors=foreign.ANCHORS)
    assert_says(refusal(data, tmp_path, turned), "do not lie at their areas|four times its anchor")


def test_golden_frames_on_which_the_network_is_silent_prove_nothing(tmp_path: Path) -> None:
    network = foreign.YoloV8()
    for head in network.heads:
        head.bias.data[-len(CLASSES) :] = -30.0
        head.weight.data[-len(CLASSES) :] = 0.0
    said = refusal(foreign.exported(network), tmp_path)
    assert_says(said, "does the network say anything.*--white, --order, --mean, --deviation")


@pytest.mark.parametrize("text", ["10,13", "1,2 3", "0,4; 1,1", "", ";", "a,b"])
def test_anchors_are_pairs_in_levels(text: str) -> None:
    if text == "10,13":
        assert parse_anchors(text) == (((10.0, 13.0),),)
    else:
        with pytest.raises(ValueError, match="expected width,height pairs"):
            parse_anchors(text)


def test_yolov5_counts_shape_by_shape_and_we_count_cell_by_cell() -> None:
    """One level of 1 row, 2 columns and 2 shapes behind one of 1 x 1 x 1: (shape, cell) 00 01 10 11 is ours 1 3 2 4."""
    grid = AnchorGrid(
        levels=(
            AnchorLevel(rows=1, columns=1, stride=16, shapes=((4.0, 4.0),)),
            AnchorLevel(rows=1, columns=2, stride=8, shapes=((4.0, 4.0), (8.0, 8.0))),
        )
    )
    assert foreign_order(grid) == [0, 1, 3, 2, 4]


def test_a_point_stands_for_a_square_of_four_strides_around_it() -> None:
    grid = point_grid(64, 32, (16,))
    assert grid is not None
    assert grid.count == 8
    assert grid.boxes()[grid.index(0, 1, 2, 0)].tolist() == [40 - 32, 24 - 32, 40 + 32, 24 + 32]
    assert point_grid(60, 32, (16,)) is None


def test_the_command_line_inspects_adopts_and_refuses(
    yolov8: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, frames = tmp_path / "model.onnx", tmp_path / "frames"
    model = onnx.load_model_from_string(yolov8)
    for key, value in (("names", "{0: 'dent', 1: 'scratch', 2: 'hole'}"), ("description", "Ours v8")):
        model.metadata_props.add(key=key, value=value)
    file.write_bytes(model.SerializeToString())
    frames.mkdir()
    (frames / "1.png").write_bytes(encode_png(pictures((64, 80))[0]))
    assert main(["adopt", str(file), "--inspect", "--frames", str(frames)]) == 0
    said = capsys.readouterr().out
    assert "images (N, C, H, W) float, 96x64, 3 channels, batch 1" in said
    assert "output0 (1, 7, 126)" in said
    assert "yolov8     fits with 3 classes: boxes lie" in said
    assert "next: lineside export adopt MODEL.onnx OUT --head yolov8 --frames FOLDER" in said
    assert said.count("surest") == 5
    out = tmp_path / "p"
    command = ["adopt", str(file), str(out), "--name", "boards", "--frames", str(frames), "--threshold", "0.3"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert read_package(out).class_names == CLASSES
    assert "head yolov8, levels 0 to 1; RGB" in said
    assert "not trainable here" in said
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["adopt", str(file), str(tmp_path / "q")]) == 2
    assert "--frames, --name is missing" in capsys.readouterr().err
    assert main(["adopt", str(file), "--inspect", "--size", "big"]) == 2
    assert "--size is 'big', expected" in capsys.readouterr().err
    assert main(["adopt", str(tmp_path / "none.onnx"), "--inspect"]) == 2
    assert "no file" in capsys.readouterr().err


def test_inspection_finds_the_number_of_classes_where_nobody_names_them(
    yolov8: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(yolov8)
    assert main(["adopt", str(file), "--inspect"]) == 0
    said = capsys.readouterr().out
    assert "yolov8     fits with 3 classes" in said
    assert "--head yolov8 --classes NAME,NAME,... (3 of them)" in said
