"""What fewer bits cost, class by class, and whether that is too much. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from training.evaluate.figures import ClassFigures, Figures

MOST_LOSS = 0.01
"""Of a class's figure, absolute, unless told otherwise."""
JUDGED = ("ap", "recall", "precision")
_FIELDS = {"ap": "ap_33", "recall": "recall", "precision": "precision"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassDamage:
    """One class on one domain, before and after; None where nothing was there to be measured."""

    domain: str
    name: str
    defects: int
    before: ClassFigures
    after: ClassFigures

    def loss(self, figure: str) -> float:
        """How much of "ap", "recall" or "precision" is gone; below 0 where it became better; 0 where not measured."""
        before, after = (getattr(item, _FIELDS[figure]) for item in (self.before, self.after))
        return 0.0 if before is None or after is None else float(before - after)


def damage_of(before: Sequence[Figures], after: Sequence[Figures]) -> tuple[ClassDamage, ...]:
    """Class by class over the domains, which are the same in both."""
    return tuple(
        ClassDamage(domain=old.domain, name=was.name, defects=was.defects, before=was, after=now)
        for old, new in zip(before, after, strict=True)
        for was, now in zip(old.classes, new.classes, strict=True)
    )


def too_much(
    damage: Sequence[ClassDamage], most_loss: float = MOST_LOSS, judged: Sequence[str] = ("ap",)
) -> tuple[str, ...]:
    """Each loss beyond the limit in words, the worst first; empty: it may be deployed.

    Raises:
        ValueError: a limit below 0, or a figure that is not one of JUDGED.
    """
    if not most_loss >= 0:
        raise ValueError(f"most_loss is {most_loss}, expected 0 or more")
    unknown = sorted(set(judged) - set(JUDGED))
    if unknown or not judged:
        raise ValueError(f"judged is {', '.join(judged) or 'nothing'}, expected some of {', '.join(JUDGED)}")
    # A loss of exactly the limit is none beyond it, whatever the last bit says.
    losses = [
        (item.loss(figure), item, figure)
        for item in damage
        for figure in judged
        if item.loss(figure) > most_loss + 1e-9
    ]
    losses.sort(key=lambda entry: -entry[0])
    return tuple(
        f"{item.domain}, {item.name}: {figure} falls by {loss:.4f} to"
        f" {getattr(item.after, _FIELDS[figure]):.4f} ({item.defects} defects)"
        for loss, item, figure in losses
    )


def table_of(before: Sequence[Figures], after: Sequence[Figures]) -> str:
    """Both for a terminal: a line for each domain, one for each class in it."""
    lines = [f"{'':24}{'AP (IoU 0.33)':>20}{'recall':>20}{'precision':>20}{'defects':>9}"]
    damage = damage_of(before, after)
    for old, new in zip(before, after, strict=True):
        means = [(old.map_33, new.map_33), (old.recall, new.recall), (old.precision, new.precision)]
        lines.append(f"{old.domain + ', all':24}" + "".join(_cell(*pair) for pair in means))
        lines.extend(
            f"  {item.name[:21]:22}"
            + "".join(
                _cell(*(getattr(side, _FIELDS[figure]) for side in (item.before, item.after))) for figure in JUDGED
            )
            + f"{item.defects:>9}"
            for item in damage
            if item.domain == old.domain
        )
    return "\n".join(lines)


def _cell(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return f"{'not measured':>20}"
    return f"{f'{after:.4f} ({after - before:+.4f})':>20}"
