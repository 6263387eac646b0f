"""Whether a model that took over does as well as the one before it. Decides; time and counts are arguments.

Errors are simply counted. Latency and alarm rate are compared by exact tests, because a line must not go back and forth
over three unlucky parts (what they cannot know: parts come in batches, and a slow second slows all its frames; so they
begin after some frames only, latency after some seconds too):

    latency     under the limit a frame is slower than ratio * (the other model's 99th percentile) with probability at
                most 0.01, so the number of slow frames is at most binomial(n, 0.01)
    alarms      k alarms on n frames against K on N: given k + K, k is binomial with p = r n / (r n + N) if the rate is
                exactly r times the other's (J. Przyborowski, H. Wilenski, Biometrika 31, 1940). For shares of frames
                instead of Poisson counts this errs towards leaving the model in place.

Looking again after every frame would sooner or later find anything, so there are looks at growing numbers of frames and
each may spend only its part of the risk: the parts 6 / (pi i)^2 of looks i = 1, 2, ... sum to 1.
"""

from __future__ import annotations

import dataclasses
import enum
import math

from edge.models.settings import ProbationSettings
from lineside.binomial import at_least

SLOW_SHARE = 0.01
"""Of the frames, those beyond the 99th percentile."""
LEAST_LATENCIES = 100
"""With fewer frames a 99th percentile says nothing, and latency is not judged, of neither model."""
SETTLE_SECONDS = 5.0
"""After a switch, in which latency is not counted: the station puts the old model away and loads the way back."""
_FIRST_LOOK = 20
_GROWTH = 1.25
_TESTS = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The latest frames of the model before: how many, how many of them it rejected, and its 99th percentile.

    `p99_us` is in microseconds, 0 where it is not known.
    """

    frames: int = 0
    alarms: int = 0
    p99_us: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.alarms <= self.frames or self.p99_us < 0:
            raise ValueError(f"{self.alarms} alarms on {self.frames} frames with p99 {self.p99_us} us is no baseline")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Counts since a model was activated. `frames` were answered; `errors` were not and are not among them."""

    frames: int = 0
    errors: int = 0
    alarms: int = 0
    timed: int = 0
    """Of the frames, those whose latency counts."""
    slow: int = 0
    """Of those, later than the limit on latency."""
    in_a_row: int = 0
    """Answered since the last error."""

    def with_frame(self, *, alarm: bool, slow: bool | None) -> Seen:
        """One more frame that was answered; `slow` None: its latency does not count."""
        return Seen(
            frames=self.frames + 1,
            errors=self.errors,
            alarms=self.alarms + alarm,
            timed=self.timed + (slow is not None),
            slow=self.slow + bool(slow),
            in_a_row=self.in_a_row + 1,
        )

    def with_error(self) -> Seen:
        """One more that was not."""
        return dataclasses.replace(self, errors=self.errors + 1, in_a_row=0)


class Move(enum.Enum):
    """What is to be done."""

    GO_ON = "go on"
    CONFIRM = "confirm"
    ROLL_BACK = "roll back"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A move, and why in words."""

    move: Move
    why: str = ""


GO_ON = Advice(move=Move.GO_ON)


def slow_from_us(baseline: Baseline, settings: ProbationSettings) -> int:
    """Microseconds beyond which a frame is slow; 0: latency is not judged."""
    return round(baseline.p99_us * settings.latency_ratio) if baseline.p99_us else 0


def decide(seen: Seen, baseline: Baseline, settings: ProbationSettings, seconds: float) -> Advice:
    """What the counts ask for, after a frame.

    Args:
        seen: of the model on probation.
        baseline: of the model before it.
        settings: the station's.
        seconds: how long it has been on probation.
    """
    if settings.watch:
        why = _against(seen, baseline, settings)
        if why:
            return Advice(move=Move.ROLL_BACK, why=why)
    minutes, frames = settings.confirm_minutes, settings.confirm_frames
    if (minutes or frames) and seen.in_a_row >= max(1, frames) and seconds >= minutes * 60:
        return Advice(move=Move.CONFIRM, why=f"{seen.in_a_row} frames in a row in {seconds / 60:.1f} minutes")
    return GO_ON


def _against(seen: Seen, baseline: Baseline, settings: ProbationSettings) -> str:
    """What speaks for going back; empty: nothing."""
    if seen.errors >= settings.errors:
        return f"{seen.errors} frames could not be answered (models.probation.errors = {settings.errors})"
    look = look_at(seen.frames)
    if look is None:
        return ""
    risk = settings.risk / _TESTS * 6 / (math.pi * look) ** 2
    if baseline.p99_us and seen.timed >= LEAST_LATENCIES and at_least(seen.slow, seen.timed, SLOW_SHARE) < risk:
        return (
            f"{seen.slow} of {seen.timed} frames took longer than {slow_from_us(baseline, settings) / 1000:.1f} ms,"
            f" {settings.latency_ratio:g} times the 99th percentile of the model before it"
        )
    both = seen.alarms + baseline.alarms
    if not baseline.frames or not both:
        return ""
    rates = (
        f"{seen.alarms} of {seen.frames} frames are rejected ({seen.alarms / seen.frames:.1%});"
        f" the model before it had {baseline.alarms} of {baseline.frames} ({baseline.alarms / baseline.frames:.1%})"
    )
    if at_least(seen.alarms, both, _share(settings.most_alarm_ratio, seen, baseline)) < risk:
        return f"{rates}: more than {settings.most_alarm_ratio:g} times as often"
    least = settings.least_alarm_ratio
    if least and at_least(baseline.alarms, both, 1 - _share(least, seen, baseline)) < risk:
        return f"{rates}: less than {least:g} times as often"
    return ""


def _share(ratio: float, seen: Seen, baseline: Baseline) -> float:
    return ratio * seen.frames / (ratio * seen.frames + baseline.frames)


def look_at(frames: int) -> int | None:
    """Number of the look at this many frames, from 1; None: there is none."""
    look, place = 1, _FIRST_LOOK
    while place < frames:
        look, place = look + 1, math.ceil(place * _GROWTH)
    return look if place == frames else None
