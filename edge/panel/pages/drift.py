"""What has changed since the model began to serve, in kinds that the page has words for. Pure.

A finding needs both: more than a person would call the same (the practical limit), and more than the parts' own
differences explain (the noise). Either alone cries wolf: on a steady line the noise is tiny, on a mixed one it is not.
"""

from __future__ import annotations

import dataclasses
import math

from edge.panel.pages.sight import Looks, shift
from lineside.binomial import at_least

NOISE = 5.0
"""Standard errors of the difference of two means."""
RELATIVE = {"brightness": 0.12, "contrast": 0.20, "sharpness": 0.30}
"""Change of a mean, as a share of what it was."""
TILT = 0.08
SHIFT = 0.025
"""Share of the picture's side; means of twenty parts of the synthetic line, whose plates lie askew, differ by 0.01."""
SURE_SHIFT = 0.5
"""Least peak of the correlation."""
MORE_ALARMS = 1.5
RISK = 0.001
LESS_SURE = 0.07


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that changed. The page has a sentence and an advice for each kind."""

    kind: str
    before: float
    now: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Parts and scores of a stretch of time."""

    parts: int = 0
    rejected: int = 0
    scores: int = 0
    score_sum: float = 0.0
    score_squares: float = 0.0

    @property
    def score(self) -> float:
        """Mean score of the detections."""
        return self.score_sum / self.scores if self.scores else math.nan

    @property
    def score_spread(self) -> float:
        """Their standard deviation."""
        return math.sqrt(max(0.0, self.score_squares / self.scores - self.score**2)) if self.scores else math.nan


def picture_findings(before: Looks, now: Looks, taught: tuple[float, float] | None) -> list[Finding]:
    """What changed in the pictures.

    Args:
        before: the first ones under this model.
        now: the latest ones.
        taught: lowest and highest brightness of the package's own golden frames; None where they say nothing.
    """
    found = []
    for name, limit in RELATIVE.items():
        was, value = before.mean[name], now.mean[name]
        if abs(value - was) > limit * abs(was) and _beyond_noise(before, now, name):
            kind = {
                "brightness": "brighter" if value > was else "darker",
                "contrast": "contrast",
                "sharpness": "sharper" if value > was else "unsharp",
            }[name]
            found.append(Finding(kind=kind, before=was, now=value))
    x, y, peak = shift(before.small, now.small)
    moved = peak >= SURE_SHIFT and max(abs(x), abs(y)) > SHIFT
    if moved:
        found.append(Finding(kind="moved", before=0.0, now=math.hypot(x, y)))
    # A bright part that lies further right tilts the mean as a lamp would; the shift explains it then.
    elif abs(now.mean["tilt"] - before.mean["tilt"]) > TILT and _beyond_noise(before, now, "tilt"):
        found.append(Finding(kind="uneven", before=before.mean["tilt"], now=now.mean["tilt"]))
    brightness = now.mean["brightness"]
    if taught is not None and not taught[0] * (1 - RELATIVE["brightness"]) <= brightness <= taught[1] * (
        1 + RELATIVE["brightness"]
    ):
        nearest = min(taught, key=lambda edge: abs(edge - brightness))
        found.append(Finding(kind="unlike_training", before=nearest, now=brightness))
    return found


def answer_findings(before: Alarms, now: Alarms) -> list[Finding]:
    """What changed in the model's answers; nothing where there are too few parts to say."""
    found = []
    if before.parts and now.parts:
        # Wilson's idea of never believing 0: one reject is added before it is multiplied.
        usual = min(1.0, MORE_ALARMS * (before.rejected + 1) / (before.parts + 1))
        if at_least(now.rejected, now.parts, usual) < RISK:
            shares = before.rejected / before.parts, now.rejected / now.parts
            found.append(Finding(kind="more_alarms", before=shares[0], now=shares[1]))
    if min(before.scores, now.scores) >= 20:
        error = math.sqrt(before.score_spread**2 / before.scores + now.score_spread**2 / now.scores)
        if before.score - now.score > max(LESS_SURE, NOISE * error):
            found.append(Finding(kind="less_sure", before=before.score, now=now.score))
    return found


def _beyond_noise(before: Looks, now: Looks, name: str) -> bool:
    error = math.sqrt(before.spread[name] ** 2 / before.count + now.spread[name] ** 2 / now.count)
    return abs(now.mean[name] - before.mean[name]) > NOISE * error
