"""The model card: one HTML file about a package that needs no network, runs no script and holds no time of day.

Everything on it is out of the manifest, the golden cases and what was measured when the package was made; limits of use
that follow from these are written by `limits_of`, others by whoever answers for the model.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from export.evidence import Evidence, Mark, Shot, marks_of
from lineside.areas import CellGrid, head_of
from lineside.boxes import clip
from lineside.decode import Found, decode_anchors, decode_cells
from lineside.golden import Arrays, GoldenCase
from lineside.letterbox import Letterbox
from lineside.pixels import Pixels
from lineside.v1 import model_pb2

TEMPLATE = "card.html.j2"
FEW = 20
"""Defects below which a class's figures are said to mean little."""
_LONGEST_SIDE = 480
"""Pixels of a picture's longer side on the card; larger ones are shrunk, boxes stay in frame pixels."""
_JPEG_QUALITY = 90

Facts = Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture as the page shows it: width and height in frame pixels, the picture itself as a data URI."""

    title: str
    width: int
    height: int
    uri: str
    marks: tuple[Mark, ...]


def card_of(
    manifest: model_pb2.PackageManifest,
    cases: Sequence[GoldenCase],
    *,
    files: Mapping[str, tuple[int, str]],
    evidence: Sequence[Evidence] = (),
    made_by: Facts = (),
    account: Mapping[str, Any] | None = None,
    blind: Sequence[str] = (),
) -> bytes:
    """card.html.

    Args:
        manifest: without its files.
        cases: golden cases.
        files: size and SHA-256 by name, of those that are known: graph, golden cases, weights.
        evidence: by domain, where it was measured; the figures of the manifest are shown in any case.
        made_by: what trained the network and on what: name and value.
        account: what became of everything that was read from mentoring logs; None: not known.
        blind: faults that the golden cases would not notice.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value: f"{value:.3f}"
    text = environment.get_template(TEMPLATE).render(
        manifest=manifest,
        trial=manifest.purpose == model_pb2.PURPOSE_TRIAL,
        classes=[item.name for item in manifest.classes],
        head=_head_words(manifest),
        golden=[_shown(_golden_shot(number, case, manifest)) for number, case in enumerate(cases)],
        evidence=[
            {"domain": item.figures.domain, "curves": item.curves, "worst": [_shown(shot) for shot in item.worst]}
            for item in evidence
        ],
        limits=limits_of(manifest, blind),
        files=files,
        made_by=made_by,
        account=account or {},
        training=_pretty(manifest.lineage.training_config_json),
        colours=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"),
        dashes=("", "7 3", "2 3", "9 3 2 3"),
    )
    return text.encode()


def limits_of(manifest: model_pb2.PackageManifest, blind: Sequence[str] = ()) -> list[str]:
    """What the figures do not say, in sentences; the more careful of two readings."""
    said = []
    if manifest.purpose == model_pb2.PURPOSE_TRIAL:
        said.append("Made for trial: it may be replayed and stand in shadow, and no station lets it serve.")
    domains = [entry.domain for entry in manifest.evaluations]
    if not domains:
        said.append("Nothing was measured: how good it is nobody knows.")
    elif "new" not in domains:
        said.append("Measured on the domain it was trained for only; how it does in other light is not known.")
    for entry in manifest.evaluations:
        count = f"{entry.images} pictures with defects and {entry.healthy_images} without"
        said.append(f"The {entry.domain} figures are of {count}; other parts, light and cameras may give others.")
        if entry.HasField("escapes") and entry.images:
            said.append(
                f"{entry.domain}: on {round(entry.escapes * entry.images)} of {entry.images} defective pictures nothing"
                " was raised at all."
            )
        few = [f"{item.name} ({item.defects})" for item in entry.classes if item.defects < FEW]
        if few:
            said.append(f"{entry.domain}: few defects of {', '.join(few)}; figures of these classes say little.")
        if not entry.classes:
            said.append(f"{entry.domain}: not measured class by class.")
        if entry.notes:
            said.append(f"{entry.notes.rstrip('.')}.")
    said += [f"The golden frames would not notice {fault}." for fault in blind]
    return said


def _head_words(manifest: model_pb2.PackageManifest) -> str:
    head = head_of(manifest)
    if isinstance(head, CellGrid):
        return f"{head.rows} x {head.columns} cells of {head.stride} model pixels"
    levels = [f"{grid.rows} x {grid.columns} x {len(grid.shapes)} of stride {grid.stride}" for grid in head.levels]
    return f"{head.count} anchor boxes ({', '.join(levels)}), the best {manifest.anchors.top_k} candidates"


def _golden_shot(number: int, case: GoldenCase, manifest: model_pb2.PackageManifest) -> Shot:
    """A golden frame with what a station raises on it if its runtime is right."""
    height, width = case.frame.shape[:2]
    size = manifest.input
    geometry = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
    found = _decoded(case.outputs, manifest)
    found = dataclasses.replace(found, boxes=clip(geometry.to_frame(found.boxes), width, height))
    classes = [item.name for item in manifest.classes]
    marks = tuple(marks_of(found, classes, ["golden"] * len(found)))
    said = f"{len(found)} expected" if len(found) else "nothing expected at the thresholds"
    return Shot(title=f"golden case {number}: {said}", pixels=case.frame, marks=marks)


def _decoded(outputs: Arrays, manifest: model_pb2.PackageManifest) -> Found:
    thresholds = np.array([item.threshold for item in manifest.classes], np.float32)
    head = head_of(manifest)
    if isinstance(head, CellGrid):
        heat = np.asarray(outputs["heat"], np.float32)
        return decode_cells(heat, head, thresholds=thresholds, parameters=manifest.decode)
    return decode_anchors(
        np.asarray(outputs["boxes"], np.float32),
        np.asarray(outputs["scores"], np.float32),
        np.asarray(outputs["classes"], np.int32),
        np.asarray(outputs["areas"], np.int32),
        thresholds=thresholds,
        parameters=manifest.decode,
    )


def _shown(shot: Shot) -> Shown:
    height, width = shot.pixels.shape[:2]
    return Shown(title=shot.title, width=width, height=height, uri=_uri(shot.pixels), marks=shot.marks)


def _uri(pixels: Pixels) -> str:
    """The picture, shrunk where it is large, in whichever of two encodings is the shorter."""
    height, width = pixels.shape[:2]
    factor = _LONGEST_SIDE / max(height, width)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    picture = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1])
    _, png = cv2.imencode(".png", picture)
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    kind, data = min(("png", png), ("jpeg", jpeg), key=lambda item: len(item[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def _pretty(configuration: str) -> str:
    try:
        return json.dumps(json.loads(configuration), indent=1, sort_keys=True, ensure_ascii=False)
    except ValueError:
        return configuration
