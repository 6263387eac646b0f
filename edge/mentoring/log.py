"""The mentoring log as the station sees it: never waits on the frame path, acknowledges only what is on the disk.

One thread writes, named `mentoring-log`. What is put in is written in the order of the queue, so feedback about a
frame that was kept before it finds that frame.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import TracebackType

from edge.frame import Frame
from edge.inspection import Detection, Inspection
from edge.mentoring.database import Accepted
from edge.mentoring.entries import Entry, FeedbackEntry, FlushEntry, FrameEntry, Mailbox, ModelEntry
from edge.mentoring.feedback import FeedbackDraft
from edge.mentoring.selection import Selection
from edge.mentoring.settings import MentoringSettings
from edge.mentoring.writer import OnFeedback, StorageState, Writer
from lineside.mentoring_log import MentoringLogReader
from lineside.package import MANIFEST_NAME, Package
from lineside.reasons import ContractError, Reason

logger = logging.getLogger(__name__)

LOCK_NAME = "lock"
CLOSE_SECONDS = 60.0
"""How long `close` waits for what is queued."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StorageHealth:
    """How the log is. Counts are of this start of the station."""

    state: StorageState
    trouble: str
    """Why the state is not OK, for people."""
    frames_waiting: int
    feedback_waiting: int
    frames_kept: int
    frames_lost: int
    """Frames that were taken and could not be written."""
    feedback_accepted: int
    image_bytes: int
    """Of all pictures in the log."""
    budget_bytes: int
    free_bytes: int
    """On the log's disk."""


class MentoringLog(contextlib.AbstractContextManager["MentoringLog"]):
    """The log of one station; open inside `with`. Every method may be called by any thread.

    Args:
        root: the log's folder; made if it is not there.
        settings: of the log; `folder` is not looked at here.
        on_feedback: told on the log's thread after each new event is durable, with its place in the log. Must be
            quick; what it raises is logged and nothing else.
        boot_id: of this start of the station; a random one if not given.
    """

    def __init__(
        self, root: Path, settings: MentoringSettings, on_feedback: OnFeedback, *, boot_id: str | None = None
    ) -> None:
        self.root = root
        self._settings = settings
        self._on_feedback = on_feedback
        self._boot_id = boot_id or str(uuid.uuid4())
        self._mailbox = Mailbox(frames=settings.queue, frame_bytes=settings.queue_mb << 20, events=settings.queue)
        self._writer: Writer | None = None
        self._thread: threading.Thread | None = None
        self._lock: int | None = None
        self._closing = threading.Lock()

    def __enter__(self) -> MentoringLog:
        """Opens the log and starts its thread.

        Raises:
            OSError, sqlite3.Error: the folder cannot be used.
            ContractError: STORAGE_FAULT, another process writes this log; RECORD_CORRUPT, it is no mentoring log.
        """
        self._lock = _locked(self.root)
        started: Future[Writer] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="mentoring-log")
        self._thread.start()
        try:
            self._writer = started.result()
        except BaseException:
            self._thread.join()
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes nothing more, writes what is queued, and ends the thread; idempotent."""
        with self._closing:
            self._mailbox.close()
            if self._thread is None:
                return
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():
                logger.error("the log still writes after %.0f seconds; leaving it behind", CLOSE_SECONDS)
                return
            self._thread = None
            self._unlock()

    def model_seen(self, package: Package) -> None:
        """Remembers the model that the detections to come are of.

        Raises:
            OSError: its manifest cannot be read.
        """
        entry = ModelEntry(
            digest=package.digest,
            name=package.manifest.name,
            version=package.manifest.version,
            manifest=(package.folder / MANIFEST_NAME).read_text(encoding="utf-8"),
        )
        self._mailbox.put(entry)

    def keep(
        self, frame: Frame, inspection: Inspection, selection: Selection, *, candidates: Sequence[Detection] = ()
    ) -> bool:
        """Hands a frame to the log. Never waits.

        Args:
            frame: the picture.
            inspection: what was decided.
            selection: why it is kept.
            candidates: below the thresholds; those that `selection` asks about are kept as questions.

        Returns:
            False: not taken, because the queue or the disk is full, the disk does not obey, or the log is closed.
        """
        if self._writer is None or self._writer.state is not StorageState.OK:
            return False
        return self._mailbox.put(FrameEntry.of(frame, inspection, selection, candidates))

    def submit(self, draft: FeedbackDraft) -> Future[Accepted]:
        """Hands a feedback event to the log. Never waits.

        Returns:
            Done when the event is durable. Fails with ContractError: KEY_REUSED, DETECTION_UNKNOWN,
            FEEDBACK_MALFORMED, FEEDBACK_CONFLICT, QUEUE_FULL, STORAGE_FULL, STORAGE_FAULT, DRAINING; then nothing
            was stored.
        """
        future: Future[Accepted] = Future()
        if not self._mailbox.put(FeedbackEntry(draft=draft, future=future)):
            if self._mailbox.closed:
                refusal = ContractError(Reason.DRAINING, "the station is stopping; send it again with the same key")
            else:
                refusal = ContractError(
                    Reason.QUEUE_FULL,
                    f"{self._settings.queue} feedback events wait already; send it again with the same key",
                )
            future.set_exception(refusal)
        return future

    def flush(self, timeout: float | None = None) -> None:
        """Waits until everything handed over before is on the disk or known to be lost.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
        """
        entry = FlushEntry(future=Future())
        if self._mailbox.put(entry):
            try:
                entry.future.result(timeout)
            except FutureTimeoutError:  # before Python 3.11 not the built-in one
                raise TimeoutError(f"the log still writes after {timeout} s") from None

    def reader(self) -> MentoringLogReader:
        """A read-only view of its own connection, for the calling thread; close it."""
        return MentoringLogReader(self.root)

    def health(self) -> StorageHealth:
        """How the log is, now.

        Raises:
            OSError: the disk cannot be asked.
            RuntimeError: the log was never opened.
        """
        if self._writer is None:
            raise RuntimeError("the log is not open; use it inside `with`")
        writer = self._writer
        return StorageHealth(
            state=writer.state,
            trouble=writer.trouble,
            frames_waiting=self._mailbox.frames,
            feedback_waiting=self._mailbox.events,
            frames_kept=writer.frames_kept,
            frames_lost=writer.frames_lost,
            feedback_accepted=writer.events_accepted,
            image_bytes=writer.space.image_bytes,
            budget_bytes=writer.space.limits.budget,
            free_bytes=writer.space.free_bytes(),
        )

    def _run(self, started: Future[Writer]) -> None:
        try:
            writer = Writer(self.root, self._settings, self._boot_id, self._on_feedback)
        except BaseException as error:
            self._mailbox.close()
            started.set_exception(error)
            return
        started.set_result(writer)
        try:
            self._serve(writer)
        except BaseException:
            logger.exception("the log's thread has failed; nothing is kept until the station is started anew")
            raise
        finally:
            self._mailbox.close()
            for entry in self._mailbox.take(1 << 30, 0.0) or ():
                _give_up(entry)
            writer.close()

    def _serve(self, writer: Writer) -> None:
        retry = self._settings.retry_seconds
        due = 0.0
        while True:
            now = time.monotonic()
            if writer.state is StorageState.OK:
                timeout, due = writer.idle_seconds, now + retry
            elif now >= due:
                # Also while work comes in without a pause: a log in trouble has to look whether it is over.
                writer.tend()
                due = time.monotonic() + retry
                continue
            else:
                timeout = due - now
            group = self._mailbox.take(self._settings.group, timeout)
            if group is None:
                return
            if group:
                writer.write(group)
            elif writer.state is StorageState.OK:
                writer.tend()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(root: Path) -> int:
    """A descriptor that holds the folder for this process alone, until it is closed or the process dies."""
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ContractError(
            Reason.STORAGE_FAULT, "another station process writes this mentoring log; stop it first"
        ) from None
    return descriptor


def _give_up(entry: Entry) -> None:
    if isinstance(entry, FeedbackEntry) and entry.future.set_running_or_notify_cancel():
        entry.future.set_exception(ContractError(Reason.STORAGE_FAULT, "the log has stopped; nothing was stored"))
    elif isinstance(entry, FlushEntry):
        entry.future.set_result(None)
