"""All stations' way: canaries first, then waves; the first refusal or alarm stops everybody. It may be killed at any
moment and gone on with."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from lineside.fleet.inventory import Station
from lineside.fleet.journal import DONE, UNREACHABLE, Journal, Line
from lineside.fleet.plan import Limits, Plan
from lineside.fleet.worker import Job, Outcome, Tell, TellProgress, Worker

MOST_AT_ONCE = 32
"""Stations worked on at a time, whatever the size of a wave."""
HOLD_SECONDS = 30.0
"""How long a wave waits for a station that does not answer at all, before it goes on and comes back at the end."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a roll-out, or of a push or a rollback to many."""

    outcomes: tuple[Outcome, ...]
    """The last of each station that was begun with."""
    undone: tuple[Outcome, ...] = ()
    """What became of rolling back."""

    @property
    def stopped_by(self) -> Outcome | None:
        """The refusal or alarm that stopped it."""
        return next((outcome for outcome in self.outcomes if outcome.stops), None)

    @property
    def open(self) -> tuple[Outcome, ...]:
        """Stations that are not where they should be, for no fault of the model."""
        return tuple(item for item in self.outcomes if item.outcome != DONE and not item.stops)


class Crew:
    """Workers for many stations, at once.

    Args:
        stations: by name.
        job: what for.
        journal: as for Worker.
        tell: told in words, from any thread.
        tell_progress: told of pushes, from any thread.
    """

    def __init__(
        self, stations: Sequence[Station], job: Job, journal: Journal | None, tell: Tell, tell_progress: TellProgress
    ) -> None:
        self._stations = {station.name: station for station in stations}
        self._job, self._journal = job, journal
        self._tell, self._tell_progress = tell, tell_progress
        self.stop = threading.Event()

    def all(
        self, names: Sequence[str], work: Callable[[Worker], Outcome], *, first_patience: float, stop_on: bool
    ) -> tuple[Outcome, ...]:
        """Lets a worker go for each of these; gives back how each ended, in their order.

        Args:
            names: of stations.
            work: what each does.
            first_patience: seconds for a first answer.
            stop_on: whether a refusal or an alarm of one ends the work of the others.
        """
        if not names:
            return ()
        pool = concurrent.futures.ThreadPoolExecutor(min(MOST_AT_ONCE, len(names)), "fleet")
        running = {pool.submit(work, self._worker(name, first_patience)): name for name in names}
        ended: dict[str, Outcome] = {}
        try:
            for future in concurrent.futures.as_completed(running):
                outcome = future.result()
                ended[outcome.station] = outcome
                self._tell(outcome.station, f"{outcome.step} {outcome.outcome}: {outcome.text}")
                if stop_on and outcome.stops:
                    self.stop.set()
        except BaseException:
            self.stop.set()
            raise
        finally:
            pool.shutdown(wait=True)
        return tuple(ended[name] for name in names)

    def _worker(self, name: str, first_patience: float) -> Worker:
        return Worker(
            self._stations[name],
            self._job,
            self._journal,
            self.stop,
            first_patience=first_patience,
            tell=self._tell,
            tell_progress=self._tell_progress,
        )


def roll_out(
    stations: Sequence[Station],
    plan: Plan,
    job: Job,
    journal: Journal,
    *,
    undo: bool = False,
    hold: float = HOLD_SECONDS,
    tell: Tell = lambda _name, _text: None,
    tell_progress: TellProgress = lambda _name, _sent, _total: None,
) -> Result:
    """Brings a model to stations. The journal's plan is begun or gone on with.

    Args:
        stations: all that the plan names.
        plan: who goes when.
        job: with the plan's digest and limits.
        journal: open; if it holds this plan, what is done there is not done again.
        undo: on a refusal or an alarm let the model before serve again wherever this roll-out brought it.
        hold: seconds a wave waits for a station that does not answer.
        tell: told in words.
        tell_progress: told of pushes.

    Raises:
        ValueError: an alarm has stopped this roll-out before.
    """
    if journal.progress.plan != plan:
        journal.begin(plan)
    alarm = journal.progress.alarm
    if alarm is not None:
        raise ValueError(
            f"this roll-out was stopped by an alarm of {alarm.station} at {alarm.at}: {alarm.text}; begin it anew"
            " (--anew) when you know why that will not come again"
        )
    crew = Crew(stations, job, journal, tell, tell_progress)
    outcomes: dict[str, Outcome] = {}
    late: list[str] = []
    for stage in plan.stages:
        canaries = stage == plan.canaries
        patience = job.patience if canaries else hold
        ended = crew.all(stage, Worker.roll_out, first_patience=patience, stop_on=True)
        outcomes |= {outcome.station: outcome for outcome in ended}
        if crew.stop.is_set():
            return _stopped(crew, plan, journal, outcomes, undo)
        behind = [outcome.station for outcome in ended if outcome.outcome != DONE]
        if canaries and behind:
            return Result(outcomes=tuple(outcomes.values()))
        late += behind
    # Those that were down: once more, now that nobody waits for them.
    again = [name for name in late if outcomes[name].outcome == UNREACHABLE]
    ended = crew.all(again, Worker.roll_out, first_patience=job.patience, stop_on=True)
    outcomes |= {outcome.station: outcome for outcome in ended}
    if crew.stop.is_set():
        return _stopped(crew, plan, journal, outcomes, undo)
    return Result(outcomes=tuple(outcomes.values()))


def push_all(
    stations: Sequence[Station],
    job: Job,
    *,
    tell: Tell = lambda _name, _text: None,
    tell_progress: TellProgress = lambda _name, _sent, _total: None,
) -> Result:
    """Brings a package to stations, where it is proven and not activated. What one refuses stops no other."""
    crew = Crew(stations, job, None, tell, tell_progress)
    names = [station.name for station in stations]
    return Result(outcomes=crew.all(names, Worker.push, first_patience=job.patience, stop_on=False))


def roll_back_all(
    stations: Sequence[Station],
    model: str,
    why: str,
    *,
    actor: str = "",
    patience: float = 600.0,
    tell: Tell = lambda _name, _text: None,
) -> Result:
    """Lets the model before serve again on many stations.

    Args:
        stations: to go back.
        model: to go back from: a digest, its first digits, or NAME@VERSION; a station that serves another is left
            alone. Empty: from whichever serves.
        why: in words, for the audit.
        actor: who asks.
        patience: seconds without an answer before a station is given up for now.
        tell: told in words.
    """
    job = Job(folder=Path(), digest="", limits=Limits(), actor=actor, patience=patience)
    crew = Crew(stations, job, None, tell, lambda _name, _sent, _total: None)
    names = [station.name for station in stations]
    return Result(
        outcomes=crew.all(names, lambda worker: worker.roll_back(model, why), first_patience=patience, stop_on=False)
    )


def _stopped(crew: Crew, plan: Plan, journal: Journal, outcomes: dict[str, Outcome], undo: bool) -> Result:
    result = Result(outcomes=tuple(outcomes.values()))
    stopped_by = result.stopped_by
    if stopped_by is None:
        return result
    why = f"{stopped_by.station}: {stopped_by.step} {stopped_by.outcome}: {stopped_by.text}"
    journal.note(Line(station="", step="", outcome=stopped_by.outcome, text=why))
    if not undo:
        return result
    crew.stop.clear()
    touched = [name for name in outcomes if name in journal.progress.touched]
    # The one that alarmed may have gone back by itself: a rollback then does nothing.
    undone = crew.all(
        touched,
        lambda worker: worker.roll_back(plan.digest, f"roll-out undone: {why}"[:500]),
        first_patience=HOLD_SECONDS,
        stop_on=False,
    )
    return dataclasses.replace(result, undone=undone)
