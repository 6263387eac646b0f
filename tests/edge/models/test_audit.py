"""The audit: appended, numbered, chained, and readable after a cut in the middle of a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.models.audit import NOTHING_BEFORE, Audit, broken_links


def note(audit: Audit, number: int) -> None:
    audit.note(now=number, actor="ada", action="activate", digest=f"sha256:{number}", name="tiles", version="1.0.0")


def test_lines_are_numbered_over_starts_and_name_the_line_before(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    note(Audit(path), 1)
    audit = Audit(path)
    note(audit, 2)
    audit.note(now=3, actor="eve ✓", action="rollback", outcome="PKG_STATE", message="line 1\nline 2")
    entries = list(audit.entries())
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.outcome for entry in entries] == ["done", "done", "PKG_STATE"]
    assert (entries[2].actor, entries[2].message) == ("eve ✓", "line 1\nline 2")
    assert entries[0].previous == NOTHING_BEFORE
    assert len({entry.previous for entry in entries}) == 3
    assert [entry.number for entry in audit.entries(after=2)] == [3]
    assert broken_links(path) == []


def test_a_line_that_was_changed_or_taken_out_shows(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    for number in range(1, 6):
        note(audit, number)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert broken_links(path) == [3]
    document = json.loads(lines[3])
    document["actor"] = "nobody"
    path.write_bytes(b"".join([*lines[:3], json.dumps(document).encode() + b"\n", lines[4]]))
    assert broken_links(path) == [5]
    assert Audit(path).changed_before == (5,)


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_line_that_a_cut_tore_is_passed_over_and_the_next_one_is_whole(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "audit.jsonl"
    for number in (1, 2):
        note(Audit(path), number)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:kept])
    audit = Audit(path)
    assert [entry.unix_ns for entry in audit.entries()] == [1]
    note(audit, 7)
    assert [(entry.number, entry.unix_ns) for entry in audit.entries()] == [(1, 1), (2, 7)]
    assert broken_links(path) == []


def test_a_disk_that_takes_no_line_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    note(audit, 1)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        note(audit, 2)
    note(audit, 3)
    # The line of which nobody knows whether it is there may be; the numbers after it tell no lie about the order.
    assert [entry.unix_ns for entry in audit.entries()][-1] == 3
