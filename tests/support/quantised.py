"""Float graphs to quantise: exporting one takes seconds, so each is made once in a process."""

from __future__ import annotations

import functools

from support.checkpoints import detector

from export.graph import DeployedGraph
from export.to_onnx import to_onnx


@functools.cache
def exported(head: str) -> bytes:
    """The deployed graph of a small untrained detector, 96 x 64, one channel."""
    return to_onnx(DeployedGraph(detector(head), top_k=60))
