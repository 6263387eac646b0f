"""Several items in work at once, answers in the order of the items."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.service.in_order import InOrder

SECONDS = 30.0


@settings(max_examples=25, deadline=None)
@given(items=st.lists(st.integers(), max_size=40), depth=st.integers(1, 5))
def test_answers_come_in_the_order_of_the_items(items: list[int], depth: int) -> None:
    assert list(InOrder(iter(items), lambda item: item + 1, depth=depth)) == [item + 1 for item in items]


def test_a_quick_second_waits_for_a_slow_first_and_is_worked_on_meanwhile() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            assert second_done.wait(SECONDS)
        else:
            second_done.set()
        return item

    assert list(InOrder(iter([1, 2]), work, depth=2)) == [1, 2]


def test_it_never_reads_further_ahead_than_its_depth() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            read.append(item)
            yield item

    for taken, _ in enumerate(InOrder(items(), lambda item: item, depth=3), start=1):
        # Three in work, and the one whose turn it is in the reader's hand.
        assert len(read) <= taken + 3


def test_what_the_source_raises_reaches_whoever_iterates_after_the_answers_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("hung up")

    answers = iter(InOrder(items(), lambda item: item, depth=2))
    assert next(answers) == 1
    with pytest.raises(OSError, match="hung up"):
        next(answers)


def test_what_the_work_raises_reaches_whoever_iterates() -> None:
    with pytest.raises(ZeroDivisionError):
        list(InOrder(iter([0]), lambda item: 1 // item, depth=1))


def test_finishing_gives_the_answers_for_what_was_read_and_ends() -> None:
    more = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        more.wait(SECONDS)  # a caller who keeps his stream open

    worked = threading.Semaphore(0)

    def work(item: int) -> int:
        worked.release()
        return item

    stream = InOrder(items(), work, depth=3)
    answers = iter(stream)
    found = [next(answers)]
    for _ in range(2):
        assert worked.acquire(timeout=SECONDS)
    stream.finish()
    found.extend(answers)
    more.set()
    assert found == [1, 2]
