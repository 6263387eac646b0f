"""What a shadow shows: two models' answers for the same frames, counted and held against the station's limits. Pure."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from edge.inspection import Detection, Verdict
from edge.models.settings import ShadowSettings
from lineside.boxes import as_boxes, iou
from lineside.replay.matching import LEAST_OVERLAP
from lineside.v1 import swap_pb2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """Detections of one class on the frames that both answered."""

    both: int = 0
    only_serving: int = 0
    only_candidate: int = 0

    def __add__(self, other: ClassCount) -> ClassCount:
        return ClassCount(
            both=self.both + other.both,
            only_serving=self.only_serving + other.only_serving,
            only_candidate=self.only_candidate + other.only_candidate,
        )

    @property
    def lost(self) -> float:
        """Share of the serving model's detections the candidate did not raise; 0 without any."""
        return self.only_serving / max(1, self.only_serving + self.both)

    @property
    def new(self) -> float:
        """Share of the candidate's detections the serving model did not raise; 0 without any."""
        return self.only_candidate / max(1, self.only_candidate + self.both)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Counts over frames: `frames` answered by both, `dropped` and `failed` beside them."""

    frames: int = 0
    dropped: int = 0
    failed: int = 0
    last_failure: str = ""
    pass_to_reject: int = 0
    reject_to_pass: int = 0
    classes: Mapping[str, ClassCount] = dataclasses.field(default_factory=lambda: MappingProxyType({}))

    def with_frame(
        self,
        serving: Sequence[Detection],
        serving_verdict: Verdict,
        candidate: Sequence[Detection],
        candidate_verdict: Verdict,
    ) -> Disagreement:
        """One more frame that both models answered."""
        classes = dict(self.classes)
        for name in {item.class_name for item in (*serving, *candidate)}:
            count = count_of(
                [item for item in serving if item.class_name == name],
                [item for item in candidate if item.class_name == name],
            )
            classes[name] = classes.get(name, ClassCount()) + count
        flip = (serving_verdict, candidate_verdict)
        return dataclasses.replace(
            self,
            frames=self.frames + 1,
            pass_to_reject=self.pass_to_reject + (flip == (Verdict.PASS, Verdict.REJECT)),
            reject_to_pass=self.reject_to_pass + (flip == (Verdict.REJECT, Verdict.PASS)),
            classes=MappingProxyType(classes),
        )

    def with_failure(self, why: str) -> Disagreement:
        """One more frame that the candidate could not answer."""
        return dataclasses.replace(self, failed=self.failed + 1, last_failure=why)

    def with_drop(self) -> Disagreement:
        """One more frame that the candidate was too busy for."""
        return dataclasses.replace(self, dropped=self.dropped + 1)


class Standing(enum.Enum):
    """Where a shadow stands."""

    WAITING = "not enough frames yet"
    PASSED = "within the station's limits"
    FAILED = "beyond them"


def count_of(serving: Sequence[Detection], candidate: Sequence[Detection]) -> ClassCount:
    """Detections of one class on one frame: which of them the other model raised too, at the same place."""
    table = iou(as_boxes([item.box for item in serving]), as_boxes([item.box for item in candidate]))
    near = np.asarray(table >= LEAST_OVERLAP)
    both = int(near.any(axis=1).sum())
    return ClassCount(
        both=both,
        only_serving=len(serving) - both,
        only_candidate=len(candidate) - int(near.any(axis=0).sum()),
    )


def standing_of(seen: Disagreement, limits: ShadowSettings) -> tuple[Standing, tuple[str, ...]]:
    """Where a candidate stands, and what speaks against it, in words.

    Failures count from the first frame on; shares are judged when there are as many frames as the station asks for, and
    not at all where it asks for none: then the shadow is somebody's own wish to look.
    """
    if seen.failed > limits.most_failures:
        return Standing.FAILED, (
            f"it failed on {seen.failed} live frames, {limits.most_failures} allowed: {seen.last_failure}",
        )
    if seen.frames < limits.frames:
        return Standing.WAITING, (f"it has answered {seen.frames} of {limits.frames} live frames",)
    if not limits.frames:
        return Standing.PASSED, ()
    found = [
        f"{count} of {seen.frames} frames ({count / seen.frames:.1%}) go from {change}, {limit:.1%} allowed"
        for count, limit, change in (
            (seen.reject_to_pass, limits.most_reject_to_pass, "REJECT to PASS"),
            (seen.pass_to_reject, limits.most_pass_to_reject, "PASS to REJECT"),
        )
        if count / seen.frames > limit
    ]
    for name, count in sorted(seen.classes.items()):
        if count.lost > limits.most_lost:
            found.append(f"{count.lost:.1%} of the {name} detections are lost, {limits.most_lost:.1%} allowed")
        if count.new > limits.most_new:
            found.append(f"{count.new:.1%} of its {name} detections are new, {limits.most_new:.1%} allowed")
    return (Standing.FAILED if found else Standing.PASSED), tuple(found)


def report_of(seen: Disagreement, limits: ShadowSettings) -> swap_pb2.ShadowReport:
    """The same for the wire."""
    return swap_pb2.ShadowReport(
        frames=seen.frames,
        wanted=limits.frames,
        dropped=seen.dropped,
        failed=seen.failed,
        pass_to_reject=seen.pass_to_reject,
        reject_to_pass=seen.reject_to_pass,
        classes=[
            swap_pb2.ClassDisagreement(
                class_name=name,
                both=count.both,
                only_serving=count.only_serving,
                only_candidate=count.only_candidate,
            )
            for name, count in sorted(seen.classes.items())
        ],
        objections=standing_of(seen, limits)[1],
    )
