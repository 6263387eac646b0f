"""One optimiser step: forward over both domains, objective and auxiliary losses, backward, clip, step, average."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.auxiliaries import auxiliaries_for
from training.auxiliary import Auxiliary, Context
from training.average import RunningAverage
from training.checkpoint import Checkpoint
from training.config import TrainConfig
from training.data.batches import Batch
from training.device import CPU, uses_bfloat16
from training.models.detector import Detector
from training.models.joint_norm import count_jointly
from training.objective import objective
from training.processes import ALONE, Processes
from training.schedules import average_decay, learning_rate


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepLosses:
    """Scalars of one step, without gradient: the whole, the objective's parts, and the auxiliary losses by name.

    With several processes they are those of this one's share; the sum over processes is the whole batch's.
    """

    total: torch.Tensor
    original: torch.Tensor
    new: torch.Tensor
    auxiliary: Mapping[str, torch.Tensor]


class Learner:
    """Network, its average, the optimiser and the auxiliary losses of one run.

    Args:
        config: of the run.
        parent: whose weights the network starts from, where the config says so.
        auxiliaries: losses beside the objective; None: those the config asks for.
        device: where all of it is computed; a parent is moved there.
        processes: who computes the batch together.

    Raises:
        ValueError: two auxiliary losses have the same name.
    """

    def __init__(
        self,
        config: TrainConfig,
        parent: Checkpoint | None,
        *,
        auxiliaries: Sequence[Auxiliary] | None = None,
        device: torch.device = CPU,
        processes: Processes = ALONE,
    ) -> None:
        self.config = config
        self.device = device
        self.mixed = uses_bfloat16(config.precision, device)
        self.rate = 0.0
        if device.type == "cuda":
            torch.cuda.set_device(device)
        torch.manual_seed(config.seed)
        network = Detector(config.detector)
        if parent is not None:
            parent.detector.to(device)
            if config.from_parent:
                network.load_state_dict(parent.detector.state_dict())
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = auxiliaries_for(config, network, parent) if auxiliaries is None else tuple(auxiliaries)
        names = [auxiliary.name for auxiliary in found]
        if len(set(names)) != len(names):
            raise ValueError(f"auxiliary losses are named {', '.join(names)}; expected each name once")
        step = _Losses(config, network, found, processes, mixed=self.mixed)
        self.auxiliaries = found
        self._processes = processes
        self._losses: nn.Module = step.to(device)
        if processes.several:
            count_jointly(step, device)
            self._losses = DistributedDataParallel(step)
        self.network = network.train()
        self.average = RunningAverage(network)
        self.optimiser = self._optimiser()

    def _optimiser(self) -> torch.optim.AdamW:
        settings = self.config.optimiser
        matrices = [value for value in self.network.parameters() if value.ndim > 1]
        vectors = [value for value in self.network.parameters() if value.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        for auxiliary in self.auxiliaries:
            parameters = list(auxiliary.parameters())
            if parameters:
                groups.append({"params": parameters, "weight_decay": settings.weight_decay})
        return torch.optim.AdamW(groups, lr=settings.learning_rate)

    def step(self, batch: Batch, step: int, steps: int) -> StepLosses:
        """One optimiser step on the batch of that number, or on this process's share of it.

        Args:
            batch: on any device.
            step: counted from 0.
            steps: of the whole run as planned now.
        """
        settings = self.config.optimiser
        self.rate = learning_rate(step, steps, highest=settings.learning_rate, warm_up=settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        total, losses = self.losses(batch, step, steps)
        self.optimiser.zero_grad(set_to_none=True)
        # DistributedDataParallel takes the mean over processes; the shares' gradients have to be added up.
        (total * self._processes.share.count).backward()  # type: ignore[no-untyped-call]
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
        """What to go down on, and its parts."""
        found: tuple[torch.Tensor, StepLosses] = self._losses(batch.to(self.device), step, steps)
        return found

    def use(self, values: Mapping[str, torch.Tensor]) -> None:
        """These weights and statistics become the network's, for good."""
        self.network.load_state_dict(values)
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


class _Losses(nn.Module):
    """The forward pass of a step as one module over all that is learned: what DistributedDataParallel wraps."""

    def __init__(
        self,
        config: TrainConfig,
        network: Detector,
        auxiliaries: Sequence[Auxiliary],
        processes: Processes,
        *,
        mixed: bool,
    ) -> None:
        super().__init__()
        self.network = network
        self.beside = nn.ModuleList([item for item in auxiliaries if isinstance(item, nn.Module)])
        others = [item for item in auxiliaries if not isinstance(item, nn.Module)]
        self.loose = nn.ParameterList([value for item in others for value in item.parameters()])
        self._auxiliaries = tuple(auxiliaries)
        self._config = config
        self._mixed = mixed
        self._total = processes.total

    def forward(self, batch: Batch, step: int, steps: int) -> tuple[torch.Tensor, StepLosses]:
        """Both domains in one forward pass, so that batch statistics are joint."""
        kind = batch.images.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self._mixed):
            features = self.network.features(batch.images)
            output = self.network.answer(features)
        losses = objective(output, batch, self._config.objective, self._total)
        total, parts = losses.total, {}
        if self._auxiliaries:
            context = Context(
                network=self.network,
                features=features,
                output=output,
                batch=batch,
                step=step,
                steps=steps,
                total=self._total,
            )
            with torch.autocast(kind, torch.bfloat16, enabled=self._mixed):
                for auxiliary in self._auxiliaries:
                    loss = auxiliary.loss(context)
                    parts[auxiliary.name] = loss.detach()
                    total = total + loss
        return total, StepLosses(total=total.detach(), original=losses.original, new=losses.new, auxiliary=parts)
