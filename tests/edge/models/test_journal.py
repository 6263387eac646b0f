"""The journal: the old lineup or the new one, never half of either."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.models import swap
from edge.models.journal import Journal, lineup_bytes, parse_lineup
from edge.models.swap import Lineup

DIGEST = "sha256:" + "a" * 64
LINEUP = swap.received(Lineup(floors=(("tiles", "1.2.3"),)), DIGEST, 7)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    assert journal.load() == Lineup()
    journal.save(LINEUP)
    assert Journal(tmp_path / "journal.json").load() == LINEUP


def test_a_write_that_fails_at_any_step_leaves_the_old_lineup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.save(Lineup())

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os if step == "fsync" else Path, step, fail)
            with pytest.raises(OSError, match="No space"):
                journal.save(LINEUP)
        assert journal.load() == Lineup()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"format_version": 2}',
        lineup_bytes(LINEUP)[:-20],
        lineup_bytes(LINEUP).replace(DIGEST.encode(), b"sha256:../../../etc"),
        lineup_bytes(LINEUP).replace(b"RECEIVED", b"MARVELLOUS"),
        lineup_bytes(LINEUP).replace(b"1.2.3", b"newest"),
        lineup_bytes(LINEUP).replace(b'"serving": null', b'"serving": "sha256:0"'),
    ],
)
def test_a_damaged_journal_is_put_aside_and_said_so(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "journal.json"
    path.write_bytes(raw)
    with pytest.raises(ValueError):  # noqa: PT011 - each kind of damage has its own words
        parse_lineup(raw)
    assert Journal(path).load() is None
    assert path.with_suffix(".damaged").read_bytes() == raw
    assert Journal(path).load() == Lineup()
