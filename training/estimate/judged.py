"""A mentoring record as answers: which detections are right, which defects were found or missed. Pure.

    said about a detection                        the answer
    confirm, poor box                             RIGHT; of a question below the threshold: a missed defect
    reject; nothing, on a frame called healthy
    or complete                                   WRONG
    wrong class, it is c                          NAMED: wrong, and a defect of class c under a wrong name
    wrong class, not said which                   NOT_THAT: wrong; whether it is a defect of another class is open
    unsure, disputed, contradicted                open: it may be right or wrong
    nothing, on a frame about which something
    else was said                                 UNANSWERED, open: who rejects false alarms only leaves the right ones
    nothing, on a frame nobody spoke about        UNTOUCHED: says nothing, taken to be like the answered ones

The table of gestures (lineside/gestures.py), read as questions about the model that raised the detections. A frame
called healthy that also has a defect contradicts itself: both words are open.
"""

from __future__ import annotations

import dataclasses
import enum

from lineside.boxes import as_boxes, iou
from lineside.records import BoxTuple, Gesture, Judgement, MentoringRecord, Outcome

SAME_PLACE = 0.33
"""Overlap from which two boxes of one class on a frame are one defect."""
BY_HAND = "operator"
"""`selected_because` of a frame that an operator kept by hand."""


class Answer(enum.Enum):
    """What was said about a detection."""

    RIGHT = "confirmed"
    WRONG = "rejected"
    NAMED = "of another class"
    NOT_THAT = "not of that class"
    UNSURE = "unsure"
    DISPUTED = "disputed"
    CONTRADICTED = "contradicted"
    UNANSWERED = "left unanswered beside answers"
    UNTOUCHED = "on frames nobody spoke about"


SETTLED = frozenset({Answer.RIGHT, Answer.WRONG, Answer.NAMED, Answer.NOT_THAT})
OPEN = frozenset({Answer.UNSURE, Answer.DISPUTED, Answer.CONTRADICTED, Answer.UNANSWERED})


class Search(enum.Enum):
    """Whether somebody looked over the whole frame."""

    SEARCHED = "searched"
    """Called healthy or complete."""
    OPEN = "searched, with contradiction"
    NOT = "not searched"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JudgedDetection:
    """A detection and its answer."""

    class_name: str
    score: float
    answer: Answer
    operators: int
    """People who agree, or contradict each other; 0 where nobody spoke about this one alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defects:
    """Different defects on one frame, by class."""

    found: tuple[str, ...] = ()
    """Raised under their class."""
    renamed: tuple[str, ...] = ()
    """Raised under another class."""
    missed: tuple[str, ...] = ()
    """Marked by an operator: not raised."""
    open_missed: tuple[str, ...] = ()
    """Marked on a frame about which operators contradict each other, or themselves."""

    @property
    def known(self) -> bool:
        """Whether there is one for certain."""
        return bool(self.found or self.renamed or self.missed)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JudgedFrame:
    """A frame that was kept.

    Raises:
        ValueError: the probability is not in (0, 1].
    """

    frame_id: str
    part: str
    """Station and part, or the frame where the part is not known: what is not independent inside."""
    rejected: bool
    """By the station's verdict."""
    probability: float
    """With which the station kept it."""
    touched: bool
    """Whether anybody said anything that still stands."""
    search: Search
    detections: tuple[JudgedDetection, ...]
    defects: Defects
    seconds: float = 0.0
    """Of the operators' time, for the answers that stand."""

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability of frame {self.frame_id} is {self.probability}, expected above 0, at most 1")

    @property
    def weight(self) -> float:
        """How many frames of the line it stands for: 1 / probability."""
        return 1 / self.probability

    def count(self, *answers: Answer, class_name: str | None = None) -> int:
        """Detections with one of these answers, of a class or of all."""
        return sum(
            item.answer in answers and (class_name is None or item.class_name == class_name) for item in self.detections
        )


def judged(record: MentoringRecord, *, serial: bool = True) -> JudgedFrame:
    """A record as answers.

    Args:
        record: the frame; its judgements may be fewer than the log holds.
        serial: part ids name single parts. False: they name kinds of part, and every frame is a part of its own.
    """
    by_detection = {item.detection_id: item for item in record.judgements if item.detection_id is not None}
    whole = [item for item in record.judgements if item.detection_id is None and item.gesture is not Gesture.MISSED]
    drawn = [item for item in record.judgements if item.gesture is Gesture.MISSED and item.outcome is Outcome.SAID]
    healthy = any(item.gesture is Gesture.FRAME_HEALTHY for item in whole)
    split = any(item.outcome is Outcome.DISPUTED for item in whole)
    affirmed = any(_affirms(item) for item in by_detection.values()) or bool(drawn)
    contradiction = healthy and affirmed
    search = Search.NOT if not whole else Search.OPEN if split or contradiction else Search.SEARCHED

    def answer_of(said: Judgement | None) -> Answer:
        if said is None:
            if not record.judgements:
                return Answer.UNTOUCHED
            if search is Search.OPEN:
                return Answer.CONTRADICTED
            return Answer.WRONG if search is Search.SEARCHED else Answer.UNANSWERED
        if said.outcome is Outcome.DISPUTED:
            return Answer.DISPUTED
        if contradiction and _affirms(said):
            return Answer.CONTRADICTED
        return _answer(said)

    detections = []
    places: dict[str, list[BoxTuple]] = {}
    found: list[str] = []
    named: list[tuple[str, BoxTuple]] = []
    overlooked: list[tuple[str, BoxTuple]] = []
    for item in record.detections:
        said = by_detection.get(item.detection_id)
        answer = answer_of(said)
        if not item.raised:
            # The model did not raise it: nothing about its precision, and a missed defect where it is one.
            if said is not None and answer in (Answer.RIGHT, Answer.NAMED):
                overlooked.append((said.class_name or item.class_name, item.box))
            continue
        detections.append(
            JudgedDetection(
                class_name=item.class_name,
                score=item.score,
                answer=answer,
                operators=len(said.operators) if said is not None else 0,
            )
        )
        if answer is Answer.RIGHT and _is_new(places, item.class_name, item.box):
            found.append(item.class_name)
        elif answer is Answer.NAMED and said is not None and said.class_name is not None:
            named.append((said.class_name, item.box))
    renamed = tuple(name for name, box in named if _is_new(places, name, box))
    missed = tuple(name for name, box in overlooked if _is_new(places, name, box)) + tuple(
        item.class_name or "" for item in drawn if item.box is None or _is_new(places, item.class_name or "", item.box)
    )
    frame = record.frame
    return JudgedFrame(
        frame_id=frame.frame_id,
        part=f"{frame.station}/{frame.part_id}" if serial and frame.part_id else f"frame {frame.frame_id}",
        rejected=frame.verdict == "REJECT",
        probability=frame.selection_probability,
        touched=bool(record.judgements),
        search=search,
        detections=tuple(detections),
        defects=Defects(
            found=tuple(found),
            renamed=renamed,
            missed=() if search is Search.OPEN else missed,
            open_missed=missed if search is Search.OPEN else (),
        ),
        seconds=sum(item.seconds for item in record.judgements),
    )


def _answer(said: Judgement) -> Answer:
    if said.gesture in (Gesture.CONFIRM, Gesture.POOR_BOX):
        return Answer.RIGHT
    if said.gesture is Gesture.WRONG_CLASS:
        return Answer.NOT_THAT if said.class_name is None else Answer.NAMED
    return Answer.UNSURE if said.gesture is Gesture.UNSURE else Answer.WRONG


def _affirms(said: Judgement) -> bool:
    return said.outcome is Outcome.SAID and _answer(said) in (Answer.RIGHT, Answer.NAMED)


def _is_new(places: dict[str, list[BoxTuple]], class_name: str, box: BoxTuple) -> bool:
    """Whether this box is a defect that was not counted yet; takes it down."""
    known = places.setdefault(class_name, [])
    if known and bool((iou(as_boxes([box]), as_boxes(known)) >= SAME_PLACE).any()):
        return False
    known.append(box)
    return True
