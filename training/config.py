"""A training run as one value. Recipes (training/recipes) are functions that return it."""

from __future__ import annotations

import dataclasses
from typing import Any

from training.adapt.dann import DannConfig
from training.adapt.distil import DistilConfig
from training.adapt.teacher import TeacherConfig
from training.data.augment import AugmentConfig
from training.data.crops import CropConfig
from training.floor import FloorConfig
from training.models.config import DetectorConfig
from training.objective import ObjectiveConfig

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserConfig:
    """AdamW with one warm-up and a cosine."""

    learning_rate: float = 4e-3
    """At its highest."""
    weight_decay: float = 0.02
    warm_up: float = 0.1
    """Share of the steps in which the rate grows to its highest."""
    clip: float = 5.0
    """Largest norm of the whole gradient; what is longer is shortened to it."""
    average: float = 0.998
    """Decay a step of the running average of the weights, which is what a checkpoint holds; 0: the last weights."""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0 or not self.clip > 0:
            raise ValueError(f"optimiser.learning_rate is {self.learning_rate}, clip {self.clip}: expected above 0")
        if not 0 <= self.warm_up < 1 or not 0 <= self.average < 1 or not self.weight_decay >= 0:
            raise ValueError("optimiser: warm_up and average must be 0 up to below 1, weight_decay 0 or more")


GESTURES = ("binary", "classes")
FRAMES = ("none", "healthy", "complete")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackPlan:
    """What operators are asked to do so that a recipe can learn. A station's operators and the simulated ones follow
    it; the training itself takes whatever is in the log."""

    gestures: str = "classes"
    """"binary": confirm or reject alone, so that a wrong class can only be denied (paper 3.2); "classes": also which
    class it is."""
    frames: str = "none"
    """"none"; "healthy": parts known to be healthy are flagged by one press; "complete": every frame is searched as
    well, what was missed is tapped and the frame called complete or healthy."""
    rounds: int = 1
    """How often the newest model is shown to the operators, who answer what they have not answered yet."""
    audit: float = 0.0
    """Share of the frames without any detection that are shown as well, drawn at random."""
    show_from: float | None = None
    """Score from which detections are shown; None: the deployed thresholds."""
    show_again_from: float | None = None
    """The same from the second round on, when the model is a better one; None: as in the first."""
    show_to: float | None = None
    """Score up to which they are shown (what is surer costs clicks and teaches little); None: all."""
    budget_share: float | None = None
    """Most of the operators' time, as a share of what annotating everything by hand takes; None: no limit."""

    def __post_init__(self) -> None:
        if self.gestures not in GESTURES:
            raise ValueError(f"feedback.gestures is {self.gestures!r}, expected one of {', '.join(GESTURES)}")
        if self.frames not in FRAMES:
            raise ValueError(f"feedback.frames is {self.frames!r}, expected one of {', '.join(FRAMES)}")
        if not 1 <= self.rounds <= 10:
            raise ValueError(f"feedback.rounds is {self.rounds}, expected 1 to 10")
        if not 0 <= self.audit <= 1:
            raise ValueError(f"feedback.audit is {self.audit}, expected 0 to 1")
        for name in ("show_from", "show_again_from", "show_to", "budget_share"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"feedback.{name} is {value}, expected above 0 and at most 1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides what a run does, but the data and the parent's weights."""

    recipe: str
    detector: DetectorConfig
    steps: int = 3000
    batch: int = 16
    """Pictures a step; with new pictures half of them are new."""
    seed: int = 0
    from_parent: bool = False
    """Start from the parent's weights (paper 3.4.1) instead of from noise."""
    new_labels: str = "none"
    """What is known of the new domain: "none", "mentored" (the log's answers), "full" (every defect, by hand)."""
    whole_frames: bool = False
    """Whether "frame healthy" and "frame complete" teach background (paper 3.4.3), or only single answers teach."""
    camera: float = 0.0
    """Share of the original pictures that are shown as the new domain's camera would take them
    (`training.data.camera`): measured on the new domain's pictures, whatever is known about them. 0: none."""
    omnia: float = 0.0
    """Areas of new frames that the parent scores below this become ABSENT (paper 3.4.2: 0.01). 0: none; 1: all."""
    agreed_boxes: bool = False
    """Whether a confirmed detection's box is taught to the areas that answer for it (`training.data.agreed`)."""
    best_boxes: bool = False
    """Whether of several confirmed detections of one defect only the surest teaches (`training.data.doubled`)."""
    surroundings: bool = False
    """Whether areas beside a confirmed defect are taken as background (`training.data.surroundings`)."""
    healthy_share: float = 0.1
    """Of the annotated pictures drawn, how many are without defect."""
    healthy_new: float | None = None
    """Of the frames drawn that operators spoke about, how many are flagged healthy; None: as chance gives. Half of a
    line's frames may be, and they hold no defect to learn from."""
    balanced: bool = True
    """Original and new pictures 1:1 in every batch (paper 3.3); False: as many as chance gives."""
    reliability: bool = False
    """Answers count by how reliable their operator is, as hidden repeats of the same detection show it."""
    dann: DannConfig | None = None
    """Domain-adversarial training (paper 3.4.4); None: off."""
    distil: DistilConfig | None = None
    """The parent's soft answers where nobody has spoken (paper 5); None: off."""
    teacher: TeacherConfig | None = None
    """A mean teacher's confident answers where nobody has spoken; None: off."""
    precision: str = "auto"
    """"float32", "bfloat16" (mixed precision), or "auto": bfloat16 where the device computes in it."""
    floor: FloorConfig | None = None
    """How much of the original domain may be lost, watched on parts held out of it; None: all of it is trained on."""
    feedback: FeedbackPlan = dataclasses.field(default_factory=FeedbackPlan)
    """What it asks of operators."""
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = dataclasses.field(default_factory=OptimiserConfig)
    crop: CropConfig = dataclasses.field(default_factory=CropConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected at least 1")
        if self.batch < 2 or self.batch % 2:
            raise ValueError(f"batch is {self.batch}, expected an even number from 2 up")
        if self.new_labels not in ("none", "mentored", "full"):
            raise ValueError(f"new_labels is {self.new_labels!r}, expected none, mentored or full")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        if not 0 <= self.omnia <= 1:
            raise ValueError(f"omnia is {self.omnia}, expected 0 to 1")
        if not 0 <= self.camera <= 1:
            raise ValueError(f"camera is {self.camera}, expected 0 to 1")
        if not 0 <= self.healthy_share <= 1:
            raise ValueError(f"healthy_share is {self.healthy_share}, expected 0 to 1")
        if self.healthy_new is not None and not 0 <= self.healthy_new <= 1:
            raise ValueError(f"healthy_new is {self.healthy_new}, expected 0 to 1")
        if self.crop.side % self.detector.backbone.stride:
            raise ValueError(f"crop.side is {self.crop.side}, expected a multiple of {self.detector.backbone.stride}")

    @property
    def needs_parent(self) -> bool:
        """Whether a parent's checkpoint has to be given."""
        return self.from_parent or self.omnia > 0 or self.distil is not None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's metadata and a package's lineage."""
        return dataclasses.asdict(self)
