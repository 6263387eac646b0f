"""Batch norm over the pictures of all processes, on any device that their process group reaches.

torch.nn.SyncBatchNorm does this on GPUs, and nowhere else. Here each process sends the count, sum and sum of squares of
its share, in float64, where a difference of large sums loses nothing that matters:

    n = sum n_r,   mean = sum n_r m_r / n,   var = sum n_r (v_r + m_r^2) / n - mean^2

and the backward pass of a sum over processes is the sum over processes of the gradients. Shares may differ in size.
"""

from __future__ import annotations

import torch
from torch import distributed, nn


class _Sum(torch.autograd.Function):
    """Sum over processes, and in the backward pass the same."""

    @staticmethod
    def forward(_: object, values: torch.Tensor) -> torch.Tensor:
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_: object, gradient: torch.Tensor) -> torch.Tensor:
        summed = gradient.contiguous().clone()
        distributed.all_reduce(summed)
        return summed


class JointBatchNorm2d(nn.BatchNorm2d):
    """As `torch.nn.BatchNorm2d`, with the statistics of all processes in training; in evaluation there is none."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (the name the base class has)
        """(N, C, H, W), same shape out."""
        if not self.training:
            return super().forward(input)
        x_nchw = input.float()
        local = float(x_nchw.numel() // x_nchw.shape[1])
        var, mean = torch.var_mean(x_nchw, dim=(0, 2, 3), correction=0)
        mean, var = mean.double(), var.double()
        own = torch.cat([local * mean, local * (var + mean * mean), mean.new_tensor([local])])
        sums: torch.Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
        width, number = x_nchw.shape[1], sums[-1].detach()
        mean = sums[:width] / number
        var = (sums[width:-1] / number - mean * mean).clamp(min=0)
        self._remember(mean.detach(), var.detach() * (number / (number - 1)))
        scale = (var + self.eps).rsqrt().float() * self.weight
        shift = self.bias - mean.float() * scale
        return (x_nchw * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, unbiased: torch.Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def count_jointly(module: nn.Module, device: torch.device) -> None:
    """Turns every batch norm inside a module into a joint one; weights, statistics and names stay.

    On a GPU torch's own takes its place, elsewhere ours.

    Raises:
        TypeError: there is a batch norm that nobody has made joint.
    """
    for part in module.modules():
        if not isinstance(part, nn.modules.batchnorm._BatchNorm):
            continue
        if type(part) is not nn.BatchNorm2d or not part.affine or not part.track_running_stats:
            raise TypeError(
                f"{type(part).__name__} does not count over processes; use nn.BatchNorm2d with weights and running"
                " statistics, or train with one process"
            )
        if device.type != "cuda":
            part.__class__ = JointBatchNorm2d
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
