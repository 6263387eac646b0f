"""Which part of a graph is worth fewer bits: from its first convolution to its last.

What comes before (letterboxed bytes, normalisation) and after (sigmoid, box decoding, the choice of candidates) costs
little time and needs its digits: a box edge at 300 pixels has steps of a quarter pixel in fp16 and of two pixels in
eight bits.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

import onnx

HEAVY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operations whose time is spent in products of weights."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trunk:
    """Nodes by name, in the graph's order."""

    heavy: tuple[str, ...]
    last: frozenset[str]
    """Heavy nodes behind which there is no other: the heads."""
    between: frozenset[str]
    """All nodes with a heavy one at or before them, and one at or behind them."""


def trunk_of(model: onnx.ModelProto) -> Trunk:
    """Finds it.

    Raises:
        ValueError: the graph holds no heavy node, or nodes without a name or with one name for two.
    """
    nodes = model.graph.node
    names = [node.name for node in nodes]
    if not all(names) or len(set(names)) != len(names):
        raise ValueError("the graph's nodes have no names of their own; name them (onnx), then try again")
    readers = readers_of(nodes)
    behind: set[str] = set()
    reached: set[str] = set()
    for node in nodes:
        if node.op_type in HEAVY or node.name in reached:
            behind.add(node.name)
            reached.update(reader.name for output in node.output for reader in readers[output])
    leads: set[str] = set()
    for node in reversed(nodes):
        if any(reader.op_type in HEAVY or reader.name in leads for output in node.output for reader in readers[output]):
            leads.add(node.name)
    heavy = tuple(node.name for node in nodes if node.op_type in HEAVY)
    if not heavy:
        raise ValueError(f"the graph holds none of {', '.join(sorted(HEAVY))}: there is nothing to gain")
    return Trunk(
        heavy=heavy,
        last=frozenset(name for name in heavy if name not in leads),
        between=frozenset(name for name in names if name in behind and (name in leads or name in heavy)),
    )


def readers_of(nodes: Sequence[onnx.NodeProto]) -> Mapping[str, list[onnx.NodeProto]]:
    """Who takes a tensor, by its name."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node)
    return readers
