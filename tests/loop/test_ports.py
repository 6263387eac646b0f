"""Steady addresses: free, and not among the ports a client may be given as its own."""

from __future__ import annotations

import socket
from pathlib import Path

from loop.ports import steady_address


def test_a_steady_address_is_free_and_outside_the_range_for_outgoing_connections() -> None:
    for _ in range(20):
        host, _, port = steady_address().rpartition(":")
        with socket.socket() as server:
            server.bind((host, int(port)))
        span = Path("/proc/sys/net/ipv4/ip_local_port_range")
        if span.exists():
            low, high = map(int, span.read_text().split())
            assert not low <= int(port) <= high
