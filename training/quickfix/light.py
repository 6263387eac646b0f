"""Other light than the pictures at hand were taken in: local contrast raised or lowered around the local mean.

Turning a lamp raises what stands out and films that were hardly seen; the parent's answers are to be kept there too,
although no picture shows it yet. Shape suffixes: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

SIDE = 31
"""Model pixels of the square over which the local mean is taken; larger than what is inspected for."""


def other_light(images_nchw: torch.Tensor, generator: torch.Generator, *, strongest: float) -> torch.Tensor:
    """mean + k (picture - mean), k drawn per picture between 1 / sqrt(strongest) and strongest, as often below its
    middle as above (log-uniform).

    Args:
        images_nchw: float32 (N, C, H, W) in 0..255.
        generator: where the draws come from.
        strongest: 1 or more; 1 changes nothing.

    Returns:
        The same shape, in 0..255.
    """
    side = min(SIDE, images_nchw.shape[2] | 1, images_nchw.shape[3] | 1)
    mean = images_nchw
    for kernel, padding in (((1, side), (0, side // 2)), ((side, 1), (side // 2, 0))):
        mean = functional.avg_pool2d(mean, kernel, stride=1, padding=padding, count_include_pad=False)
    draw = torch.rand((len(images_nchw), 1, 1, 1), generator=generator)
    factor = torch.exp((draw * 1.5 - 0.5) * math.log(strongest))
    return (mean + factor * (images_nchw - mean)).clamp(0, 255)
