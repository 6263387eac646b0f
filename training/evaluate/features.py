"""Features of areas, as a domain judge sees them: the backbone's last map at chosen places of evaluation pictures.

A *defective area* is one that the training's assigner (`lineside.assign`) gives to a true defect. A place of the map
whose anchors answer for the defect counts once; where they answer for several defects, it is the first one's. A
*background area* is a place that no defect takes or touches, drawn at random from the picture inside its letterbox.

Shape suffixes: n areas, F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from lineside.areas import Indices
from lineside.assign import assign
from training.data.prepared import Annotated, annotate
from training.data.sample import Experiment
from training.models.config import DetectorConfig
from training.models.detector import Detector

BACKGROUND = -1
"""Class of a background area."""

OnPicture = Callable[[int, int], None]
"""Pictures done, pictures in all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """vectors: float32 (n, F). classes: int32 (n,), BACKGROUND or an index. new: bool (n,), of the new domain.

    pictures: int32 (n,), which picture an area is of, counted over both domains.
    """

    vectors: NDArray[np.float32]
    classes: Indices
    new: NDArray[np.bool_]
    pictures: Indices

    def __post_init__(self) -> None:
        count = len(self.vectors)
        if self.vectors.ndim != 2 or not np.isfinite(self.vectors).all():
            raise ValueError(f"vectors are {self.vectors.shape}, expected (n, F) without NaN or infinity")
        for name in ("classes", "new", "pictures"):
            if getattr(self, name).shape != (count,):
                raise ValueError(f"{name} is {getattr(self, name).shape}, expected ({count},), one of each area")

    def __len__(self) -> int:
        return len(self.vectors)

    def only(self, keep: NDArray[np.intp] | NDArray[np.bool_]) -> Features:
        """The areas at these places, in that order."""
        return Features(
            vectors=self.vectors[keep], classes=self.classes[keep], new=self.new[keep], pictures=self.pictures[keep]
        )

    @property
    def defective(self) -> Features:
        """Those of a defect."""
        return self.only(self.classes != BACKGROUND)

    @property
    def background(self) -> Features:
        """The others."""
        return self.only(self.classes == BACKGROUND)


@torch.no_grad()
def collect(
    detector: Detector,
    experiment: Experiment,
    *,
    background: int = 4,
    seed: int = 0,
    on_picture: OnPicture | None = None,
) -> Features:
    """Features of all defective areas of the evaluation pictures of both domains, and of some of their background.

    Args:
        detector: the network, on any device; it is put into evaluation mode.
        experiment: with pictures of both domains.
        background: background areas of each picture.
        seed: of their choice, which depends on the picture's number as well, and not on the network.
        on_picture: called after each picture.

    Raises:
        ValueError: a domain has no pictures, or the network knows other classes.
    """
    for domain, dataset in (("original", experiment.eval_original), ("new", experiment.eval_new)):
        if not len(dataset):
            raise ValueError(f"the {domain} domain has no pictures to compare; name the new domain's set with --new")
        if dataset.classes != detector.config.classes:
            raise ValueError(f"the network knows classes {detector.config.classes}, the data has {dataset.classes}")
    detector.eval()
    samples = [(sample, False) for sample in experiment.eval_original]
    samples += [(sample, True) for sample in experiment.eval_new]
    vectors, classes, pictures = [], [], []
    for number, (sample, _) in enumerate(samples):
        item = annotate(sample, detector.config)
        generator = np.random.default_rng([seed, number])
        places, kinds = places_of(item, detector.config, background=background, generator=generator)
        image = torch.from_numpy(item.pixels).permute(2, 0, 1)[None].float()
        image = image.contiguous(memory_format=torch.channels_last).to(detector.mean.device)
        maps = detector.features(image)[0].flatten(1).float().cpu()
        vectors.append(maps[:, torch.from_numpy(places).long()].T.numpy())
        classes.append(kinds)
        pictures.append(np.full(len(places), number, np.int32))
        if on_picture is not None:
            on_picture(number + 1, len(samples))
    picture = np.concatenate(pictures)
    return Features(
        vectors=np.concatenate(vectors),
        classes=np.concatenate(classes),
        new=np.array([new for _, new in samples], bool)[picture],
        pictures=picture,
    )


def places_of(
    item: Annotated, config: DetectorConfig, *, background: int, generator: np.random.Generator
) -> tuple[Indices, Indices]:
    """Places of the map (row * columns + column), and the class of each: defective ones first, ascending.

    Args:
        item: a prepared picture.
        config: of the network.
        background: how many background places at most.
        generator: draws them.
    """
    head = config.head_for(config.width, config.height)
    assigned = assign(head, item.boxes)
    each = config.areas_per_cell
    places, first = np.unique(assigned.areas // each, return_index=True)
    kinds = item.classes[assigned.boxes[first]]
    stride = config.backbone.stride
    rows, columns = config.height // stride, config.width // stride
    left, top, right, bottom = item.inside
    y, x = np.divmod(np.arange(rows * columns), columns)
    free = (x * stride >= left) & ((x + 1) * stride <= right) & (y * stride >= top) & ((y + 1) * stride <= bottom)
    free[places] = False
    free[assigned.ignored // each] = False
    choice = np.flatnonzero(free)
    drawn = np.sort(generator.choice(choice, min(background, len(choice)), replace=False))
    return (
        np.concatenate([places, drawn]).astype(np.int32),
        np.concatenate([kinds, np.full(len(drawn), BACKGROUND)]).astype(np.int32),
    )


def balanced(features: Features, generator: np.random.Generator, *, most: int | None = None) -> NDArray[np.intp]:
    """Which areas to take so that each class has as many from either domain; what one domain lacks is left out.

    Without this, domains whose defects are of other kinds could be told apart by the kinds alone.

    Args:
        features: of both domains.
        generator: draws them.
        most: of a class and a domain; None: all there are.

    Returns:
        (m,) ascending; m may be 0.
    """
    taken: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    for kind in np.unique(features.classes):
        both = [np.flatnonzero((features.classes == kind) & (features.new == new)) for new in (False, True)]
        count = min(len(both[0]), len(both[1]), len(features) if most is None else most)
        taken.extend(generator.choice(mine, count, replace=False) for mine in both)
    return np.sort(np.concatenate(taken))
