"""The backbone: from small and fast on a CPU core to strong, one feature map at the end.

Folding the first pixels into channels (pixel unshuffle) loses nothing and spares the costly convolutions at full
resolution. There is no pooling over the whole picture (squeeze and excite, attention): training sees crops, a station
sees frames, and what a place answers must depend on its surroundings alone. Shape suffixes: N batch, C channels, H
rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from training.models.config import AnyBackbone, BackboneConfig

if TYPE_CHECKING:
    from training.models.timm_backbone import TimmBackbone


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


class TopDown(nn.Module):
    """Maps of falling resolution merged into the finest (Lin et al., 2017, Feature Pyramid Networks).

        m_last = lateral_last(x_last),    m_i = lateral_i(x_i) + enlarged(m_i+1),    out = smooth(m_0)

    Each map is half as large as the one before it, rounded up; enlarging repeats each value over 2 x 2 places.

    Args:
        inputs: channels of each map, finest first.
        outputs: channels of the result.
    """

    def __init__(self, inputs: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in inputs)
        self.smooth = _convolution(outputs, outputs)

    def forward(self, maps_nchw: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, outputs, H, W) of the finest map."""
        merged: torch.Tensor | None = None
        for lateral, x_nchw in zip(reversed(list(self.laterals)), reversed(maps_nchw), strict=True):
            mine: torch.Tensor = lateral(x_nchw)
            merged = mine if merged is None else mine + _enlarged(merged, mine.shape[2], mine.shape[3])
        out: torch.Tensor = self.smooth(merged)
        return out


def _enlarged(x_nchw: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Twice the size, cut to `rows` and `columns`: where a side is odd, the coarse map was rounded up."""
    doubled = nn.functional.interpolate(x_nchw, scale_factor=2.0, mode="nearest")
    return doubled[:, :, :rows, :columns]


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
        coarser = [inputs, *(width for width, _ in config.context)]
        self.context = nn.ModuleList(
            nn.Sequential(_convolution(before, width, stride=2), *(ResidualBlock(width) for _ in range(blocks)))
            for before, (width, blocks) in zip(coarser, config.context, strict=False)
        )
        self.merge = TopDown(coarser, inputs) if config.context else None

    def forward(self, images_nchw: torch.Tensor) -> torch.Tensor:
        """See the class."""
        features: torch.Tensor = self.layers(images_nchw)
        if self.merge is None:
            return features
        maps = [features]
        for stage in self.context:
            maps.append(stage(maps[-1]))
        merged: torch.Tensor = self.merge(maps)
        return merged


def backbone_for(config: AnyBackbone, *, channels: int) -> Backbone | TimmBackbone:
    """The module of a config.

    Raises:
        MissingExtraError: it is one of timm's, which is not installed or does not work here.
        ValueError: timm has no such model.
    """
    if isinstance(config, BackboneConfig):
        return Backbone(config, channels=channels)
    from training.models.timm_backbone import TimmBackbone

    return TimmBackbone(config, channels=channels)
