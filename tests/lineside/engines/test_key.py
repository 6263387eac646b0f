"""Batch sizes and keys: what an engine depends on."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.engines.key import ANY, BatchRange, EngineKey, check_profiles, shapes_of

KEY = EngineKey(
    graph_sha256="0" * 64,
    builder="tensorrt_rtx 1.7",
    target="SM89",
    gpu=ANY,
    driver=ANY,
    precision="fp32",
    profiles="1x8x8x1 1x8x8x1 8x8x8x1",
    options="workspace 1 MB",
)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineKey)])
def test_every_part_of_the_key_makes_another_engine(field: str) -> None:
    other = dataclasses.replace(KEY, **{field: "another"})
    assert other.digest != KEY.digest
    assert other.name != KEY.name
    assert len(KEY.name) == 32


def test_a_key_that_leaves_something_open_is_none() -> None:
    with pytest.raises(ValueError, match="lacks graph_sha256, driver"):
        dataclasses.replace(KEY, graph_sha256="", driver="")


def test_no_two_fields_can_be_mistaken_for_each_other() -> None:
    first = dataclasses.replace(KEY, gpu="a", driver="b")
    assert first.digest != dataclasses.replace(KEY, gpu="b", driver="a").digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1:1:8", (1, 1, 8)), ("4", (4, 4, 4)), ("2:4:16", (2, 4, 16))],
)
def test_batch_sizes_are_three_numbers_or_one(text: str, expected: tuple[int, int, int]) -> None:
    batch = BatchRange.parse(text)
    assert (batch.smallest, batch.best, batch.largest) == expected
    assert BatchRange.parse(str(batch)) == batch


@pytest.mark.parametrize("text", ["", "1:2", "a", "1:2:3:4", "-1", "1:1:", "1.5", "²", "9999999"])
def test_anything_else_is_answered_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="expected SMALLEST:BEST:LARGEST"):
        BatchRange.parse(text)


@given(st.text(max_size=12))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        batch = BatchRange.parse(text)
    except ValueError:
        return
    assert 1 <= batch.smallest <= batch.best <= batch.largest


def test_batch_sizes_have_to_rise() -> None:
    for sizes in ((1, 9, 8), (2, 1, 8), (0, 1, 8)):
        with pytest.raises(ValueError, match="not falling"):
            BatchRange(smallest=sizes[0], best=sizes[1], largest=sizes[2])


def test_a_graph_of_a_fixed_batch_takes_that_one_alone() -> None:
    check_profiles([BatchRange.parse("4")], 4)
    check_profiles([BatchRange.parse("4"), BatchRange()], None)
    with pytest.raises(ValueError, match=r"fixed to batches of 4, asked for 1:1:8; build with --batch 4"):
        check_profiles([BatchRange()], 4)


def test_profiles_are_not_named_twice_and_not_none() -> None:
    with pytest.raises(ValueError, match="name a profile twice"):
        check_profiles([BatchRange(), BatchRange()], None)
    with pytest.raises(ValueError, match="at least one"):
        check_profiles([], None)


def test_shapes_are_written_out() -> None:
    assert shapes_of([BatchRange.parse("1:2:4"), BatchRange.parse("8")], (64, 48, 3)) == (
        "1x64x48x3 2x64x48x3 4x64x48x3; 8x64x48x3 8x64x48x3 8x64x48x3"
    )
