"""How raw tensors of a foreign graph are read as boxes, scores and areas: values, and the search for their shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from export.adopt.families import Family, foreign_order
from export.adopt.foreign import Foreign, Shape
from lineside.areas import AnchorGrid

Anchors = tuple[tuple[tuple[float, float], ...], ...]


class UnfitError(ValueError):
    """The graph does not have the form of a family; says which piece is missing.

    Attributes:
        near: how much of it was there; of several families' words those of the nearest are worth reading.
    """

    def __init__(self, words: str, *, near: int = 0) -> None:
        super().__init__(words)
        self.near = near


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user says; None or empty: to be found out."""

    classes: int
    strides: tuple[int, ...] | None = None
    """Model pixels, finest first."""
    anchors: Anchors | None = None
    tensors: tuple[str, ...] = ()
    """Names of the tensors to take: one with boxes and scores, or boxes, then scores."""
    box: str | None = None
    unit: str | None = None
    scores: str | None = None

    def __post_init__(self) -> None:
        if len(self.tensors) > 2:
            raise ValueError(f"{len(self.tensors)} tensors are named, expected one (joint) or two (boxes, scores)")
        for name, values in (
            ("box", ("centre", "corners", "cell")),
            ("unit", ("pixels", "sides")),
            ("scores", ("probability", "logit")),
        ):
            value = getattr(self, name)
            if value is not None and value not in values:
                raise ValueError(f"{name} is {value!r}, expected one of {', '.join(values)}")

    def said_of(self, family: Family) -> Family:
        """The family with what the user says otherwise."""
        return dataclasses.replace(
            family,
            box=self.box or family.box,
            unit=self.unit or family.unit,
            scores=self.scores or family.scores,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A tensor read as rows and columns."""

    name: str
    rows: int
    turned: bool
    """(N, columns, rows) instead of (N, rows, columns)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the raw tensors are read. `boxes` and `scores` are the same table where the family has both in one."""

    family: Family
    grid: AnchorGrid
    classes: int
    boxes: Table
    scores: Table
    queries: str = ""
    """Tensor (N, rows) that says the area of each row. Empty: the row's number, reordered for anchors."""

    @property
    def joint(self) -> bool:
        """Whether one table holds both."""
        return self.boxes.name == self.scores.name

    @property
    def rows(self) -> int:
        """Places that can raise a detection."""
        return self.boxes.rows

    @property
    def first_class(self) -> int:
        """Column of the first class in the table of the scores; objectness stands before it."""
        return (4 if self.joint else 0) + self.family.objectness

    @property
    def tensors(self) -> tuple[str, ...]:
        """All that are needed, each once."""
        return tuple(dict.fromkeys(name for name in (self.boxes.name, self.scores.name, self.queries) if name))

    @property
    def order(self) -> list[int] | None:
        """Our area of each row; None: the same number, or told by `queries`."""
        return foreign_order(self.grid) if self.family.areas == "anchors" else None


def table(foreign: Foreign, name: str, columns: int, rows: Collection[int]) -> Table | None:
    """The tensor as a table of so many columns and one of these counts of rows, or None."""
    shape = foreign.shapes.get(name)
    if shape is None or len(shape) != 3 or shape[0] != 1:
        return None
    if shape[2] == columns and shape[1] in rows:
        return Table(name=name, rows=shape[1], turned=False)
    if shape[1] == columns and shape[2] in rows:
        return Table(name=name, rows=shape[2], turned=True)
    return None


def candidates(foreign: Foreign, wanted: Wanted) -> list[str]:
    """Tensors to look at: those the user names, else all from the outputs backwards.

    Raises:
        UnfitError: the graph has no tensor of that name.
    """
    unknown = [name for name in wanted.tensors if name not in foreign.shapes]
    if unknown:
        raise UnfitError(f"the graph has no tensor {', '.join(unknown)} of known shape; --inspect lists what there is")
    return list(wanted.tensors) or list(foreign.upstream(*foreign.outputs))


def said_outputs(foreign: Foreign) -> str:
    """The outputs with their shapes, in words."""
    return ", ".join(f"{name} {said_shape(foreign.shapes.get(name))}" for name in foreign.outputs)


def said_shape(shape: Shape | None) -> str:
    """A shape in words."""
    return "of unknown shape" if shape is None else f"({', '.join(str(side) for side in shape)})"


def listed(numbers: Collection[int], most: int = 6) -> str:
    """A few numbers in words."""
    some: Sequence[int] = sorted(set(numbers))[:most]
    return ", ".join(str(number) for number in some) + (", ..." if len(numbers) > most else "")
