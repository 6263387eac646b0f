"""The tiny packages of the benchmarks, under the name by which the tests know them."""

from __future__ import annotations

from benchmarks.tiles import (
    CELLS,
    CLASSES,
    PADDING,
    SIZE,
    STRIDE,
    THRESHOLD,
    TOP_K,
    anchor_head,
    cell_head,
    expected_score,
    golden_frames,
    graph_for,
    make_anchor_package,
    make_cell_package,
    make_key,
    manifest_for,
    picture,
    run_graph,
    top_k,
    write,
)

__all__ = [
    "CELLS",
    "CLASSES",
    "PADDING",
    "SIZE",
    "STRIDE",
    "THRESHOLD",
    "TOP_K",
    "anchor_head",
    "cell_head",
    "expected_score",
    "golden_frames",
    "graph_for",
    "make_anchor_package",
    "make_cell_package",
    "make_key",
    "manifest_for",
    "picture",
    "run_graph",
    "top_k",
    "write",
]
