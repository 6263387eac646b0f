"""A mean teacher on UNKNOWN areas of new frames: the defects the parent missed are there, and nobody was shown them.

Source: Tarvainen and Valpola (2017) for the average; confident pseudo-labels for a differently lit view as in Sohn et
al. (2020, FixMatch) and Liu et al. (2021, Unbiased Teacher); answers per area instead of boxes as in Zhou et al. (2022,
Dense Teacher).

    teacher's weights = running average of the network's;  s = teacher's scores on the picture as it is
    state' = PRESENT where s >= present,  ABSENT where s <= absent,  else UNKNOWN;  only where the log says UNKNOWN

    L_T = weight * ramp * (sum over state' PRESENT of l + background * sum over state' ABSENT of l) / n
    n = areas with a state' PRESENT + areas operators spoke about, at least the number of pictures

l is the focal loss of `training.losses.classification` on the same crop under changed light. An operator's answer is
never overruled: what is known has exactly no gradient from here.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from training.auxiliary import Context
from training.average import RunningAverage
from training.losses.classification import ABSENT, PRESENT, UNKNOWN, masked_classification
from training.models.detector import Detector
from training.schedules import average_decay


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """When the teacher is believed."""

    weight: float = 0.5
    """Against the areas operators spoke about."""
    present: float = 0.7
    """Score from which an area is taught as a defect of that class."""
    absent: float = 0.02
    """Score up to which it is taught as free of it; 0: never."""
    background: float = 1.0
    """Weight of an area taught as free of defects against one taught as a defect."""
    gamma: float = 1.5
    """Focal exponent."""
    decay: float = 0.995
    """Of the teacher's weights, a step."""
    start: float = 0.2
    """Share of the steps before it is heard; afterwards its weight grows from 0 over as many steps again."""

    def __post_init__(self) -> None:
        for name in ("weight", "background", "gamma"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"teacher.{name} is {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.absent < self.present <= 1:
            raise ValueError(
                f"teacher.absent is {self.absent}, present {self.present}: expected 0 <= absent < present <= 1"
            )
        for name in ("decay", "start"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"teacher.{name} is {getattr(self, name)}, expected 0 up to below 1")

    def strength(self, step: int, steps: int) -> float:
        """Weight at a step: 0 before `start`, then growing."""
        if not self.start:
            return self.weight
        return self.weight * min(1.0, max(0.0, step / (self.start * steps) - 1))


def confident_states(
    scores_nac: torch.Tensor, states_nac: torch.Tensor, *, present: float, absent: float
) -> torch.Tensor:
    """int8 (N, A, C): what a teacher is sure of where nothing is known; UNKNOWN everywhere else.

    Args:
        scores_nac: float (N, A, C), 0 to 1.
        states_nac: int8 (N, A, C), what operators said.
        present, absent: scores from which and up to which the teacher is believed.
    """
    guessed = torch.full_like(states_nac, UNKNOWN)
    guessed[scores_nac <= absent] = ABSENT
    guessed[scores_nac >= present] = PRESENT
    guessed[states_nac != UNKNOWN] = UNKNOWN
    return guessed


class Teacher:
    """Teaches the network what its own running average is sure of, on UNKNOWN areas of new frames.

    Args:
        config: when it is believed.
        network: the one to be trained, with its first weights.
    """

    name = "teacher"

    def __init__(self, config: TeacherConfig, network: Detector) -> None:
        self._config = config
        self._network = copy.deepcopy(network).eval()
        self._average = RunningAverage(network)

    def parameters(self) -> Iterable[nn.Parameter]:
        """None: the optimiser does not move a teacher."""
        return ()

    def loss(self, context: Context) -> torch.Tensor:
        """L_T of the module's description."""
        config, batch = self._config, context.batch
        strength = config.strength(context.step, context.steps)
        new = batch.new
        if not strength:
            return context.output.logits.new_zeros(())
        with torch.no_grad():
            answer = torch.func.functional_call(self._network, self._average.values, (batch.unlit[new],))
            scores = torch.sigmoid(answer.logits)
            guessed = confident_states(scores, batch.states[new], present=config.present, absent=config.absent)
        found = (guessed == PRESENT).any(dim=-1)
        number = context.total((found.sum() + batch.spoken[new].sum()).float())
        number = torch.maximum(number, context.total(new.sum().float())).clamp(min=1)
        logits = context.output.logits[new]
        loss = masked_classification(logits, guessed, found, gamma=config.gamma, number=number)
        loss = loss + config.background * masked_classification(
            logits, guessed, ~found, gamma=config.gamma, number=number
        )
        return strength * loss

    def after_step(self, network: Detector, step: int) -> None:
        """The teacher follows the network."""
        self._average.update(network, average_decay(step, decay=self._config.decay))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The teacher's weights and statistics."""
        return dict(self._average.values)

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> object:
        """Puts them back.

        Raises:
            ValueError: they are of another network.
        """
        if state.keys() != self._average.values.keys():
            raise ValueError("the saved teacher is of another network; train without --resume")
        for name, value in self._average.values.items():
            value.copy_(state[name])
        return None
