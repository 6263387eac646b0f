"""Whether the station could listen where its configuration says, and who could reach it there."""

from __future__ import annotations

import errno
import ipaddress
import socket
from pathlib import Path
from typing import NamedTuple

from edge.config import StationConfig
from edge.doctor.findings import Finding, State

SECTION = "ports"


class Address(NamedTuple):
    """Where something listens."""

    name: str
    listen: str
    protected: bool
    """Whether who connects is encrypted and known."""


def addresses(config: StationConfig) -> list[Address]:
    """All of a configuration."""
    tls = config.panel.tls_certificate is not None
    found = [
        Address("grpc", config.grpc.listen, False),
        Address("stream", config.stream.listen.removeprefix("tcp://"), config.curve is not None),
        Address("feedback", config.feedback.listen.removeprefix("tcp://"), config.curve is not None),
    ]
    if config.panel.enabled:
        found.append(Address("panel", config.panel.listen, tls))
    if config.metrics.listen:
        found.append(Address("metrics", config.metrics.listen, False))
    if config.outputs.modbus is not None:
        found.append(Address("modbus", config.outputs.modbus.listen, False))
    if config.outputs.opcua is not None:
        found.append(Address("opcua", config.outputs.opcua.listen, config.outputs.opcua.certificate is not None))
    return found


def finding(address: Address, *, running: bool) -> Finding:
    """Of one address.

    Args:
        address: to try; it is bound for an instant.
        running: this station runs now, so its ports are its own.
    """
    fault, todo = _fault(address.listen)
    if fault and running and "is in use" in fault:
        fault, text = "", f"{address.listen}: the running station's"
    else:
        text = f"{address.listen} is free"
    if fault:
        return Finding(section=SECTION, name=address.name, state=State.FAULT, text=fault, todo=todo)
    if not address.protected and _is_reachable(address.listen):
        return Finding(
            section=SECTION,
            name=address.name,
            state=State.WARNING,
            text=f"{text}; anybody who reaches it may use it, and nothing is encrypted",
            todo="keep it on a network of its own (deploy/README.md says what each port needs)",
        )
    return Finding(section=SECTION, name=address.name, state=State.OK, text=text)


def _fault(listen: str) -> tuple[str, str]:
    """What keeps the station from listening there, and what to do."""
    for scheme in ("unix:", "ipc://"):
        if listen.startswith(scheme):
            folder = Path(listen.removeprefix(scheme)).parent
            return ("", "") if folder.is_dir() else (f"{listen}: folder {folder} is not there", f"mkdir -p {folder}")
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if host == "*":
        host = "0.0.0.0"  # noqa: S104 - ZeroMQ's word for it
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as servers do: no old connection is in the way
            probe.bind((host, int(port)))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return (
                f"{listen} is in use by another program",
                f"stop it (ss -ltnp shows who has port {port}), or choose another port",
            )
        if error.errno == errno.EACCES:
            return f"{listen} may not be opened by this user", "ports below 1024 need a right: take a higher one"
        return f"{listen} cannot be had: {error.strerror or error}", "the address has to be one of this machine's"
    return "", ""


def _is_reachable(listen: str) -> bool:
    """From another machine."""
    host = listen.rpartition(":")[0].strip("[]")
    if listen.startswith(("unix:", "ipc://")) or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True  # a name, or *
