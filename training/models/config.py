"""What a detector is made of: a value that a checkpoint carries and that rebuilds the same network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lineside.areas import AnchorGrid, AnchorLevel, CellGrid, Head

HEADS = ("anchors", "cells")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BackboneConfig:
    """A stem that folds `stem` x `stem` pixels into channels, then stages of 3x3 convolutions.

    Stage i has `widths[i]` channels at stride `stem * 2**i`, entered by one convolution and followed by `blocks[i]`
    residual blocks of two. Context stages go on at twice the stride each and are merged back into the last stage's
    map, so that a place knows more of its surroundings; areas stay those of the last stage's stride.
    """

    stem: int = 4
    """Pixels; a power of two."""
    widths: tuple[int, ...] = (32, 64)
    blocks: tuple[int, ...] = (1, 2)
    context: tuple[tuple[int, int], ...] = ()
    """Channels and residual blocks of each context stage, finest first; none: no context."""

    def __post_init__(self) -> None:
        if self.stem < 1 or self.stem & (self.stem - 1):
            raise ValueError(f"backbone.stem is {self.stem}, expected a power of two")
        if not self.widths or any(width < 1 for width in self.widths):
            raise ValueError(f"backbone.widths is {self.widths}, expected positive channel counts")
        if len(self.blocks) != len(self.widths) or any(count < 0 for count in self.blocks):
            raise ValueError(f"backbone.blocks is {self.blocks}, expected one count from 0 up for each width")
        if any(width < 1 or count < 0 for width, count in self.context):
            raise ValueError(
                f"backbone.context is {self.context}, expected positive channel counts, each with a count from 0 up"
            )

    @property
    def stride(self) -> int:
        """Model pixels between neighbouring places of the features."""
        return int(self.stem << (len(self.widths) - 1))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BackboneConfig:
        """Rebuilds a config; what an older checkpoint does not name is as it was then.

        Raises:
            ValueError: a key is unknown or a value impossible.
        """
        fields = _known(cls, values)
        for name in ("widths", "blocks"):
            if name in fields:
                fields[name] = tuple(fields[name])
        if "context" in fields:
            fields["context"] = tuple((int(width), int(count)) for width, count in fields["context"])
        return cls(**fields)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TimmConfig:
    """A backbone of the `timm` library, its maps from `stride` on merged into one of `width` channels.

    Its weights start from noise: nothing is fetched when a network is built, be it for training or for export.
    """

    timm: str
    """The library's name of the model; a feature pyramid must be obtainable from it (`features_only`)."""
    width: int = 128
    """Channels of the features."""
    stride: int = 8
    """Model pixels between neighbouring places of the features; a power of two."""
    coarsest: int = 32
    """Stride of the coarsest map that is merged in."""

    def __post_init__(self) -> None:
        if not self.timm:
            raise ValueError("backbone.timm is empty, expected the name of a timm model")
        if self.width < 1:
            raise ValueError(f"backbone.width is {self.width}, expected at least 1")
        for name in ("stride", "coarsest"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"backbone.{name} is {value}, expected a power of two")
        if self.coarsest < self.stride:
            raise ValueError(f"backbone.coarsest is {self.coarsest}, expected at least the stride, {self.stride}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TimmConfig:
        """Rebuilds a config.

        Raises:
            ValueError: a key is unknown or a value impossible.
        """
        return cls(**_known(cls, values))


AnyBackbone = BackboneConfig | TimmConfig


def _known(owner: type, values: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(values.keys() - {field.name for field in dataclasses.fields(owner)})
    if unknown:
        raise ValueError(f"the detector's config has unknown keys {', '.join(unknown)}")
    return dict(values)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Everything a `Detector` is built from."""

    classes: tuple[str, ...]
    """Names in the order of the class axis, unique."""
    head: str = "anchors"
    """"anchors" or "cells"."""
    width: int = 320
    """Model pixels; a multiple of the backbone's stride."""
    height: int = 320
    channels: int = 1
    """1 (mono) or 3 (RGB)."""
    padding: int = 114
    """Grey level of the letterbox border, 0 to 255."""
    backbone: AnyBackbone = dataclasses.field(default_factory=BackboneConfig)
    shapes: tuple[tuple[float, float], ...] = ((14.0, 14.0), (20.0, 20.0), (28.0, 28.0))
    """Anchors only: width and height of each anchor box, model pixels."""
    mean: float = 128.0
    """Grey level taken as 0 inside the network."""
    deviation: float = 64.0
    """Grey levels taken as 1 inside the network, above 0."""
    exclusive_classes: bool = True
    """Whether an area can be of one class only: a confirm then denies the others."""

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"head is {self.head!r}, expected one of {', '.join(HEADS)}")
        if not self.classes or len(set(self.classes)) != len(self.classes) or not all(self.classes):
            raise ValueError(f"classes is {self.classes}, expected unique names, at least one")
        for name in ("width", "height"):
            value = getattr(self, name)
            if value < 1 or value % self.backbone.stride:
                raise ValueError(f"{name} is {value}, expected a multiple of {self.backbone.stride} model pixels")
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}, expected 1 or 3")
        if not 0 <= self.padding <= 255:
            raise ValueError(f"padding is {self.padding}, expected 0 to 255")
        if not self.deviation > 0:
            raise ValueError(f"deviation is {self.deviation}, expected above 0")
        if not self.shapes or any(not (width > 0 and height > 0) for width, height in self.shapes):
            raise ValueError(f"shapes is {self.shapes}, expected positive widths and heights")

    @property
    def areas_per_cell(self) -> int:
        """B for anchors, 1 for cells."""
        return len(self.shapes) if self.head == "anchors" else 1

    def head_for(self, width: int, height: int) -> Head:
        """The areas for an input of another size (training crops), in model pixels.

        Raises:
            ValueError: the size is not a multiple of the stride.
        """
        stride = self.backbone.stride
        if width % stride or height % stride:
            raise ValueError(f"input is {width}x{height}, expected multiples of {stride} model pixels")
        rows, columns = height // stride, width // stride
        if self.head == "cells":
            return CellGrid(rows=rows, columns=columns, stride=stride)
        return AnchorGrid(levels=(AnchorLevel(rows=rows, columns=columns, stride=stride, shapes=self.shapes),))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives the same config back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DetectorConfig:
        """Rebuilds a config.

        Raises:
            ValueError: a key is unknown or a value impossible.
        """
        fields = _known(cls, values)
        backbone = fields.pop("backbone", {})
        kind = TimmConfig if "timm" in backbone else BackboneConfig
        if "shapes" in fields:
            fields["shapes"] = tuple((float(width), float(height)) for width, height in fields["shapes"])
        fields["classes"] = tuple(fields.get("classes", ()))
        return cls(backbone=kind.from_json(backbone), **fields)
