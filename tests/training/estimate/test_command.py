"""The command on logs as a station writes them: which records count, what is printed, written, and refused."""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support import packages
from support.replays import Part, Word, dent, write_log

from lineside.mentoring_log import DATABASE_NAME, MentoringLogReader
from lineside.package import Package
from lineside.records import Gesture
from training.cli import main
from training.estimate.cli import describe
from training.estimate.reading import NO_VERDICT, OTHER_MODEL, OUTSIDE, PICKED, Span, parse_span, read

HEALTHY, COMPLETE = Word(gesture=Gesture.FRAME_HEALTHY, number=None), Word(gesture=Gesture.FRAME_COMPLETE, number=None)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packages.make_cell_package(tmp_path_factory.mktemp("model") / "package")


def audited(part_id: str, *words: Word) -> Part:
    return Part(part_id=part_id, pixels=packages.picture(1, 1, brightness=0.2), words=words, probability=0.25)


@pytest.fixture(scope="module")
def log(model: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = [
        *(dent(f"right-{number}", Gesture.CONFIRM) for number in range(6)),
        *(dent(f"wrong-{number}", Gesture.REJECT) for number in range(2)),
        dent("unsure", Gesture.UNSURE),
        *(audited(f"sound-{number}", HEALTHY) for number in range(3)),
        audited("escape", Word(gesture=Gesture.MISSED, number=None, class_name="dent", box=(1, 1, 9, 9)), COMPLETE),
        audited("waiting"),
    ]
    return write_log(tmp_path_factory.mktemp("log"), model, parts)


def change(log: Path, statement: str) -> None:
    with sqlite3.connect(log / DATABASE_NAME) as database:
        database.execute(statement)


def estimate(log: Path, out: Path, *arguments: str) -> dict[str, object]:
    assert main(["estimate", "--log", str(log), "--json", str(out), "--progress", "none", *arguments]) == 0
    values = json.loads(out.read_text())
    assert isinstance(values, dict)
    return values


def test_the_figures_are_printed_and_written(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = estimate(log, tmp_path / "deep" / "figures.json")
    assert values["precision"]["share"]["point"] == pytest.approx(6 / 8)
    assert values["precision"]["open"] == 1
    assert values["parts"]["inspected"]["point"] == pytest.approx(9 + 5 * 4)
    # One of four searched passed parts escapes; they stand for five of weight 4.
    assert values["parts"]["escapes"]["point"] == pytest.approx(1000 * 5 / 29)
    assert values["parts"]["false_rejects"]["seen"] == 2
    census = values["census"]
    assert census["records"] == census["used"] == 14
    assert census["touched"] == 13
    printed = capsys.readouterr().out
    assert "75.0% (" in printed
    assert "2 false" not in printed
    assert re.search(r"escapes per 1,000 parts: 172\.4", printed)
    assert "no lower limit" in printed


def test_without_an_audit_it_says_so_and_what_to_do(
    model: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log", model, [dent(f"{number}", Gesture.CONFIRM) for number in range(3)])
    values = estimate(log, tmp_path / "figures.json", "--inspected", "300")
    assert "no audit: nothing can be said about misses" in " ".join(capsys.readouterr().out.split())
    assert values["recall"]["point"] is None
    assert values["parts"]["escapes"]["point"] is None
    assert values["parts"]["false_rejects"]["point"] == 0


def test_every_record_is_used_or_has_a_reason(model: Package, tmp_path: Path) -> None:
    log = write_log(tmp_path, model, [dent(f"{number}", Gesture.CONFIRM) for number in range(6)])
    with MentoringLogReader(log) as reader:
        names = [record.frame.frame_id for record in reader.records()]
        first = next(iter(reader.records())).frame.recorded_unix_ns
    change(log, f"UPDATE frames SET model_digest = 'sha256:{'9' * 64}' WHERE frame_id = '{names[0]}'")
    change(log, f"UPDATE frames SET verdict = 'NO_VERDICT' WHERE frame_id = '{names[1]}'")
    change(log, f"UPDATE frames SET selected_because = 'operator' WHERE frame_id = '{names[2]}'")
    change(log, f"UPDATE frames SET recorded_unix_ns = {first - 5} WHERE frame_id = '{names[3]}'")
    reading = read(log, span=Span(since_ns=first - 4))
    assert reading.model == model.digest
    assert reading.skipped == {OTHER_MODEL: 1, PICKED: 1, NO_VERDICT: 1, OUTSIDE: 1}
    assert [frame.frame_id for frame in reading.frames] == names[4:]
    assert reading.thresholds == {item.name: item.threshold for item in model.manifest.classes}
    other = read(log, model="999")
    assert len(other.frames) == 1
    assert sum(other.skipped.values()) == 5


def test_only_the_feedback_asked_for_counts_and_the_frames_stay(log: Path) -> None:
    early = read(log, span=parse_span(None, "3"))
    late = read(log, span=parse_span("3", None))
    everything = read(log)
    assert [sum(frame.touched for frame in reading.frames) for reading in (early, late, everything)] == [3, 10, 13]
    assert len(early.frames) == len(late.frames) == len(everything.frames) == 14


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:01", 10**9),
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T01:00:01+01:00", 10**9),
        ("1970-01-02", 86_400 * 10**9),
    ],
)
def test_a_time_names_an_offset_or_is_utc(text: str, nanoseconds: int) -> None:
    assert parse_span(text, None).since_ns == nanoseconds


def test_a_report_is_one_file_that_needs_no_network_and_escapes_names(
    model: Package, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = write_log(tmp_path / "log", model, [dent("part", Gesture.CONFIRM)])
    change(bad, "UPDATE detections SET class_name = '<script>$x$</script>\x1b[2J'")
    for place in (log, bad):
        out = tmp_path / "report.html"
        assert main(["estimate", "--log", str(place), "--html", str(out), "--progress", "none"]) == 0
        text = out.read_text(encoding="utf-8")
        images = re.findall(r'<img [^>]*src="([^"]*)"', text)
        assert len(images) == 3
        assert all(image.startswith("data:image/png;base64,") for image in images)
        assert not re.search(r'(src|href)="(?!data:)', text)
        assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in capsys.readouterr().out


def test_progress_can_be_read_by_a_program(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--log", str(log), "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (lines[-2]["done"], lines[-2]["total"]) == (14, 14)
    assert lines[-1]["stage"] == "done"
    assert lines[-1]["estimate"]["census"]["used"] == 14


def torn(log: Path) -> None:
    file = log / DATABASE_NAME
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("arguments", "damage", "message"),
    [
        (["--log", "/nowhere"], None, "no mentoring log in"),
        (["--model", "abc"], None, "is no model of this log; there are sha256:"),
        (["--since", "yesterday"], None, "expected a log sequence or a time"),
        (["--since", "7", "--until", "7"], None, "--since 7 is not before --until 7"),
        (["--since", "2999-01-01"], None, "no frame that a model judged in the time asked for"),
        (["--inspected", "1"], None, "1 parts inspected, and the log alone has 2"),
        (["--answer-error", "0.5"], None, "expected 0 to below 0.5"),
        (["--answer-error", "often"], None, "expected 0 to below 0.5"),
        (["--answer-error", "agreement"], None, "needs detections that two or more people answered"),
        ([], torn, "cannot be read"),
    ],
)
def test_what_it_cannot_use_is_one_line_and_exit_code_2(
    model: Package,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    damage: Callable[[Path], None] | None,
    message: str,
) -> None:
    log = write_log(tmp_path / "log", model, [dent("1", Gesture.CONFIRM), dent("2", Gesture.REJECT)])
    if damage is not None:
        damage(log)
    given = arguments if "--log" in arguments else ["--log", str(log), *arguments]
    assert main(["estimate", "--progress", "none", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_two_peoples_answers_can_say_how_often_one_errs(model: Package, tmp_path: Path) -> None:
    def twice(name: str, second: Gesture) -> Part:
        words = (Word(gesture=Gesture.CONFIRM), Word(gesture=second, operator="bob"))
        return Part(
            part_id=name,
            pixels=packages.picture(1, 1, brightness=0.8),
            detections=(("dent", (0.0, 0.0, 4.0, 4.0)),),
            words=words,
        )

    parts = [*(twice(f"{number}", Gesture.CONFIRM) for number in range(8)), twice("x", Gesture.REJECT)]
    log = write_log(tmp_path / "log", model, parts)
    values = estimate(log, tmp_path / "figures.json", "--answer-error", "agreement")
    assert (values["answered_twice"], values["disagreed"]) == (9, 1)
    # 2 e (1 - e) = 1 / 9.
    assert values["error"] == pytest.approx((1 - (1 - 2 / 9) ** 0.5) / 2)


def test_every_option_is_documented() -> None:
    parser = argparse.ArgumentParser()
    describe(parser)
    text = (Path(__file__).resolve().parents[3] / "docs" / "estimate.md").read_text(encoding="utf-8")
    options = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
    assert [name for name in options if f"`{name}" not in text and f"{name} " not in text and name != "--help"] == []
