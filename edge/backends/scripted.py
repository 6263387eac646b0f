"""An engine whose answers are written down beforehand: for tests, and to time the station without a network."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge.backends.contract import Backend, BackendError, Images, Outputs, OutputSpec

Answer = Mapping[str, NDArray[np.generic]] | BackendError


class Scripted(Backend):
    """Gives its answers one after another, then from the beginning.

    Args:
        answers: per call the outputs of one picture without the batch axis, or the error to raise. The first must be
            outputs: they say what the engine declares.
        input_shape: (height, width, channels).
        seconds: how long each call takes, without using the processor: it stands for a device.
        wait: how to spend that time; replaced where a test holds the engine itself.
    """

    name = "scripted"

    def __init__(
        self,
        answers: Iterable[Answer],
        *,
        input_shape: tuple[int, int, int] = (64, 64, 1),
        seconds: float = 0.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        script = list(answers)
        if not script or isinstance(script[0], BackendError):
            raise ValueError("answers must begin with outputs")
        specs = {name: OutputSpec(shape=values.shape, dtype=values.dtype) for name, values in script[0].items()}
        super().__init__(input_shape=input_shape, outputs=specs)
        self._script = itertools.cycle(script)
        self._seconds = seconds
        self._wait = wait

    def _infer(self, images: Images) -> Outputs:
        if self._seconds:
            self._wait(self._seconds)
        answer = next(self._script)
        if isinstance(answer, BackendError):
            raise answer
        return {name: np.repeat(values[None], len(images), axis=0) for name, values in answer.items()}

    def _close(self) -> None:
        self._script = iter(())  # type: ignore[assignment]
