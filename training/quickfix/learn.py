"""A small change of a network: the pattern's areas fall silent, every other answer stays the parent's.

    L = 1/n sum over the pattern's areas i, classes c of -log(1 - p(i, c))                                  (forget)
        + keep / m * sum over the other areas i of [sum over c of KL(s(i, c), p(i, c)) + s(i) * box(i)]     (keep)

p are the network's scores, s the parent's on the same pixels, s(i) the highest of an area; n is the number of the
pattern's areas in the batch, m the sum of s(i), so that thousands of areas on which both are silent do not drown the
defects; box is the smooth L1 distance of both boxes in anchor sizes. The first term is the masked loss of Cordier et
al. (equation 4) with nothing but ABSENT states, the second their section 5's distillation, on original pictures too.
Where an area is neither (UNKNOWN beside the pattern), nothing is taught.

Batch norm keeps the parent's statistics: a few hundred pictures of one pattern must not move them, and what does not
move stays bit for bit.

Shape suffixes: N batch, A areas, C classes.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from training.data.batches import Batch
from training.losses.classification import ABSENT, UNKNOWN, masked_classification
from training.models.backbone import Backbone, TopDown
from training.models.detector import Detector, RawOutput
from training.schedules import learning_rate

MOVES = ("classifier", "block", "network")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FixConfig:
    """How the change is learned."""

    moves: str = "network"
    """"classifier" alone; "block": with it the backbone's last block and the boxes; "network": everything."""
    steps: int = 300
    batch: int = 16
    """Pictures a step, half of them original."""
    side: int = 96
    """Model pixels of a crop; small ones are cheap, and statistics do not depend on them."""
    learning_rate: float = 1e-3
    """At its highest."""
    keep: float = 8.0
    """Weight of the parent's answers against the pattern's silence."""
    gamma: float = 0.5
    """Focal exponent of the pattern's silence: an area that is silent enough pulls no further. At 2 they stop right at
    the threshold, which is too near for parts nobody has seen."""
    clip: float = 5.0
    """Largest norm of the whole gradient."""

    def __post_init__(self) -> None:
        if self.moves not in MOVES:
            raise ValueError(f"moves is {self.moves!r}, expected one of {', '.join(MOVES)}")
        if self.steps < 1 or self.batch < 2 or self.batch % 2:
            raise ValueError(
                f"steps is {self.steps}, batch {self.batch}: expected 1 or more, and an even number from 2 up"
            )
        if not self.learning_rate > 0 or not self.keep >= 0 or not self.clip > 0:
            raise ValueError("learning_rate and clip must be above 0, keep 0 or more")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FixLosses:
    """One step's losses; numbers."""

    forget: float
    keep: float


OnStep = Callable[[int, int, FixLosses], None]
"""Steps done, steps in all, losses of the last."""


class Mender:
    """A child of a network that differs from it in its last layers only.

    Args:
        parent: taken as it is, never changed.
        config: how to learn.
    """

    def __init__(self, parent: Detector, config: FixConfig) -> None:
        self.parent = copy.deepcopy(parent).eval()
        self.child = copy.deepcopy(parent).eval()
        self._config = config
        moving = moving_parts(self.child, config.moves)
        for value in self.child.parameters():
            value.requires_grad_(False)
        self._moving = [value for module in moving for value in module.parameters()]
        for value in self._moving:
            value.requires_grad_(True)
        self._optimiser = torch.optim.AdamW(self._moving, lr=config.learning_rate, weight_decay=0.0)

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Forget and keep of a batch, scalars with gradient. In `batch.states` of new pictures the pattern is ABSENT;
        the original pictures' labels are not looked at."""
        with torch.no_grad():
            old = self.parent(batch.images)
        new = self.child(batch.images)
        pattern = batch.new[:, None] & batch.spoken & (batch.states == ABSENT).all(dim=-1)
        kept = ~pattern & ~(batch.new[:, None] & batch.spoken & (batch.states == UNKNOWN).all(dim=-1))
        return forget(new.logits, pattern, gamma=self._config.gamma), keep(new, old, kept)

    def step(self, batch: Batch, step: int, steps: int) -> FixLosses:
        """One optimiser step."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, highest=self._config.learning_rate, warm_up=0.1)
        silence, same = self.losses(batch)
        self._optimiser.zero_grad(set_to_none=True)
        (silence + self._config.keep * same).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._moving, self._config.clip)
        self._optimiser.step()
        return FixLosses(forget=float(silence.detach()), keep=float(same.detach()))


def moving_parts(network: Detector, moves: str) -> list[nn.Module]:
    """The modules that learn; `moves` as in `FixConfig`."""
    if moves == "network":
        return [network]
    parts: list[nn.Module] = [network.classify]
    if moves == "block":
        parts.append(_last_block(network.backbone))
        if network.locate is not None:
            parts.append(network.locate)
    return parts


def _last_block(backbone: nn.Module) -> nn.Module:
    """What makes the features: the last of a plain backbone's layers, or what joins the maps of one with several."""
    if isinstance(backbone, Backbone) and backbone.merge is None:
        return backbone.layers[-1]
    merge = backbone.merge
    assert isinstance(merge, TopDown)
    return merge.smooth


def mend(
    parent: Detector,
    batch_of: Callable[[int], Batch],
    config: FixConfig,
    *,
    seconds: float | None = None,
    on_step: OnStep | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Detector, int]:
    """Learns the change.

    Args:
        parent: the network to be mended; not changed.
        batch_of: the batch of a step.
        config: how.
        seconds: of wall time for the steps: fewer are done if need be, judged by the first ones. None: all.
        on_step: called after each step.
        clock: seconds of a clock that never goes back.

    Returns:
        The child, in evaluation mode, and the number of steps done.

    Raises:
        ValueError: the losses became NaN or infinite.
    """
    mender = Mender(parent, config)
    steps, started = config.steps, clock()
    step = 0
    while step < steps:
        losses = mender.step(batch_of(step), step, steps)
        step += 1
        if not math.isfinite(losses.forget + losses.keep):
            raise ValueError(
                f"the loss is no number at step {step}; lower learning_rate (now {config.learning_rate:g})"
            )
        if seconds is not None and step == _JUDGED:
            steps = max(_JUDGED, min(steps, int(seconds / max((clock() - started) / _JUDGED, 1e-9))))
        if on_step is not None:
            on_step(step, steps, losses)
    return mender.child.eval(), step


_JUDGED = 10
"""Steps after which a limit of time is turned into a number of steps."""


def forget(logits_nac: torch.Tensor, pattern_na: torch.Tensor, *, gamma: float) -> torch.Tensor:
    """-p^gamma log(1 - p) over the pattern's areas and all classes, divided by the number of areas; 0 without any."""
    states = torch.where(pattern_na, ABSENT, UNKNOWN)[..., None].expand_as(logits_nac)
    return masked_classification(logits_nac, states, gamma=gamma)


def keep(new: RawOutput, old: RawOutput, kept_na: torch.Tensor) -> torch.Tensor:
    """Distance of the kept areas' answers from the parent's, which carry no gradient; 0 where both are equal."""
    scores = torch.sigmoid(old.logits)
    # Cross-entropy less the parent's own entropy: 0 at the start, and readable as a distance.
    distance = functional.softplus(new.logits) - scores * new.logits
    distance = distance - (functional.softplus(old.logits) - scores * old.logits)
    highest = scores.amax(dim=-1)
    whole = distance.sum(dim=-1)
    if new.boxes is not None and old.boxes is not None:
        sides = (old.boxes[..., 2:] - old.boxes[..., :2]).clamp(min=1.0).repeat(1, 1, 2)
        moved = functional.smooth_l1_loss(new.boxes / sides, old.boxes / sides, reduction="none", beta=0.1)
        whole = whole + highest * moved.sum(dim=-1)
    whole = torch.where(kept_na, whole, torch.zeros_like(whole)).sum()
    return whole / torch.where(kept_na, highest, torch.zeros_like(highest)).sum().clamp(min=1.0)
