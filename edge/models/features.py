"""What a serving network sees at each place: the map its head looks at, read out of the graph that serves.

A deployed graph gives answers and not features. Its own bytes are therefore loaded once more with the tensors before
its last convolutions as further outputs: protobuf messages that are joined are merged, so this takes no ONNX library,
and what is computed is what the station computes, also with fewer bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.backends.onnxruntime_session import CPU, first_line, load_onnxruntime, session_options
from edge.models.external_data import fields
from lineside.areas import AnchorGrid, CellGrid, Head, Indices
from lineside.boxes import Boxes, iou

Floats = NDArray[np.float32]

_GRAPH, _NODE, _OUTPUT, _NAME = 7, 1, 12, 1  # of ModelProto, GraphProto, GraphProto, ValueInfoProto
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP = 1, 2, 4
_CONVOLUTIONS = frozenset({"Conv", "QLinearConv", "ConvInteger", "FusedConv"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """One place as the network sees it.

    vector: (F,) float32. level: of the head; vectors of different levels cannot be compared.
    """

    level: int
    vector: Floats


class FeatureGraph:
    """A verified model.onnx that also gives the maps its head looks at. For one thread at a time.

    Args:
        graph: the file's bytes.
        head: of its manifest.

    Raises:
        BackendMissingError: onnxruntime is not installed.
        ValueError: no tensor of the graph has the head's rows and columns.
    """

    def __init__(self, graph: bytes, head: Head, *, input_shape: tuple[int, int, int]) -> None:
        self.head = head
        self._grids = _grids(head)
        names = _candidates(graph)
        found = self._maps(_session(graph, names), names, np.zeros((1, *input_shape), np.uint8))
        if len(found) != len(self._grids):
            missing = [f"{rows}x{columns}" for rows, columns in self._grids if (rows, columns) not in found]
            raise ValueError(f"the graph has no map of {', '.join(missing)} that its head could look at")
        self._names = [found[grid] for grid in self._grids]
        self._session = _session(graph, sorted(set(self._names)))

    def maps(self, picture_hwc: NDArray[np.uint8]) -> list[Floats]:
        """(rows * columns, F) float32 for each level of the head, for one model input (height, width, channels)."""
        names = sorted(set(self._names))
        values = dict(zip(names, self._session.run(names, {"image": picture_hwc[None]}), strict=True))
        return [np.asarray(values[name][0].reshape(values[name].shape[1], -1).T, np.float32) for name in self._names]

    def seen(self, maps: Sequence[Floats], areas: Indices, box: Boxes) -> Seen:
        """A detection as the network sees it: its areas' features, each as much as the area covers the box.

        Args:
            maps: of `maps`.
            areas: at least one, of the head.
            box: (4,) model pixels.
        """
        weights = iou(self.head.boxes()[areas], np.asarray(box, np.float32)[None])[:, 0] + 1e-6
        first = 0
        best: tuple[float, int, Floats] | None = None
        for level, (features, cells) in enumerate(zip(maps, _cells(self.head), strict=True)):
            here = (areas >= first) & (areas < first + len(features) * cells)
            if here.any():
                share = weights[here]
                vector = (features[(areas[here] - first) // cells] * share[:, None]).sum(axis=0) / share.sum()
                if best is None or share.sum() > best[0]:
                    best = float(share.sum()), level, np.asarray(vector, np.float32)
            first += len(features) * cells
        if best is None:
            raise ValueError("the areas lie beyond the head")
        return Seen(level=best[1], vector=best[2])

    def _maps(self, session: Any, names: Sequence[str], image: NDArray[np.uint8]) -> dict[tuple[int, int], str]:
        """By rows and columns, the last tensor of those dimensions."""
        values = session.run(list(names), {"image": image})
        found: dict[tuple[int, int], str] = {}
        for name, value in zip(names, values, strict=True):
            if getattr(value, "ndim", 0) == 4 and value.shape[2:] in self._grids:
                found[value.shape[2], value.shape[3]] = name
        return found


def _grids(head: Head) -> list[tuple[int, int]]:
    return [(grid.rows, grid.columns) for grid in ([head] if isinstance(head, CellGrid) else head.levels)]


def _cells(head: Head) -> list[int]:
    """Areas of one cell, for each level."""
    return [len(level.shapes) for level in head.levels] if isinstance(head, AnchorGrid) else [1]


def _candidates(graph: bytes) -> list[str]:
    """Tensors that the head may look at, in the order of the graph: what goes into its convolutions, else anything."""
    nodes = list(_nodes(graph))
    made = [name for _, _, outputs in nodes for name in outputs if name]
    before = [inputs[0] for kind, inputs, _ in nodes if kind in _CONVOLUTIONS and inputs]
    chosen = [name for name in dict.fromkeys(before) if name in set(made)]
    return chosen or made


def _nodes(graph: bytes) -> Iterator[tuple[str, list[str], list[str]]]:
    """Operator, inputs and outputs of each node."""
    for field, value in fields(memoryview(graph)):
        if field != _GRAPH or isinstance(value, int):
            continue
        for inner, node in fields(value):
            if inner == _NODE and not isinstance(node, int):
                texts = [
                    (number, bytes(text).decode(errors="replace"))
                    for number, text in fields(node)
                    if not isinstance(text, int) and number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_OP)
                ]
                yield (
                    next((text for number, text in texts if number == _NODE_OP), ""),
                    [text for number, text in texts if number == _NODE_INPUT],
                    [text for number, text in texts if number == _NODE_OUTPUT],
                )


def _session(graph: bytes, names: Sequence[str]) -> Any:
    runtime = load_onnxruntime()
    known = {bytes(name).decode() for name in _outputs(graph)}
    more = b"".join(_field(_OUTPUT, _field(_NAME, name.encode())) for name in names if name not in known)
    try:
        return runtime.InferenceSession(
            graph + _field(_GRAPH, more), sess_options=session_options(runtime, 1), providers=[CPU]
        )
    except Exception as error:
        raise ValueError(f"the graph does not load with its features as outputs: {first_line(error)}") from error


def _outputs(graph: bytes) -> Iterator[memoryview]:
    for field, value in fields(memoryview(graph)):
        if field == _GRAPH and not isinstance(value, int):
            for inner, output in fields(value):
                if inner == _OUTPUT and not isinstance(output, int):
                    yield from (
                        name for number, name in fields(output) if number == _NAME and not isinstance(name, int)
                    )


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
