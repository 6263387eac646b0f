"""Golden cases: pictures as a camera gives them, and what the trained network answered for them.

They travel in the package (golden.npz, plain arrays, no pickle). Whoever serves the graph runs them through his own
letterbox and runtime and must meet the recorded outputs within the manifest's tolerance: a squashed picture, swapped
colours or a runtime that answers nothing shows here and not on the line.

Beside the right answer a case may hold what the network answers when the picture is prepared wrongly in a known way.
Whoever serves and does not meet the right answer then learns which mistake is his.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

ANCHOR_OUTPUTS = ("boxes", "scores", "classes", "areas")
CELL_OUTPUTS = ("heat",)

Arrays = Mapping[str, NDArray[np.generic]]
_TORN = (ValueError, KeyError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise on bytes that are no such file, or claim to be an enormous one."""

# Told with one voice: as bytes, pixels of 0..1 and pixels by mean and deviation are nearly the same black picture.
_NORMALISED = (
    "the pixels are normalised before the graph (to 0..1, or by mean and deviation), which does that by itself and"
    " takes bytes of 0..255"
)
FAULTS: Mapping[str, str] = {
    "squash": "the picture is squashed to the model's input where it must be letterboxed",
    "colours": "red and blue are exchanged; the model takes RGB",
    "unit": _NORMALISED,
    "standard": _NORMALISED,
    "signed": "the pixels are taken as signed bytes or moved by 128; the graph takes 0..255",
    "white": "every pixel arrives as 255; does the runtime convert the type of its input?",
}
"""Mistakes in what is put into the graph, and how to say them. The graph's answer to each may be in a golden case."""
SILENCE = "the runtime answers nothing, whatever the picture"
CLASS_ORDER = "the classes come out {0} place(s) too high: is their order, or a background class, another one here?"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoldenCase:
    """frame: uint8 (h, w) or (h, w, 3) RGB. outputs: the graph's outputs for it without the batch axis. faults: the
    outputs of wrongly prepared pictures, by fault; names out of FAULTS."""

    frame: NDArray[np.uint8]
    outputs: Arrays
    faults: Mapping[str, Arrays] = dataclasses.field(default_factory=dict)


def output_names(manifest: model_pb2.PackageManifest) -> tuple[str, ...]:
    """Names of the graph's outputs for the manifest's head."""
    return CELL_OUTPUTS if manifest.WhichOneof("head") == "cells" else ANCHOR_OUTPUTS


def pack(cases: Sequence[GoldenCase]) -> bytes:
    """golden.npz; the same cases give the same bytes."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for number, case in enumerate(cases):
        arrays[f"{number:03}.frame"] = case.frame
        for name, values in case.outputs.items():
            arrays[f"{number:03}.{name}"] = values
        for fault, outputs in case.faults.items():
            for name, values in outputs.items():
                arrays[f"{number:03}.{fault}.{name}"] = values
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes, manifest: model_pb2.PackageManifest) -> tuple[GoldenCase, ...]:
    """Reads golden.npz.

    Raises:
        ContractError: PKG_MALFORMED, it is not readable or holds no case.
    """
    names = output_names(manifest)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            numbers = sorted({key.partition(".")[0] for key in arrays.files})
            cases = tuple(
                GoldenCase(
                    frame=arrays[f"{number}.frame"],
                    outputs={name: arrays[f"{number}.{name}"] for name in names},
                    faults={
                        fault: {name: arrays[f"{number}.{fault}.{name}"] for name in names}
                        for fault in FAULTS
                        if f"{number}.{fault}.{names[0]}" in arrays
                    },
                )
                for number in numbers
            )
    except _TORN as error:
        raise ContractError(Reason.PKG_MALFORMED, f"golden.npz cannot be read: {error}") from None
    if not cases:
        raise ContractError(Reason.PKG_MALFORMED, "golden.npz holds no case; at least one is needed")
    if any(case.frame.dtype != np.uint8 or case.frame.ndim not in (2, 3) for case in cases):
        raise ContractError(Reason.PKG_MALFORMED, "golden.npz: frames must be uint8, (h, w) or (h, w, 3)")
    return cases


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How near a runtime came: largest differences seen, and the first thing that was beyond tolerance."""

    score: float
    box: float
    """Model pixels."""
    fault: str | None


def compare(expected: Arrays, actual: Arrays, manifest: model_pb2.PackageManifest) -> Agreement:
    """Compares one case's outputs.

    Candidates of an anchor head are matched by (area, class), not by place: two nearly equal scores may come out in
    either order. A candidate may be missing at the end of a full list, where its score is within the tolerance of the
    other side's last one.
    """
    score_limit, box_limit = manifest.parity.score, manifest.parity.box
    for name in output_names(manifest):
        if name not in actual or actual[name].shape != expected[name].shape:
            seen = actual[name].shape if name in actual else "nothing"
            return Agreement(
                score=float("inf"), box=float("inf"), fault=f"output {name} is {seen}, expected {expected[name].shape}"
            )
        if not np.isfinite(np.asarray(actual[name], np.float64)).all():
            return Agreement(score=float("nan"), box=float("nan"), fault=f"output {name} holds NaN or infinity")
    if "heat" in expected:
        difference = float(np.abs(_floats(expected["heat"]) - _floats(actual["heat"])).max(initial=0.0))
        fault = None if difference <= score_limit else f"heat differs by {difference:.5f}, allowed {score_limit:.5f}"
        return Agreement(score=difference, box=0.0, fault=fault)
    length = len(expected["scores"])
    return _compare_candidates(_candidates(expected), _candidates(actual), length, score_limit, box_limit)


def diagnose(case: GoldenCase, actual: Arrays, manifest: model_pb2.PackageManifest) -> str | None:
    """Which known mistake gives this answer, in words, where the answer is not the case's own; None: none of them.

    Args:
        case: what was asked.
        actual: what the runtime answered, without the batch axis.
        manifest: of the package.
    """
    if any(name not in actual for name in output_names(manifest)):
        return None
    if _is_silent(actual) and not _is_silent(case.outputs):
        return SILENCE
    for fault, outputs in case.faults.items():
        if compare(outputs, actual, manifest).fault is None:
            return FAULTS[fault]
    count = len(manifest.classes)
    for places in range(1, count):
        if compare(case.outputs, with_moved_classes(actual, -places, count), manifest).fault is None:
            return CLASS_ORDER.format(places)
    return None


def with_moved_classes(outputs: Arrays, places: int, count: int) -> dict[str, NDArray[np.generic]]:
    """One picture's outputs with each of `count` classes taken for the one so many places behind it."""
    moved = dict(outputs)
    if "heat" in moved:
        moved["heat"] = np.roll(moved["heat"], places, axis=-1)
    else:
        moved["classes"] = ((np.asarray(moved["classes"], np.int64) + places) % count).astype(np.int32)
    return moved


def _is_silent(outputs: Arrays) -> bool:
    return not np.asarray(outputs["heat" if "heat" in outputs else "scores"]).any()


Candidates = dict[tuple[int, int], tuple[float, NDArray[np.float64]]]


def _floats(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _candidates(outputs: Arrays) -> Candidates:
    return {
        (int(area), int(kind)): (float(score), box)
        for area, kind, score, box in zip(
            _floats(outputs["areas"]),
            _floats(outputs["classes"]),
            _floats(outputs["scores"]),
            _floats(outputs["boxes"]),
            strict=True,
        )
        if score > 0
    }


def _compare_candidates(
    expected: Candidates, actual: Candidates, length: int, score_limit: float, box_limit: float
) -> Agreement:
    worst_score = worst_box = 0.0
    fault: str | None = None
    # The score of the last entry of a full list; a list with room left has none.
    last_expected, last_actual = (
        min(score for score, _ in side.values()) if side and len(side) == length else 0.0 for side in (expected, actual)
    )
    for key in sorted(expected.keys() | actual.keys()):
        here, there = expected.get(key), actual.get(key)
        if here is None or there is None:
            # Forgiven only at the end of a full list, where the other side's last entry scored about as much.
            score, last = (there[0], last_expected) if there else (here[0] if here else 0.0, last_actual)
            if score - last > score_limit and fault is None:
                fault = f"candidate of area {key[0]}, class {key[1]}, score {score:.4f} is on one side only"
            continue
        score_gap = abs(here[0] - there[0])
        box_gap = float(np.abs(here[1] - there[1]).max())
        worst_score, worst_box = max(worst_score, score_gap), max(worst_box, box_gap)
        if fault is None and score_gap > score_limit:
            fault = f"score of area {key[0]} differs by {score_gap:.5f}, allowed {score_limit:.5f}"
        if fault is None and box_gap > box_limit:
            fault = f"box of area {key[0]} differs by {box_gap:.3f} model pixels, allowed {box_limit:.3f}"
    return Agreement(score=worst_score, box=worst_box, fault=fault)
