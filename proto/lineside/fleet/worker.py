"""One station's way in a roll-out: push, prepare, activate, watch, confirm. Acts; `verdict.py` decides.

Every step may be taken twice: a link may break after the station has done what it was asked and before it could say so.
The one step that must not be repeated blindly is the activation, because the station may have taken the model back
meanwhile; so it is asked first what became of it.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lineside.client.errors import StationUnreachableError
from lineside.client.models import ModelsClient
from lineside.client.push import Patience
from lineside.fleet.asking import open_client, stranger
from lineside.fleet.inventory import Station
from lineside.fleet.journal import ALARM, BEGUN, DONE, REFUSED, STALLED, STOPPED, UNREACHABLE, Journal, Line, Progress
from lineside.fleet.plan import Limits
from lineside.fleet.standing import serving_of
from lineside.fleet.verdict import Verdict, Word, before_serving, status_of, while_serving
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 15.0
_PASSING = (Reason.QUEUE_FULL, Reason.DRAINING, Reason.DEADLINE)
_UNPREPARED = (model_pb2.MODEL_STATE_VERIFIED, model_pb2.MODEL_STATE_BUILT)
_NOT_THERE = (model_pb2.MODEL_STATE_RECEIVED, model_pb2.MODEL_STATE_REFUSED)

Result = TypeVar("Result")
Tell = Callable[[str, str], None]
"""Told a station's name and what it is at, in words."""
TellProgress = Callable[[str, int, int], None]
"""Told a station's name, bytes sent, and bytes in all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be brought to each station, and how long one waits for it. Times in seconds."""

    folder: Path
    """Of the package."""
    digest: str
    limits: Limits
    confirm: bool = False
    actor: str = ""
    ask_seconds: float = 10.0
    """For an answer to how it stands."""
    answer_seconds: float = 180.0
    """For any other; a trial or an activation takes its time."""
    patience: float = 600.0
    """Without an answer, or without any progress, before a station is given up for now."""
    poll: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far one station came: `step` and `outcome` as in a journal's line."""

    station: str
    step: str
    outcome: str
    text: str

    @property
    def stops(self) -> bool:
        """Whether no other station may go on."""
        return self.outcome in (REFUSED, ALARM)


class _EndError(Exception):
    """Leaves a worker with its outcome."""

    def __init__(self, outcome: str, text: str) -> None:
        super().__init__(text)
        self.outcome, self.text = outcome, text


class Worker:
    """One station; used by one thread.

    Args:
        station: to work on.
        job: what for.
        journal: is told of every step; None: nobody is.
        stop: set by others when nothing more may be begun.
        first_patience: seconds for the first answer.
        tell: told in words.
        tell_progress: told of a push.
    """

    def __init__(
        self,
        station: Station,
        job: Job,
        journal: Journal | None,
        stop: threading.Event,
        *,
        first_patience: float,
        tell: Tell,
        tell_progress: TellProgress,
    ) -> None:
        self._station = station
        self._job = job
        self._journal = journal
        self._stop = stop
        self._first_patience = first_patience
        self._tell_words, self._tell_progress = tell, tell_progress
        self._step = "push"

    def push(self) -> Outcome:
        """The package lies on the station and is proven there."""
        return self._run(self._bring)

    def roll_out(self) -> Outcome:
        """The package serves and has settled."""
        return self._run(self._roll_out)

    def roll_back(self, model: str, why: str) -> Outcome:
        """The model before it serves again; nothing is done where this model does not serve. As `roll_back_all`."""
        return self._run(lambda client: self._roll_back(client, model, why))

    def _run(self, work: Callable[[ModelsClient], str]) -> Outcome:
        job = self._job
        try:
            with open_client(self._station, actor=job.actor, timeout=job.answer_seconds) as client:
                said = self._patiently(lambda: self._ask(client), self._first_patience)
                if odd := stranger(self._station, said):
                    raise _EndError(REFUSED, odd)
                return self._outcome(DONE, work(client))
        except _EndError as end:
            return self._outcome(end.outcome, end.text)
        except (ContractError, ValueError, OSError) as error:
            return self._outcome(REFUSED, str(error))

    def _outcome(self, outcome: str, text: str) -> Outcome:
        if outcome != DONE:  # each step that is done has said so itself
            self._note(outcome, text)
        return Outcome(station=self._station.name, step=self._step, outcome=outcome, text=text)

    # The steps

    def _bring(self, client: ModelsClient) -> str:
        self._step = "push"
        job = self._job
        status = status_of(self._patiently(lambda: self._ask(client)), job.digest)
        if status is not None and status.state not in _NOT_THERE:
            return self._done("it was there")
        patience = Patience(
            without_progress=job.patience, silence=job.answer_seconds, pause=self._pause, look=self._check_stop
        )

        def send() -> model_pb2.ModelStatus:
            return client.push(
                job.folder,
                patience=patience,
                on_progress=lambda sent, total: self._tell_progress(self._station.name, sent, total),
                on_trouble=lambda error, wait: self._tell(f"{error}; goes on in {wait:g} s"),
            )

        began = time.monotonic()
        self._patiently(send)
        return self._done(f"pushed and proven in {time.monotonic() - began:.1f} s")

    def _roll_out(self, client: ModelsClient) -> str:
        said = self._patiently(lambda: self._ask(client))
        if not self._serves_already(said):
            self._bring(client)
            self._prepare(client)
            self._activate(client)
        text = self._watch(client)
        if self._job.confirm:
            self._confirm(client)
        return text

    def _serves_already(self, said: model_pb2.ListResponse) -> bool:
        """Whether it does; an earlier run of this roll-out may have brought it there."""
        job, status = self._job, status_of(said, self._job.digest)
        if status is None or status.serving:
            return status is not None
        gone = (model_pb2.MODEL_STATE_RETIRED, model_pb2.MODEL_STATE_REFUSED)
        if self._station.name in self._progress.touched and status.state in gone:
            self._step = "watch"
            raise _EndError(ALARM, while_serving(said, job.digest, job.limits).text)
        return False

    def _prepare(self, client: ModelsClient) -> None:
        self._step = "prepare"
        job = self._job
        asked = False

        def look() -> Verdict:
            nonlocal asked
            said = self._ask(client)
            found = before_serving(said, job.digest, job.limits)
            status = status_of(said, job.digest)
            # Once; and again where a restart of the station has put an end to it.
            if found.word is Word.WAIT and status is not None and (not asked or status.state in _UNPREPARED):
                client.prepare(job.digest, shadow=job.limits.shadow_frames > 0)
                asked = True
            return found

        self._done(self._wait_for(look))

    def _activate(self, client: ModelsClient) -> None:
        self._step = "activate"
        job = self._job
        before = status_of(self._patiently(lambda: self._ask(client)), job.digest)
        since = 0 if before is None else before.changed_unix_ns
        self._note(BEGUN, "")
        tried = False

        def activate() -> None:
            nonlocal tried
            if tried:  # the answer to the first try was lost
                said = self._ask(client)
                status = status_of(said, job.digest)
                if status is not None and status.serving:
                    return
                if status is None or (
                    status.state == model_pb2.MODEL_STATE_RETIRED and status.changed_unix_ns != since
                ):
                    self._step = "watch"
                    raise _EndError(ALARM, while_serving(said, job.digest, job.limits).text)
            tried = True
            client.activate(job.digest)

        self._patiently(activate)
        self._done("it serves")

    def _watch(self, client: ModelsClient) -> str:
        self._step = "watch"
        job = self._job
        if self._station.name in self._progress.settled:
            return "it had settled before"
        return self._done(self._wait_for(lambda: while_serving(self._ask(client), job.digest, job.limits)))

    def _confirm(self, client: ModelsClient) -> None:
        self._step = "confirm"
        job = self._job
        try:
            self._patiently(lambda: client.confirm(job.digest))
        except ContractError:
            found = while_serving(self._patiently(lambda: self._ask(client)), job.digest, job.limits)
            if found.word is Word.ALARM:
                raise _EndError(ALARM, found.text) from None
            raise
        self._done("confirmed")

    def _roll_back(self, client: ModelsClient, model: str, why: str) -> str:
        self._step = "rollback"
        serving = serving_of(self._patiently(lambda: self._ask(client)))
        if serving is None:
            raise ContractError(Reason.NO_MODEL, "no model serves there")
        reference = serving.model
        name = f"{reference.name}@{reference.version}"
        if model != name and not reference.digest.removeprefix("sha256:").startswith(model.removeprefix("sha256:")):
            return self._done(f"{reference.name} {reference.version} serves; left alone")
        self._note(BEGUN, "")
        status = self._patiently(lambda: client.rollback(why, only_from=reference.digest))
        return self._done(f"{status.model.name} {status.model.version} serves")

    # Waiting

    def _wait_for(self, look: Callable[[], Verdict]) -> str:
        """Looks until the verdict is GO_ON; its text."""
        furthest, moved_at = -1, time.monotonic()
        while True:
            found = self._patiently(look)
            self._tell(found.text)
            if found.word is Word.GO_ON:
                return found.text
            if found.word is Word.ALARM:
                raise _EndError(ALARM, found.text)
            if found.progress > furthest:
                furthest, moved_at = found.progress, time.monotonic()
            elif time.monotonic() - moved_at > self._job.patience:
                raise _EndError(STALLED, f"nothing has moved for {self._job.patience:.0f} s: {found.text}")
            self._pause(self._job.poll)

    def _patiently(self, action: Callable[[], Result], patience: float | None = None) -> Result:
        """Does it, again and again while nobody answers.

        Raises:
            ContractError: the station refuses.
            _EndError: nobody answered for so long, or everything is to stop.
        """
        limit = self._job.patience if patience is None else patience
        until, wait = time.monotonic() + limit, FIRST_WAIT_SECONDS
        while True:
            self._check_stop()
            try:
                return action()
            except StationUnreachableError as error:
                trouble: Exception = error
            except ContractError as error:
                if error.reason not in _PASSING:
                    raise
                trouble = error
            left = until - time.monotonic()
            if left <= 0:
                raise _EndError(UNREACHABLE, str(trouble))
            self._tell(f"{trouble}; is tried again")
            self._pause(min(wait, left))
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _EndError(STOPPED, "another station stopped the roll-out, or somebody did")

    # Asking and telling

    def _ask(self, client: ModelsClient) -> model_pb2.ListResponse:
        return client.standing(timeout=self._job.ask_seconds)

    @property
    def _progress(self) -> Progress:
        return Progress() if self._journal is None else self._journal.progress

    def _done(self, text: str) -> str:
        self._note(DONE, text)
        self._tell(text)
        return text

    def _note(self, outcome: str, text: str) -> None:
        if self._journal is not None:
            self._journal.note(Line(station=self._station.name, step=self._step, outcome=outcome, text=text))

    def _tell(self, text: str) -> None:
        self._tell_words(self._station.name, f"{self._step}: {text}")
