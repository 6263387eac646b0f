"""Small detectors with the outputs that the common exporters write, and what they mean, worked out place by place.

Each network has `maps`, its raw maps as a convolution gives them, and `forward`, which arranges them as the exporter of
its family does (names, order, forms). `places` says in plain loops over levels, rows and columns what each place means:
a second way from the same numbers to boxes and scores, which shares nothing with what is tested.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from support.foreign_basics import (
    ANCHORS,
    BINS,
    CLASSES,
    HEIGHT,
    QUERIES,
    STRIDES,
    WIDTH,
    Place,
    Position,
    Raised,
    exported,
    loud,
    pictures,
    points_of,
    prepared,
    quiet,
    raised,
    sigmoid,
)
from torch import nn

__all__ = [
    "ANCHORS",
    "BINS",
    "CLASSES",
    "HEIGHT",
    "QUERIES",
    "STRIDES",
    "WIDTH",
    "Apart",
    "Deployed",
    "Network",
    "Place",
    "Position",
    "Raised",
    "RtDetr",
    "YoloV5",
    "YoloV8",
    "YoloV10",
    "YoloX",
    "exported",
    "loud",
    "pictures",
    "points_of",
    "prepared",
    "quiet",
    "raised",
    "sigmoid",
]


class Network(nn.Module):
    """A trunk with levels of stride 8, 16 and 32, and raw maps of `columns` channels on each."""

    names: tuple[tuple[str, ...], tuple[str, ...]] = (("images",), ("output0",))
    """Of inputs and outputs."""
    white = 1.0
    """What level 255 is to it."""

    def __init__(self, columns: int, *, channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 16, 3, 2, 1),
            nn.SiLU(),
            nn.Conv2d(16, 16, 3, 2, 1),
            nn.SiLU(),
            nn.Conv2d(16, 16, 3, 2, 1),
        )
        self.down = nn.ModuleList(nn.Conv2d(16, 16, 3, 2, 1) for _ in STRIDES[1:])
        self.heads = nn.ModuleList(nn.Conv2d(16, columns, 1) for _ in STRIDES)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.5)
        self.eval()

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """One map for each level."""
        levels = [torch.tanh(self.stem(images * (2 / self.white) - 0.8))]
        for down in self.down:
            levels.append(torch.tanh(down(levels[-1])))
        return levels

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Raw maps (N, columns, rows, columns of the level), finest first."""
        return [head(level) for head, level in zip(self.heads, self.features(images), strict=True)]

    @torch.no_grad()
    def places(self, image: torch.Tensor) -> list[Place]:
        """What the network means, for one prepared picture (1, C, H, W)."""
        found = []
        for number, (level, stride) in enumerate(zip(self.maps(image), STRIDES, strict=True)):
            values = level[0].double().numpy()
            for row in range(values.shape[1]):
                for column in range(values.shape[2]):
                    found.extend(self.meaning(values[:, row, column], (number, row, column), stride))
        return found

    def meaning(self, values: NDArray[np.float64], place: tuple[int, int, int], stride: int) -> list[Place]:
        """What the raw numbers of one cell mean."""
        raise NotImplementedError


class YoloV8(Network):
    """(N, 4 + C, A): centre and sides in pixels, sigmoid scores; distances by expectation over bins."""

    corners = False

    def __init__(self, *, channels: int = 3, seed: int = 0) -> None:
        super().__init__(4 * BINS + len(CLASSES), channels=channels, seed=seed)
        for head in self.heads:
            loud(head, 4 * BINS)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.table(images),)

    def table(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.maps(images)
        flat = torch.cat([level.flatten(2) for level in maps], 2)
        distances, scores = flat.split((4 * BINS, len(CLASSES)), 1)
        steps = torch.arange(BINS, dtype=torch.float32)
        distances = (distances.reshape(-1, 4, BINS, flat.shape[2]).softmax(2) * steps[None, None, :, None]).sum(2)
        points, strides = points_of(maps)
        low, high = points - distances[:, :2], points + distances[:, 2:]
        boxes = torch.cat([low, high] if self.corners else [(low + high) / 2, high - low], 1) * strides
        return torch.cat([boxes, scores.sigmoid()], 1)

    def meaning(self, values: NDArray[np.float64], place: tuple[int, int, int], stride: int) -> list[Place]:
        distances = []
        for side in range(4):
            weights = [math.exp(value) for value in values[side * BINS : (side + 1) * BINS]]
            distances.append(stride * sum(bin_ * weight for bin_, weight in enumerate(weights)) / sum(weights))
        x, y = (place[2] + 0.5) * stride, (place[1] + 0.5) * stride
        box = (x - distances[0], y - distances[1], x + distances[2], y + distances[3])
        return [Place(position=(*place, 0), box=box, scores=tuple(sigmoid(value) for value in values[4 * BINS :]))]


class YoloV10(YoloV8):
    """(N, K, 6): corners, score, class of the K best, chosen inside."""

    corners = True

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        boxes, scores = self.table(images).permute(0, 2, 1).split((4, len(CLASSES)), 2)
        best = scores.max(2).values.topk(20).indices[..., None]
        boxes, scores = boxes.gather(1, best.expand(-1, -1, 4)), scores.gather(1, best.expand(-1, -1, len(CLASSES)))
        scores, place = scores.flatten(1).topk(20)
        row = (place // len(CLASSES))[..., None]
        return (
            torch.cat(
                [boxes.gather(1, row.expand(-1, -1, 4)), scores[..., None], (place % len(CLASSES))[..., None].float()],
                2,
            ),
        )


class YoloV5(Network):
    """(N, A, 5 + C), shape by shape within a level: centre and sides in pixels, objectness, scores."""

    def __init__(self, *, seed: int = 0) -> None:
        self.shapes = len(ANCHORS[0])
        super().__init__(self.shapes * (5 + len(CLASSES)), seed=seed)
        for head in self.heads:
            for first in range(4, head.out_channels, 5 + len(CLASSES)):
                head.weight.data[first : first + 1 + len(CLASSES)] *= 3
                head.bias.data[first : first + 1 + len(CLASSES)] = -1.5
        # As the exporter does: worked out beforehand for the input's size, and so constants of the graph.
        self.grids, self.anchor_grids = [], []
        for stride, shapes in zip(STRIDES, ANCHORS, strict=True):
            high, wide = HEIGHT // stride, WIDTH // stride
            y, x = torch.meshgrid(torch.arange(high), torch.arange(wide), indexing="ij")
            self.grids.append(torch.stack([x, y], 2).float() - 0.5)
            anchors = torch.tensor(shapes).reshape(1, self.shapes, 1, 1, 2)
            self.anchor_grids.append(anchors.expand(1, self.shapes, high, wide, 2).contiguous())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        columns = 5 + len(CLASSES)
        rows = []
        for number, (level, stride) in enumerate(zip(self.maps(images), STRIDES, strict=True)):
            high, wide = level.shape[2:]
            values = level.reshape(-1, self.shapes, columns, high, wide).permute(0, 1, 3, 4, 2).sigmoid()
            centre = (values[..., 0:2] * 2 + self.grids[number]) * stride
            sides = (values[..., 2:4] * 2) ** 2 * self.anchor_grids[number]
            table = torch.cat([centre, sides, values[..., 4:]], 4)
            rows.append(table.reshape(-1, self.shapes * high * wide, columns))
        return (torch.cat(rows, 1),)

    def meaning(self, values: NDArray[np.float64], place: tuple[int, int, int], stride: int) -> list[Place]:
        found = []
        for shape, (width, height) in enumerate(ANCHORS[place[0]]):
            x, y, w, h, sure, *scores = (sigmoid(value) for value in values.reshape(self.shapes, -1)[shape])
            x, y = (2 * x - 0.5 + place[2]) * stride, (2 * y - 0.5 + place[1]) * stride
            w, h = 4 * w * w * width, 4 * h * h * height
            found.append(
                Place(
                    position=(*place, shape),
                    box=(x - w / 2, y - h / 2, x + w / 2, y + h / 2),
                    scores=tuple(sure * score for score in scores),
                )
            )
        return found


class YoloX(Network):
    """(N, A, 5 + C): offset from the cell and logarithm of the sides, in strides; or decoded to pixels."""

    white = 255.0
    names = (("images",), ("output",))

    def __init__(self, *, decoded: bool = False, seed: int = 0) -> None:
        super().__init__(5 + len(CLASSES), seed=seed)
        for head in self.heads:
            head.weight.data[:4] *= 0.2  # boxes of a trained network lie near their cells
            loud(head, 4, gain=2.0, bias=-1.0)
        self.decoded = decoded

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.maps(images)
        flat = torch.cat([level.flatten(2) for level in maps], 2).permute(0, 2, 1)
        boxes, rest = flat[..., :4], flat[..., 4:].sigmoid()
        if self.decoded:
            points, strides = points_of(maps)
            corner = (points - 0.5).T
            boxes = torch.cat([boxes[..., :2] + corner, boxes[..., 2:].exp()], 2) * strides.T
        return (torch.cat([boxes, rest], 2),)

    def meaning(self, values: NDArray[np.float64], place: tuple[int, int, int], stride: int) -> list[Place]:
        x, y = (values[0] + place[2]) * stride, (values[1] + place[1]) * stride
        w, h = math.exp(values[2]) * stride, math.exp(values[3]) * stride
        sure, *scores = (sigmoid(value) for value in values[4:])
        return [
            Place(
                position=(*place, 0),
                box=(x - w / 2, y - h / 2, x + w / 2, y + h / 2),
                scores=tuple(sure * score for score in scores),
            )
        ]


class Apart(Network):
    """Boxes (N, A, 4) as corners and scores (N, A, C), as YOLO-NAS gives them."""

    names = (("input",), ("pred_boxes", "pred_scores"))

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(4 + len(CLASSES), seed=seed)
        for head in self.heads:
            loud(head, 4)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.maps(images)
        flat = torch.cat([level.flatten(2) for level in maps], 2)
        points, strides = points_of(maps)
        distances = nn.functional.softplus(flat[:, :4])
        boxes = torch.cat([points - distances[:, :2], points + distances[:, 2:]], 1) * strides
        return boxes.permute(0, 2, 1), flat[:, 4:].sigmoid().permute(0, 2, 1)

    def meaning(self, values: NDArray[np.float64], place: tuple[int, int, int], stride: int) -> list[Place]:
        left, top, right, bottom = (stride * math.log1p(math.exp(value)) for value in values[:4])
        x, y = (place[2] + 0.5) * stride, (place[1] + 0.5) * stride
        box = (x - left, y - top, x + right, y + bottom)
        return [Place(position=(*place, 0), box=box, scores=tuple(sigmoid(value) for value in values[4:]))]


class RtDetr(Network):
    """Queries that grow from the best points: logits (N, Q, C) and boxes (N, Q, 4) as parts of the sides."""

    names = (("pixel_values",), ("logits", "pred_boxes"))

    def __init__(self, *, learned: bool = False, seed: int = 0) -> None:
        super().__init__(16, seed=seed)
        self.score = nn.Linear(16, len(CLASSES))
        self.offset = nn.Linear(16, 4)
        self.classify = nn.Linear(16, len(CLASSES))
        self.mix = nn.MultiheadAttention(16, 2, batch_first=True)
        nn.init.normal_(self.score.weight, std=1.0)
        nn.init.normal_(self.classify.weight, std=1.0)
        loud(self.classify, 0, gain=0.6, bias=-1.0)
        nn.init.normal_(self.offset.weight, std=0.1)
        self.learned = nn.Parameter(torch.rand(1, QUERIES, 16)) if learned else None
        self.eval()

    def decode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits, boxes and the point that each query grew from."""
        maps = self.maps(images)
        memory = torch.cat([level.flatten(2) for level in maps], 2).permute(0, 2, 1)
        points, strides = points_of(maps)
        sides = torch.tensor([[WIDTH], [HEIGHT]])
        anchors = torch.cat([points * strides / sides, strides.expand(2, -1) * 2 / sides]).T.clamp(0.01, 0.99)
        chosen = self.score(memory).max(2).values.topk(QUERIES, dim=1).indices
        queries = memory.gather(1, chosen[..., None].expand(-1, -1, 16))
        start = torch.logit(anchors)[chosen]
        if self.learned is not None:
            queries, start = self.learned.expand(memory.shape[0], -1, -1), torch.logit(anchors)[None, :QUERIES]
        queries = queries + 0.5 * self.mix(queries, memory, memory)[0]
        return self.classify(queries), torch.sigmoid(start + self.offset(queries)), chosen

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.decode(images)[:2]

    @torch.no_grad()
    def places(self, image: torch.Tensor) -> list[Place]:
        logits, boxes, chosen = self.decode(image)
        positions = [
            (number, row, column, 0)
            for number, stride in enumerate(STRIDES)
            for row in range(HEIGHT // stride)
            for column in range(WIDTH // stride)
        ]
        found = []
        for query in range(QUERIES):
            x, y, w, h = boxes[0, query].tolist()
            box = ((x - w / 2) * WIDTH, (y - h / 2) * HEIGHT, (x + w / 2) * WIDTH, (y + h / 2) * HEIGHT)
            scores = tuple(sigmoid(value) for value in logits[0, query].tolist())
            found.append(Place(position=positions[int(chosen[0, query])], box=box, scores=scores))
        return found


class Deployed(nn.Module):
    """RT-DETR's and D-FINE's own exporters: labels, boxes in pixels and scores of the K best, chosen inside."""

    names = (("images", "orig_target_sizes"), ("labels", "boxes", "scores"))

    def __init__(self, network: RtDetr) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, orig_target_sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits, boxes, _ = self.network.decode(images)
        boxes = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2)
        boxes = boxes * orig_target_sizes.repeat(1, 2)[:, None].float()
        scores, place = logits.sigmoid().flatten(1).topk(10)
        row = place // len(CLASSES)
        return place - row * len(CLASSES), boxes.gather(1, row[..., None].expand(-1, -1, 4)), scores
