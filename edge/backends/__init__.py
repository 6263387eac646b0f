"""Engines that run a deployed graph: one contract, each runtime in its own file, loaded only when it is asked for."""

from __future__ import annotations

from edge.backends.contract import Backend, BackendError, BackendMissingError
from edge.backends.opening import AUTO, BACKENDS, open_backend

__all__ = ["AUTO", "BACKENDS", "Backend", "BackendError", "BackendMissingError", "open_backend"]
