"""A thousand requests that are almost right to every RPC: contract codes only, no traceback, no path, nothing left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzz import FuzzReport, under_attack
from benchmarks.fuzz_attack import Fuzzer, Rpc, rpcs

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("fuzz")]
REQUESTS = 1000
MOST_UNREAD = 20
"""Of those, refused because the station was busy."""


@pytest.fixture(scope="module")
def fuzzer() -> Iterator[Fuzzer]:
    memory = Path("/dev/shm")
    report = FuzzReport(seed=1)
    with tempfile.TemporaryDirectory(prefix="lineside-fuzz-", dir=memory if memory.is_dir() else None) as folder:
        with under_attack(Path(folder), report) as attacking:
            yield attacking
        assert report.troubles == []


# In this order: what changes the models comes last.
@pytest.mark.parametrize("rpc", rpcs(), ids=lambda rpc: rpc.path.lstrip("/"))
def test_an_rpc_answers_a_thousand_odd_requests_in_the_contracts_words(fuzzer: Fuzzer, rpc: Rpc) -> None:
    row = fuzzer.attack(rpc, REQUESTS)
    assert row.troubles == []
    assert row.requests == REQUESTS
    assert row.answered + sum(row.refused.values()) >= REQUESTS
    # It was a test of something: requests were read, and what was no message was told so.
    assert row.refused["QUEUE_FULL"] <= MOST_UNREAD
    assert row.refused["REQUEST_MALFORMED"] > 0
