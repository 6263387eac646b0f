"""A picture with its labels, a set of them, and the four sets of an experiment. Values; pictures are read when needed.

Boxes are float32 (n, 4) in frame pixels, classes int32 (n,) into the set's class names.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from lineside.areas import Indices
from lineside.boxes import Boxes, as_boxes
from lineside.pixels import Pixels, decode
from lineside.reasons import ContractError
from training.data.storage import in_words
from training.shift import Shift


class Picture(Protocol):
    """Where pixels come from."""

    def read(self) -> Pixels:
        """uint8 (h, w) or (h, w, 3) RGB."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FilePicture:
    """An image file, as it is or as a second acquisition system would have taken it."""

    path: Path
    shift: Shift | None = None

    def read(self) -> Pixels:
        """The pixels.

        Raises:
            FileNotFoundError: the file is gone.
            ValueError: it is not a readable picture.
        """
        try:
            pixels = decode(self.path.read_bytes())
        except ContractError as error:
            raise ValueError(f"{in_words(str(self.path))}: {error.message}") from None
        return pixels if self.shift is None else self.shift.apply(pixels, self.path.stem)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayPicture:
    """Pixels in memory."""

    pixels: Pixels

    def read(self) -> Pixels:
        """The pixels."""
        return self.pixels


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One picture and everything that is wrong in it."""

    name: str
    """Unique in its dataset."""
    picture: Picture
    boxes: Boxes
    classes: Indices
    part_id: str = ""
    """Serial number or reference of the part. Empty: not known."""
    mask: Path | None = None
    """A file with non-zero pixels where the defect is, same size as the picture. None: boxes only."""

    def __post_init__(self) -> None:
        boxes = as_boxes(self.boxes)
        if len(boxes) != len(self.classes):
            raise ValueError(f"{self.name}: {len(boxes)} boxes and {len(self.classes)} classes, expected as many")
        if len(boxes) and not ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).all():
            raise ValueError(f"{self.name}: a box has no area; expected x1 < x2 and y1 < y2")

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong in it."""
        return len(self.boxes) == 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset(Sequence[Sample]):
    """Samples that share their class names. May be empty."""

    name: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        names = {sample.name for sample in self.samples}
        if len(names) != len(self.samples):
            raise ValueError(f"dataset {self.name} names a picture twice; expected {len(self.samples)} unique names")
        for sample in self.samples:
            if len(sample.classes) and not 0 <= sample.classes.min() <= sample.classes.max() < len(self.classes):
                raise ValueError(f"{sample.name}: class index beyond the {len(self.classes)} classes of {self.name}")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        return self.samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def healthy(self) -> Dataset:
        """The samples without defect."""
        return self._only(True)

    @property
    def defective(self) -> Dataset:
        """The samples with a defect."""
        return self._only(False)

    def joined(self, *others: Dataset) -> Dataset:
        """These samples and those of others with the same classes.

        Raises:
            ValueError: the classes differ.
        """
        for other in others:
            if other.classes != self.classes:
                raise ValueError(f"dataset {other.name} has classes {other.classes}, expected {self.classes}")
        samples = self.samples + tuple(sample for other in others for sample in other.samples)
        return dataclasses.replace(self, samples=samples)

    def digest(self) -> str:
        """ "sha256:..." over class names, pictures and labels: equal for equal training data."""
        whole = hashlib.sha256(repr(self.classes).encode())
        for sample in self.samples:
            pixels = sample.picture.read()
            whole.update(f"\n{sample.name} {pixels.shape}".encode())
            whole.update(np.ascontiguousarray(pixels).tobytes())
            whole.update(np.ascontiguousarray(sample.boxes, "<f4").tobytes())
            whole.update(np.ascontiguousarray(sample.classes, "<i4").tobytes())
        return "sha256:" + whole.hexdigest()

    def _only(self, healthy: bool) -> Dataset:
        return dataclasses.replace(self, samples=tuple(item for item in self.samples if item.healthy == healthy))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experiment:
    """The sets of one comparison of domains. Sets contain their healthy pictures."""

    name: str
    train: Dataset
    """Original domain, fully annotated."""
    eval_original: Dataset
    mentoring: Dataset
    """New domain: what the station sees while operators answer; its labels are the simulated operator's truth."""
    eval_new: Dataset
    part_ids: str = "piece"
    """What part ids name (`training.data.leaks`): "piece", never to be taught and judged by; or "kind", a kind of part
    that comes again, as a board's layout does."""

    @property
    def evaluation(self) -> tuple[tuple[str, Dataset], ...]:
        """Name and set of each domain that has pictures to be judged by, original first."""
        both = (("original", self.eval_original), ("new", self.eval_new))
        return tuple((domain, dataset) for domain, dataset in both if len(dataset))


def labels(boxes: Sequence[Sequence[float]], classes: Sequence[int]) -> tuple[Boxes, Indices]:
    """Boxes and classes as arrays, also where there are none."""
    return as_boxes(boxes), np.asarray(classes, np.int32).reshape(-1)
