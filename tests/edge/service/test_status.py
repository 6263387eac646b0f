"""A refusal's text stays one printable line of bounded length, whatever a request has brought into it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.service.status import LONGEST_TEXT, error_message, one_line
from lineside.reasons import ContractError, Reason


@given(st.text(max_size=80))
def test_it_is_one_line_that_can_be_printed(text: str) -> None:
    shown = one_line(text)
    assert shown.isprintable()
    assert (shown == text) is text.isprintable()


def test_it_says_which_sign_stood_there_and_ends_somewhere() -> None:
    assert one_line("a\nb\0c") == "a\\nb\\x00c"
    assert one_line("x" * 10_000) == "x" * LONGEST_TEXT + " ..."
    error = ContractError(Reason.REQUEST_MALFORMED, "line\nbreak")
    assert error_message(error).message == "line\\nbreak"
