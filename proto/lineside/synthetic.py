"""An embedded synthetic line: machined plates under a light that can be changed. numpy only, deterministic.

A plate is a map of albedo (how bright its material is), a map of height (what stands out or is worn in) and thin films
on top. A `Setup` says how it is lit and photographed. Light that rakes along the brushing hides the marks of the tool;
turned across it they stand out like scratches. Films and dust, hardly seen under the first light, look like stains and
dents under the second. Parts, defects and look-alikes are the same under both: only the acquisition changes, which is
the change the paper is about (Cordier et al., section 1).

Defects (`CLASSES`): a scratch runs across the brushing, a dent is a smooth pit, a stain a filled dark blot.
Look-alikes, no defects: tool marks run along the brushing, dust is a small grain, a dried film is a ring and not a
blot, the engraved code is a row of small pits at one place of the part.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside.records import BoxTuple

Plane = NDArray[np.float32]

CLASSES = ("scratch", "dent", "stain")
SIZE = 256
"""Default side of a picture in pixels."""
DEFECTIVE_SHARE = 0.5
"""Share of parts with a defect, where the caller does not choose."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Light and optics of one acquisition system. Grey levels are 0 to 255."""

    name: str
    light_angle: float = 0.0
    """Degrees from the brushing, 0 to 180, the light rakes over the plate."""
    relief: float = 1.0
    """How strongly slopes of the surface show, 1: as the original light does."""
    film: float = 1.0
    """How strongly thin films show, 1: as the original light does."""
    glint: float = 1.0
    """How strongly dust lights up."""
    gain: float = 1.0
    """Factor of exposure, above 0."""
    gradient: float = 0.0
    """Relative fall of the light from left to right over the whole picture, 0 to 1."""
    highlights: int = 0
    """Specular highlights per picture, at places that change from part to part."""
    blur: float = 0.0
    """Standard deviation of the blur in pixels of a 256 pixel picture."""
    noise: float = 0.0
    """Standard deviation of the sensor's noise in grey levels."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "name":
                if not isinstance(value, str) or not 1 <= len(value) <= 64:
                    raise ValueError(f"setup.name is {value!r}, expected 1 to 64 characters")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"setup.{field.name} is {value!r}, expected a number")
            elif value < 0:
                raise ValueError(f"setup.{field.name} is {value}, expected 0 or more")
        if self.gain == 0 or self.gradient > 1 or self.light_angle > 180:
            raise ValueError("setup.gain must be above 0, gradient at most 1, light_angle at most 180 degrees")
        if self.highlights != int(self.highlights):
            raise ValueError(f"setup.highlights is {self.highlights}, expected a whole number")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Setup:
        """A setup out of plain values; absent fields have their defaults.

        Raises:
            ValueError: an unknown key, a missing name or an impossible value.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown or "name" not in values:
            raise ValueError(f"setup has keys {sorted(values)}; expected name and any of {', '.join(known[1:])}")
        return cls(**values)


ORIGINAL = Setup(name="original", light_angle=4, gradient=0.06, blur=0.55, noise=2.0)
CHANGED = Setup(
    name="changed",
    light_angle=58,
    relief=1.35,
    film=3.2,
    glint=2.2,
    gain=1.12,
    gradient=0.34,
    highlights=2,
    blur=0.95,
    noise=4.5,
)
SETUPS = {setup.name: setup for setup in (ORIGINAL, CHANGED)}


def read_setup(path: Path) -> Setup:
    """Reads a setup file: a JSON object with the fields of `Setup`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not a setup; says why.
    """
    text = path.read_text(encoding="utf-8")
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds {type(values).__name__}, expected an object with the fields of a setup")
    return Setup.from_json(values)


def write_setup(path: Path, setup: Setup) -> None:
    """Writes a setup file in one step: a reader sees the old one or the new one."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    staging.write_text(json.dumps(dataclasses.asdict(setup), indent=1) + "\n", encoding="utf-8")
    staging.replace(path)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SyntheticPart:
    """One part as photographed. pixels: uint8 (size, size) mono; defects: class name and box in frame pixels."""

    part_id: str
    pixels: NDArray[np.uint8]
    defects: tuple[tuple[str, BoxTuple], ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.defects


def render(
    number: int, *, seed: int, setup: Setup, healthy: bool | None = None, size: int = SIZE, part_id: str | None = None
) -> SyntheticPart:
    """Photographs one part. The same arguments give the same pixels; another setup gives the same part in its light.

    Args:
        number: of the part, from 0.
        seed: of the line, from 0.
        setup: light and optics.
        healthy: True without defects, False with 1 to 3 of them, None: as it comes (`DEFECTIVE_SHARE`). The plate and
            its look-alikes do not depend on it.
        size: side of the picture in pixels, 128 to 2048.
        part_id: otherwise one made of the number.

    Raises:
        ValueError: number, seed or size out of range.
    """
    if number < 0 or seed < 0:
        raise ValueError(f"number is {number} and seed {seed}, expected 0 or more")
    if not 128 <= size <= 2048:
        raise ValueError(f"size is {size}, expected 128 to 2048 pixels")
    plate = _Plate(np.random.default_rng([seed, number, 1]), size)
    choice = np.random.default_rng([seed, number, 2])
    has_defects = bool(choice.random() < DEFECTIVE_SHARE)
    defects: tuple[tuple[str, BoxTuple], ...] = ()
    if has_defects if healthy is None else not healthy:
        defects = plate.damage(choice)
    pixels = _photograph(plate, setup, np.random.default_rng([seed, number, 3]))
    return SyntheticPart(part_id=part_id or f"S{seed}-{number:06d}", pixels=pixels, defects=defects)


class _Plate:
    """albedo, height (in pixels), film and dust, each (size, size) float32, drawn feature by feature in small windows.

    The part's own frame is the picture's, shifted by the pose; lengths are in 1/256 of the size.
    """

    def __init__(self, generator: np.random.Generator, size: int) -> None:
        self.size = size
        self.unit = size / SIZE
        self.albedo = np.full((size, size), 0.52, np.float32)
        self.height = _brushing(generator, size)
        self.film = np.zeros((size, size), np.float32)
        self.dust = np.zeros((size, size), np.float32)
        self._shift = generator.uniform(-7, 7, 2)
        self._turn = math.radians(generator.uniform(-2.5, 2.5))
        self._taken: list[tuple[float, float, float]] = []
        self._machine(generator)
        for _ in range(int(generator.integers(3, 7))):
            self._tool_mark(generator)
        for _ in range(int(generator.integers(2, 6))):
            self._grain(generator)
        for _ in range(int(generator.integers(1, 4))):
            self._dried_film(generator)
        for layer in (self.height, self.film, self.dust):
            layer *= self._metal

    def damage(self, generator: np.random.Generator) -> tuple[tuple[str, BoxTuple], ...]:
        """Adds 1 to 3 defects; gives back their classes and exact boxes."""
        found = []
        for _ in range(int(generator.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))):
            kind = int(generator.integers(len(CLASSES)))
            box = (self._scratch, self._dent, self._stain)[kind](generator)
            found.append((CLASSES[kind], box))
        return tuple(found)

    def _machine(self, generator: np.random.Generator) -> None:
        """The plate's outline, four screw holes and the engraved code."""
        _, x, y = self.window(0, 0, SIZE, SIZE)
        u, v = self._to_part(x, y)
        inside = np.minimum(112 - np.abs(u - 128), 112 - np.abs(v - 128))
        self._metal = np.clip(inside / 2 + 0.5, 0, 1)
        self.albedo *= self._metal
        self.albedo += (1 - self._metal) * np.float32(0.10)
        for corner_u, corner_v in ((44, 44), (212, 44), (44, 212), (212, 212)):
            centre = self._to_picture(corner_u, corner_v)
            area, x, y = self.window(*centre, 17, 17)
            distance = np.hypot(x - centre[0], y - centre[1])
            hole = np.clip(10.5 - distance, 0, 1)
            rim = np.clip(1 - np.abs(distance - 12) / 1.6, 0, 1)
            self.albedo[area] = self.albedo[area] * (1 - hole) + 0.06 * hole + 0.16 * rim
            self._metal[area] *= 1 - hole
            self._taken.append((*centre, 20))
        dots = generator.random((4, 9)) < 0.6
        for row, column in np.argwhere(dots):
            centre = self._to_picture(104 + 6.5 * column, 196 + 6.5 * row)
            self._pit(centre, 2.4, 1.5)
        self._taken.append((*self._to_picture(130, 206), 36))

    def _tool_mark(self, generator: np.random.Generator) -> None:
        """A shallow groove along the brushing: look-alike of a scratch."""
        x0, y0 = self._free_place(generator, 12)
        length, width = generator.uniform(24, 70), generator.uniform(0.9, 1.5)
        depth = generator.uniform(1.0, 1.9)
        tilt = generator.uniform(-0.05, 0.05)
        area, x, y = self.window(x0, y0, length / 2 + 4, 8)
        across = (y - y0) - tilt * (x - x0)
        ends = np.clip((length / 2 - np.abs(x - x0)) / 4, 0, 1)
        self.height[area] -= depth * ends * np.exp(-0.5 * (across / width) ** 2)

    def _grain(self, generator: np.random.Generator) -> None:
        """Dust: a small bright grain with a shadow: look-alike of a dent."""
        place = self._free_place(generator, 6)
        radius = generator.uniform(1.5, 2.5)
        area, x, y = self.window(*place, 12, 12)
        shape = np.exp(-0.5 * (((x - place[0]) ** 2 + (y - place[1]) ** 2) / radius**2))
        self.dust[area] = np.maximum(self.dust[area], shape)

    def _dried_film(self, generator: np.random.Generator) -> None:
        """A dried drop: a ring that shades a little: look-alike of a stain."""
        place = self._free_place(generator, 18)
        radius = generator.uniform(7, 13)
        distance, area = self._blot(generator, place, radius)
        ring = np.exp(-0.5 * ((distance - radius) / 1.7) ** 2)
        inner = np.clip((radius - distance) / 3, 0, 1)
        self.film[area] += ring + 0.32 * inner

    def _scratch(self, generator: np.random.Generator) -> BoxTuple:
        """A curved groove across the brushing, with a burr on one side."""
        x0, y0 = self._free_place(generator, 22)
        angle = math.radians(generator.uniform(35, 145))
        half, bend = generator.uniform(11, 24), generator.uniform(-0.012, 0.012)
        width, depth = generator.uniform(0.8, 1.4), generator.uniform(0.9, 2.8)
        area, x, y = self.window(x0, y0, half + 8, half + 8)
        along = (x - x0) * math.cos(angle) + (y - y0) * math.sin(angle)
        across = (y - y0) * math.cos(angle) - (x - x0) * math.sin(angle) - bend * along**2
        ends = np.clip((half - np.abs(along)) / 2, 0, 1)
        body = ends * np.exp(-0.5 * (across / width) ** 2)
        self.height[area] -= depth * body
        self.albedo[area] += np.float32(0.045 * depth) * body
        return self._box(area, (np.abs(across) <= 2 * width) & (ends > 0))

    def _dent(self, generator: np.random.Generator) -> BoxTuple:
        """A smooth pit."""
        radius = generator.uniform(5, 9)
        return self._box(*self._pit(self._free_place(generator, 12), radius, generator.uniform(0.45, 0.85) * radius))

    def _stain(self, generator: np.random.Generator) -> BoxTuple:
        """A filled dark blot with a ragged edge."""
        place = self._free_place(generator, 16)
        radius = generator.uniform(7, 13)
        distance, area = self._blot(generator, place, radius)
        self.albedo[area] -= generator.uniform(0.07, 0.2) * np.clip((radius - distance) / 2, 0, 1)
        return self._box(area, distance < radius)

    def _pit(
        self, centre: tuple[float, float], radius: float, depth: float
    ) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
        """A hollow with profile (1 - r2)2, its slope ending smoothly; gives back window and pixels."""
        area, x, y = self.window(*centre, radius + 3, radius + 3)
        inside = np.clip(1 - ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2, 0, 1)
        self.height[area] -= depth * inside**2
        return area, inside > 0

    def _blot(
        self, generator: np.random.Generator, place: tuple[float, float], radius: float
    ) -> tuple[Plane, tuple[slice, slice]]:
        """Distance from the middle of a blot with a wavy edge, scaled so that the edge is at `radius`; its window."""
        area, x, y = self.window(*place, 1.45 * radius + 5, 1.45 * radius + 5)
        angle = np.arctan2(y - place[1], x - place[0])
        wave = np.ones_like(angle)
        for order, strength in ((2, 0.14), (3, 0.10), (5, 0.06)):
            wave += strength * np.cos(order * angle + generator.uniform(0, 2 * math.pi))
        return (np.hypot(x - place[0], y - place[1]) / wave).astype(np.float32), area

    def _free_place(self, generator: np.random.Generator, reach: float) -> tuple[float, float]:
        """A place on the plate away from holes, code and what was placed before, if one is found."""
        place = (128.0, 128.0)
        for _ in range(60):
            u, v = generator.uniform(36, 220, 2)
            place = self._to_picture(u, v)
            if all(math.hypot(place[0] - x, place[1] - y) > reach + other for x, y, other in self._taken):
                break
        self._taken.append((*place, reach))
        return place

    def window(self, x: float, y: float, width: float, height: float) -> tuple[tuple[slice, slice], Plane, Plane]:
        """Pixels around a place as slices, and the x and y of their middles, in 1/256 of the size."""
        low_x, high_x = _span(x, width, self.unit, self.size)
        low_y, high_y = _span(y, height, self.unit, self.size)
        xs = ((np.arange(low_x, high_x, dtype=np.float32) + 0.5) / np.float32(self.unit))[None, :]
        ys = ((np.arange(low_y, high_y, dtype=np.float32) + 0.5) / np.float32(self.unit))[:, None]
        return (slice(low_y, high_y), slice(low_x, high_x)), xs, ys

    def _box(self, area: tuple[slice, slice], mask: NDArray[np.bool_]) -> BoxTuple:
        """The smallest box, in frame pixels, that holds a mask of a window."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left = area[0].start, area[1].start
        return (
            float(left + columns[0]),
            float(top + rows[0]),
            float(left + columns[-1] + 1),
            float(top + rows[-1] + 1),
        )

    def _to_picture(self, u: float, v: float) -> tuple[float, float]:
        cosine, sine = math.cos(self._turn), math.sin(self._turn)
        x = 128 + (u - 128) * cosine - (v - 128) * sine + float(self._shift[0])
        y = 128 + (u - 128) * sine + (v - 128) * cosine + float(self._shift[1])
        return x, y

    def _to_part(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        cosine, sine = np.float32(math.cos(self._turn)), np.float32(math.sin(self._turn))
        x, y = x - np.float32(128 + self._shift[0]), y - np.float32(128 + self._shift[1])
        return x * cosine + y * sine + 128, y * cosine - x * sine + 128


def _span(middle: float, reach: float, unit: float, size: int) -> tuple[int, int]:
    low = min(size - 1, max(0, math.floor((middle - reach) * unit)))
    return low, max(low + 1, min(size, math.ceil((middle + reach) * unit)))


def _brushing(generator: np.random.Generator, size: int) -> Plane:
    """Height of the brushed surface: noise smeared along x."""
    smear = max(3, size // 8)
    noise = generator.standard_normal((size, size + smear), dtype=np.float32)
    total = np.cumsum(noise, axis=1)
    return np.asarray((total[:, smear:] - total[:, :-smear]) * np.float32(0.16 / math.sqrt(smear)), np.float32)


def _photograph(plate: _Plate, setup: Setup, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Light, optics and sensor."""
    size, unit = plate.size, plate.unit
    angle = math.radians(setup.light_angle)
    across, along = np.gradient(plate.height)
    slope = (along * np.float32(math.cos(angle)) + across * np.float32(math.sin(angle))) * np.float32(unit)
    picture = plate.albedo + np.float32(0.20 * setup.relief) * np.tanh(slope)
    picture -= np.float32(0.045 * setup.film) * plate.film
    shadow = (-round(4 * unit * math.sin(angle)), -round(4 * unit * math.cos(angle)))
    picture += np.float32(0.11 * setup.glint) * plate.dust
    picture -= np.float32(0.14 * max(0.0, setup.glint - 1)) * np.roll(plate.dust, shadow, (0, 1))
    fall = 1 - np.float32(setup.gradient) * np.linspace(0, 1, size, dtype=np.float32)
    picture *= fall[None, :] * np.float32(setup.gain)
    for _ in range(int(setup.highlights)):
        x, y = generator.uniform(40, 216, 2)
        area, xs, ys = plate.window(x, y, 48, 48)
        wide, flat = generator.uniform(10, 16), generator.uniform(4, 7)
        bloom = np.exp(-0.5 * (((xs - x) / wide) ** 2 + ((ys - y) / flat) ** 2))
        picture[area] += np.float32(generator.uniform(0.16, 0.30)) * bloom
    picture = _blurred(picture, setup.blur * unit)
    grey = picture * 255
    if setup.noise:
        grey += np.float32(setup.noise) * generator.standard_normal((size, size), dtype=np.float32)
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)


def _blurred(picture: Plane, sigma: float) -> Plane:
    """Gaussian blur in two passes, edges repeated."""
    reach = math.ceil(3 * sigma)
    if reach == 0:
        return picture
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (reach, reach)
        wide = np.pad(picture, padding, mode="edge")
        length = picture.shape[axis]
        total = np.zeros_like(picture)
        for start, weight in enumerate(weights):
            cut = wide[start : start + length] if axis == 0 else wide[:, start : start + length]
            total += weight * cut
        picture = total
    return picture
