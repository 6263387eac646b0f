"""The domain segmenter: which domain does each output pixel come from? (Cordier et al., section 3.4.4.)

"two convolution layers. The first layer is a 1 x 1 convolution layer (64 filters), and followed by a ReLU activation
and batch normalization. The second and last layer is a 1 x 1 convolution layer (1 filter) followed by a sigmoid".

It is used in training alone and is no part of a checkpoint. Shape suffixes: N batch, F features, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import nn


class DomainSegmenter(nn.Module):
    """Features (N, F, H, W) to logits (N, 1, H, W) of the new domain.

    The sigmoid is in the loss (`training.losses.domain`), where it is exact for large logits; `probability` is the
    paper's output.
    """

    def __init__(self, features: int, *, filters: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(features, filters, 1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(filters),
            nn.Conv2d(filters, 1, 1),
        )

    def forward(self, features_nfhw: torch.Tensor) -> torch.Tensor:
        """See the class."""
        logits: torch.Tensor = self.layers(features_nfhw)
        return logits

    def probability(self, features_nfhw: torch.Tensor) -> torch.Tensor:
        """(N, 1, H, W), 0 (original) to 1 (new)."""
        return torch.sigmoid(self(features_nfhw))
