"""The arithmetic of room on the disk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.mentoring.retention import GIB, MIB, Limits
from edge.mentoring.settings import MentoringSettings

LIMITS = Limits(budget=1000, keep_free=50, reserve=30, disk=100_000)
sizes = st.integers(0, 10_000)


def test_limits_are_the_configuration_in_bytes() -> None:
    limits = Limits.of(MentoringSettings(budget_gb=0.5, keep_free_mb=3, reserve_mb=2), 7 * GIB)
    assert limits == Limits(budget=GIB // 2, keep_free=3 * MIB, reserve=2 * MIB, disk=7 * GIB)


def test_within_budget_and_with_free_space_nothing_has_to_go() -> None:
    assert LIMITS.shortage(image_bytes=1000, free_bytes=50, holds_reserve=True) == 0


def test_what_is_over_the_budget_has_to_go() -> None:
    assert LIMITS.shortage(image_bytes=990, free_bytes=9999, holds_reserve=True, coming=20) == 10


def test_what_the_disk_lacks_has_to_go_and_a_missing_reserve_counts() -> None:
    assert LIMITS.shortage(image_bytes=0, free_bytes=40, holds_reserve=True, coming=5) == 15
    assert LIMITS.shortage(image_bytes=0, free_bytes=40, holds_reserve=False, coming=5) == 45


@given(sizes, sizes, st.booleans(), sizes)
def test_after_deleting_the_shortage_there_is_room(held: int, free: int, reserve: bool, coming: int) -> None:
    need = LIMITS.shortage(image_bytes=held, free_bytes=free, holds_reserve=reserve, coming=coming)
    after = LIMITS.shortage(image_bytes=held - need, free_bytes=free + need, holds_reserve=reserve, coming=coming)
    assert after == 0


def test_headroom_is_a_twentieth_of_the_budget_or_the_disk_and_bounded() -> None:
    assert LIMITS.headroom == 50
    assert Limits(budget=100 * GIB, keep_free=0, reserve=0, disk=200).headroom == 10
    assert Limits(budget=100 * GIB, keep_free=0, reserve=0, disk=100 * GIB).headroom == 256 * MIB
