"""Small real checkpoints whose answers depend strongly on the picture, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.checkpoint import Lineage, Metadata, save
from training.models import BackboneConfig, Detector, DetectorConfig

CLASSES = ("dent", "scratch", "hole")


def detector(head: str = "anchors", *, channels: int = 1, seed: int = 0, width: int = 96, height: int = 64) -> Detector:
    """Random weights, spread so that scores differ from area to area."""
    torch.manual_seed(seed)
    config = DetectorConfig(
        classes=CLASSES,
        head=head,
        width=width,
        height=height,
        channels=channels,
        backbone=BackboneConfig(stem=4, widths=(8, 16), blocks=(0, 1)),
        shapes=((16.0, 16.0), (30.0, 24.0)),
    )
    made = Detector(config)
    torch.nn.init.normal_(made.classify.weight, std=0.6)
    torch.nn.init.constant_(made.classify.bias, -1.0)
    if made.locate is not None:
        torch.nn.init.normal_(made.locate.weight, std=0.2)
    return made.eval()


def checkpoint(folder: Path, head: str = "anchors", *, channels: int = 1, seed: int = 0) -> Path:
    """Writes such a detector as the training does."""
    made = detector(head, channels=channels, seed=seed)
    metadata = Metadata(
        config=made.config,
        recipe="transfer",
        training={"steps": 3, "lambda": 1.0},
        lineage=Lineage(parent_digest="sha256:" + "1" * 64, feedback_events=12, last_log_sequence=40, seed=seed),
        thresholds={"dent": 0.25},
    )
    return save(folder, made, metadata)


def frames(*shapes: tuple[int, ...], seed: int = 3) -> list[NDArray[np.uint8]]:
    """Pictures of coarse random blocks, (h, w) or (h, w, 3)."""
    generator = np.random.default_rng(seed)
    made = []
    for shape in shapes:
        coarse = generator.integers(0, 256, (shape[0] // 8, shape[1] // 8, *shape[2:]), np.uint8)
        made.append(np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1))
    return made
