"""From detections to a verdict: the rules of a recipe. Pure: no model, no clock, no file."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import pydantic

from edge.inspection import Detection, Verdict
from edge.settings import Settings

_NAMED_IN_A_REASON = 3
SAME_PLACE_IOU = 0.5
"""From which two boxes are at one place, for classes that exclude each other."""


class RegionSettings(Settings):
    """A rectangle in frame pixels."""

    x1: float
    y1: float
    x2: float
    y2: float

    @pydantic.model_validator(mode="after")
    def _has_an_inside(self) -> RegionSettings:
        if not (self.x1 < self.x2 and self.y1 < self.y2):
            raise ValueError(f"region ({self.x1}, {self.y1}, {self.x2}, {self.y2}) must have x1 < x2 and y1 < y2")
        return self

    def meets(self, detection: Detection) -> bool:
        """Whether the detection's box has a pixel in common with it."""
        x1, y1, x2, y2 = detection.box
        return x1 < self.x2 and self.x1 < x2 and y1 < self.y2 and self.y1 < y2


class RecipeSettings(Settings):
    """Rules for some cameras and parts. The first recipe that fits both is the one that counts."""

    name: str = pydantic.Field(min_length=1, max_length=64)
    """Unique in the station."""
    camera: str = "*"
    """Cameras it is for, as a shell pattern ("top", "line-?", "*")."""
    part: str = "*"
    """Part ids it is for, as a shell pattern ("AX-*"). "*" fits a part that is not known as well."""
    thresholds: Mapping[str, Annotated[float, pydantic.Field(gt=0, le=1)]] = pydantic.Field(default_factory=dict)
    """Class name to the score from which a detection counts. It can only ask for more than the model's own threshold,
    below which nothing is raised; classes not named keep the model's."""
    regions: tuple[RegionSettings, ...] = ()
    """Regions of interest: a detection counts if it touches one of them. None: the whole frame."""
    minimum_side: float = pydantic.Field(default=0.0, ge=0, allow_inf_nan=False)
    """Frame pixels; a detection counts if the longer side of its box is at least this."""
    maximum_count: int = pydantic.Field(default=0, ge=0)
    """So many detections may count and the part still passes."""
    exclusive_classes: tuple[str, ...] = ()
    """Classes that exclude each other: of those of their detections that count and lie at one place (IoU 0.5 and more)
    the best one counts. It changes how many count, never whether any does."""

    @property
    def class_names(self) -> frozenset[str]:
        """Every class it speaks about."""
        return frozenset(self.thresholds) | frozenset(self.exclusive_classes)

    def fits(self, camera: str, part_id: str) -> bool:
        """Whether it is for this camera and part."""
        return fnmatch.fnmatchcase(camera, self.camera) and fnmatch.fnmatchcase(part_id, self.part)


EVERYTHING_COUNTS = RecipeSettings(name="default")
"""Where no recipe fits: one detection of any class rejects the part."""


class Decision(NamedTuple):
    """A verdict and, for REJECT, the rule that fired in words."""

    verdict: Verdict
    reason: str


def recipe_for(recipes: Sequence[RecipeSettings], camera: str, part_id: str) -> RecipeSettings:
    """The first recipe for the camera and part, or EVERYTHING_COUNTS."""
    return next((recipe for recipe in recipes if recipe.fits(camera, part_id)), EVERYTHING_COUNTS)


def counts(detection: Detection, recipe: RecipeSettings) -> bool:
    """Whether a detection counts towards a REJECT."""
    x1, y1, x2, y2 = detection.box
    # A number that is none fails every comparison: written so that such a detection counts.
    if not math.isfinite(detection.score) or not all(math.isfinite(edge) for edge in detection.box):
        return True
    return (
        detection.score >= recipe.thresholds.get(detection.class_name, 0.0)
        and max(x2 - x1, y2 - y1) >= recipe.minimum_side
        and (not recipe.regions or any(region.meets(detection) for region in recipe.regions))
    )


def one_a_place(detections: Sequence[Detection], recipe: RecipeSettings) -> list[Detection]:
    """Detections that count, without those of exclusive classes that have a better one of another class at their place.

    Args:
        detections: those that count, highest score first.
        recipe: names the classes.
    """
    kept: list[Detection] = []
    for detection in detections:
        name = detection.class_name
        rivals = (item for item in kept if item.class_name != name and item.class_name in recipe.exclusive_classes)
        if name not in recipe.exclusive_classes or all(_iou(detection, rival) < SAME_PLACE_IOU for rival in rivals):
            kept.append(detection)
    return kept


def _iou(one: Detection, other: Detection) -> float:
    """0 to 1; 0 where an edge of either box is no number."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = one.box, other.box
    shared = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
    return shared / union if union > 0 and math.isfinite(union) else 0.0


def decide(detections: Sequence[Detection], recipe: RecipeSettings) -> Decision:
    """PASS or REJECT. NO_VERDICT is for faults, and those never come here."""
    counted = one_a_place([detection for detection in detections if counts(detection, recipe)], recipe)
    if len(counted) <= recipe.maximum_count:
        return Decision(Verdict.PASS, "")
    named = [f"{detection.class_name} {detection.score:.2f}" for detection in counted[:_NAMED_IN_A_REASON]]
    more = "" if len(counted) == len(named) else ", ..."
    return Decision(
        Verdict.REJECT,
        f"recipe {recipe.name}: {len(counted)} found ({', '.join(named)}{more}), {recipe.maximum_count} allowed",
    )
