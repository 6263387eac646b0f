"""Small data sets, networks and configurations for training's tests."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from lineside.boxes import as_boxes
from lineside.pixels import encode_png
from training.config import OptimiserConfig, TrainConfig
from training.data.augment import AugmentConfig
from training.data.crops import CropConfig
from training.data.mentoring import MentoringData
from training.data.prepared import Mentored
from training.data.sample import ArrayPicture, Dataset, Sample
from training.losses.classification import ABSENT, PRESENT, UNKNOWN
from training.models.config import BackboneConfig, DetectorConfig

CLASSES = ("dark", "bright")
SIDE = 64


def tiny(head: str = "anchors", **changes: object) -> DetectorConfig:
    """A network of a few hundred weights: input 64 x 64, stride 8."""
    plain = DetectorConfig(
        classes=CLASSES,
        head=head,
        width=SIDE,
        height=SIDE,
        backbone=BackboneConfig(stem=4, widths=(8, 16), blocks=(0, 0)),
        shapes=((12.0, 12.0), (10.0, 20.0), (20.0, 10.0)),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def squares(count: int = 8, *, seed: int = 0, side: int = SIDE, name: str = "squares", grey: int = 128) -> Dataset:
    """Grey pictures with one dark or bright square of 12 pixels each; every fourth is healthy."""
    generator = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        pixels = np.full((side, side), grey, np.uint8)
        boxes, classes = [], []
        if number % 4 != 3:
            x, y = (int(value) for value in generator.integers(4, side - 16, 2))
            kind = int(generator.integers(2))
            pixels[y : y + 12, x : x + 12] = (20, 235)[kind]
            boxes, classes = [(x, y, x + 12, y + 12)], [kind]
        pixels = np.clip(pixels + generator.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
        samples.append(
            Sample(
                name=f"{name}-{number}",
                picture=ArrayPicture(pixels=pixels),
                boxes=as_boxes(boxes),
                classes=np.array(classes, np.int32),
            )
        )
    return Dataset(name=name, classes=CLASSES, samples=tuple(samples))


def lesson(config: DetectorConfig, states: dict[tuple[int, int], int], *, grey: int = 128) -> Mentored:
    """A mentored picture: states by (area, class), all of them spoken, the rest UNKNOWN."""
    count = config.head_for(config.width, config.height).count
    table = np.full((count, len(config.classes)), UNKNOWN, np.int8)
    for (area, kind), state in states.items():
        table[area, kind] = state
    return Mentored(
        pixels=np.full((config.height, config.width, config.channels), grey, np.uint8),
        states=table,
        spoken=(table != UNKNOWN).any(axis=1),
        targets=np.zeros((count, 4), np.float32),
        taught=np.zeros(count, bool),
    )


def lessons(config: DetectorConfig, count: int = 4) -> MentoringData:
    """A few mentored pictures with a rejected and a confirmed area each."""
    frames = tuple(
        lesson(
            config, {(10 + number, 0): ABSENT, (10 + number, 1): ABSENT, (30 + number, 1): PRESENT}, grey=90 + number
        )
        for number in range(count)
    )
    return MentoringData(
        frames=frames,
        frame_ids=tuple(str(number) for number in range(count)),
        judged=count,
        feedback_events=2 * count,
        last_log_sequence=2 * count,
        skipped=(),
        digest="sha256:" + "1" * 64,
    )


def quick(config: DetectorConfig, **changes: object) -> TrainConfig:
    """A run of a few steps on small crops, in float32."""
    plain = TrainConfig(
        recipe="baseline",
        detector=config,
        steps=6,
        batch=4,
        precision="float32",
        crop=CropConfig(side=32),
        augment=AugmentConfig(),
        optimiser=OptimiserConfig(average=0.9),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def pcb_folder(folder: Path, *, each: int = 4) -> Path:
    """A small folder in DeepPCB's layout with a splits.json: dark (`open`) and bright (`short`) squares."""
    roles: dict[str, list[str]] = {}
    for group, role in enumerate(("original_train", "original_eval", "new_mentoring", "new_eval")):
        data = squares(4 * each, seed=group, name=role).defective
        for number, sample in enumerate(data.samples[:each]):
            name = f"{group:05}{number:03}"
            place = folder / "PCBData" / f"group{group:05}"
            for kind, pixels in (("test", sample.picture.read()), ("temp", np.full((SIDE, SIDE), 128, np.uint8))):
                path = place / f"{group:05}" / f"{name}_{kind}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(pixels))
            lines = [
                " ".join(str(round(value)) for value in box) + f" {kind + 1}"
                for box, kind in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True)
            ]
            text = place / f"{group:05}_not" / f"{name}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("\n".join(lines) + "\n")
            roles.setdefault(role, []).append(f"group{group:05}/{group:05}/{name}_test.png")
    experiment = {
        "train": "original_train",
        "eval_original": "original_eval",
        "mentoring": "new_mentoring",
        "eval_new": "new_eval",
        "acquisition_shift_on_new": True,
    }
    level = {"blur_sigma": 0.8, "contrast": 0.75, "brightness": 0, "gradient": 0.1, "angle_deg": 35, "noise": 0.03}
    document = {
        "root": "PCBData",
        "classes": {"1": "open", "2": "short", "3": "mousebite", "4": "spur", "5": "copper", "6": "pin-hole"},
        "roles": roles,
        "experiments": {"same_parts_and_acquisition": experiment},
        "acquisition_shift": {"default": {"seed": 1, "level": "mild"}, "levels": {"mild": level}},
    }
    (folder / "splits.json").write_text(json.dumps(document))
    return folder
