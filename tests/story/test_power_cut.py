"""A power cut loses nothing acknowledged: the log on a disk that forgets what was never fsynced.

kill -9 cannot show a missing fsync, because the kernel still writes what the dead process had handed over.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest
from support.lossy_disk import disk, skip_without_fuse

from edge.mentoring.log import MentoringLog
from edge.mentoring.settings import MentoringSettings
from lineside.reasons import ContractError

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("power-cut")]

SUPPORT = Path(__file__).resolve().parents[1] / "support"
CUTS = 12


@pytest.fixture(scope="module", autouse=True)
def _fuse(tmp_path_factory: pytest.TempPathFactory) -> None:
    skip_without_fuse(tmp_path_factory.mktemp("try"))


def live_until_killed(root: Path, seed: int, left_out: str, chance: random.Random) -> list[list[str]]:
    """Lets a writer work, kills it at a random moment; gives back what it had acknowledged by then."""
    command = [sys.executable, str(SUPPORT / "power_cut_writer.py"), str(root), str(seed), left_out]
    lines: list[list[str]] = []
    enough = threading.Event()
    wanted = chance.randint(0, 60)

    def listen(stream: IO[bytes]) -> None:
        for line in stream:
            if line.endswith(b"\n"):
                lines.append(line.decode().split())
            if len(lines) > wanted:
                enough.set()
        enough.set()

    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        listener = threading.Thread(target=listen, args=(process.stdout,))
        listener.start()
        assert enough.wait(60)
        # Some work goes on between the last line read and this one: that is the random moment.
        process.kill()
        process.wait()
        listener.join()
    assert lines[0] == ["open"], "the log could not be opened"
    return lines[1:]


def missing(root: Path, acknowledged: list[list[str]]) -> int:
    """How many of the acknowledged events are not whole in the log: event, frame, picture."""
    with MentoringLog(root, MentoringSettings(reserve_mb=1, keep_free_mb=0), lambda event, sequence: None) as log:
        lost = 0
        with log.reader() as reader:
            places = {event.key: event.log_sequence for event in reader.feedback()}
            for key, sequence, frame_id, digest in acknowledged:
                record = reader.record(frame_id)
                try:
                    whole = (
                        places.get(key) == int(sequence)
                        and record is not None
                        and record.frame.image_sha256 == digest
                        and bool(reader.image(record.frame))
                    )
                except ContractError:
                    whole = False
                lost += not whole
    with contextlib.closing(sqlite3.connect(root / "log.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return lost


def lost_in_cuts(tmp_path: Path, *, cuts: int, left_out: str = "", seed: int = 1) -> tuple[int, int]:
    """(acknowledged, lost) over some power cuts."""
    chance = random.Random(seed)
    acknowledged: list[list[str]] = []
    with disk(tmp_path / "disk", seed) as opened:
        root = opened.folder / "log"
        for cut in range(cuts):
            acknowledged += live_until_killed(root, cut, left_out, chance)
            opened.cut()
        return len(acknowledged), missing(root, acknowledged)


def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged, lost = lost_in_cuts(tmp_path, cuts=CUTS)
    assert lost == 0
    assert acknowledged > 10 * CUTS


@pytest.mark.parametrize("left_out", ["database", "pictures", "folders"])
def test_leaving_out_any_fsync_shows(tmp_path: Path, left_out: str) -> None:
    acknowledged, lost = lost_in_cuts(tmp_path, cuts=3, left_out=left_out)
    assert acknowledged > 0
    assert lost > 0
