"""The ONNX file as it was given: refused with the missing piece named, or made fit for surgery. Touches no disk."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions

from export.adopt.cutting import cut, for_one_picture

OLDEST_OPSET, NEWEST_OPSET = 11, 23
"""TopK takes a variable K from 11 on; 23 is what ONNX Runtime 1.23 knows, the oldest that a station may have."""
NEWEST_IR = 11
_MOST_MEASURED = 200
"""Tensors whose shape is found by running, nearest to the outputs first."""
PICTURE_TYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.UINT8: np.dtype(np.uint8),
}
SIZES_INPUT = "orig_target_sizes"
"""The second input of RT-DETR's and D-FINE's exporters: width and height that boxes are scaled to."""
OTHER_TASKS = ("segment", "pose", "obb", "classify", "semantic", "depth")

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Foreign:
    """A detector's file, ready for surgery."""

    model: onnx.ModelProto
    """Sides of the picture fixed, one input; the batch as it was."""
    sha256: str
    """Of the file as it was given."""
    producer: str
    picture: str
    """Name of the input."""
    dtype: int
    """Element type of the input, one of PICTURE_TYPES."""
    channels: int
    height: int
    width: int
    channels_last: bool
    batch: int | None
    """Fixed batch size; None: any."""
    class_names: tuple[str, ...]
    """As the file's metadata says. Empty: it does not."""
    shapes: dict[str, Shape]
    """Of the tensors that are known for one picture, by name."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names, in the file's order."""
        return tuple(item.name for item in self.model.graph.output)

    @property
    def input_shape(self) -> Shape:
        """Of one picture, with the batch axis."""
        sides = (self.height, self.width)
        return (1, *sides, self.channels) if self.channels_last else (1, self.channels, *sides)

    def producers(self) -> dict[str, onnx.NodeProto]:
        """The node that makes each tensor."""
        return {name: node for node in self.model.graph.node for name in node.output if name}

    def upstream(self, *names: str) -> Iterator[str]:
        """Tensors from these backwards, nearest first."""
        made_by = self.producers()
        waiting, seen = list(names), set(names)
        for name in waiting:
            yield name
            for source in made_by[name].input if name in made_by else ():
                if source and source not in seen:
                    seen.add(source)
                    waiting.append(source)


def read_foreign(data: bytes, *, size: tuple[int, int] | None = None) -> Foreign:
    """Reads a detector's file.

    Args:
        data: its bytes.
        size: width and height of the input where the file leaves them open.

    Raises:
        ValueError: what keeps it from being adopted.
    """
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        raise ValueError("the file is no ONNX model; export the detector to ONNX first") from None
    if not model.graph.node:
        raise ValueError("the file holds no ONNX graph; export the detector to ONNX first")
    _refuse_external_data(model)
    if model.functions:
        model = inline_local_functions(model)
    _check_opset(model)
    metadata = {item.key: item.value for item in model.metadata_props}
    if metadata.get("task") in OTHER_TASKS:
        raise ValueError(f"the file says that its task is {metadata['task']!r}; only detectors of boxes can be adopted")
    picture = _picture_input(model)
    geometry = _fix_sides(model, picture, size or _declared_size(metadata))
    model.ir_version = min(model.ir_version, NEWEST_IR)
    names = _class_names(metadata.get("names", ""))
    foreign = Foreign(
        model=model,
        sha256=hashlib.sha256(data).hexdigest(),
        producer=" ".join(
            filter(None, (metadata.get("description", "").strip(), model.producer_name, model.producer_version))
        ),
        picture=picture.name,
        dtype=picture.type.tensor_type.elem_type,
        class_names=names,
        shapes={},
        **geometry,  # type: ignore[arg-type]
    )
    _give_sizes(foreign)
    foreign.shapes.update(_shapes(foreign))
    return foreign


def _refuse_external_data(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ValueError(
                "the weights lie in another file (ONNX external data), which a package may not have; write one file:"
                " python -c \"import onnx; onnx.save(onnx.load('MODEL.onnx'), 'ONE.onnx')\""
            )


def _check_opset(model: onnx.ModelProto) -> None:
    versions = {item.domain: item.version for item in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ValueError(
            f"the graph is of ONNX opset {opset}, expected {OLDEST_OPSET} to {NEWEST_OPSET}; export it again with"
            " opset 17"
        )


def _picture_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    given = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in given]
    pictures = [item for item in inputs if len(item.type.tensor_type.shape.dim) == 4]
    others = [item.name for item in inputs if len(item.type.tensor_type.shape.dim) != 4 and item.name != SIZES_INPUT]
    if len(pictures) != 1 or others:
        raise ValueError(
            f"the graph's inputs are {', '.join(item.name for item in inputs) or 'none'}; expected one picture"
            f" (N, C, H, W) and at most {SIZES_INPUT} beside it; export the detector without what prepares pictures"
        )
    kind = pictures[0].type.tensor_type.elem_type
    if kind not in PICTURE_TYPES:
        raise ValueError(
            f"the picture input {pictures[0].name} is {TensorProto.DataType.Name(kind).lower()}, expected float,"
            " float16 or uint8"
        )
    return pictures[0]


def _give_sizes(foreign: Foreign) -> None:
    """The second input becomes a constant: boxes then come in pixels of the model's input."""
    graph = foreign.model.graph
    sizes = next((item for item in graph.input if item.name == SIZES_INPUT), None)
    kept = [item for item in graph.input if item.name == foreign.picture]
    del graph.input[:]
    graph.input.extend(kept)
    if sizes is not None:
        dtype = helper.tensor_dtype_to_np_dtype(sizes.type.tensor_type.elem_type)
        graph.initializer.append(
            numpy_helper.from_array(np.array([[foreign.width, foreign.height]], dtype), SIZES_INPUT)
        )


def _declared_size(metadata: dict[str, str]) -> tuple[int, int] | None:
    """Width and height as Ultralytics' metadata says them: "[height, width]"."""
    try:
        height, width = ast.literal_eval(metadata.get("imgsz", ""))
        return int(width), int(height)
    except (ValueError, SyntaxError, TypeError):
        return None


def _fix_sides(
    model: onnx.ModelProto, picture: onnx.ValueInfoProto, size: tuple[int, int] | None
) -> dict[str, int | bool | None]:
    dims = next(item for item in model.graph.input if item.name == picture.name).type.tensor_type.shape.dim
    sides = [item.dim_value for item in dims]
    said = ", ".join(str(item.dim_value or item.dim_param or "?") for item in dims)
    if sides[1] in (1, 3):
        channels, (row, column) = sides[1], (2, 3)
    elif sides[3] in (1, 3):
        channels, (row, column) = sides[3], (1, 2)
    else:
        raise ValueError(f"the picture input is ({said}); expected 1 or 3 channels in second or last place, fixed")
    height, width = sides[row], sides[column]
    if not (height and width):
        if size is None:
            raise ValueError(f"the picture input is ({said}) and its sides are open; say --size WIDTHxHEIGHT")
        width, height = width or size[0], height or size[1]
    for place, value in ((row, height), (column, width)):
        dims[place].Clear()
        dims[place].dim_value = value
    return {
        "channels": channels,
        "height": height,
        "width": width,
        "channels_last": row == 1,
        "batch": sides[0] or None,
    }


def _class_names(text: str) -> tuple[str, ...]:
    """Ultralytics' metadata: "{0: 'dent', 1: 'scratch'}"."""
    try:
        names = ast.literal_eval(text) if text else {}
    except (ValueError, SyntaxError):
        return ()
    if isinstance(names, dict):
        return tuple(str(names[key]) for key in sorted(names))
    return tuple(str(name) for name in names) if isinstance(names, list | tuple) else ()


def _shapes(foreign: Foreign) -> dict[str, Shape]:
    """Shapes of all tensors that can be known for one picture: inferred, and measured where that does not reach."""
    if foreign.batch not in (None, 1):
        raise ValueError(f"the graph takes {foreign.batch} pictures at a time; export it with batch 1 or any batch")
    probe = for_one_picture(foreign.model)
    try:
        inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    except Exception as error:  # onnx raises its own C++ errors and ValueError alike
        raise ValueError(f"the graph contradicts itself: {str(error).splitlines()[0]}") from None
    shapes: dict[str, Shape] = {}
    for item in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]:
        dims = item.type.tensor_type.shape.dim
        sides = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        if len(sides) > 1 and sides[0] is None:
            # One picture goes in: a first side that inference loses in the exporter's arithmetic on shapes is that one.
            sides[0] = 1
        known = tuple(side for side in sides if side is not None)
        if item.type.tensor_type.HasField("shape") and len(known) == len(sides):
            shapes[item.name] = known
    standard = _runnable(probe)
    unknown = [name for name in foreign.upstream(*foreign.outputs) if name not in shapes and name in standard]
    wanted = unknown[:_MOST_MEASURED] if any(name in unknown for name in foreign.outputs) else []
    for node in foreign.model.graph.node:
        if node.op_type == "TopK":  # what a head of queries chose from must be known
            wanted += [name for name in (node.input[0], node.output[1]) if name not in shapes and name in standard]
    if wanted:
        shapes.update(_measured(probe, tuple(dict.fromkeys(wanted)), foreign))
    return shapes


def is_standard(node: onnx.NodeProto) -> bool:
    """Whether the operation is ONNX's own and not a maker's plug-in."""
    return node.domain in ("", "ai.onnx")


def _runnable(model: onnx.ModelProto) -> set[str]:
    """Tensors that standard operations alone make."""
    odd: set[str] = set()
    made: set[str] = set()
    for node in model.graph.node:
        fine = is_standard(node) and not odd.intersection(node.input)
        (made if fine else odd).update(node.output)
    return made


def _measured(probe: onnx.ModelProto, names: tuple[str, ...], foreign: Foreign) -> dict[str, Shape]:
    """Shapes of tensors as they come out for one black picture."""
    values = run(cut(probe, names), {foreign.picture: np.zeros(foreign.input_shape, PICTURE_TYPES[foreign.dtype])})
    return {name: tuple(np.shape(value)) for name, value in values.items()}


def run(model: onnx.ModelProto, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """All outputs of a model in ONNX Runtime on the processor, one thread, by name.

    Raises:
        ValueError: ONNX Runtime does not take or does not run the graph.
    """
    return session_of(model)(inputs)


def session_of(model: onnx.ModelProto) -> Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """A model ready to run.

    Raises:
        ValueError: ONNX Runtime does not take the graph; the function raises it where it does not run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1

    def explained(error: Exception) -> ValueError:
        return ValueError(f"ONNX Runtime cannot run the graph: {str(error).strip().splitlines()[0]}")

    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but Exception
        raise explained(error) from None
    names = [item.name for item in session.get_outputs()]

    def infer(inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            return dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # as above
            raise explained(error) from None

    return infer
