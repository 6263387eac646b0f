"""What operators said, as label states of a package's own head: for whoever trains that network elsewhere.

    OUT/
      dataset.json      classes, input, levels, what the numbers mean
      NAME.png          a judged frame, letterboxed as the network sees it
      NAME.npz          its labels, one row for each row of the network's own output

Rows are in the order of the network's own output table, not in ours: a loss over `states != -1` of that table teaches
exactly what was clicked. For heads of queries a row is a point of the encoder's maps; a query has the row it grew from.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.adopt.families import FAMILIES, foreign_order
from lineside.areas import AnchorGrid, head_of
from lineside.gestures import AreaLabels, labels_of
from lineside.letterbox import Letterbox
from lineside.mentoring_log import MentoringLogReader
from lineside.package import Package
from lineside.pixels import decode, encode_png, letterboxed

MEANING = {
    "states": "int8 (rows, classes): 1 present, 0 absent, -1 unknown, which must have no gradient",
    "spoken": "bool (rows,): an answer was about this row; the other known rows follow from the whole frame",
    "drawn_rows": "int32 (n,): rows with a box that a person drew, the only ones that box regression may learn from",
    "drawn_boxes": "float32 (n, 4): those boxes, x1 y1 x2 y2 in pixels of the picture",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a log."""

    frames: int
    present: int
    """Pairs of row and class that are present."""
    absent: int
    """Of these pairs, those that somebody spoke about."""
    skipped: tuple[str, ...]
    """Why answers teach nothing, one line each."""


def write_clicks(package: Package, log: Path, out: Path, *, replace: bool = False) -> Written:
    """Writes the folder, whole or not at all.

    Args:
        package: whose head is taught; its own detections keep their areas, those of other heads are found by their
            boxes.
        log: folder of a mentoring log; the station may go on writing.
        out: folder to write.
        replace: take the place of a folder of that name.

    Raises:
        FileNotFoundError: there is no log.
        FileExistsError: the folder exists.
        ContractError: RECORD_CORRUPT, the log cannot be read.
        ValueError: nobody has said anything in that log.
    """
    if out.exists() and not replace:
        raise FileExistsError(f"{out} exists; choose another name or ask to replace it")
    out.parent.mkdir(parents=True, exist_ok=True)
    skipped: list[str] = []
    frames = present = absent = 0
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch,
        MentoringLogReader(log) as reader,
    ):
        made = Path(scratch) / "clicks"
        made.mkdir()
        heads = {digest: head_of(manifest) for digest, manifest in reader.manifests().items()}
        size = package.manifest.input
        for record in reader.records(judged_only=True):
            picture = decode(reader.image(record.frame))
            geometry = Letterbox(
                frame_width=picture.shape[1],
                frame_height=picture.shape[0],
                model_width=size.width,
                model_height=size.height,
            )
            labels = labels_of(
                record,
                head=package.head,
                recorded_head=heads.get(record.frame.model_digest),
                classes=package.class_names,
                exclusive=package.manifest.decode.exclusive_classes,
                letterbox=geometry,
            )
            skipped.extend(f"{record.frame.frame_id}: {why}" for why in labels.skipped)
            name = re.sub(r"[^A-Za-z0-9._-]", "_", record.frame.frame_id)
            rows = rows_of(package, labels)
            seen = letterboxed(picture, geometry, channels=size.channels, padding=size.padding)
            (made / f"{name}.png").write_bytes(encode_png(seen if size.channels == 3 else seen[:, :, 0]))
            np.savez_compressed(made / f"{name}.npz", **rows)  # type: ignore[arg-type]
            frames += 1
            present += int((labels.states == 1).sum())
            absent += int((labels.states[labels.spoken] == 0).sum())
        if not frames:
            raise ValueError(f"nobody has said anything in the log {log}; there is nothing to teach")
        (made / "dataset.json").write_text(json.dumps(_description(package), indent=1) + "\n")
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    return Written(frames=frames, present=present, absent=absent, skipped=tuple(skipped))


def rows_of(package: Package, labels: AreaLabels) -> dict[str, NDArray[Any]]:
    """Labels by row of the network's own output, as `MEANING` says."""
    order = np.asarray(row_order(package), np.int64)
    row = np.empty_like(order)
    row[order] = np.arange(len(order))
    return {
        "states": labels.states[order],
        "spoken": labels.spoken[order],
        "drawn_rows": row[labels.drawn_areas].astype(np.int32),
        "drawn_boxes": labels.drawn_boxes,
    }


def row_order(package: Package) -> list[int]:
    """The area of each row of the network's own output (of the encoder's points for queries)."""
    head = package.head
    family = FAMILIES.get(package.manifest.adoption.family)
    if isinstance(head, AnchorGrid) and family is not None and family.areas == "anchors":
        return foreign_order(head)
    return list(range(head.count))


def _description(package: Package) -> dict[str, Any]:
    manifest = package.manifest
    head = package.head
    grids = head.levels if isinstance(head, AnchorGrid) else (head,)
    return {
        "package": package.digest,
        "family": manifest.adoption.family or "lineside",
        "classes": list(package.class_names),
        "input": {
            "width": manifest.input.width,
            "height": manifest.input.height,
            "channels": manifest.input.channels,
            "padding": manifest.input.padding,
        },
        "rows": package.head.count,
        "levels": [{"rows": grid.rows, "columns": grid.columns, "stride": grid.stride} for grid in grids],
        "arrays": MEANING,
    }
