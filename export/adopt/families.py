"""What the exporters of the common detectors write: values and facts, no graph.

    family    one row a detection place         box               score               place
    yolov8    4 + C (v8, v9, v11, v12, v5u)     centre and sides  sigmoid inside      point of a grid
    yolov10   4 + C before its own choice       corners           sigmoid inside      point of a grid (v10, v26)
    yolov5    4 + 1 + C (v3, v5, v7)            centre and sides  object times class  anchor box, shape by shape
    yolox     4 + 1 + C, raw or decoded         offset from cell  object times class  point of a grid
    yolov6    4 + 1 + C                         centre and sides  object times class  point of a grid
    dense     boxes and scores apart            corners           sigmoid inside      point of a grid (NAS, PP-YOLOE)
    rtdetr    boxes and logits apart            parts of a side   logits              the encoder's point it grew from

A point becomes an area with a square of `SPAN` strides, an anchor box as good as any to say how large a thing is
looked for there: the contract knows no area without a shape, and the assigner of drawn boxes needs one.
"""

from __future__ import annotations

import dataclasses

from lineside.areas import AnchorGrid, AnchorLevel

SPAN = 4.0
"""Sides of a point's area in strides: the base size of RetinaNet's anchors, which stand for such a level too."""

STRIDES: tuple[tuple[int, ...], ...] = (
    (8, 16, 32),
    (8, 16, 32, 64),
    (4, 8, 16, 32),
    (16, 32),
    (8, 16, 32, 64, 128),
    (8, 16),
    (16,),
    (14,),
    (32,),
    (8,),
    (4,),
)
"""Sets of levels that are looked for, in this order."""

COCO_ANCHORS = "10,13 16,30 33,23; 30,61 62,45 59,119; 116,90 156,198 373,326"
"""YOLOv5's own for strides 8, 16, 32; named in help, never assumed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """What becomes of a grey level before the network sees it: (level * white / 255 - mean) / deviation."""

    white: float = 1.0
    """What 255 becomes before mean and deviation: 1 or 255."""
    order: str = "rgb"
    """Colours as the network was trained: "rgb" or "bgr". Not used for one channel."""
    mean: tuple[float, ...] = ()
    """By channel of the network's own order, on the scale of `white`. Empty: none."""
    deviation: tuple[float, ...] = ()
    """By channel, above 0. Empty: none."""

    def __post_init__(self) -> None:
        if self.white not in (1.0, 255.0):
            raise ValueError(f"white is {self.white:g}, expected 1 (levels 0 to 1) or 255 (levels 0 to 255)")
        if self.order not in ("rgb", "bgr"):
            raise ValueError(f"order is {self.order!r}, expected rgb or bgr")
        if any(not value > 0 for value in self.deviation):
            raise ValueError(f"deviation is {self.deviation}, expected values above 0")

    def check_channels(self, channels: int) -> None:
        """Means and deviations are as many as the channels.

        Raises:
            ValueError: they are not.
        """
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            if values and len(values) != channels:
                raise ValueError(f"{name} has {len(values)} values and the network {channels} channels")

    def in_words(self, channels: int) -> str:
        """For the manifest."""
        words = [f"levels 0 to {self.white:g}"]
        if channels == 3:
            words.append(self.order.upper())
        if self.mean:
            words.append("minus " + ", ".join(f"{value:g}" for value in self.mean))
        if self.deviation:
            words.append("divided by " + ", ".join(f"{value:g}" for value in self.deviation))
        return "; ".join(words)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One form of outputs."""

    name: str
    what: str
    """Networks that write it, for a reader."""
    joint: bool
    """Boxes and scores in one tensor."""
    objectness: bool
    """A fifth column that multiplies the class scores."""
    box: str
    """"centre": centre and sides. "corners": x1 y1 x2 y2. "cell": offset from the cell and logarithm of the sides, in
    strides (YOLOX as its exporter writes it by default)."""
    unit: str
    """"pixels" of the model's input, or "sides": parts of its width and height."""
    scores: str
    """"probability" or "logit"."""
    areas: str
    """"points", "anchors" or "queries"."""
    preprocessing: Preprocessing
    nms_iou: float
    """Overlap from which its own users suppress."""
    padding: int = 114


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="yolov8",
            what="YOLOv8, v9, v11, v12, v5u",
            joint=True,
            objectness=False,
            box="centre",
            unit="pixels",
            scores="probability",
            areas="points",
            preprocessing=Preprocessing(),
            nms_iou=0.7,
        ),
        Family(
            name="yolov10",
            what="YOLOv10, YOLO26 and others that choose for themselves",
            joint=True,
            objectness=False,
            box="corners",
            unit="pixels",
            scores="probability",
            areas="points",
            preprocessing=Preprocessing(),
            nms_iou=0.9,
        ),
        Family(
            name="yolov5",
            what="YOLOv3, v5, v7 with anchor boxes",
            joint=True,
            objectness=True,
            box="centre",
            unit="pixels",
            scores="probability",
            areas="anchors",
            preprocessing=Preprocessing(),
            nms_iou=0.45,
        ),
        Family(
            name="yolox",
            what="YOLOX",
            joint=True,
            objectness=True,
            box="cell",
            unit="pixels",
            scores="probability",
            areas="points",
            preprocessing=Preprocessing(white=255.0, order="bgr"),
            nms_iou=0.45,
        ),
        Family(
            name="yolov6",
            what="YOLOv6",
            joint=True,
            objectness=True,
            box="centre",
            unit="pixels",
            scores="probability",
            areas="points",
            preprocessing=Preprocessing(),
            nms_iou=0.45,
        ),
        Family(
            name="dense",
            what="YOLO-NAS, PP-YOLOE, DAMO-YOLO: boxes and scores of all points, apart",
            joint=False,
            objectness=False,
            box="corners",
            unit="pixels",
            scores="probability",
            areas="points",
            preprocessing=Preprocessing(),
            nms_iou=0.65,
        ),
        Family(
            name="rtdetr",
            what="RT-DETR, D-FINE, DEIM",
            joint=False,
            objectness=False,
            box="centre",
            unit="sides",
            scores="logit",
            areas="queries",
            preprocessing=Preprocessing(),
            nms_iou=0.9,
            padding=0,
        ),
    )
}


def point_grid(width: int, height: int, strides: tuple[int, ...]) -> AnchorGrid | None:
    """Points of these strides as areas; None where a stride does not divide the input."""
    if any(width % stride or height % stride for stride in strides):
        return None
    return AnchorGrid(
        levels=tuple(
            AnchorLevel(
                rows=height // stride,
                columns=width // stride,
                stride=stride,
                shapes=((SPAN * stride, SPAN * stride),),
            )
            for stride in strides
        )
    )


def anchor_grid(
    width: int, height: int, strides: tuple[int, ...], anchors: tuple[tuple[tuple[float, float], ...], ...]
) -> AnchorGrid | None:
    """Anchor boxes of these strides as areas; None where a stride does not divide the input.

    Raises:
        ValueError: not one set of anchors for each stride.
    """
    if len(anchors) != len(strides):
        raise ValueError(f"anchors are given for {len(anchors)} levels and there are {len(strides)}: {strides}")
    if any(width % stride or height % stride for stride in strides):
        return None
    return AnchorGrid(
        levels=tuple(
            AnchorLevel(rows=height // stride, columns=width // stride, stride=stride, shapes=shapes)
            for stride, shapes in zip(strides, anchors, strict=True)
        )
    )


def parse_anchors(text: str) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Anchor shapes out of "10,13 16,30 33,23; 30,61 62,45 59,119; ...": levels, finest first, in model pixels.

    Raises:
        ValueError: the text is not of that form.
    """
    try:
        levels = tuple(
            tuple((float(width), float(height)) for width, height in (pair.split(",") for pair in level.split()))
            for level in text.split(";")
        )
    except ValueError:
        levels = ((),)
    if not all(levels) or any(not (w > 0 and h > 0) for level in levels for w, h in level):
        raise ValueError(f"anchors are {text!r}, expected width,height pairs, levels apart by ';', as {COCO_ANCHORS!r}")
    return levels


def foreign_order(grid: AnchorGrid) -> list[int]:
    """Our area number of each place in YOLOv5's order, which counts shape by shape within a level, then row, column."""
    order: list[int] = []
    before = 0
    for level in grid.levels:
        shapes, cells = len(level.shapes), level.rows * level.columns
        order.extend(before + cell * shapes + shape for shape in range(shapes) for cell in range(cells))
        before += level.count
    return order
