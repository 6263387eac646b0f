"""Backbones of the `timm` library, as an option where it imports: it needs torchvision, built for the same PyTorch.

Many of its models pool over the whole picture (squeeze and excite, attention). Training on crops and answering on whole
frames then differ, which our own backbones avoid; ResNets and ConvNeXts do not. Shape suffixes: N batch, C channels, H
rows, W columns.
"""

from __future__ import annotations

import difflib

import torch
from torch import nn

from training.extras import need
from training.models.backbone import TopDown
from training.models.config import TimmConfig


class TimmBackbone(nn.Module):
    """Pictures (N, channels, H, W), normalised, to features (N, width, H / stride, W / stride).

    Raises:
        MissingExtraError: timm is not installed, or does not work with the PyTorch that is.
        ValueError: timm has no such model, or it has no map of the stride that is asked for.
    """

    def __init__(self, config: TimmConfig, *, channels: int) -> None:
        super().__init__()
        timm = need(
            "timm",
            purpose=f"the backbone timm:{config.timm}",
            install="timm torchvision, both built for the PyTorch that is installed",
        )
        try:
            body = timm.create_model(config.timm, features_only=True, pretrained=False, in_chans=channels)
        except (RuntimeError, AttributeError, TypeError) as error:
            near = ", ".join(difflib.get_close_matches(config.timm, timm.list_models(), 5)) or "none"
            raise ValueError(
                f"timm makes no feature pyramid of {config.timm!r} ({error}); names like it: {near}"
            ) from None
        strides, widths = body.feature_info.reduction(), body.feature_info.channels()
        taken = [number for number, stride in enumerate(strides) if config.stride <= stride <= config.coarsest]
        expected = [config.stride << number for number in range(len(taken))]
        if not taken or [strides[number] for number in taken] != expected:
            raise ValueError(
                f"timm's {config.timm} has maps of stride {', '.join(map(str, strides))}; expected one of"
                f" {config.stride} and each next twice as coarse"
            )
        self.body = body
        self.taken = taken
        self.merge = TopDown([widths[number] for number in taken], config.width)
        self.outputs = config.width
        """Channels of the features."""

    def forward(self, images_nchw: torch.Tensor) -> torch.Tensor:
        """See the class."""
        maps = self.body(images_nchw)
        merged: torch.Tensor = self.merge([maps[number] for number in self.taken])
        return merged
