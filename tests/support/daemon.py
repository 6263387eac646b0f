"""A real station process on free ports, for story tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loop.station import StationProcess

ANY_PORT: dict[str, dict[str, Any]] = {
    "station": {"name": "line-1"},
    "grpc": {"listen": "127.0.0.1:0"},
    "stream": {"listen": "tcp://127.0.0.1:0"},
    "feedback": {"listen": "tcp://127.0.0.1:0"},
    "panel": {"listen": "127.0.0.1:0"},
    "mentoring": {"reserve_mb": 1},
}


def daemon(folder: Path, sections: Mapping[str, Any] | None = None) -> StationProcess:
    """Not yet started; `sections` of station.toml are laid over ANY_PORT, key by key."""
    config: dict[str, Any] = {name: dict(values) for name, values in ANY_PORT.items()}
    for name, values in (sections or {}).items():
        config[name] = {**config.get(name, {}), **values} if isinstance(values, Mapping) else values
    return StationProcess(folder, config)
