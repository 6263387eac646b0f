"""From the deployed graph to model.onnx: one file, no external data, the same bytes for the same weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator

import onnx
import torch

from export.graph import INPUT_NAME, DeployedGraph

OPSET = 20
# NonMaxSuppression and NonZero give outputs whose size depends on the picture: a TensorRT build of them fails late.
FORBIDDEN_OPS = frozenset({"NonMaxSuppression", "NonZero", "Loop", "Scan", "If"})


def to_onnx(graph: DeployedGraph) -> bytes:
    """Serialises the graph, with a batch of any size.

    Raises:
        ValueError: the network holds an operation that not every runtime can build.
    """
    config = graph.detector.config
    example = torch.zeros((2, config.height, config.width, config.channels), dtype=torch.uint8)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            input_names=[INPUT_NAME],
            output_names=list(graph.output_names),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ValueError("the exporter gave no graph")
    model = program.model_proto
    _forget_origin(model)
    _fix_shapes(model, graph)
    onnx.checker.check_model(model, full_check=True)
    check_operations(model)
    return bytes(model.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks on standard output, and warns about libraries that nobody here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def check_operations(model: onnx.ModelProto) -> None:
    """Every runtime that may serve can build these operations.

    Raises:
        ValueError: with the operation that it cannot.
    """
    odd = sorted({node.op_type for node in model.graph.node if node.op_type in FORBIDDEN_OPS or node.domain})
    if odd or model.functions:
        raise ValueError(
            f"the graph holds {', '.join(odd) or 'local functions'}, which not every runtime builds; keep suppression"
            " and data-dependent shapes outside the network"
        )


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drops source paths and stack traces: they differ from machine to machine and tell what nobody needs to know."""
    model.doc_string = ""
    graph = model.graph
    graph.name, graph.doc_string = "lineside", ""
    holders: list[Iterable[onnx.NodeProto | onnx.ValueInfoProto | onnx.TensorProto]] = [
        graph.node,
        graph.input,
        graph.output,
        graph.value_info,
        graph.initializer,
    ]
    for items in holders:
        for item in items:
            item.doc_string = ""
            del item.metadata_props[:]
    for owner in (model, graph):
        del owner.metadata_props[:]


def _fix_shapes(model: onnx.ModelProto, graph: DeployedGraph) -> None:
    """All sides but the first are numbers, so that a station can check them before the first picture."""
    for value in model.graph.output:
        shape = graph.output_shapes[value.name]
        dimensions = value.type.tensor_type.shape
        del dimensions.dim[:]
        dimensions.dim.add(dim_param="N")
        for side in shape:
            dimensions.dim.add(dim_value=side)
