"""The detector: pixels in, one row of class logits (and, for anchors, one box) per area out.

Shape suffixes: N batch, C classes, A areas, H rows, W columns, B areas of one cell.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from lineside.areas import AnchorGrid, Head
from training.models.backbone import backbone_for
from training.models.config import DetectorConfig

FIRST_PROBABILITY = 0.01
"""What every area answers before training: defects are rare (RetinaNet's prior)."""
LARGEST_LOG_SCALE = 2.0
"""A box is at most exp(2) = 7.4 times its anchor."""


class RawOutput(NamedTuple):
    """logits: (N, A, C) float32; the sigmoid is the score. boxes: (N, A, 4) float32 x1 y1 x2 y2 in model pixels, not
    clipped; None for the cell head. Areas in the flat order of `lineside.areas`."""

    logits: torch.Tensor
    boxes: torch.Tensor | None


class Detector(nn.Module):
    """A backbone with a cell or an anchor head.

    Each anchor has class logits of its own (B * (4 + C) outputs a cell): label states are per (area, class), and a
    click on one anchor must not teach its siblings. Normalisation is part of the network, so that nobody who runs it
    can get it wrong.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    priors: torch.Tensor

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(config.mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(config.deviation, dtype=torch.float32))
        self.backbone = backbone_for(config.backbone, channels=config.channels)
        count, classes = config.areas_per_cell, len(config.classes)
        self.classify = nn.Conv2d(self.backbone.outputs, count * classes, 1)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.constant_(self.classify.bias, -math.log((1 - FIRST_PROBABILITY) / FIRST_PROBABILITY))  # type: ignore[arg-type]
        self.locate: nn.Conv2d | None = None
        if config.head == "anchors":
            self.locate = nn.Conv2d(self.backbone.outputs, count * 4, 1)
            nn.init.normal_(self.locate.weight, std=0.01)
            nn.init.zeros_(self.locate.bias)  # type: ignore[arg-type]
            self.register_buffer("priors", _priors(self.head), persistent=False)
        self._crop_priors: dict[tuple[int, int], torch.Tensor] = {}

    @property
    def head(self) -> Head:
        """The areas for the configured input size."""
        return self.config.head_for(self.config.width, self.config.height)

    def features(self, images_nchw: torch.Tensor) -> torch.Tensor:
        """The backbone's last map (N, F, H / stride, W / stride) for float32 pictures (N, channels, H, W) in 0..255."""
        features: torch.Tensor = self.backbone((images_nchw - self.mean) / self.deviation)
        return features

    def answer(self, features: torch.Tensor) -> RawOutput:
        """The head on top of `features`."""
        classes = len(self.config.classes)
        logits = _flat(self.classify(features), classes).float()
        if self.locate is None:
            return RawOutput(logits, None)
        rows, columns = features.shape[2], features.shape[3]
        offsets = _flat(self.locate(features), 4).float()
        return RawOutput(logits, decode_boxes(offsets, self._priors_for(rows, columns)))

    def forward(self, images_nchw: torch.Tensor) -> RawOutput:
        """Answers for float32 pictures (N, channels, H, W) in 0..255; H and W are multiples of the stride."""
        return self.answer(self.features(images_nchw))

    def _priors_for(self, rows: int, columns: int) -> torch.Tensor:
        stride = self.config.backbone.stride
        if (rows, columns) == (self.config.height // stride, self.config.width // stride):
            return self.priors
        key = (rows, columns)
        if key not in self._crop_priors:
            self._crop_priors[key] = _priors(self.config.head_for(columns * stride, rows * stride))
        return self._crop_priors[key].to(self.priors.device)


def _flat(maps_nxhw: torch.Tensor, values: int) -> torch.Tensor:
    """(N, B * values, H, W) to (N, H * W * B, values): row, column, shape, as `lineside.areas` counts."""
    count = maps_nxhw.shape[1] // values * maps_nxhw.shape[2] * maps_nxhw.shape[3]
    return maps_nxhw.permute(0, 2, 3, 1).reshape(maps_nxhw.shape[0], count, values)


def _priors(head: Head) -> torch.Tensor:
    """(A, 4) centre x, centre y, width, height of the anchors, model pixels."""
    assert isinstance(head, AnchorGrid)
    corners = head.boxes()
    centre = (corners[:, :2] + corners[:, 2:]) / 2
    return torch.from_numpy(np.concatenate([centre, corners[:, 2:] - corners[:, :2]], axis=1))


def decode_boxes(offsets: torch.Tensor, priors: torch.Tensor) -> torch.Tensor:
    """(N, A, 4) corners in model pixels out of offsets dx, dy (in anchor sizes) and log scales dw, dh."""
    centre = priors[:, :2] + offsets[..., :2] * priors[:, 2:]
    half = priors[:, 2:] * torch.exp(offsets[..., 2:].clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)) / 2
    return torch.cat([centre - half, centre + half], dim=-1)
