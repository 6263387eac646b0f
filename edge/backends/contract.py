"""What every engine promises. The public method checks, the private one computes; tests/compliance runs over all."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lineside.reasons import ContractError, Reason

Images = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.generic]]


class BackendError(Exception):
    """The runtime is missing, cannot make an engine out of the graph, or failed while it ran."""


class BackendMissingError(BackendError):
    """This machine cannot run the backend at all; the message says what is missing and how to get it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """One output of the graph, without the batch axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class Backend(abc.ABC):
    """An engine made of one deployed graph: uint8 pictures in, fixed-size outputs out.

    One thread at a time: device work belongs to one owner thread (edge/models/slot.py). A context manager; `close`
    is idempotent, and an engine that is closed refuses to run.
    """

    name: str
    """As in station.toml."""
    stands_in: str = ""
    """Why this engine runs instead of the one that was asked for; empty: it is that one."""

    def __init__(self, *, input_shape: tuple[int, int, int], outputs: Mapping[str, OutputSpec]) -> None:
        self.input_shape = input_shape
        """(height, width, channels) of one picture."""
        self.outputs = dict(outputs)
        """What `infer` gives, by name."""
        self._closed = False

    def infer(self, images: Images) -> Outputs:
        """Runs the graph.

        Args:
            images: (n, height, width, channels) uint8, C-contiguous, n at least 1.

        Returns:
            The outputs by name, each (n, *shape) of the declared dtype. They are the caller's: the next call does not
            change them.

        Raises:
            ValueError: `images` is not what the graph takes.
            BackendError: the engine is closed, failed, or gave outputs of another shape than it declares.
            ContractError: PKG_NAN, an output holds NaN or infinity.
        """
        if self._closed:
            raise BackendError(f"{self.name}: the engine is closed")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.input_shape or not len(images):
            expected = ", ".join(str(side) for side in self.input_shape)
            raise ValueError(f"images are {images.dtype} {images.shape}, expected uint8 (n, {expected})")
        outputs = self._infer(np.ascontiguousarray(images))
        for name, spec in self.outputs.items():
            expected_shape = (len(images), *spec.shape)
            values = outputs.get(name)
            if values is None or values.shape != expected_shape or values.dtype != spec.dtype:
                seen = "missing" if values is None else f"{values.dtype} {values.shape}"
                raise BackendError(f"{self.name}: output {name} is {seen}, expected {spec.dtype} {expected_shape}")
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ContractError(Reason.PKG_NAN, f"output {name} of the model holds NaN or infinity")
        return outputs

    def close(self) -> None:
        """Gives back what the engine holds; idempotent."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abc.abstractmethod
    def _infer(self, images: Images) -> Outputs:
        """Computes; the arguments have been checked. Raises BackendError."""

    @abc.abstractmethod
    def _close(self) -> None:
        """Frees; called once."""
