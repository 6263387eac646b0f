"""One optimiser step: forward over both domains, objective and auxiliary losses, backward, clip, step, average."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from training.auxiliary import Auxiliary, Context
from training.average import RunningAverage
from training.checkpoint import Checkpoint
from training.config import TrainConfig
from training.data.batches import Batch
from training.models.detector import Detector
from training.objective import objective
from training.processes import ALONE
from training.schedules import average_decay, learning_rate


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepLosses:
    """Scalars of one step, without gradient: the whole, the objective's parts, and the auxiliary losses by name."""

    total: torch.Tensor
    original: torch.Tensor
    new: torch.Tensor
    auxiliary: Mapping[str, torch.Tensor]


class Learner:
    """Network, its average, the optimiser and the auxiliary losses of one run.

    Args:
        config: of the run.
        parent: whose weights the network starts from, where the config says so.
    """

    def __init__(self, config: TrainConfig, parent: Checkpoint | None) -> None:
        self.config = config
        torch.manual_seed(config.seed)
        network = Detector(config.detector)
        if config.from_parent and parent is not None:
            network.load_state_dict(parent.detector.state_dict())
        self.network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = RunningAverage(self.network)
        matrices = [value for value in self.network.parameters() if value.ndim > 1]
        vectors = [value for value in self.network.parameters() if value.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": config.optimiser.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=config.optimiser.learning_rate,
        )
        self.auxiliaries: tuple[Auxiliary, ...] = ()
        self.mixed = uses_bfloat16(config.precision)
        self.rate = 0.0

    def add(self, auxiliaries: Sequence[Auxiliary]) -> None:
        """Takes auxiliary losses into the run, before its first step and before a saved state is put back.

        Raises:
            ValueError: two have the same name.
        """
        names = [auxiliary.name for auxiliary in auxiliaries]
        if len(set(names)) != len(names):
            raise ValueError(f"auxiliary losses are named {', '.join(names)}; expected each name once")
        self.auxiliaries = tuple(auxiliaries)
        for auxiliary in auxiliaries:
            parameters = list(auxiliary.parameters())
            if parameters:
                self.optimiser.add_param_group(
                    {"params": parameters, "weight_decay": self.config.optimiser.weight_decay}
                )

    def step(self, batch: Batch, step: int, steps: int) -> StepLosses:
        """One optimiser step on the batch of that number."""
        settings = self.config.optimiser
        self.rate = learning_rate(step, steps, highest=settings.learning_rate, warm_up=settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        total, losses = self.losses(batch, step, steps)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        for auxiliary in self.auxiliaries:
            # Apart from the network's: a judge that learns fast must not shorten the network's steps.
            torch.nn.utils.clip_grad_norm_(auxiliary.parameters(), settings.clip)
        self.optimiser.step()
        self.average.update(self.network, average_decay(step, decay=settings.average))
        for auxiliary in self.auxiliaries:
            auxiliary.after_step(self.network, step)
        return losses

    def losses(self, batch: Batch, step: int, steps: int) -> tuple[torch.Tensor, StepLosses]:
        """Both domains in one forward pass, so that batch statistics are joint: what to go down on, and its parts."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.mixed):
            features = self.network.features(batch.images)
            output = self.network.answer(features)
        losses = objective(output, batch, self.config.objective)
        total, parts = losses.total, {}
        if self.auxiliaries:
            context = Context(
                network=self.network,
                features=features,
                output=output,
                batch=batch,
                step=step,
                steps=steps,
                total=ALONE.total,
            )
            with torch.autocast("cpu", torch.bfloat16, enabled=self.mixed):
                for auxiliary in self.auxiliaries:
                    loss = auxiliary.loss(context)
                    parts[auxiliary.name] = loss.detach()
                    total = total + loss
        return total, StepLosses(total=total.detach(), original=losses.original, new=losses.new, auxiliary=parts)

    def use_average(self) -> None:
        """The averaged weights become the network's."""
        if self.config.optimiser.average:
            self.network.load_state_dict(self.average.values)
        self.network.eval()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that a resumed run needs, by name; batches need nothing, being a function of (seed, step)."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.values.items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in values.items()}
        for auxiliary in self.auxiliaries:
            tensors |= {f"auxiliary.{auxiliary.name}/{name}": value for name, value in auxiliary.state_dict().items()}
        return tensors

    def put_back(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """The reverse of `tensors`.

        Raises:
            ValueError: a part is missing.
        """
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "optimiser": {}, "auxiliary": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = value
        missing = sorted(self.average.values.keys() - parts["average"].keys())
        if missing or parts["network"].keys() != self.average.values.keys():
            raise ValueError("the saved state is of another network; train without --resume")
        self.network.load_state_dict(parts["network"])
        for name, value in self.average.values.items():
            value.copy_(parts["average"][name])
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in parts["optimiser"].items():
            number, _, rest = name.partition(".")
            moments.setdefault(int(number), {})[rest] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        for auxiliary in self.auxiliaries:
            prefix = f"{auxiliary.name}/"
            mine = {name[len(prefix) :]: value for name, value in parts["auxiliary"].items() if name.startswith(prefix)}
            auxiliary.load_state_dict(mine)


def uses_bfloat16(precision: str) -> bool:
    """What a configured precision means on this machine."""
    if precision == "auto":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return precision == "bfloat16"
