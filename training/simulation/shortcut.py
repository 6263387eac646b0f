"""Mentoring without a station: the records a station's log would hold, made in memory. Pure but for the model asked.

A station raises detections on a frame, keeps it, an operator answers, the log folds the answers. Here the same
functions are called one after another: the model's detections, `judge`, `lineside.fold`, `MentoringRecord`. What is
left out is transport and disk. That both give the same records is shown by a test that runs a real station beside it
(tests/story/test_shortcut.py).
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lineside.areas import Head
from lineside.boxes import as_boxes, iou
from lineside.decode import Found
from lineside.fold import fold
from lineside.ids import detection_id
from lineside.pixels import Pixels
from lineside.records import FeedbackEvent, Gesture, MentoringRecord, RecordedDetection, RecordedFrame
from lineside.v1 import inspection_pb2, mentoring_pb2
from training.config import FeedbackPlan
from training.data.account import UNJUDGED, Ledger, skipped
from training.data.heard import leave_out
from training.data.lessons import Lessons, MentoringData, Wanted
from training.data.merging import Told
from training.data.sample import Dataset, Sample
from training.data.without import Without
from training.evaluate.predictor import Answer, at_thresholds, only
from training.models.config import DetectorConfig
from training.reliability.weighing import weigh
from training.simulation.judging import Character, Habit, Said, annotation_seconds, judge
from training.simulation.truth import of_dataset, usual_sides

Ask = Callable[[Pixels], Answer]
"""A frame to what a model finds in it, boxes in frame pixels."""

ALREADY_ANSWERED = 0.5
"""Overlap from which a later model's detection of the same class is one that was answered before."""

HABITS = {"none": Habit.ANSWERS, "healthy": Habit.FLAGS_HEALTHY, "complete": Habit.COMPLETES}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one round cost."""

    frames: int
    """Frames about which something was said."""
    clicks: Mapping[str, int]
    """Answers by gesture's name."""
    seconds: float
    """Of the operator's time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One operator of several."""

    name: str
    character: Character


def character_for(plan: FeedbackPlan, character: Character) -> Character:
    """The operator as a recipe asks him to work."""
    return dataclasses.replace(
        character, habit=HABITS[plan.frames], binary=character.binary or plan.gestures == "binary"
    )


class Shortcut:
    """Mentors over a set of pictures, round by round; what was said stays.

    Args:
        mentoring: the new domain's pictures with their truth, which only the simulated operator sees.
        character: of the operator; the plan decides what is asked of him.
        plan: of the recipe.
        seed: of errors, hesitation and the order in which a limited time is spent.
        operator: his name.
        crew: several operators in place of the one: each picture is shown to one of them, drawn at random.
        repeats: share of the pictures that are shown to all of the crew, none knowing of the others' answers.
    """

    def __init__(
        self,
        mentoring: Dataset,
        character: Character,
        plan: FeedbackPlan,
        *,
        seed: int,
        operator: str = "simulated",
        crew: Sequence[Member] = (),
        repeats: float = 0.0,
    ) -> None:
        names = [member.name for member in crew]
        if len(set(names)) != len(names):
            raise ValueError(f"crew is {', '.join(names)}; expected different names")
        if not 0 <= repeats <= 1:
            raise ValueError(f"repeats is {repeats}, expected 0 to 1")
        self._mentoring = mentoring
        members = crew or (Member(name=operator, character=character),)
        self._crew = tuple(
            dataclasses.replace(member, character=character_for(plan, member.character)) for member in members
        )
        self._worked = dict.fromkeys((member.name for member in members), 0.0)
        self._repeats = repeats
        self._pace = character.pace
        self._plan = plan
        self._seed = seed
        self._truth = of_dataset(mentoring)
        self._sides = usual_sides(list(self._truth.values()))
        self._known: dict[str, _Known] = {}
        self._sequence = 0
        self._rounds = 0
        self.seconds = 0.0
        """Of the operator's time until now."""

    @property
    def full_seconds(self) -> float:
        """What annotating all of the pictures by hand takes the same person."""
        return annotation_seconds(self._truth.values(), self._pace)

    def round(self, ask: Ask, on_picture: Callable[[int, int], None] | None = None) -> Spent:
        """Shows a model's detections on all pictures; the operator answers what he has not answered yet.

        Args:
            ask: the model.
            on_picture: called with pictures done and pictures in all.
        """
        self._rounds += 1
        clicks: collections.Counter[str] = collections.Counter()
        before, frames = self.seconds, 0
        limit = self._plan.budget_share
        order: Sequence[int] = range(len(self._mentoring))
        if limit is not None:
            # Limited time is spent on a random part of the pictures: whatever order they came in.
            order = np.random.default_rng([self._seed, 3]).permutation(len(self._mentoring)).tolist()
        for done, place in enumerate(order, 1):
            if limit is not None and self.seconds >= limit * self.full_seconds:
                break
            said = self._look_at(self._mentoring[place], ask)
            frames += bool(said)
            clicks.update(answer.gesture.name for answer in said)
            self.seconds += sum(answer.seconds for answer in said)
            if on_picture is not None:
                on_picture(done, len(order))
        return Spent(frames=frames, clicks=dict(clicks), seconds=self.seconds - before)

    def records(self) -> tuple[MentoringRecord, ...]:
        """What the log would hold, in the order of the pictures."""
        return tuple(self._known[sample.name].record() for sample in self._mentoring if sample.name in self._known)

    def lessons(
        self, config: DetectorConfig, *, whole_frames: bool, reliability: bool = False, without: Sequence[Without] = ()
    ) -> MentoringData:
        """The records as lessons for a network.

        Args:
            config: of the network; its head is the one that raised the detections.
            whole_frames: whether "frame healthy" and "frame complete" teach background.
            reliability: answers count by how reliable their operator is.
            without: answers to be left out.
        """
        head: Head = config.head_for(config.width, config.height)
        ledger = Ledger()
        known = [self._known[sample.name] for sample in self._mentoring if sample.name in self._known]
        told = leave_out([item.told(head) for item in known if item.answered], without, ledger)
        wanted = Wanted(whole_frames=whole_frames, reliability=reliability)
        lessons = Lessons(config, wanted, ledger, weigh(told) if reliability else None)
        for item in told:
            lessons.add(item)
        ledger.book("frames", skipped(UNJUDGED), "", times=len(known) - len(told))
        return lessons.result(frames=len(known), answers=self._sequence)

    def _look_at(self, sample: Sample, ask: Ask) -> tuple[Said, ...]:
        known = self._known.get(sample.name)
        if known is not None and known.settled:
            return ()
        pixels = sample.picture.read()
        found = self._shown(ask(pixels))
        if known is not None:
            found = known.without_answered(found, self._mentoring.classes)
        if not len(found) and (known is not None or not self._audited(sample)):
            return ()
        if known is None:
            known = self._known[sample.name] = _Known(sample=sample, pixels=pixels)
        shown = known.show(found, self._mentoring.classes)
        said: list[Said] = []
        for member, generator in self._asked(sample):
            answers = judge(
                shown,
                self._truth[sample.name],
                member.character,
                generator,
                usual_sides=self._sides,
                worked_seconds=self._worked[member.name],
            )
            for answer in answers:
                self._sequence += 1
                self._worked[member.name] += answer.seconds
                known.say(answer, self._sequence, member.name)
            said += answers
        return tuple(said)

    def _asked(self, sample: Sample) -> list[tuple[Member, np.random.Generator]]:
        """Who is shown a picture, each with his own chance."""
        number = zlib.crc32(sample.name.encode())
        if len(self._crew) == 1:
            return [(self._crew[0], np.random.default_rng([self._seed, number]))]
        draw = np.random.default_rng([self._seed, 7, number])
        shared = bool(draw.random() < self._repeats)
        one = int(draw.integers(len(self._crew)))
        return [
            (member, np.random.default_rng([self._seed, number, place]))
            for place, member in enumerate(self._crew)
            if shared or place == one
        ]

    def _shown(self, answer: Answer) -> Found:
        low, high = self._plan.show_from, self._plan.show_to
        if self._rounds > 1 and self._plan.show_again_from is not None:
            low = self._plan.show_again_from
        found = answer.deployed
        if low is not None:
            found = at_thresholds(answer.found, np.full(len(self._mentoring.classes), low, np.float32))
        if high is not None:
            found = only(found, np.flatnonzero(found.scores < high))
        return found

    def _audited(self, sample: Sample) -> bool:
        draw = np.random.default_rng([self._seed, 5, zlib.crc32(sample.name.encode())]).random()
        return bool(draw < self._plan.audit)


class _Known:
    """One picture, what was raised on it, and what was said."""

    def __init__(self, *, sample: Sample, pixels: Pixels) -> None:
        self.pixels = pixels
        self._name = sample.name
        self._frame_id = f"frame-{sample.name}"
        self._height, self._width = pixels.shape[:2]
        self._sha256 = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
        self._detections: list[RecordedDetection] = []
        self._events: list[FeedbackEvent] = []

    @property
    def settled(self) -> bool:
        """Whether somebody has spoken about the whole of it."""
        return any(item.gesture in (Gesture.FRAME_HEALTHY, Gesture.FRAME_COMPLETE) for item in self._events)

    def without_answered(self, found: Found, classes: Sequence[str]) -> Found:
        """The detections about which nobody has said anything."""
        keep = [
            place
            for place, (box, kind) in enumerate(zip(found.boxes, found.classes, strict=True))
            if not any(
                item.class_name == classes[int(kind)]
                and iou(as_boxes([item.box]), as_boxes([box]))[0, 0] >= ALREADY_ANSWERED
                for item in self._detections
            )
        ]
        return only(found, np.array(keep, np.intp))

    def show(self, found: Found, classes: Sequence[str]) -> inspection_pb2.InspectionResult:
        """Takes detections down and says them as a station does."""
        first = len(self._detections)
        for number, (box, score, kind, areas) in enumerate(
            zip(found.boxes, found.scores, found.classes, found.areas, strict=True), first
        ):
            x1, y1, x2, y2 = (float(value) for value in box)
            self._detections.append(
                RecordedDetection(
                    detection_id=detection_id(self._frame_id, number),
                    class_index=int(kind),
                    class_name=classes[int(kind)],
                    score=float(score),
                    box=(x1, y1, x2, y2),
                    areas=np.sort(np.asarray(areas, np.int32)),
                )
            )
        return inspection_pb2.InspectionResult(
            frame_id=self._frame_id,
            part_id=self._name,
            width=self._width,
            height=self._height,
            mentored=True,
            detections=[_message(item) for item in self._detections[first:]],
        )

    def say(self, answer: Said, sequence: int, operator: str) -> None:
        """Takes an answer down."""
        self._events.append(
            FeedbackEvent(
                log_sequence=sequence,
                key=f"{operator}-{sequence}",
                frame_id=self._frame_id,
                detection_id=answer.detection_id,
                gesture=answer.gesture,
                class_name=answer.class_name,
                box=answer.box,
                missed_index=answer.missed_index,
                revision=sequence,
                operator=operator,
                seconds=answer.seconds,
                client_unix_ns=sequence,
                received_unix_ns=sequence,
            )
        )

    @property
    def answered(self) -> bool:
        """Whether anybody has said anything."""
        return bool(self._events)

    def told(self, head: Head) -> Told:
        """As the importer takes it out of a log."""
        record = self.record()
        return Told(
            frame_id=self._frame_id,
            frame=record.frame,
            detections=record.detections,
            events=tuple(self._events),
            recorded_head=head,
            picture=lambda: self.pixels,
        )

    def record(self) -> MentoringRecord:
        """As the log's reader would give it."""
        return MentoringRecord(
            frame=RecordedFrame(
                frame_id=self._frame_id,
                boot_id="simulated",
                station="simulated",
                camera="simulated",
                part_id=self._name,
                camera_sequence=0,
                width=self._width,
                height=self._height,
                captured_unix_ns=0,
                captured_monotonic_ns=0,
                image_sha256=self._sha256,
                image_suffix="",
                image_bytes=int(self.pixels.nbytes),
                model_digest="",
                verdict="REJECT" if self._detections else "PASS",
                verdict_reason="",
                selected_because="any_detection" if self._detections else "audit",
                selection_probability=1.0,
                recorded_unix_ns=0,
            ),
            detections=tuple(self._detections),
            judgements=fold(self._events),
        )


def _message(item: RecordedDetection) -> inspection_pb2.Detection:
    x1, y1, x2, y2 = item.box
    return inspection_pb2.Detection(
        detection_id=item.detection_id,
        class_index=item.class_index,
        class_name=item.class_name,
        score=item.score,
        box=mentoring_pb2.Box(x1=x1, y1=y1, x2=x2, y2=y2),
        areas=[int(area) for area in item.areas],
    )
