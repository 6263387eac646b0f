"""A batch is split into parts that an engine takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.backends.batches import Piece, pieces
from edge.backends.engine_choice import batch_ranges
from lineside.engines.key import BatchRange

PROFILES = st.lists(
    st.lists(st.integers(1, 40), min_size=3, max_size=3)
    .map(sorted)
    .map(lambda sizes: BatchRange(smallest=sizes[0], best=sizes[1], largest=sizes[2])),
    min_size=1,
    max_size=4,
)


@given(st.integers(1, 200), PROFILES)
def test_every_picture_is_run_once_in_order_under_a_profile_that_takes_it(
    count: int, profiles: list[BatchRange]
) -> None:
    found = pieces(count, profiles)
    assert [piece.start for piece in found] == [sum(part.count for part in found[:at]) for at in range(len(found))]
    assert sum(piece.count for piece in found) == count
    largest = max(profile.largest for profile in profiles)
    assert len(found) == -(-count // largest)
    for piece in found:
        profile = profiles[piece.profile]
        assert profile.smallest <= piece.run <= profile.largest
        assert piece.count <= piece.run
        # More than needed is run only where no profile takes fewer.
        assert piece.run == piece.count or not any(other.smallest <= piece.count <= other.largest for other in profiles)


def test_of_two_profiles_the_one_tuned_nearest_is_taken() -> None:
    profiles = [BatchRange(smallest=1, best=8, largest=8), BatchRange(smallest=1, best=1, largest=8)]
    assert pieces(1, profiles) == (Piece(start=0, count=1, run=1, profile=1),)
    assert pieces(6, profiles) == (Piece(start=0, count=6, run=6, profile=0),)


def test_profiles_are_read_out_of_shapes() -> None:
    assert batch_ranges([[(1, 8, 8, 1), (4, 8, 8, 1), (8, 8, 8, 1)]]) == (BatchRange(smallest=1, best=4, largest=8),)
    with pytest.raises(ValueError, match="expected three of"):
        batch_ranges([[(1, 8, 8)]])
