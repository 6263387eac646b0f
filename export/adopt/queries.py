"""Heads of queries (RT-DETR, D-FINE): an area is the point of the encoder's maps that a query grew from.

Such a network scores every point of its feature maps, takes the Q best with a TopK and lets them grow into boxes. The
TopK's indices are in the graph, in the flat order of the maps: level, row, column. They are the areas. A query that is
learned and grew from no point (the first DETR) has no area, and such a graph is refused.

Where the exporter ends with a choice of its own (labels, boxes, scores), boxes and scores of all queries are found
before it.
"""

from __future__ import annotations

import dataclasses

import onnx

from export.adopt.families import Family
from export.adopt.foreign import Foreign
from export.adopt.reading import Reading, Table, UnfitError, Wanted, candidates, said_outputs, table
from lineside.areas import AnchorGrid


def read_queries(foreign: Foreign, family: Family, wanted: Wanted, grids: dict[int, AnchorGrid]) -> tuple[Reading, ...]:
    """The graph read as one of queries: one reading, or several of which the network's answers fit one.

    Raises:
        UnfitError: with the missing piece.
    """
    grid, queries, rows = _selection(foreign, grids)

    def reading(found: tuple[Table, Table], **changes: object) -> Reading:
        changed = wanted.said_of(dataclasses.replace(family, **changes))  # type: ignore[arg-type]
        boxes, scores = found
        return Reading(family=changed, grid=grid, classes=wanted.classes, boxes=boxes, scores=scores, queries=queries)

    pair = _pair(foreign, wanted, rows, wanted.tensors or foreign.outputs)
    if pair is not None:
        return (reading(pair),)
    before = None if wanted.tensors else _before_choice(foreign, wanted, rows)
    if before is not None:
        producer = foreign.producers()[before[1].name].op_type
        kind = "probability" if producer == "Sigmoid" else "logit"
        # Some scale to pixels before they choose, some do not.
        return (
            reading(before, box="corners", unit="pixels", scores=kind),
            reading(before, box="centre", unit="sides", scores=kind),
            reading(before, box="corners", unit="sides", scores=kind),
        )
    for name in candidates(foreign, wanted):
        joint = table(foreign, name, 4 + wanted.classes, (rows,))
        if joint:
            return (reading((joint, joint), joint=True, scores="probability"),)
    raise UnfitError(
        f"no boxes (1, {rows}, 4) beside scores (1, {rows}, {wanted.classes}) of the {rows} queries; the outputs are"
        f" {said_outputs(foreign)}. Are {wanted.classes} classes right?"
    )


def _selection(foreign: Foreign, grids: dict[int, AnchorGrid]) -> tuple[AnchorGrid, str, int]:
    """The grid, the tensor with the area of each query, and their number."""
    for node in foreign.model.graph.node:
        if node.op_type == "TopK":
            over, chosen = foreign.shapes.get(node.input[0], ()), foreign.shapes.get(node.output[1], ())
            if len(over) == len(chosen) == 2 and over[1] in grids:
                return grids[over[1]], node.output[1], chosen[1]
    raise UnfitError(
        "no TopK over the points of the feature maps: the queries are learned and grew from no place of the picture,"
        " so that no area can be named for a detection. RT-DETR and D-FINE choose theirs among the encoder's points;"
        " where the levels are unusual, say --strides"
    )


def _pair(foreign: Foreign, wanted: Wanted, rows: int, names: tuple[str, ...]) -> tuple[Table, Table] | None:
    """Boxes and logits of all queries among these tensors, as transformers' models give them."""
    for name in names:
        for other in names:
            boxes, scores = table(foreign, name, 4, (rows,)), table(foreign, other, wanted.classes, (rows,))
            if boxes and scores and name != other:
                return boxes, scores
    return None


def _before_choice(foreign: Foreign, wanted: Wanted, rows: int) -> tuple[Table, Table] | None:
    """Boxes and scores before the K best pairs of query and class were chosen."""
    made_by = foreign.producers()
    final = [node for node in made_by.values() if _is_choice(foreign, node, rows * wanted.classes)]
    if not final:
        return None
    scores = _nearest(foreign, final[-1].input[0], wanted.classes, rows)
    for name in foreign.upstream(*foreign.outputs):
        node = made_by.get(name)
        if scores and node is not None and node.op_type in ("GatherElements", "GatherND", "Gather"):
            boxes = table(foreign, node.input[0], 4, (rows,))
            if boxes:
                return boxes, scores
    return None


def _nearest(foreign: Foreign, start: str, columns: int, rows: int) -> Table | None:
    return next((found for name in foreign.upstream(start) if (found := table(foreign, name, columns, (rows,)))), None)


def _is_choice(foreign: Foreign, node: onnx.NodeProto, pairs: int) -> bool:
    return node.op_type == "TopK" and foreign.shapes.get(node.input[0], ())[1:] == (pairs,)
