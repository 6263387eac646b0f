"""One daemon a data folder, and a run file that is there exactly while it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.data_folder import locked, run_file


def test_a_second_station_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with locked(folder), pytest.raises(OSError, match="another station runs"), locked(folder):
        pass
    with locked(folder):
        pass


def test_what_a_killed_station_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with locked(tmp_path):
        assert not (tmp_path / "run.json").exists()


def test_the_run_file_is_whole_while_inside_and_gone_after(tmp_path: Path) -> None:
    with run_file(tmp_path, {"grpc": "127.0.0.1:1", "ready": True}):
        assert json.loads((tmp_path / "run.json").read_text()) == {"grpc": "127.0.0.1:1", "ready": True}
    assert list(tmp_path.iterdir()) == []
