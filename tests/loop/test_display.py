"""Progress: bars for people, plain lines for files, JSON lines for programs."""

from __future__ import annotations

import io
import json

from loop.display import BarDisplay, JsonDisplay, LineDisplay, open_display


def test_a_file_gets_plain_lines_with_beginning_and_end() -> None:
    lines: list[str] = []
    display = LineDisplay(lines.append)
    with display.step("Train") as advance:
        advance(1, 2, "loss 0.5")
        display.say("something happened")
    assert lines[0] == "Train ..."
    assert lines[1] == "something happened"
    assert lines[2].startswith("Train: done in ")
    assert lines[2].endswith("loss 0.5")


def test_a_program_gets_one_object_a_line() -> None:
    stream = io.StringIO()
    display = JsonDisplay(stream)
    with display.step("Train") as advance:
        advance(1, 2, "loss 0.5")
        display.say("hello")
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert told[0] == {"step": "Train", "done": 0, "total": 0, "words": ""}
    assert {"say": "hello"} in told
    assert told[-1] == {"step": "Train", "words": "loss 0.5", "over": True}


def test_a_terminal_gets_bars_that_end_full() -> None:
    stream = io.StringIO()
    with BarDisplay(stream) as display:
        with display.step("Train") as advance:
            advance(1, 2, "loss")
        with display.step("Of unknown length"):
            pass
        display.say("[not] markup")
    text = stream.getvalue()
    assert "100%" in text
    assert "[not] markup" in text


def test_what_is_no_terminal_gets_lines() -> None:
    assert isinstance(open_display(io.StringIO()), LineDisplay)
