"""Float graphs to quantise: exporting one takes seconds, so each is made once in a process."""

from __future__ import annotations

import functools
from pathlib import Path

from support.checkpoints import detector, frames

from export.graph import DeployedGraph
from export.package import TOLERANCE
from export.parity import in_onnxruntime
from export.strength import strong_cases
from export.to_onnx import to_onnx
from lineside import golden
from lineside.areas import write_head
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package, read_package, write_package
from lineside.v1 import model_pb2
from training.evaluate.predictor import decode_parameters

THRESHOLD = {"anchors": 0.4, "cells": 0.27}
"""Untrained networks answer a little of everything; above this they raise some detections, not all."""


@functools.cache
def exported(head: str) -> bytes:
    """The deployed graph of a small untrained detector, 96 x 64, one channel."""
    return to_onnx(DeployedGraph(detector(head), top_k=60))


def float_package(folder: Path, head: str) -> Package:
    """A package around it, with strong golden cases and one figure; no weights."""
    made = detector(head)
    config = made.config
    manifest = model_pb2.PackageManifest(
        format_version=1,
        name="boards",
        version="1.2.3",
        input=model_pb2.ModelInput(width=config.width, height=config.height, channels=1, padding=config.padding),
        classes=[model_pb2.ModelClass(name=name, threshold=THRESHOLD[head]) for name in config.classes],
        decode=decode_parameters(),
        parity=TOLERANCE,
        lineage=model_pb2.Lineage(recipe="transfer", seed=3),
        evaluations=[model_pb2.Evaluation(domain="original", images=4, map_33=0.9)],
    )
    write_head(made.head, manifest, top_k=60)
    cases = strong_cases(in_onnxruntime(exported(head)), frames((128, 192), (64, 80)), manifest)
    write_package(folder, manifest, {GRAPH_NAME: exported(head), GOLDEN_NAME: golden.pack(cases)})
    return read_package(folder)
