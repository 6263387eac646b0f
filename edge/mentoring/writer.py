"""What the log's thread does with a group of entries: pictures, rows, one commit, then the acknowledgements.

The order is the promise (kill or power cut at any line loses nothing acknowledged): picture to a temporary name,
fsync, rename, fsync the folder, row, commit, acknowledge. No thread is started here; one thread calls.
"""

from __future__ import annotations

import enum
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from edge.mentoring.database import Accepted, LogDatabase
from edge.mentoring.entries import Entry, FeedbackEntry, FlushEntry, FrameEntry, ModelEntry
from edge.mentoring.faults import SQLITE_FULL, is_storage, sqlite_code
from edge.mentoring.feedback import FeedbackDraft
from edge.mentoring.images import PREFIXES, ImageStore, Picture, sync_folder
from edge.mentoring.retention import Limits
from edge.mentoring.settings import MentoringSettings
from edge.mentoring.space import Space
from lineside.reasons import ContractError, Reason
from lineside.records import FeedbackEvent

logger = logging.getLogger(__name__)

OnFeedback = Callable[[FeedbackEvent, int], None]
_DISK_FULL = "the disk is full, and there is nothing left that may be deleted"


class StorageState(enum.Enum):
    """Whether the log can write."""

    OK = "ok"
    FULL = "full"
    """No frames are kept; feedback is taken as long as it fits."""
    FAULT = "fault"
    """The disk does not obey: nothing is taken until the log could be opened anew."""


class Writer:
    """The log's folder, opened for writing.

    Args:
        root: the log's folder; made if it is not there.
        settings: of the log.
        boot_id: of this start of the station.
        on_feedback: told after each new event is durable, with its place in the log.
        clock: nanoseconds since the epoch.

    Raises:
        OSError, sqlite3.Error: the folder cannot be used.
        ContractError: RECORD_CORRUPT, what is in the folder is not a mentoring log.
    """

    def __init__(
        self,
        root: Path,
        settings: MentoringSettings,
        boot_id: str,
        on_feedback: OnFeedback,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.state = StorageState.OK
        self.trouble = ""
        """Why the state is not OK, for people."""
        self.frames_kept = self.frames_lost = self.events_accepted = 0
        self._root = root
        self._boot_id = boot_id
        self._on_feedback = on_feedback
        self._clock = clock
        self._models: dict[str, ModelEntry] = {}
        self._unswept = list(PREFIXES)
        root.mkdir(parents=True, exist_ok=True)
        self.space = Space(root, Limits.of(settings, shutil.disk_usage(root).total))
        try:
            self._images, self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            if not self.space.is_full(error):
                raise
            # The reserve is there for this: a full disk must not keep the station from starting and cleaning.
            self.space.give_up_reserve()
            self._images, self._database = self._open()
        self.space.image_bytes = self._database.image_bytes()
        self._recorded_ns = self._database.latest_unix_ns()
        self._settle(())

    @property
    def idle_seconds(self) -> float | None:
        """How long to wait for work before `tend` is called; None: there is nothing to tend."""
        return 0.0 if self.state is StorageState.OK and self._unswept else None

    def close(self) -> None:
        """Closes database and pictures; idempotent."""
        self._database.close()
        self._images.close()

    def write(self, group: Sequence[Entry]) -> None:
        """Makes a group durable and acknowledges it, or says to each who waits why not. Never raises for the disk."""
        for entry in group:
            if isinstance(entry, ModelEntry):
                self._models[entry.digest] = entry
        frames = [pair for entry in group if isinstance(entry, FrameEntry) for pair in self._picture_of(entry)]
        events = [
            entry for entry in group if isinstance(entry, FeedbackEntry) and entry.future.set_running_or_notify_cancel()
        ]
        try:
            self._write(frames, events)
        finally:
            # Should this file itself be wrong, nobody waits for ever.
            self._refuse([entry for entry in events if not entry.future.done()])
            for entry in group:
                if isinstance(entry, FlushEntry):
                    entry.future.set_result(None)

    def tend(self) -> None:
        """One step of what there is to do when nothing waits: going on after a trouble, or sweeping."""
        if self.state is StorageState.FAULT:
            self._reopen()
        elif self.state is StorageState.FULL:
            self._settle(())
        elif self._unswept:
            prefix = self._unswept.pop()
            try:
                freed = self._images.sweep(prefix, self._database.has_image)
            except (OSError, sqlite3.Error) as error:
                self._fail(error)
            else:
                if freed:
                    logger.info("swept pictures that no frame speaks of", extra={"bytes": freed, "folder": prefix})

    def _write(self, frames: list[tuple[FrameEntry, Picture]], events: list[FeedbackEntry]) -> None:
        spoken_of = {entry.draft.frame_id for entry in events if entry.draft.frame_id}
        if frames and self.state is not StorageState.OK:
            self._lose(frames)
            frames = []
        cleaned = False
        while frames or events or self._models:
            if self.state is StorageState.FAULT:
                break
            try:
                self._commit(frames, events)
            except Exception as error:
                if not is_storage(error):
                    self._one_by_one(frames, events, error)
                    return
                if not self.space.is_full(error):
                    self._fail(error)
                elif not cleaned:
                    cleaned = True
                    self._make_room(sum(len(picture.data) for _, picture in frames), spoken_of)
                elif frames:
                    # A frame can be seen again, what somebody said cannot: once more without the frames.
                    self._set(StorageState.FULL, _DISK_FULL)
                    self._lose(frames)
                    frames = []
                else:
                    self._set(StorageState.FULL, _DISK_FULL)
                    break
            else:
                # A frame that has just come is not deleted at once: somebody may be about to judge it.
                self._settle(spoken_of | {entry.inspection.frame_id for entry, _ in frames})
                return
        self._lose(frames)
        self._refuse(events)

    def _commit(self, frames: list[tuple[FrameEntry, Picture]], events: list[FeedbackEntry]) -> None:
        frames = self._first_of_each(frames)
        new = self._images.put([picture for _, picture in frames])
        now = self._clock()
        recorded_ns, added_bytes = self._recorded_ns, 0
        try:
            with self._database.transaction():
                for model in self._models.values():
                    self._database.add_model(
                        digest=model.digest,
                        name=model.name,
                        version=model.version,
                        manifest=model.manifest,
                        first_seen_unix_ns=now,
                    )
                for entry, picture in frames:
                    if not self._database.has_image(picture.sha256, picture.suffix):
                        added_bytes += len(picture.data)
                    # The wall clock may stand still or jump back; the order of the rows does not.
                    recorded_ns = max(recorded_ns + 1, now)
                    self._database.add_frame(entry.row(picture, self._boot_id, recorded_ns), entry.detections())
                answers = [(waiting, *self._answer(waiting.draft, now)) for waiting in events]
        except BaseException as error:
            self._forget(new, error)
            raise
        self._models.clear()
        self._recorded_ns = recorded_ns
        self.space.image_bytes += added_bytes
        self.frames_kept += len(frames)
        for waiting, _, answer in answers:
            if isinstance(answer, ContractError):
                waiting.future.set_exception(answer)
            else:
                self.events_accepted += not answer.duplicate
                waiting.future.set_result(answer)
        for _, draft, answer in answers:
            if isinstance(answer, Accepted) and not answer.duplicate:
                self._tell(draft.event(answer.log_sequence, now))

    def _answer(self, draft: FeedbackDraft, now: int) -> tuple[FeedbackDraft, Accepted | ContractError]:
        """The event as it is recorded, and what became of it."""
        try:
            draft = self._database.addressed(draft)
            return draft, self._database.add_feedback(draft, now)
        except ContractError as refusal:
            return draft, refusal

    def _first_of_each(self, frames: list[tuple[FrameEntry, Picture]]) -> list[tuple[FrameEntry, Picture]]:
        """Without the frames whose id the log has already: the first one stays, as somebody may have judged it."""
        first: dict[str, tuple[FrameEntry, Picture]] = {}
        for entry, picture in frames:
            frame_id = entry.inspection.frame_id
            if frame_id in first or self._database.has_frame(frame_id):
                logger.warning("a frame id came twice; the first frame stays", extra={"frame_id": frame_id})
            else:
                first[frame_id] = (entry, picture)
        return list(first.values())

    def _forget(self, new: Iterable[Picture], error: BaseException) -> None:
        """After a commit that did not happen: deletes its pictures, or leaves them where it may have happened."""
        if isinstance(error, sqlite3.Error) and is_storage(error) and sqlite_code(error) != SQLITE_FULL:
            self._unswept = list(PREFIXES)
            return
        for picture in new:
            if not self._database.has_image(picture.sha256, picture.suffix):
                self._images.remove(picture.sha256, picture.suffix)

    def _one_by_one(
        self, frames: list[tuple[FrameEntry, Picture]], events: list[FeedbackEntry], error: Exception
    ) -> None:
        """Something in a group cannot be written, and it is not the disk: the others must not suffer."""
        if len(frames) + len(events) > 1:
            self._write([], [])
            for pair in frames:
                self._write([pair], [])
            for entry in events:
                self._write([], [entry])
            return
        logger.error("the log could not write an entry", exc_info=error)
        if not frames and not events:
            self._models.clear()
        self._lose(frames)
        for entry in events:
            entry.future.set_exception(ContractError(Reason.INTERNAL, "the station could not store this event"))

    def _make_room(self, coming: int, spare: Collection[str]) -> None:
        """After the disk has said that it is full."""
        try:
            self.space.clean(
                self._images,
                self._database,
                coming=coming,
                at_least=coming + self.space.limits.headroom,
                spare=spare,
            )
        except (OSError, sqlite3.Error) as error:
            if not self.space.is_full(error):
                self._fail(error)

    def _settle(self, spare: Collection[str]) -> None:
        """Sees whether the log is within its limits, and cleans if not: OK or FULL."""
        headroom = self.space.limits.headroom
        try:
            holds_reserve = self.space.hold_reserve()
            if self.state is StorageState.OK:
                has_room = self.space.shortage(0) == 0 or self.space.clean(
                    self._images, self._database, coming=0, at_least=0, spare=spare
                )
            else:
                # All that could go has gone. To be OK again there has to be room for more than one frame.
                has_room = holds_reserve and self.space.shortage(headroom) == 0
        except (OSError, sqlite3.Error) as error:
            if not self.space.is_full(error):
                self._fail(error)
                return
            has_room = False
        if has_room:
            self._set(StorageState.OK, "")
        elif self.space.image_bytes + headroom > self.space.limits.budget:
            self._set(
                StorageState.FULL,
                f"judged frames fill the budget of {self.space.limits.budget} bytes, and they are never deleted;"
                " raise mentoring.budget_gb or move the log to an archive",
            )
        else:
            self._set(StorageState.FULL, _DISK_FULL)

    def _open(self) -> tuple[ImageStore, LogDatabase]:
        database = LogDatabase(self._root)
        try:
            images = ImageStore(self._root)
            # The name of the log's folder has to be as durable as what will be in it.
            sync_folder(self._root.parent)
        except BaseException:
            database.close()
            raise
        return images, database

    def _reopen(self) -> None:
        """Leaves FAULT if the disk obeys again.

        A commit that failed may be in the WAL, in memory only: a failed fsync leaves pages that look clean. So nothing
        is believed before a whole checkpoint has written those rows anew and fsynced them.
        """
        try:
            self.close()
            self._images, self._database = self._open()
            if not self._database.checkpoint():
                return
            self.space.image_bytes = self._database.image_bytes()
        except (OSError, sqlite3.Error, ContractError) as error:
            self._fail(error)
            return
        self._unswept = list(PREFIXES)
        self._set(StorageState.OK, "")
        self._settle(())

    def _fail(self, error: Exception) -> None:
        self._set(StorageState.FAULT, f"the disk of the log does not obey ({type(error).__name__}: {error})")

    def _set(self, state: StorageState, trouble: str) -> None:
        if state is not self.state:
            if state is StorageState.OK:
                logger.info("the log is well again")
            else:
                logger.error("the log is %s: %s", state.value, trouble)
        self.state, self.trouble = state, trouble

    def _lose(self, frames: Sequence[object]) -> None:
        self.frames_lost += len(frames)

    def _refuse(self, events: Iterable[FeedbackEntry]) -> None:
        if self.state is StorageState.FAULT:
            refusal = ContractError(
                Reason.STORAGE_FAULT,
                "the disk of the station does not obey; nothing was stored, send it again with the same key later",
            )
        else:
            refusal = ContractError(
                Reason.STORAGE_FULL,
                "the disk of the station is full; nothing was stored, send it again with the same key later",
            )
        for entry in events:
            entry.future.set_exception(refusal)

    def _picture_of(self, entry: FrameEntry) -> list[tuple[FrameEntry, Picture]]:
        try:
            return [(entry, entry.picture())]
        except Exception:
            logger.exception("a frame's picture could not be made", extra={"frame_id": entry.inspection.frame_id})
            self._lose([entry])
            return []

    def _tell(self, event: FeedbackEvent) -> None:
        try:
            self._on_feedback(event, event.log_sequence)
        except Exception:
            # The event is durable and acknowledged; a listener's fault is not the log's.
            logger.exception("a listener failed on a feedback event")
