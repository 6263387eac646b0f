"""What an engine is made of, layer by layer: read from the engine inspector, or from what the builder logs.

Both speak of the engine that was built, after fusion, not of the graph. The inspector needs an engine that is loaded,
so a GPU; the builder's log says the same at the end of a build anywhere. Reads text only.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_LINE = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>.*?), Inputs: (?P<inputs>.*?)(?:, Constants: (?P<constants>.*?))?"
    r", Outputs: (?P<outputs>.*?)(?:, TacticName: (?P<tactic>.*?))?(?:, StreamId: \d+)?(?:, Metadata: (?P<nodes>.*))?$"
)
_TENSOR = re.compile(r"Name: [^,]*, Dimensions: \[(?P<sides>[^\]]*)\].*?Datatype: (?P<type>\w+)")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_BITS = {"Double": 64, "Int64": 64, "Float": 32, "Int32": 32, "Half": 16, "BFloat16": 16, "Int4": 4, "FP4": 4}
_WORDS = {"Float": "fp32", "FP32": "fp32", "Half": "fp16", "FP16": "fp16", "BFloat16": "bf16", "Int8": "int8"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One step of an engine."""

    name: str
    kind: str
    """The builder's word, e.g. "conv", "kgen" (a fused kernel)."""
    inputs: str
    """Types, e.g. "uint8"."""
    outputs: str
    """Types and shapes, -1 for the batch, e.g. "fp32 -1x4x4x2"."""
    constant_bytes: int
    """Of the weights it names; 0 where none is named."""
    nodes: tuple[str, ...]
    """Of the ONNX graph that went into it."""


def from_log(listing: str) -> tuple[Layer, ...]:
    """Layers out of the listing a builder logs; what does not look like a layer is left out."""
    found = []
    for line in listing.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        inputs, constants, outputs = (
            [(tensor["type"], _sides(tensor["sides"])) for tensor in _TENSOR.finditer(match[part] or "")]
            for part in ("inputs", "constants", "outputs")
        )
        found.append(_layer(match["name"], match["kind"], inputs, constants, outputs, match["nodes"] or ""))
    return tuple(found)


def from_inspector(text: str) -> tuple[Layer, ...]:
    """Layers out of the engine inspector's JSON, of TensorRT 10 ("Format/Datatype") and 11 ("Datatype").

    An engine built without details lists names alone: they come without types.

    Raises:
        ValueError: it is no JSON of that kind.
    """
    document = json.loads(text)
    layers = document.get("Layers") if isinstance(document, dict) else None
    if not isinstance(layers, list):
        raise ValueError("the engine inspector's answer holds no list of layers")
    return tuple(_from_item(item) for item in layers)


def _from_item(item: object) -> Layer:
    if not isinstance(item, dict):
        return Layer(name=str(item), kind="", inputs="", outputs="", constant_bytes=0, nodes=())
    inputs, constants, outputs = (_tensors(item.get(part)) for part in ("Inputs", "Constants", "Outputs"))
    name, kind, nodes = (str(item.get(part, "")) for part in ("Name", "LayerType", "Metadata"))
    return _layer(name, kind, inputs, constants, outputs, nodes)


def _tensors(items: object) -> list[tuple[str, tuple[int, ...]]]:
    found = []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            said = str(item.get("Datatype") or item.get("Format/Datatype") or "")
            sides = item.get("Dimensions")
            found.append((_type_in(said), tuple(int(side) for side in sides) if isinstance(sides, list) else ()))
    return found


def _type_in(said: str) -> str:
    """TensorRT 10 says "Row major linear FP32" or "... FP16 format (kLINEAR)", TensorRT 11 "Float"."""
    match = re.search(r"\b(FP32|FP16|BF16|Int8|INT8|Int32|INT32|Int64|INT64|UInt8|UINT8|Bool|BOOL|FP8|FP4)\b", said)
    return match[1] if match else said.strip()


def _layer(
    name: str,
    kind: str,
    inputs: Sequence[tuple[str, tuple[int, ...]]],
    constants: Sequence[tuple[str, tuple[int, ...]]],
    outputs: Sequence[tuple[str, tuple[int, ...]]],
    nodes: str,
) -> Layer:
    return Layer(
        name=name,
        kind=kind,
        inputs=", ".join(sorted({_word(kind_) for kind_, _ in inputs})),
        outputs=", ".join(f"{_word(kind_)} {'x'.join(map(str, sides))}".strip() for kind_, sides in outputs),
        constant_bytes=sum(math.prod(sides) * _BITS.get(kind_, 8) // 8 for kind_, sides in constants),
        nodes=tuple(_NODE.findall(nodes)),
    )


def _sides(text: str) -> tuple[int, ...]:
    return tuple(int(side) for side in text.split(",") if side.strip().lstrip("-").isdigit())


def _word(kind: str) -> str:
    return _WORDS.get(kind, kind.lower())


def as_json(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """For the note beside an engine."""
    return [dataclasses.asdict(layer) for layer in layers]


def of_json(items: object) -> tuple[Layer, ...]:
    """The reverse.

    Raises:
        ValueError: it was not written by `as_json`.
    """
    fields = {field.name for field in dataclasses.fields(Layer)}
    if not isinstance(items, list) or not all(isinstance(item, Mapping) and set(item) == fields for item in items):
        raise ValueError("the list of layers is damaged")
    return tuple(Layer(**{**item, "nodes": tuple(item["nodes"])}) for item in items)


def share_of_precisions(layers: Sequence[Layer]) -> dict[str, int]:
    """How many layers compute in which type, by their outputs; the widest counts where a layer has several."""
    order = ("fp32", "bf16", "fp16", "int8")
    counts: dict[str, int] = {}
    for layer in layers:
        types = {part.split(" ")[0] for part in layer.outputs.split(", ") if part}
        kind = next((word for word in order if word in types), "other")
        counts[kind] = counts.get(kind, 0) + 1
    return counts
