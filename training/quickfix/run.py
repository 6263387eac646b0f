"""From clicks to a mended checkpoint: find the pattern, learn, check, write. What they decide stands elsewhere."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lineside.pixels import letterboxed
from training.checkpoint import FILE_NAME, Checkpoint, Lineage, Metadata, save
from training.data.augment import AugmentConfig
from training.data.batches import Sampler
from training.data.crops import CropConfig
from training.data.held_out import hold_out
from training.data.prepared import Annotated, Prepared, annotate_all, letterbox_for
from training.data.sample import Dataset
from training.evaluate.matching import match
from training.evaluate.predictor import Predictor
from training.models.detector import Detector
from training.quickfix.clicks import Clicks, Floats, Judged, Rejection, gather, looked_at, pooled
from training.quickfix.guard import Check, Counts, Limits, count, kept_back
from training.quickfix.learn import FixConfig, mend
from training.quickfix.lessons import pattern_frames, quiet_frames
from training.quickfix.pattern import NoPatternError, Pattern, PatternConfig, find_pattern

RECIPE = "quickfix"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QuickFixConfig:
    """Everything that decides what a quick fix does, but the clicks and the parent."""

    seconds: float = 120.0
    """Wall time for all of it; steps are left out to keep it."""
    recent: int = 40
    """Rejections looked at: the newest. Few, because what begins suddenly is new; among many rejections another false
    alarm that was always there may be the larger group."""
    frames: int = 400
    """Judged frames looked at: those with the newest words."""
    pictures: int = 600
    """Original pictures looked at, evenly spread over all."""
    held_out: float = 1 / 3
    """Share of them, by parts, that only checks the fix."""
    class_name: str | None = None
    """Only rejections of this class; None: of any."""
    seed: int = 0
    fix: FixConfig = dataclasses.field(default_factory=FixConfig)
    pattern: PatternConfig = dataclasses.field(default_factory=PatternConfig)
    limits: Limits = dataclasses.field(default_factory=Limits)
    augment: AugmentConfig = dataclasses.field(
        default_factory=lambda: AugmentConfig(
            turn="mirror", contrast=0.5, brightness=0.2, gradient=0.4, noise=0.15, blur=0.5
        )
    )
    """Wider than in training: it is the parent's own answers that are to be kept, whatever the light."""

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"seconds is {self.seconds}, expected above 0")
        for name in ("recent", "frames", "pictures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """The pattern: its examples, newest last, by whether they teach or check."""

    pattern: Pattern
    classes: dict[str, int]
    """How many were taken for which class."""
    rejections: int
    """All that were looked at."""
    taught: tuple[Rejection, ...]
    checked: tuple[Rejection, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What came of it. child: in evaluation mode. failures: why it must not be deployed; none: it may."""

    child: Detector
    found: Found
    clicks: Clicks
    check: Check
    failures: tuple[str, ...]
    steps: int
    seconds: float
    """Wall time, from the first look at the clicks to the last check."""


Tell = Callable[[str, int, int], None]
"""What is done, pieces done, pieces in all."""


def quick_fix(
    parent: Checkpoint,
    judged: Iterable[Judged],
    original: Dataset,
    config: QuickFixConfig,
    *,
    skipped: Counter[str] | None = None,
    tell: Tell | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Mends a model in memory; nothing is written.

    Args:
        parent: the model that raises the false alarm.
        judged: what operators said, in the order frames were kept.
        original: the original domain's pictures with all their defects.
        config: how.
        skipped: what was left out when `judged` was read; may grow while it is read.
        tell: hears of progress.
        clock: seconds of a clock that never goes back.

    Raises:
        NoPatternError: there is nothing to learn from, or it cannot be told from defects.
        ValueError: the data's classes are not the model's.
    """
    tell = tell or _silent
    started = clock()
    detector, thresholds = parent.detector, parent.metadata.thresholds
    if original.classes != detector.config.classes:
        raise ValueError(f"the data's classes are {original.classes}, the model's {detector.config.classes}")
    clicks = gather(judged, detector, skipped=skipped)
    rest, watched = hold_out(_thinned(original, config.pictures), config.held_out)
    predictor = Predictor(detector, thresholds)
    found = find(clicks, rest, predictor, config, tell)
    checking = clock()
    before = _count(predictor, watched, clicks, found, tell, "checking the model as it is")
    checking = clock() - checking
    sampler = _sampler(clicks, found, annotate_all(rest, detector.config), detector, config)
    left = config.seconds - (clock() - started) - 1.5 * checking
    child, steps = mend(
        detector,
        sampler.batch,
        config.fix,
        seconds=max(left, 0.0),
        on_step=lambda step, total, losses: tell(
            f"learning, pattern {losses.forget:.3f}, rest {losses.keep:.4f}", step, total
        ),
        clock=clock,
    )
    after = _count(Predictor(child, thresholds), watched, clicks, found, tell, "checking the mended model")
    check = Check(before=before, after=after)
    return Outcome(
        child=child,
        found=found,
        clicks=clicks,
        check=check,
        failures=check.failures(config.limits),
        steps=steps,
        seconds=clock() - started,
    )


def find(clicks: Clicks, original: Dataset, predictor: Predictor, config: QuickFixConfig, tell: Tell) -> Found:
    """The pattern among the newest rejections that the model still raises.

    Args:
        clicks: all of them.
        original: pictures whose defects must not look like it.
        predictor: the model.
        config: how many, and when there is a pattern.
        tell: hears of progress.

    Raises:
        NoPatternError: there is none, or it looks like a defect.
    """
    wanted = [item for item in clicks.rejections if config.class_name in (None, item.class_name)]
    recent = wanted[-config.recent :]
    firing = [item for item in recent if item.score >= float(predictor.thresholds.min())]
    if len(firing) < len(recent) and len(firing) < config.pattern.least:
        raise NoPatternError(
            f"of {len(recent)} rejections this model raises only {len(firing)} itself; name the checkpoint of the model"
            " that serves, or reject more"
        )
    features, classes = _right(clicks, original, predictor, tell)
    names = sorted({item.class_name for item in firing})
    related = np.isin(classes, [predictor.config.classes.index(name) for name in names if name in original.classes])
    rejected = np.array([item.feature for item in firing], np.float32).reshape(len(firing), -1)
    pattern = find_pattern(rejected, features, related, config.pattern, names=names)
    members = [firing[place] for place in pattern.members]
    try:
        taught, checked = kept_back(members, clicks.frames)
    except ValueError as error:
        raise NoPatternError(str(error)) from None
    return Found(
        pattern=pattern,
        classes=dict(Counter(item.class_name for item in members)),
        rejections=len(recent),
        taught=tuple(members[place] for place in taught),
        checked=tuple(members[place] for place in checked),
    )


def write(
    outcome: Outcome,
    parent: Checkpoint,
    original: Dataset,
    config: QuickFixConfig,
    out: Path,
    *,
    parent_digest: str = "",
    parent_file: Path | None = None,
) -> Path:
    """Writes OUT/checkpoint.safetensors with the clicks it learned from.

    Args:
        outcome: to be written.
        parent: whose network, thresholds and classes it keeps.
        original: for the lineage.
        config: as it was carried out.
        out: folder, made if need be.
        parent_digest: package digest of the parent, where it was served.
        parent_file: the parent's checkpoint; its SHA-256 is written down.
    """
    found = outcome.found
    taught = sorted({event for item in found.taught for event in item.events})
    checked = sorted({event for item in found.checked for event in item.events})
    training: dict[str, Any] = {
        "recipe": RECIPE,
        "config": dataclasses.asdict(config),
        "clicks": taught,
        "clicks_kept_back": checked,
        "pattern": {"examples": len(found.pattern.members), "classes": found.classes, "of": found.rejections},
    }
    if parent_file is not None:
        training["parent_checkpoint"] = "sha256:" + hashlib.sha256(parent_file.read_bytes()).hexdigest()
    lessons = hashlib.sha256(repr(parent.metadata.config.classes).encode())
    for item in found.taught:
        lessons.update(outcome.clicks.frames[item.frame].image_sha256.encode() + item.areas.tobytes())
    metadata = Metadata(
        config=parent.metadata.config,
        recipe=RECIPE,
        training=training,
        lineage=Lineage(
            parent_digest=parent_digest,
            data_digest=original.digest(),
            mentoring_digest="sha256:" + lessons.hexdigest(),
            feedback_events=len(taught),
            last_log_sequence=max(taught),
            seed=config.seed,
        ),
        thresholds=parent.metadata.thresholds,
        figures={
            "run": {"steps": outcome.steps, "seconds": round(outcome.seconds, 2), "precision": "float32"},
            RECIPE: {**dataclasses.asdict(outcome.check), "failures": list(outcome.failures)},
        },
    )
    return save(out / FILE_NAME, outcome.child, metadata)


def _right(clicks: Clicks, original: Dataset, predictor: Predictor, tell: Tell) -> tuple[Floats, np.ndarray[Any, Any]]:
    """Features (m, F) and classes (m,) of detections that are right: on original pictures, and confirmed ones."""
    detector, config = predictor.detector, predictor.config
    features: list[Floats] = []
    classes: list[int] = []
    looked = [(sample.picture.read(), sample.boxes, sample.classes) for sample in original.defective]
    looked += [(frame.pixels, frame.boxes, frame.classes) for frame in clicks.frames if len(frame.boxes)]
    for number, (pixels, boxes, kinds) in enumerate(looked, 1):
        found = predictor.deployed(pixels)
        right = np.flatnonzero(match(found, boxes, kinds).right)
        if len(right):
            geometry = letterbox_for(config, pixels)
            picture = letterboxed(pixels, geometry, channels=config.channels, padding=config.padding)
            maps, scores = looked_at(detector, picture)
            features += [pooled(maps, scores, found.areas[place], config.areas_per_cell) for place in right]
            classes += found.classes[right].tolist()
        tell("looking at defects", number, len(looked))
    width = len(features[0]) if features else len(clicks.rejections[0].feature) if clicks.rejections else 1
    return np.array(features, np.float32).reshape(-1, width), np.array(classes, np.int32)


def _sampler(
    clicks: Clicks, found: Found, original: Sequence[Annotated], detector: Detector, config: QuickFixConfig
) -> Sampler:
    """Half of a batch shows the pattern; the other half original pictures and judged frames without it. Frames that
    show kept-back examples are in neither."""
    seen = {item.frame for item in (*found.taught, *found.checked)}
    others = [frame for place, frame in enumerate(clicks.frames) if place not in seen]
    quiet: list[Prepared] = [*original, *quiet_frames(others, detector.config)]
    return Sampler(
        detector.config,
        quiet,
        pattern_frames(clicks.frames, found.taught, detector.config),
        size=config.fix.batch,
        seed=config.seed,
        crop=CropConfig(side=config.fix.side),
        augment=config.augment,
    )


def _count(predictor: Predictor, watched: Dataset, clicks: Clicks, found: Found, tell: Tell, what: str) -> Counts:
    total = len(watched) + sum(bool(len(frame.boxes)) for frame in clicks.frames)
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        tell(what, min(done, total), total)

    return count(predictor.deployed, watched, clicks.frames, found.checked, on_picture=one_more)


def _thinned(dataset: Dataset, most: int) -> Dataset:
    if len(dataset) <= most:
        return dataset
    chosen = np.linspace(0, len(dataset) - 1, most).round().astype(int)
    return dataclasses.replace(dataset, samples=tuple(dataset[int(place)] for place in chosen))


def _silent(text: str, done: int, total: int) -> None:
    """Shows nothing."""
