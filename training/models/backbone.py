"""The backbone: small, fast on a CPU core, one feature map at the end.

Folding the first pixels into channels (pixel unshuffle) loses nothing and spares the costly convolutions at full
resolution. Shape suffixes: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import nn

from training.models.config import BackboneConfig


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x_nchw: torch.Tensor) -> torch.Tensor:
        """Same shape out as in."""
        return torch.relu(x_nchw + self.norm(self.second(self.first(x_nchw))))


class Backbone(nn.Module):
    """Pictures (N, channels, H, W), normalised, to features (N, widths[-1], H / stride, W / stride)."""

    def __init__(self, config: BackboneConfig, *, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(config.stem)] if config.stem > 1 else []
        inputs = channels * config.stem**2
        for number, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            layers.append(_convolution(inputs, width, stride=1 if number == 0 else 2))
            layers.extend(ResidualBlock(width) for _ in range(blocks))
            inputs = width
        self.layers = nn.Sequential(*layers)
        self.outputs = inputs
        """Channels of the features."""

    def forward(self, images_nchw: torch.Tensor) -> torch.Tensor:
        """See the class."""
        features: torch.Tensor = self.layers(images_nchw)
        return features
