"""kill -9 loses nothing acknowledged: a real station, killed at random moments while line PCs and operators work."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.packages import make_anchor_package

from benchmarks.kill import run

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("daemon")]
KILLS = 20


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    package = make_anchor_package(tmp_path / "package", bias=0.2)
    report = run(tmp_path / "station", kills=KILLS, seed=20, package=package.folder)
    assert report.troubles == []
    assert (report.kills, report.lost, report.duplicated) == (KILLS, 0, 0)
    # It was a test of something: events came through between all those kills, and some were said twice.
    assert report.acknowledged > 3 * KILLS
    assert report.repeated > 0
