"""A station as it is shipped, but for its engine, which waits: `python -m benchmarks.serving.station run FILE`."""

from __future__ import annotations

import sys

from benchmarks.serving.engines import Waiting
from edge import daemon
from edge.backends.contract import Backend
from edge.cli import main


def _open_waiting(name: str, graph: bytes, **_options: object) -> Backend:  # noqa: ARG001
    return Waiting(graph)


if __name__ == "__main__":
    setattr(daemon, "open_backend", _open_waiting)  # noqa: B010 - the daemon has no word for engines of benchmarks
    sys.exit(main())
