"""Addresses that stay free while nobody listens there: for stations that are stopped and started again.

A port the system hands out lies in the range it also takes for outgoing connections. While the station is down, a
client that keeps trying can be given that very port as its own and so connect to itself, and the station cannot have
its address back. Ports below that range are nobody's.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_LOW = 32768
_SPAN = 12000
_TRIES = 200


def steady_address() -> str:
    """127.0.0.1:PORT that is free now, and outside the range for outgoing connections.

    Raises:
        OSError: none was found.
    """
    try:
        low = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        low = _USUAL_LOW
    if low <= 1024 + _SPAN:
        low = _USUAL_LOW
    chance = random.SystemRandom()
    for _ in range(_TRIES):
        port = chance.randrange(low - _SPAN, low)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"127.0.0.1:{port}"
    raise OSError(f"no free port among {low - _SPAN} to {low - 1}")
