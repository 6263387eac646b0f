"""What a station's owner decides about figures for Prometheus: section [metrics] of station.toml."""

from __future__ import annotations

from pydantic import field_validator

from edge.settings import Settings


class MetricsSettings(Settings):
    """Whether there are any, and where."""

    listen: str = ""
    """HOST:PORT of http://HOST:PORT/metrics; port 0: any free one; empty: there is no such page. It has no login."""

    @field_validator("listen")
    @classmethod
    def _has_a_port(cls, listen: str) -> str:
        host, separator, port = listen.rpartition(":")
        if listen and (not separator or not host or not port.isdecimal() or int(port) > 65535):
            raise ValueError(f"{listen!r} is no address: write HOST:PORT, as in 127.0.0.1:9464 or [::1]:9464")
        return listen

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)
