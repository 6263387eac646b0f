"""What a station's figures say of a model that a roll-out has brought there: wait, settled, or an alarm. Pure."""

from __future__ import annotations

import dataclasses
import enum

from lineside.binomial import at_least
from lineside.fleet.plan import Limits
from lineside.v1 import model_pb2, swap_pb2


class Word(enum.Enum):
    """What is to be done next."""

    WAIT = "wait"
    GO_ON = "go on"
    ALARM = "alarm"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A word, and why."""

    word: Word
    text: str
    progress: int = 0
    """Grows while there is something to wait for."""


def status_of(answer: model_pb2.ListResponse, digest: str) -> model_pb2.ModelStatus | None:
    """What a station says of one package; None: it does not know it."""
    return next((status for status in answer.models if status.model.digest == digest), None)


def before_serving(answer: model_pb2.ListResponse, digest: str, limits: Limits) -> Verdict:
    """Of a package at its replay or shadow: GO_ON once it may be activated."""
    status = status_of(answer, digest)
    if status is None:
        return Verdict(word=Word.ALARM, text="the station does not hold the package any more")
    if status.serving:
        return Verdict(word=Word.GO_ON, text="it serves already")
    if status.state in (model_pb2.MODEL_STATE_RETIRED, model_pb2.MODEL_STATE_CONFIRMED):
        return Verdict(word=Word.GO_ON, text="it served here before")
    if status.state == model_pb2.MODEL_STATE_REFUSED:
        return Verdict(word=Word.ALARM, text=f"refused: {status.reason}: {status.message}")
    shadow = status.shadow
    if limits.shadow_frames and not any(other.serving for other in answer.models):
        limits = dataclasses.replace(limits, shadow_frames=0, most_flips=1.0)  # nothing to stand beside
    if limits.shadow_frames:
        if shadow.failed:
            return Verdict(word=Word.ALARM, text=f"it failed on {shadow.failed} frames in shadow")
        if shadow.frames < limits.shadow_frames:
            text = f"shadow: {shadow.frames} of {limits.shadow_frames} frames"
            return Verdict(word=Word.WAIT, text=text, progress=shadow.frames + status.replay.done)
        flips = shadow.pass_to_reject + shadow.reject_to_pass
        if flips > limits.most_flips * shadow.frames:
            return Verdict(
                word=Word.ALARM,
                text=f"{flips} of {shadow.frames} verdicts would change, {limits.most_flips:.1%} allowed",
            )
    if not status.ready:
        return Verdict(word=Word.WAIT, text=_progress(status), progress=status.replay.done + shadow.frames)
    return Verdict(word=Word.GO_ON, text="ready")


def while_serving(answer: model_pb2.ListResponse, digest: str, limits: Limits) -> Verdict:
    """Of a package that was activated: GO_ON once it has settled."""
    status = status_of(answer, digest)
    if status is None:
        return Verdict(word=Word.ALARM, text="the station does not hold the package any more")
    if not status.serving:
        serving = next((f"{item.model.name} {item.model.version}" for item in answer.models if item.serving), "nothing")
        why = status.message or status.reason or "somebody let another model serve"
        return Verdict(word=Word.ALARM, text=f"{serving} serves there now: {why}")
    if status.state == model_pb2.MODEL_STATE_CONFIRMED:
        return Verdict(word=Word.GO_ON, text="confirmed")
    trial = status.probation
    if trial.errors > limits.most_errors:
        return Verdict(word=Word.ALARM, text=f"{trial.errors} frames not answered, {limits.most_errors} allowed")
    if trial.frames < limits.frames or trial.seconds < limits.seconds:
        return Verdict(
            word=Word.WAIT,
            text=f"{trial.frames} of {limits.frames} frames, {trial.seconds:.0f} of {limits.seconds:.0f} s",
            progress=trial.frames + int(min(trial.seconds, limits.seconds)),
        )
    rates = _rates(trial)
    if too_many_alarms(trial, limits):
        return Verdict(word=Word.ALARM, text=f"{rates}: more than {limits.most_alarm_ratio:g} times as often")
    return Verdict(word=Word.GO_ON, text=rates)


def too_many_alarms(trial: swap_pb2.ProbationReport, limits: Limits) -> bool:
    """Whether the new model rejects more than the allowed ratio; the exact test of edge/models/probation.py, once."""
    both = trial.alarms + trial.baseline_alarms
    if not limits.most_alarm_ratio or not trial.baseline_frames or not trial.frames or not both:
        return False
    expected = limits.most_alarm_ratio * trial.frames
    return at_least(trial.alarms, both, expected / (expected + trial.baseline_frames)) < limits.risk


def _rates(trial: swap_pb2.ProbationReport) -> str:
    text = f"{trial.frames} frames, {trial.alarms} rejected"
    if trial.baseline_frames:
        text += f" (before: {trial.baseline_alarms} of {trial.baseline_frames})"
    return text


def _progress(status: model_pb2.ModelStatus) -> str:
    if status.HasField("replay") and not status.replay.finished:
        return f"replay: {status.replay.done} of {status.replay.total} records"
    if status.HasField("shadow"):
        return f"shadow: {status.shadow.frames} of {status.shadow.wanted} frames"
    return model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_")
