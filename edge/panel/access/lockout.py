"""How long somebody has to wait after wrong PINs. Pure: time arrives as an argument.

Three things are counted: an account at an address (a person at his tablet, or somebody guessing there), an account
from anywhere (guessing from many addresses), and an address for any account (one PIN tried on everybody). The first is
strict and hurts only who stands there; the others are lenient, so that five taps do not lock a colleague out.
"""

from __future__ import annotations

import collections
import dataclasses

FREE_PAIR = 5
"""Wrong ones in a row that cost nothing, for an account at an address."""
FREE_WIDE = 30
"""The same for an account from anywhere, and for an address."""
FIRST_WAIT = 30.0
LONGEST_WAIT = 900.0
FORGET_AFTER = 3600.0
"""Seconds without a wrong one after which the count begins anew."""
MOST_KEYS = 4096


@dataclasses.dataclass(slots=True)
class _Count:
    failures: int = 0
    until: float = 0.0
    last: float = 0.0


class Lockout:
    """Belongs to one thread."""

    def __init__(self) -> None:
        self._counts: collections.OrderedDict[tuple[str, ...], _Count] = collections.OrderedDict()

    def wait(self, name: str, address: str, now: float) -> float:
        """Seconds until this account may be tried from this address; 0: now."""
        waits = [self._counts[key].until - now for key, _ in _keys(name, address) if key in self._counts]
        return max(0.0, *waits) if waits else 0.0

    def failed(self, name: str, address: str, now: float) -> None:
        """A try is counted before it is checked, so that tries at the same time do not get more of them."""
        for key, free in _keys(name, address):
            count = self._counts.pop(key, None) or _Count()
            self._counts[key] = count
            if now - count.last > FORGET_AFTER:
                count.failures = 0
            count.failures += 1
            count.last = now
            if count.failures >= free:
                count.until = now + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(10, count.failures - free))
        while len(self._counts) > MOST_KEYS:
            self._counts.popitem(last=False)

    def passed(self, name: str, address: str) -> None:
        """It was the right one. The address stays under suspicion: a guesser may have an account himself."""
        for key, _ in _keys(name, address)[:2]:
            self._counts.pop(key, None)
        own = self._counts.get(("address", address))
        if own is not None and own.failures > 0:
            own.failures -= 1

    def forgive(self, name: str) -> None:
        """An admin lets this account in again, from anywhere."""
        for key in [key for key in self._counts if key[0] != "address" and key[1] == name]:
            del self._counts[key]


def _keys(name: str, address: str) -> tuple[tuple[tuple[str, ...], int], ...]:
    return ((("pair", name, address), FREE_PAIR), (("name", name), FREE_WIDE), (("address", address), FREE_WIDE))
