"""Checkpoints: one safetensors file with the weights, and metadata that a person can read.

The file's header holds one JSON document under the key `lineside`: the network's config, the recipe with its whole
configuration, lineage, thresholds and figures. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch

from lineside.package import MANIFEST_NAME, parse_manifest
from training.models.config import DetectorConfig
from training.models.detector import Detector

FORMAT_VERSION = 1
FILE_NAME = "checkpoint.safetensors"
_KEY = "lineside"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where the weights come from."""

    parent_digest: str = ""
    """Package digest of the model it was trained from, where that was served. Empty: none."""
    data_digest: str = ""
    """Over names, pixels and labels of the original training data."""
    mentoring_digest: str = ""
    """Over the mentoring records it learned from. Empty: none."""
    feedback_events: int = 0
    last_log_sequence: int = 0
    seed: int = 0
    account: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What became of everything that was read from mentoring logs (`training.data.account`)."""
    seen: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Digests of pictures and ids of parts that were taught (`training.data.leaks`)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a checkpoint says about itself."""

    config: DetectorConfig
    recipe: str = ""
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The whole training configuration as plain values."""
    lineage: Lineage = dataclasses.field(default_factory=Lineage)
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Score per class from which a detection is to be raised. Empty: not chosen."""
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Evaluation by domain, and facts about the run (steps, seconds)."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_json(),
            "recipe": self.recipe,
            "training": dict(self.training),
            "lineage": dataclasses.asdict(self.lineage),
            "thresholds": dict(self.thresholds),
            "figures": dict(self.figures),
        }


class Checkpoint(NamedTuple):
    """A network ready to answer (evaluation mode) and what it says about itself."""

    detector: Detector
    metadata: Metadata


def save(path: Path, detector: Detector, metadata: Metadata) -> Path:
    """Writes a checkpoint; a reader sees the old file or the whole new one.

    Args:
        path: the file, or a folder that gets `checkpoint.safetensors`.

    Returns:
        The file.
    """
    target = path if path.suffix == ".safetensors" else path / FILE_NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in detector.state_dict().items()}
    text = json.dumps(metadata.to_json(), sort_keys=True, ensure_ascii=False)
    write_atomically(target, safetensors.torch.save(tensors, {_KEY: text}))
    return target


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of ours, is damaged, or is of a newer format; or it is a package of a network
            that others trained.
    """
    metadata = load_metadata(path)
    detector = Detector(metadata.config)
    tensors = safetensors.torch.load_file(_file(path))
    expected = detector.state_dict()
    wrong = sorted(
        name
        for name in tensors.keys() | expected.keys()
        if name not in tensors or name not in expected or tensors[name].shape != expected[name].shape
    )
    if wrong:
        raise ValueError(f"{_file(path).name}: weights {', '.join(wrong[:3])} do not fit the network its config names")
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values() if value.is_floating_point()):
        raise ValueError(f"{_file(path).name}: the weights hold NaN or infinity; train again from the parent")
    detector.load_state_dict(tensors)
    detector.eval()
    return Checkpoint(detector, metadata)


def load_metadata(path: Path) -> Metadata:
    """Reads what a checkpoint says about itself, without the weights.

    Raises:
        FileNotFoundError, ValueError: as `load`.
    """
    file = _file(path)
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_KEY)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{file.name} is not a safetensors file: {error}") from None
    if text is None:
        raise ValueError(f"{file.name} holds no {_KEY!r} metadata; expected a checkpoint written by lineside train")
    values = json.loads(text)
    if values.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{file.name} has format {values.get('format_version')}, this version reads {FORMAT_VERSION}; use a newer"
            " Lineside"
        )
    return Metadata(
        config=DetectorConfig.from_json(values["config"]),
        recipe=values["recipe"],
        training=values["training"],
        lineage=Lineage(**values["lineage"]),
        thresholds=values["thresholds"],
        figures=values["figures"],
    )


def write_atomically(target: Path, data: bytes) -> None:
    """Replaces a file's content in one step, durable before the name is."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)


def _file(path: Path) -> Path:
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        _refuse_adopted(path)
        raise FileNotFoundError(f"no checkpoint at {path}: expected a .safetensors file or a folder with {FILE_NAME}")
    return file


def _refuse_adopted(folder: Path) -> None:
    """A package whose network others trained has no checkpoint, and never will: said instead of "not found"."""
    if not (folder / MANIFEST_NAME).is_file():
        return
    manifest = parse_manifest((folder / MANIFEST_NAME).read_bytes())
    if manifest.adoption.not_trainable:
        raise ValueError(
            f"{folder.name} cannot be trained further here: {manifest.adoption.not_trainable}. Its clicks teach all the"
            " same: a network of ours, with --log and without --parent, or itself where it came from, with what"
            " `lineside export clicks` writes"
        )
