"""Golden cases that would notice: every known fault is tried, and where the frames given cannot tell, others are added.

A grey square picture notices neither a squash nor exchanged colours, a picture without a defect notices no silence.
Such a package would pass every check of a station that does everything wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from export.faults import possible_faults
from export.parity import Infer, golden_cases, twice_the_tolerance, with_witnesses
from lineside import golden
from lineside.pixels import Pixels
from lineside.v1 import model_pb2

MOST_TRIES = 24
"""Further frames tried for one fault."""

_ADVICE = {
    "squash": "give a picture of another shape than the model's input, with a defect in it",
    "colours": "give a picture in colour, with a defect in it",
    "class order": "give pictures with defects of several classes",
}
_WORDS = {**golden.FAULTS, "class order": "classes that come out one place off"}


def strong_cases(
    infer: Infer,
    frames: Sequence[Pixels],
    manifest: model_pb2.PackageManifest,
    *,
    spare: Sequence[Pixels] = (),
) -> tuple[golden.GoldenCase, ...]:
    """Golden cases of which at least one notices each fault of `export.faults`, an order of classes one place off, and
    a runtime that answers nothing.

    Args:
        infer: the graph as it shall answer.
        frames: wanted as golden frames, at least one.
        manifest: of the package, with its tolerance.
        spare: further frames of which those are added that are needed.

    Raises:
        ValueError: no frame could be found that notices a fault; says which, and what to give.
    """
    cases = list(golden_cases(infer, with_witnesses(frames, manifest.input), manifest))
    for fault in unnoticed(cases, manifest):
        if fault not in unnoticed(cases, manifest):
            continue  # a case added for another one notices it too
        for tried, frame in enumerate(_further(frames, spare, manifest.input, fault)):
            if tried == MOST_TRIES:
                break
            found = golden_cases(infer, [frame], manifest)
            if fault not in unnoticed(found, manifest):
                cases.extend(found)
                break
    left = unnoticed(cases, manifest)
    if "silence" in left:
        raise ValueError(
            "on none of the golden frames does the network say anything, so they could not tell it from one that is"
            " broken; give pictures with defects, or train longer"
        )
    if left:
        advice = _ADVICE.get(left[0], "give pictures with defects, or train longer")
        raise ValueError(f"no golden frame would notice this fault of a station: {_WORDS[left[0]]}; {advice}")
    return tuple(cases)


def unnoticed(cases: Sequence[golden.GoldenCase], manifest: model_pb2.PackageManifest) -> tuple[str, ...]:
    """Faults that none of these cases notices, whatever runtime within the tolerance serves.

    The cases speak for themselves (`golden_cases` keeps the answers to wrong pictures that are far enough away); order
    of classes and silence are derived from the right answers.
    """
    noticed = {fault for case in cases for fault in case.faults}
    left = [fault for fault in possible_faults(manifest.input) if fault not in noticed]
    count, strict = len(manifest.classes), twice_the_tolerance(manifest)

    def differs(case: golden.GoldenCase, other: golden.Arrays) -> bool:
        return golden.compare(case.outputs, other, strict).fault is not None

    if count > 1 and not any(differs(case, golden.with_moved_classes(case.outputs, 1, count)) for case in cases):
        left.append("class order")
    if not any(differs(case, {name: np.zeros_like(values) for name, values in case.outputs.items()}) for case in cases):
        left.append("silence")
    return tuple(left)


def _further(
    frames: Sequence[Pixels], spare: Sequence[Pixels], size: model_pb2.ModelInput, fault: str
) -> Iterator[Pixels]:
    """Frames that may notice: the spare ones, then parts and tints of all."""
    yield from spare
    for frame in (*frames, *spare):
        height, width = frame.shape[:2]
        if fault == "squash":
            part = max(1, round(width * 0.6))
            yield np.ascontiguousarray(frame[:, width - part :])
            yield np.ascontiguousarray(frame[: max(1, round(height * 0.6))])
            yield np.ascontiguousarray(frame[height - max(1, round(height * 0.6)) :])
        elif fault == "colours" and size.channels == 3:
            grey = frame if frame.ndim == 2 else frame[:, :, 1]
            yield np.stack([grey, grey // 2, 255 - grey], axis=2)
            yield np.stack([grey, grey, grey // 2], axis=2)
