"""Batches: original and new pictures 1:1, each batch a pure function of (seed, step).

No worker processes and no state: a resumed run draws the same batches because it asks for the same steps. What that
gives up: pictures live in memory (100 kB each at 320 x 320), and cropping shares the core with the network (about a
fifth of a step).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from training.data.augment import AugmentConfig, change_light
from training.data.camera import Camera
from training.data.crops import CropConfig, Cropper
from training.data.prepared import Annotated, Prepared
from training.models.config import DetectorConfig
from training.processes import Share


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """images: float32 (N, channels, s, s) in 0..255, channels last in memory. states: int8 (N, A, C). spoken: bool
    (N, A). targets: float32 (N, A, 4) crop pixels. taught: bool (N, A). new: bool (N,), True for the new domain.
    unlit: as images, before their light was changed; what a teacher sees. weights: float32 (N, A), how much an area
    counts; None: all 1."""

    images: torch.Tensor
    states: torch.Tensor
    spoken: torch.Tensor
    targets: torch.Tensor
    taught: torch.Tensor
    new: torch.Tensor
    unlit: torch.Tensor
    weights: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch there; itself where it is there already."""
        if self.images.device == device:
            return self
        moved = {
            field.name: value.to(device, non_blocking=True)
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return dataclasses.replace(self, **moved)


class Sampler:
    """Draws batches.

    Args:
        config: the network's.
        original: pictures of the original domain, at least one.
        new: pictures of the new domain; empty for a baseline. Otherwise half of every batch.
        size: pictures a batch; even where there are new ones.
        seed: of all draws.
        healthy_share: of the annotated pictures drawn, how many have no defect (where there are both kinds).
        healthy_new: the same for new frames that operators spoke about; None: as chance gives.
        balanced: half of every batch is new. False: each picture is drawn from all of them with equal chance.
        camera: the new domain's. camera_share: of the original pictures, how many are shown as it takes them.

    Raises:
        ValueError: there is nothing to draw from, or the size cannot be balanced.
    """

    def __init__(
        self,
        config: DetectorConfig,
        original: Sequence[Prepared],
        new: Sequence[Prepared],
        *,
        size: int,
        seed: int,
        crop: CropConfig,
        augment: AugmentConfig,
        healthy_share: float = 0.1,
        balanced: bool = True,
        healthy_new: float | None = None,
        camera: Camera | None = None,
        camera_share: float = 0.0,
    ) -> None:
        if not original:
            raise ValueError("there are no original pictures; training keeps both domains and needs them")
        if size < 1 or (new and balanced and size % 2):
            raise ValueError(f"batch size is {size}, expected an even number for 1:1 batches")
        self._cropper = Cropper(config, crop, augment)
        self._augment = augment
        self._deviation = config.deviation
        self._original = _Pool(original, healthy_share)
        self._new = _Pool(new, healthy_share, healthy_new) if new else None
        self._size = size
        self._seed = seed
        self._camera = camera
        self._camera_share = camera_share
        self._new_share = None if balanced or not new else len(new) / (len(original) + len(new))

    def batch(self, step: int, share: Share | None = None) -> Batch:
        """The batch of a step, counted from 0; with a share, those of its pictures, drawn as in the whole batch."""
        chosen = (share or Share()).chosen
        generator = np.random.default_rng((self._seed, step))
        old = self._originals(generator)
        plans = [self._cropper.plan(self._original.draw(generator), generator) for _ in range(old)]
        if self._new is not None:
            plans += [self._cropper.plan(self._new.draw(generator), generator) for _ in range(self._size - old)]
        crops = [plan() for plan in plans[chosen]]
        pixels = np.stack([crop.pixels for crop in crops])
        unlit = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32)
        light = torch.Generator().manual_seed(int(generator.integers(1 << 62)))
        if self._camera is not None:
            shown = torch.from_numpy(
                (generator.random(len(plans)) < self._camera_share) & (np.arange(len(plans)) < old)
            )
            draws = torch.Generator().manual_seed(int(generator.integers(1 << 62)))
            unlit = self._camera.show(unlit, shown[chosen], draws, chosen=chosen, count=len(plans))
        return Batch(
            images=change_light(
                unlit, self._augment, light, deviation=self._deviation, chosen=chosen, count=len(plans)
            ).contiguous(memory_format=torch.channels_last),
            states=torch.from_numpy(np.stack([crop.states for crop in crops])),
            spoken=torch.from_numpy(np.stack([crop.spoken for crop in crops])),
            targets=torch.from_numpy(np.stack([crop.targets for crop in crops])),
            taught=torch.from_numpy(np.stack([crop.taught for crop in crops])),
            new=(torch.arange(len(plans)) >= old)[chosen],
            unlit=unlit,
            weights=torch.from_numpy(np.stack([crop.weights for crop in crops])),
        )

    def _originals(self, generator: np.random.Generator) -> int:
        """How many pictures of a batch are original; they come first."""
        if self._new is None:
            return self._size
        if self._new_share is None:
            return self._size // 2
        return self._size - int(generator.binomial(self._size, self._new_share))


class _Pool:
    """Pictures to draw from, those without a defect as often as asked for.

    Args:
        items: the pictures.
        healthy_share: of the annotated ones.
        healthy_mentored: of those known by operators' answers; None: each picture is drawn with equal chance.
    """

    def __init__(self, items: Sequence[Prepared], healthy_share: float, healthy_mentored: float | None = None) -> None:
        def quiet(item: Prepared) -> bool:
            return item.healthy and (isinstance(item, Annotated) or healthy_mentored is not None)

        self._quiet = [item for item in items if quiet(item)]
        self._loud = [item for item in items if not quiet(item)]
        if self._quiet and self._loud:
            mentored = not isinstance(self._quiet[0], Annotated)
            self._share = healthy_mentored if mentored and healthy_mentored is not None else healthy_share
        else:
            self._share = float(bool(self._quiet))

    def draw(self, generator: np.random.Generator) -> Prepared:
        """One picture."""
        pool = self._quiet if generator.random() < self._share else self._loud
        return pool[int(generator.integers(len(pool)))]
