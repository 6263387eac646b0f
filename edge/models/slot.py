"""Where the serving model sits: a lease per frame, and a switch between two frames.

A frame holds its lease from letterbox to decoded answer, so everything in a reply was made by one model. Switching
changes which model the next lease gets and waits for nobody; the old model goes on for those who hold it.
"""

from __future__ import annotations

import concurrent.futures
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.backends.contract import Backend
from edge.inspection import ModelIdentity
from edge.models.checks import preprocess
from lineside.candidates import candidates_below
from lineside.decode import Found, decode_outputs
from lineside.letterbox import Letterbox
from lineside.package import Package
from lineside.pixels import Pixels
from lineside.reasons import ContractError, Reason

_LOGGER = logging.getLogger(__name__)

Outputs = Mapping[str, NDArray[np.generic]]

_JOIN_SECONDS = 30.0


class Answer(NamedTuple):
    """What a model says about one frame; boxes of `found` are in model pixels."""

    found: Found
    letterbox: Letterbox
    preprocess_us: int
    inference_us: int
    """Waiting for the engine included."""
    below: Found | None = None
    """Candidates below the thresholds, where they were asked for."""


class _Job(NamedTuple):
    images: NDArray[np.uint8]
    result: concurrent.futures.Future[Outputs]


class EngineThread:
    """The one thread that touches an engine: it opens it, runs it and closes it.

    Args:
        name: of the thread.
        open_engine: makes the backend; called in the thread.

    `stands_in` is the backend's: why it runs instead of the one that was asked for.

    Raises:
        Exception: whatever `open_engine` raised.
    """

    def __init__(self, name: str, open_engine: Callable[[], Backend]) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        opened: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(open_engine, opened), name=name, daemon=True)
        self._thread.start()
        self.stands_in = opened.result()

    def submit(self, images: NDArray[np.uint8]) -> concurrent.futures.Future[Outputs]:
        """Hands over a batch; the future may be cancelled until the engine takes it.

        Args:
            images: (N, H, W, C) uint8.

        Raises:
            RuntimeError: the engine is closed.
        """
        job = _Job(images, concurrent.futures.Future())
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self._thread.name} is closed")
            self._jobs.put(job)
        return job.result

    def close(self) -> None:
        """Finishes what was handed over, then closes the engine. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            _LOGGER.error("%s did not end within %.0f s; its engine hangs", self._thread.name, _JOIN_SECONDS)

    def _run(self, open_engine: Callable[[], Backend], opened: concurrent.futures.Future[str]) -> None:
        try:
            backend = open_engine()
        except BaseException as error:  # reaches whoever waits in __init__
            opened.set_exception(error)
            return
        opened.set_result(backend.stands_in)
        del opened
        with backend:
            while (job := self._jobs.get()) is not None:
                if not job.result.set_running_or_notify_cancel():
                    continue
                try:
                    outputs = backend.infer(job.images)
                except BaseException as error:  # reaches the frame that waits
                    job.result.set_exception(error)
                else:
                    job.result.set_result(outputs)
                del job


class ServingModel:
    """A package with its engine loaded, ready to answer frames from any thread.

    Args:
        package: verified.
        open_engine: makes the backend for the package's graph; called in the engine's own thread.
    """

    def __init__(self, package: Package, open_engine: Callable[[bytes], Backend]) -> None:
        manifest = package.manifest
        self.package = package
        self.identity = ModelIdentity(name=manifest.name, version=manifest.version, digest=package.digest)
        self.thresholds: NDArray[np.float32] = np.array([item.threshold for item in manifest.classes], np.float32)
        self._head = package.head
        # The bytes are read, and checked once more, in the thread that parses them.
        self._engine = EngineThread(f"engine {package.digest[7:19]}", lambda: open_engine(package.read("model.onnx")))
        self.stands_in = self._engine.stands_in
        """Why another engine runs than was asked for; empty: it is that one."""

    def preprocess(self, pixels: Pixels) -> tuple[NDArray[np.uint8], Letterbox]:
        """The model's input (1, H, W, C) for a frame of uint8 (h, w) or (h, w, 3), and its geometry."""
        return preprocess(pixels, self.package.manifest.input)

    def run(self, images: NDArray[np.uint8], *, deadline_monotonic_ns: int | None = None) -> Outputs:
        """The graph's outputs for a batch (N, H, W, C), computed by the engine's thread.

        Raises:
            ContractError: DEADLINE, the time is over; a batch that had not begun is not run any more.
        """
        future = self._engine.submit(images)
        if deadline_monotonic_ns is None:
            return future.result()
        left = (deadline_monotonic_ns - time.monotonic_ns()) / 1e9
        try:
            return future.result(timeout=max(0.0, left))
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise ContractError(
                Reason.DEADLINE, "the caller's time was over before the model had answered; allow more time"
            ) from None

    def answer(
        self, pixels: Pixels, *, deadline_monotonic_ns: int | None = None, down_to: float | None = None
    ) -> Answer:
        """Letterbox, engine, detections.

        Args:
            pixels: uint8 (h, w) or (h, w, 3) RGB.
            deadline_monotonic_ns: after which nobody waits for the answer; None: no limit.
            down_to: score down to which candidates below the thresholds are wanted too; None: none.

        Raises:
            ContractError: DEADLINE. Faults of the engine come as the backend raises them.
        """
        started = time.perf_counter_ns()
        images, letterbox = self.preprocess(pixels)
        prepared = time.perf_counter_ns()
        outputs = self.run(images, deadline_monotonic_ns=deadline_monotonic_ns)
        answered = time.perf_counter_ns()
        found = self.decode(outputs)
        below = None if down_to is None else self.decode_below(outputs, found, down_to)
        return Answer(found, letterbox, (prepared - started) // 1000, (answered - prepared) // 1000, below)

    def decode(self, outputs: Outputs) -> Found:
        """Detections out of the outputs for a batch of one."""
        first = {name: values[0] for name, values in outputs.items()}
        parameters = self.package.manifest.decode
        return decode_outputs(first, self._head, thresholds=self.thresholds, parameters=parameters)

    def decode_below(self, outputs: Outputs, raised: Found, down_to: float) -> Found:
        """What lies below the thresholds in the same outputs, down to a score (`lineside.candidates`)."""
        return candidates_below(
            {name: values[0] for name, values in outputs.items()},
            self._head,
            raised,
            thresholds=self.thresholds,
            down_to=down_to,
            parameters=self.package.manifest.decode,
        )

    def close(self) -> None:
        """Gives the engine back. Idempotent."""
        self._engine.close()

    def __enter__(self) -> ServingModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ModelSlot:
    """Holds the serving model and counts who uses which."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._serving: ServingModel | None = None
        self._leases: Counter[int] = Counter()

    @property
    def serving(self) -> ServingModel | None:
        """The model the next frame gets."""
        return self._serving

    @contextmanager
    def lease(self) -> Iterator[ServingModel]:
        """The serving model, for one frame; it stays loaded until the lease ends.

        Raises:
            ContractError: NO_MODEL.
        """
        with self._changed:
            model = self._serving
            if model is None:
                raise ContractError(Reason.NO_MODEL, "no model serves on this station; push one and activate it")
            self._leases[id(model)] += 1
        try:
            yield model
        finally:
            with self._changed:
                self._leases[id(model)] -= 1
                if self._leases[id(model)] == 0:
                    del self._leases[id(model)]
                    self._changed.notify_all()

    def switch(self, new: ServingModel | None) -> ServingModel | None:
        """The next lease gets `new`; gives back the one before. Waits for nobody."""
        with self._changed:
            old, self._serving = self._serving, new
            return old

    def drained(self, old: ServingModel, timeout: float | None = None) -> bool:
        """Waits until no lease of a model is out; False if there still is one after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: id(old) not in self._leases, timeout)
