"""All lessons of one or several logs for one network, and the account of everything in them."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from lineside.log.sequences import in_words
from lineside.pixels import Pixels
from lineside.reasons import ContractError
from lineside.records import RecordedFrame
from training.data.account import USED, Account, Fate, Kind, Ledger, disputed, skipped
from training.data.heard import Heard, Weighing, fates_of_answers, hear
from training.data.leaks import Seen, picture_digest
from training.data.lesson import balanced, lesson_of
from training.data.merging import Told
from training.data.prepared import Mentored
from training.data.without import Without
from training.models.config import DetectorConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MentoringData:
    """The taught frames of one or several logs for one network, and an account of everything in them."""

    frames: tuple[Mentored, ...]
    """In the order they were kept; frames that teach nothing are left out."""
    frame_ids: tuple[str, ...]
    """Of `frames`."""
    judged: int
    """Frames somebody has said something about."""
    feedback_events: int
    """Answers that are taught."""
    last_log_sequence: int
    """Highest among those about taught frames, of all stations; 0: none."""
    skipped: tuple[str, ...]
    """Frames and judgements that teach nothing: how many, and why."""
    digest: str
    """"sha256:..." over pictures, areas and label states: equal for equal lessons."""
    stations: tuple[str, ...] = ()
    """Of `frames`: which station kept each."""
    account: Account = dataclasses.field(default_factory=Account)
    """What became of everything that was read."""
    seen: Seen = dataclasses.field(default_factory=Seen)
    """Pictures and parts that are taught."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of a log is to be taught."""

    whole_frames: bool = True
    """Whether "frame healthy" and "frame complete" teach background."""
    after: int = 0
    """Only frames with feedback of a log sequence above this."""
    until: int | None = None
    """Only frames with feedback of a log sequence up to this."""
    without: tuple[Without, ...] = ()
    """Answers to be left out."""
    two_persons: bool = False
    """Denials that would silence a class need a second operator (`training.data.two_persons`)."""
    reliability: bool = False
    """Answers count by how reliable their operator is."""
    held_out: Callable[[RecordedFrame, Pixels], str | None] | None = None
    """Says why a frame must not be taught (evaluation is to stay unseen), or None."""


class Lessons:
    """Takes frames one after another; gives the whole at the end.

    Args:
        config: the network to be taught.
        wanted: what of the logs.
        ledger: gets every fate.
        weighing: where operators' reliability counts.
    """

    def __init__(
        self, config: DetectorConfig, wanted: Wanted, ledger: Ledger, weighing: Weighing | None = None
    ) -> None:
        self._config = config
        self._wanted = wanted
        self._ledger = ledger
        self._weighing = weighing
        self._lessons: list[tuple[RecordedFrame, Mentored]] = []
        self._judged = self._judgements = 0
        self._said: collections.defaultdict[str, set[int]] = collections.defaultdict(set)
        self._taught: collections.defaultdict[str, set[int]] = collections.defaultdict(set)
        self._pictures: set[str] = set()

    def add(self, told: Told) -> None:
        """Takes one frame, and books what becomes of it and of everything said about it."""
        heard = hear(told, self._weighing)
        self._judged += 1
        self._judgements += len(heard)
        fate = self._teach(told, heard)
        if told.frame is not None:
            self._ledger.book("frames", fate, told.frame_id)
        for item in heard:
            self._ledger.book("judgements", item.fate, item.judgement.detection_id or told.frame_id)
        for event, own in zip(told.events, fates_of_answers(told, heard), strict=True):
            self._ledger.book("answers", own, event.key, operator=event.operator)
            if own is USED and told.frame is not None:
                self._taught[told.frame.station].add(event.log_sequence)
        if fate is USED and told.frame is not None:
            self._said[told.frame.station].update(number for item in heard for number in item.judgement.events)

    def result(self, *, frames: int, answers: int, notes: Sequence[str] = ()) -> MentoringData:
        """All lessons.

        Args:
            frames, answers: how many records were read in all, counted apart.
            notes: what else there is to say of the logs.

        Raises:
            ValueError: the account does not add up to what was read: a fault of ours.
        """
        items = balanced([item for _, item in self._lessons])
        head = self._config.head_for(self._config.width, self._config.height)
        digest = hashlib.sha256(repr((self._config.classes, head.key)).encode())
        for (frame, _), item in zip(self._lessons, items, strict=True):
            digest.update(f"\n{frame.frame_id} {frame.image_sha256}".encode())
            digest.update(
                item.states.tobytes() + item.spoken.tobytes() + item.taught.tobytes() + item.targets.tobytes()
            )
            if item.weights is not None:
                digest.update(item.weights.tobytes())
        stations = tuple(frame.station for frame, _ in self._lessons)
        account = Account(
            frames=self._ledger.count("frames", read=frames),
            judgements=self._ledger.count("judgements", read=self._judgements),
            answers=self._ledger.count("answers", read=answers),
            stations={
                name: {
                    "frames": stations.count(name),
                    "answers": len(said),
                    "first_log_sequence": min(said),
                    "last_log_sequence": max(said),
                }
                for name, said in sorted(self._said.items())
            },
            taught={name: in_words(numbers) for name, numbers in sorted(self._taught.items())},
            operators=self._ledger.operators(self._weighing.told() if self._weighing is not None else {}),
            notes=tuple(notes),
            examples=self._ledger.examples,
        )
        return MentoringData(
            frames=tuple(items),
            frame_ids=tuple(frame.frame_id for frame, _ in self._lessons),
            stations=stations,
            judged=self._judged,
            feedback_events=account.answers.used,
            last_log_sequence=max((max(said) for said in self._said.values()), default=0),
            skipped=account.lines(),
            digest="sha256:" + digest.hexdigest(),
            account=account,
            seen=Seen(
                pictures=frozenset(self._pictures),
                parts=frozenset(frame.part_id for frame, _ in self._lessons if frame.part_id),
            ),
        )

    def _teach(self, told: Told, heard: Sequence[Heard]) -> Fate:
        """The frame's fate; its lesson is kept, and each judgement's fate is set."""
        trouble = told.trouble or self._outside(heard)
        if trouble is None and not heard:
            trouble = skipped("nothing that was said about it stands")
        pixels: Pixels | None = None
        if trouble is None:
            pixels, trouble = self._picture(told)
        if trouble is not None or pixels is None or told.frame is None:
            assert trouble is not None
            for item in heard:
                item.fate = trouble
            return trouble
        lesson = lesson_of(
            told,
            told.frame,
            heard,
            pixels,
            self._config,
            whole_frames=self._wanted.whole_frames,
            weighed=self._weighing is not None,
        )
        if lesson is not None:
            self._lessons.append((told.frame, lesson))
            self._pictures.add(picture_digest(pixels))
            return USED
        if all(item.fate.kind is Kind.DISPUTED for item in heard):
            return disputed("all that was said about it is disputed")
        return skipped("the frame teaches nothing")

    def _outside(self, heard: Sequence[Heard]) -> Fate | None:
        said = [number for item in heard for number in item.judgement.events]
        until = self._wanted.until
        if said and (max(said) <= self._wanted.after or (until is not None and min(said) > until)):
            return skipped("outside the log sequences that were asked for")
        return None

    def _picture(self, told: Told) -> tuple[Pixels | None, Fate | None]:
        assert told.frame is not None
        assert told.picture is not None
        try:
            pixels = told.picture()
        except ContractError as error:
            what = "is not the one that was kept" if "SHA-256" in error.message else "cannot be read"
            return None, skipped(f"{error.reason.value}: a frame's picture {what}")
        if pixels.shape[:2] != (told.frame.height, told.frame.width):
            return None, skipped("the picture is of another size than the log says")
        why = None if self._wanted.held_out is None else self._wanted.held_out(told.frame, pixels)
        return (pixels, None) if why is None else (None, skipped(why))
