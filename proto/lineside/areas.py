"""Areas: the units a network classifies and the loss masks (Cordier et al., section 3.1).

An area is named by its flat index in the head's output for one model input. Two heads exist: a grid of
cells (H', W', C) and anchor boxes, (H', W', B) per level. Flat order: cells by row, then column; anchors by
level, then row, column, shape. All boxes here are in model pixels.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from lineside.boxes import Boxes
from lineside.v1 import model_pb2

Indices = NDArray[np.int32]


def _positive(owner: object, *names: str) -> None:
    for name in names:
        if getattr(owner, name) < 1:
            raise ValueError(f"{type(owner).__name__}.{name} is {getattr(owner, name)}, expected at least 1")


def _grid_centres(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """(rows * columns, 2) x, y of the middle of each cell."""
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return (np.stack([x.ravel(), y.ravel()], axis=1) * stride + stride / 2).astype(np.float32)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CellGrid:
    """Cells of `stride` model pixels, `rows` by `columns` of them."""

    rows: int
    columns: int
    stride: int

    def __post_init__(self) -> None:
        _positive(self, "rows", "columns", "stride")

    @property
    def count(self) -> int:
        """Number of areas."""
        return self.rows * self.columns

    def index(self, row: int, column: int) -> int:
        """Flat index of a cell.

        Raises:
            IndexError: the cell is outside the grid.
        """
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise IndexError(f"cell ({row}, {column}) is outside {self.rows} rows and {self.columns} columns")
        return row * self.columns + column

    def position(self, index: int) -> tuple[int, int]:
        """Row and column of a flat index.

        Raises:
            IndexError: there is no such area.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"area {index} is outside 0..{self.count - 1}")
        return divmod(index, self.columns)

    def boxes(self) -> Boxes:
        """(count, 4): the pixels each cell covers."""
        return _cell_boxes(self)

    @property
    def key(self) -> str:
        """Equal for heads whose areas mean the same."""
        return f"cells {self.rows}x{self.columns}/{self.stride}"


@functools.lru_cache(maxsize=16)
def _cell_boxes(grid: CellGrid) -> Boxes:
    centres = _grid_centres(grid.rows, grid.columns, grid.stride)
    half = grid.stride / 2
    boxes = np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)
    boxes.flags.writeable = False
    return boxes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AnchorLevel:
    """One output map: `rows` by `columns` cells of `stride` pixels, each with the same anchor shapes."""

    rows: int
    columns: int
    stride: int
    shapes: tuple[tuple[float, float], ...]
    """Width and height of each anchor in model pixels."""

    def __post_init__(self) -> None:
        _positive(self, "rows", "columns", "stride")
        if not self.shapes:
            raise ValueError("AnchorLevel.shapes is empty, expected at least one (width, height)")
        if any(not (width > 0 and height > 0) for width, height in self.shapes):
            raise ValueError(f"AnchorLevel.shapes is {self.shapes}, expected positive widths and heights")

    @property
    def count(self) -> int:
        """Number of areas of this level."""
        return self.rows * self.columns * len(self.shapes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AnchorGrid:
    """All anchors of a head, level after level."""

    levels: tuple[AnchorLevel, ...]

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError("AnchorGrid.levels is empty, expected at least one level")

    @property
    def count(self) -> int:
        """Number of areas."""
        return sum(level.count for level in self.levels)

    def index(self, level: int, row: int, column: int, shape: int) -> int:
        """Flat index of an anchor.

        Raises:
            IndexError: the anchor does not exist.
        """
        if not 0 <= level < len(self.levels):
            raise IndexError(f"level {level} is outside 0..{len(self.levels) - 1}")
        here = self.levels[level]
        if not (0 <= row < here.rows and 0 <= column < here.columns and 0 <= shape < len(here.shapes)):
            raise IndexError(f"anchor ({row}, {column}, {shape}) is outside level {level}")
        before = sum(other.count for other in self.levels[:level])
        return before + (row * here.columns + column) * len(here.shapes) + shape

    def position(self, index: int) -> tuple[int, int, int, int]:
        """Level, row, column and shape of a flat index.

        Raises:
            IndexError: there is no such area.
        """
        rest = index
        if rest >= 0:
            for number, level in enumerate(self.levels):
                if rest < level.count:
                    cell, shape = divmod(rest, len(level.shapes))
                    row, column = divmod(cell, level.columns)
                    return number, row, column, shape
                rest -= level.count
        raise IndexError(f"area {index} is outside 0..{self.count - 1}")

    def boxes(self) -> Boxes:
        """(count, 4): the anchor boxes, not clipped to the input."""
        return _anchor_boxes(self)

    @property
    def key(self) -> str:
        """Equal for heads whose areas mean the same."""
        return "anchors " + " ".join(
            f"{level.rows}x{level.columns}/{level.stride}"
            + "".join(f":{width:g}x{height:g}" for width, height in level.shapes)
            for level in self.levels
        )


@functools.lru_cache(maxsize=16)
def _anchor_boxes(grid: AnchorGrid) -> Boxes:
    parts = []
    for level in grid.levels:
        centres = _grid_centres(level.rows, level.columns, level.stride)[:, None, :]
        half = np.asarray(level.shapes, np.float32)[None, :, :] / 2
        parts.append(np.concatenate([centres - half, centres + half], axis=2).reshape(-1, 4))
    boxes = np.concatenate(parts).astype(np.float32)
    boxes.flags.writeable = False
    return boxes


Head = CellGrid | AnchorGrid


def head_of(manifest: model_pb2.PackageManifest) -> Head:
    """The head a manifest declares.

    Raises:
        ValueError: it declares none, or one with impossible numbers.
    """
    kind = manifest.WhichOneof("head")
    if kind == "cells":
        cells = manifest.cells
        return CellGrid(rows=cells.rows, columns=cells.columns, stride=cells.stride)
    if kind == "anchors":
        return AnchorGrid(
            levels=tuple(
                AnchorLevel(
                    rows=level.rows,
                    columns=level.columns,
                    stride=level.stride,
                    shapes=tuple((shape.width, shape.height) for shape in level.shapes),
                )
                for level in manifest.anchors.levels
            )
        )
    raise ValueError("the manifest declares no head, expected cells or anchors")


def write_head(head: Head, manifest: model_pb2.PackageManifest, *, top_k: int = 0) -> None:
    """Declares a head in a manifest; `top_k` is the anchor graph's fixed number of candidates."""
    if isinstance(head, CellGrid):
        manifest.cells.CopyFrom(model_pb2.CellHead(rows=head.rows, columns=head.columns, stride=head.stride))
        return
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}, expected at least 1 for an anchor head")
    manifest.anchors.CopyFrom(
        model_pb2.AnchorHead(
            top_k=top_k,
            levels=[
                model_pb2.AnchorLevel(
                    rows=level.rows,
                    columns=level.columns,
                    stride=level.stride,
                    shapes=[model_pb2.AnchorShape(width=width, height=height) for width, height in level.shapes],
                )
                for level in head.levels
            ],
        )
    )
