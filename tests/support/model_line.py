"""A line of parts through a real pipeline whose models a real manager holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from support import packages
from support.pushes import ACTOR, push
from support.station import KeptFrames, frame

from edge.events import EventBus
from edge.inspection import Inspection
from edge.models.manager import ModelManager
from edge.pipeline import Pipeline
from lineside.package import Package

SECONDS = 60.0
DIM = 0.3
"""A bright area that a model without bias does not raise, and one with a bias of 0.25 does."""


class Line:
    """Frames one after another, as a camera brings them."""

    def __init__(self, models: ModelManager) -> None:
        self.models = models
        self.pipeline = Pipeline(
            station="line-1",
            slot=models.slot,
            bus=EventBus("boot"),
            log=KeptFrames(),
            selector=KeptFrames(),
            observer=models,
        )

    def run(self, count: int, *, brightness: float = 0.8) -> list[Inspection]:
        return [self.pipeline.inspect(frame(packages.picture(brightness=brightness))) for _ in range(count)]

    def run_until(self, done: Callable[[], bool], *, brightness: float = 0.8, most: int = 3000) -> int:
        """Runs frames, none without an answer in between; how many it took."""
        for number in range(most):
            if done():
                return number
            self.run(1, brightness=brightness)
        raise AssertionError(f"not after {most} frames")

    @property
    def serving(self) -> str:
        """Version of the serving model."""
        model = self.models.slot.serving
        return "" if model is None else model.identity.version


def wait_until(done: Callable[[], bool]) -> None:
    pause, until = threading.Event(), time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < until, "it took too long"
        pause.wait(0.005)


def serve(models: ModelManager, package: Package, *, confirm: bool = True) -> None:
    push(models, package.folder)
    models.activate(package.digest, ACTOR)
    if confirm:
        models.confirm(package.digest, ACTOR)


def make(folder: Path, version: str, bias: float) -> Package:
    return packages.make_anchor_package(folder / version, version=version, bias=bias)
