"""Exports in the hands of the tools they are written for: Datumaro (CVAT's, COCO's, YOLO's) and Label Studio's SDK."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.third_party import FOLDER
from support.told import BOXES, DRAWN, frame_id, make_log

from lineside.log.export import export_log
from lineside.log.formats import FORMATS
from lineside.log.pseudonyms import plain

VARIABLE = "LINESIDE_LABELLING_PYTHON"

pytestmark = pytest.mark.story


def test_each_tool_reads_the_frames_that_are_wholly_known_and_no_others(tmp_path: Path) -> None:
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.skip(f"{VARIABLE} names no interpreter with {FOLDER.name}/labelling.txt installed (docs/log.md)")
    log = make_log(tmp_path / "log")
    for kind in FORMATS:
        export_log(log, tmp_path / kind, kind, rename=plain)
    done = subprocess.run(
        [python, str(FOLDER / "labelling_tools.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    complete = sorted([["dent", *BOXES[0]], ["scratch", *BOXES[2]], ["scratch", *DRAWN]])
    whole = {frame_id(0): complete, frame_id(1): []}
    part = {frame_id(2): sorted([["dent", *BOXES[0]], ["scratch", *BOXES[1]]]), frame_id(3): []}
    assert found == {"coco": whole, "yolo": whole, "cvat": whole, "cvat, partly known": part, "labelstudio": whole}
