"""Backbones by name. All have stride 8, so that areas, anchors and clicks mean the same whichever is chosen.

A checkpoint holds the numbers and not the name: a preset that changes later leaves older checkpoints as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.models.config import AnyBackbone, BackboneConfig, TimmConfig

PRESETS: Mapping[str, BackboneConfig] = {
    "small": BackboneConfig(),
    "medium": BackboneConfig(stem=4, widths=(48, 96), blocks=(1, 3), context=((128, 2),)),
    "strong": BackboneConfig(stem=2, widths=(48, 96, 160), blocks=(1, 2, 3), context=((224, 2), (256, 2))),
}
"""small: a CPU core or a Jetson. medium: a desktop. strong: a GPU."""
USUAL = "small"
TIMM = "timm:"


def backbone_named(name: str) -> AnyBackbone:
    """A preset, or `timm:NAME`.

    Raises:
        ValueError: there is no such preset. Whether timm knows a name shows when the network is built.
    """
    if name.startswith(TIMM):
        return TimmConfig(timm=name.removeprefix(TIMM))
    if name not in PRESETS:
        raise ValueError(f"backbone is {name!r}, expected one of {', '.join(PRESETS)}, or timm:NAME")
    return PRESETS[name]


def name_of(config: AnyBackbone) -> str:
    """What it is called; "own" for numbers that no preset has."""
    if isinstance(config, TimmConfig):
        return TIMM + config.timm
    return next((name for name, preset in PRESETS.items() if preset == config), "own")
