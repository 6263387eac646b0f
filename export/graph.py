"""The deployed graph: bytes of a picture in, a fixed-size answer out. What a station runs is exactly this module.

No number of the model lives outside it: normalisation, sigmoid and box decoding are inside, so a caller cannot get
them wrong. Suppression and grouping are outside (lineside.decode): they work on a few hundred rows.

Shape suffixes: N batch, H rows, W columns, C channels of the picture, K candidates.
"""

from __future__ import annotations

import torch
from torch import nn

from lineside.areas import CellGrid
from lineside.golden import ANCHOR_OUTPUTS, CELL_OUTPUTS
from training.models import Detector
from training.models.candidates import top_candidates

INPUT_NAME = "image"


class DeployedGraph(nn.Module):
    """A detector as it is deployed.

    Args:
        detector: trained; it is put into evaluation mode.
        top_k: candidates of an anchor head; cut to areas times classes. Not used for cells.
    """

    def __init__(self, detector: Detector, *, top_k: int) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}, expected at least 1")
        self.detector = detector.eval()
        head = detector.head
        self.top_k = min(top_k, head.count * len(detector.config.classes))
        self.grid = head if isinstance(head, CellGrid) else None

    @property
    def output_names(self) -> tuple[str, ...]:
        """In the order in which `forward` gives them."""
        return ANCHOR_OUTPUTS if self.grid is None else CELL_OUTPUTS

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Without the batch axis."""
        if self.grid is not None:
            return {"heat": (self.grid.rows, self.grid.columns, len(self.detector.config.classes))}
        return {"boxes": (self.top_k, 4), "scores": (self.top_k,), "classes": (self.top_k,), "areas": (self.top_k,)}

    def forward(self, image_nhwc: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Answers for uint8 pictures (N, H, W, C), letterboxed.

        Returns:
            Anchors: boxes float32 (N, K, 4) x1 y1 x2 y2 in model pixels, scores float32 (N, K) falling, classes int32
            (N, K), areas int32 (N, K). Cells: heat float32 (N, H', W', classes).
        """
        # The cast comes first: TensorRT takes uint8 inputs into a cast and into nothing else.
        raw = self.detector(image_nhwc.float().permute(0, 3, 1, 2))
        if self.grid is None:
            return tuple(top_candidates(raw, self.top_k))
        heat = torch.sigmoid(raw.logits)
        return (heat.reshape(-1, *self.output_shapes["heat"]),)
