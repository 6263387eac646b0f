"""A real station's mentoring log and a short way to put things into it, for tests of what reads it."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from support.lessons import SIDE, tiny
from support.mentoring import CHOSEN, feedback, frame, inspection
from support.packages import make_anchor_package

from edge.inspection import Detection, ModelIdentity
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from lineside.areas import write_head
from lineside.ids import detection_id, new_frame_id
from lineside.mentoring_log import DATABASE_NAME, event_of
from lineside.package import Package, write_package
from lineside.records import BoxTuple, Gesture
from training.models.config import DetectorConfig

DARK, BRIGHT = 0, 1


class Line:
    """A station's log, and a short way to put things into it."""

    def __init__(self, log: MentoringLog, config: DetectorConfig) -> None:
        self.log = log
        self.head = config.head_for(SIDE, SIDE)
        self.events = 0
        self.digest = "sha256:" + "1" * 64

    def keep(
        self,
        areas: Sequence[Sequence[int]],
        *,
        seed: int = 0,
        box: BoxTuple | None = None,
        station: str = "line-1",
        class_name: str = "dark",
    ) -> str:
        """A frame with one detection for each group of areas; gives back its id.

        A detection's box is that of its first area, unless one is given. Equal seeds give equal pictures and part ids.
        """
        shown = frame(frame_id=new_frame_id(), seed=seed, side=SIDE)
        answer = dataclasses.replace(
            inspection(shown),
            station=station,
            detections=tuple(
                Detection(
                    detection_id=detection_id(shown.frame_id, number),
                    class_index=DARK,
                    class_name=class_name,
                    score=0.9,
                    box=box or tuple(self.head.boxes()[group[0]].tolist()),
                    areas=np.array(group, np.int32),
                )
                for number, group in enumerate(areas)
            ),
            model=ModelIdentity(name="tiles", version="1.0.0", digest=self.digest),
        )
        assert self.log.keep(shown, answer, CHOSEN)
        return shown.frame_id

    def say(self, frame_id: str, number: int | None, gesture: Gesture, **more: object) -> None:
        """An operator's answer about the frame's detection of that number, None: about the frame."""
        self.log.submit(draft_of(feedback(frame_id, number, gesture, **more))).result(30)  # type: ignore[arg-type]
        self.events += 1


def served(folder: Path, config: DetectorConfig) -> Package:
    """A package that only has to declare the network's head."""
    package = make_anchor_package(folder / "plain")
    manifest = package.manifest
    write_head(config.head_for(SIDE, SIDE), manifest, top_k=8)
    files = {entry.name: package.read(entry.name) for entry in package.manifest.files}
    del manifest.files[:]
    return write_package(folder / "served", manifest, files)


def teach_exactly(line: Line, folder: Path) -> None:
    """The log knows the head that made its detections, so areas are taken as they are."""
    package = served(folder, tiny())
    line.log.model_seen(package)
    line.digest = package.digest


def rewrite(root: Path, statement: str, *values: object, sign: bool = False) -> None:
    """Changes a closed log behind the station's back; with `sign`, the answers' digests are made to fit again."""
    with contextlib.closing(sqlite3.connect(root / DATABASE_NAME)) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0, "nothing was changed"
        if sign:
            connection.row_factory = sqlite3.Row
            for row in connection.execute("SELECT * FROM feedback").fetchall():
                digest = event_of(row).payload_sha256
                connection.execute("UPDATE feedback SET payload_sha256 = ? WHERE key = ?", (digest, row["key"]))
