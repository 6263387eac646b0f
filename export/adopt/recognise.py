"""Which tensors of a foreign graph hold box and scores of every area, and which family they fit. Decides, runs nothing.

Exporters often put a choice behind the head (suppression, the K best). The tensors looked for lie before it: they are
found by walking from the outputs backwards to the nearest ones of the right form.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from export.adopt.cutting import constants, cut
from export.adopt.families import COCO_ANCHORS, STRIDES, Family, anchor_grid, point_grid
from export.adopt.foreign import Foreign, is_standard
from export.adopt.queries import read_queries
from export.adopt.reading import Anchors, Reading, UnfitError, Wanted, candidates, listed, said_outputs, table
from lineside.areas import AnchorGrid


def read_as(foreign: Foreign, family: Family, wanted: Wanted) -> tuple[Reading, ...]:
    """The graph read as one of this family: one reading, or several of which the network's answers fit one.

    Raises:
        UnfitError: with the missing piece.
    """
    odd = {f"{node.op_type} ({node.domain})" for node in foreign.model.graph.node if not is_standard(node)}
    try:
        readings = _readings(foreign, family, wanted)
    except UnfitError as error:
        if odd:
            raise UnfitError(f"{error}; it also holds {', '.join(sorted(odd))}, no operation of ONNX", near=4) from None
        raise
    # A plug-in behind the head is cut off with all that follows; one before it cannot be.
    before = {node.op_type for node in cut(foreign.model, readings[0].tensors).graph.node if not is_standard(node)}
    if before:
        raise UnfitError(
            f"the graph holds {', '.join(sorted(before))} before its head, which is no operation of ONNX; export"
            " without plug-ins",
            near=4,
        )
    return readings


def _readings(foreign: Foreign, family: Family, wanted: Wanted) -> tuple[Reading, ...]:
    grids = _grids(foreign, family, wanted)
    if family.areas == "queries":
        return read_queries(foreign, family, wanted, grids)
    read = _joint if family.joint else _apart
    if family.box == "cell" and wanted.box is None:
        # YOLOX's exporter leaves boxes raw by default and decodes them when asked to.
        decoded = dataclasses.replace(family, box="centre")
        return tuple(read(foreign, wanted.said_of(item), wanted, grids) for item in (family, decoded))
    return (read(foreign, wanted.said_of(family), wanted, grids),)


def _joint(foreign: Foreign, family: Family, wanted: Wanted, grids: dict[int, AnchorGrid]) -> Reading:
    columns = 4 + family.objectness + wanted.classes
    for name in candidates(foreign, wanted):
        found = table(foreign, name, columns, grids)
        if found:
            return Reading(family=family, grid=grids[found.rows], classes=wanted.classes, boxes=found, scores=found)
    raise _no_table(foreign, family, wanted, columns, grids)


def _apart(foreign: Foreign, family: Family, wanted: Wanted, grids: dict[int, AnchorGrid]) -> Reading:
    names = candidates(foreign, wanted)
    for name in names:
        boxes = table(foreign, name, 4, grids)
        if boxes is None:
            continue
        for other in names:
            scores = table(foreign, other, wanted.classes, (boxes.rows,)) if other != name else None
            if scores:
                return Reading(
                    family=family, grid=grids[boxes.rows], classes=wanted.classes, boxes=boxes, scores=scores
                )
    raise UnfitError(
        f"no tensor of boxes (1, A, 4) beside one of scores (1, A, {wanted.classes}) with A one of {listed(grids)};"
        f" the outputs are {said_outputs(foreign)}"
    )


def _no_table(
    foreign: Foreign, family: Family, wanted: Wanted, columns: int, grids: dict[int, AnchorGrid]
) -> UnfitError:
    """The missing piece, as near as it can be named."""
    extra = 4 + family.objectness
    said = f"the outputs are {said_outputs(foreign)}"
    operations = {node.op_type for node in foreign.model.graph.node}
    chosen = any(kind == "TopK" or "NMS" in kind or "NonMax" in kind for kind in operations)
    for name in foreign.outputs:
        shape = foreign.shapes.get(name, ())
        for rows, seen in ((shape[1], shape[2]), (shape[2], shape[1])) if len(shape) == 3 else ():
            classes = seen - extra
            if rows in grids and classes > 0 and not (chosen and 6 in shape):
                masks = f" (or {classes - 32} and 32 mask coefficients of a segmenter)" if classes > 32 else ""
                return UnfitError(
                    f"{name} has {seen} columns, which is {classes} classes{masks}, and {wanted.classes} are named;"
                    " name all, in the order of the network's own list",
                    near=2,
                )
    if chosen:
        return UnfitError(
            f"{said}; suppression or a choice of the best is baked in, and before it no tensor has {columns} columns"
            f" for {listed(grids)} areas, so that nobody can say from which area a detection came; export without it"
            " (Ultralytics: nms=False)",
            near=1,
        )
    return UnfitError(
        f"no tensor has {columns} columns for {listed(grids)} areas (an input of {foreign.width}x{foreign.height});"
        f" {said}; say --strides where the levels are others, or --tensors NAME where the head ends earlier"
    )


def _grids(foreign: Foreign, family: Family, wanted: Wanted) -> dict[int, AnchorGrid]:
    """Grids of areas that could be meant, by their number of areas; the more usual first where two have as many."""
    sets = (wanted.strides,) if wanted.strides else STRIDES
    found: dict[int, AnchorGrid] = {}
    anchors = wanted.anchors
    if family.areas == "anchors":
        anchors = anchors or baked_anchors(foreign)
        if anchors is None:
            raise UnfitError(
                f"the anchor boxes are not among the graph's constants; say --anchors {COCO_ANCHORS!r} or so"
            )
        if not wanted.strides:
            sets = tuple(strides for strides in STRIDES if len(strides) == len(anchors))
    for strides in sets:
        grid = (
            anchor_grid(foreign.width, foreign.height, strides, anchors)
            if family.areas == "anchors" and anchors
            else point_grid(foreign.width, foreign.height, strides)
        )
        if grid is not None:
            found.setdefault(grid.count, grid)
    if not found:
        raise UnfitError(
            f"strides {wanted.strides or 'of 4 to 128'} do not divide an input of {foreign.width}x{foreign.height};"
            " export with sides that are multiples of 32"
        )
    return found


def baked_anchors(foreign: Foreign) -> Anchors | None:
    """Anchor boxes that YOLOv5's exporter leaves as constants (1, B, rows, columns, 2), one for each level."""
    by_rows: dict[int, tuple[tuple[float, float], ...]] = {}
    for values in constants(foreign.model).values():
        if values.ndim != 5 or values.shape[0] != 1 or values.shape[4] != 2 or values.dtype.kind != "f":
            continue
        shapes = np.asarray(values[0, :, :1, :1, :], np.float64)
        if values.shape[2] * values.shape[3] > 1 and (values[0] == shapes).all() and (shapes > 0).all():
            by_rows[values.shape[2]] = tuple((float(w), float(h)) for w, h in shapes[:, 0, 0])
    # The finest level has the most rows.
    return tuple(by_rows[rows] for rows in sorted(by_rows, reverse=True)) or None
