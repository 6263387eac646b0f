"""The one small seam to the GPU's memory: all that the native TensorRT backend asks of CUDA.

Two libraries fill it, `pycuda` where it is installed (the usual choice on a Jetson), else `cuda-python`. Everything
happens in the one thread that owns the engine. What is asked for is given back in reverse; what is not is freed at the
end and told as an error, because memory that leaks with every swap of a model stops a station one day.
"""

from __future__ import annotations

import abc
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.backends.contract import BackendError, BackendMissingError

_LOGGER = logging.getLogger(__name__)

HostMemory = NDArray[np.uint8]


class DeviceError(BackendError):
    """CUDA refused or failed; what it said is in the message."""


class Device(abc.ABC):
    """One GPU, one stream, for one engine. The public methods keep the accounts, the private ones do it."""

    library: str
    """Which one fills the seam, with its version."""
    captures: bool
    """Whether it can record work on the stream as a CUDA graph."""

    def __init__(self) -> None:
        self._memory: dict[int, Any] = {}
        self._hosts: dict[int, HostMemory] = {}
        self._graphs: dict[int, Any] = {}
        self._closed = False

    def allocate(self, size: int) -> int:
        """Memory on the device, bytes; its address. Raises DeviceError, for one when there is none left."""
        address, owner = self._allocate(size)
        self._memory[address] = owner
        return address

    def free(self, address: int) -> None:
        """Gives it back."""
        self._free(address, self._memory.pop(address))

    def allocate_host(self, size: int) -> HostMemory:
        """(size,) uint8 of page-locked memory: only out of such are copies done beside other work."""
        memory = self._allocate_host(size)
        self._hosts[memory.ctypes.data] = memory
        return memory

    def free_host(self, memory: HostMemory) -> None:
        """Gives it back; no array into it may be used after that."""
        self._free_host(self._hosts.pop(memory.ctypes.data))

    def capture(self, put: Callable[[], None]) -> int:
        """Notes, without doing it, what `put` puts on the stream; the recording can be launched any number of times.

        Raises:
            DeviceError: some of it cannot be recorded. The stream is as before.
            Exception: whatever `put` raised; the same.
        """
        self._record()
        try:
            put()
        except BaseException:
            with contextlib.suppress(DeviceError):  # it only ends the recording, which is spoilt
                self._forget(*self._recorded())
            raise
        graph, owner = self._recorded()
        self._graphs[graph] = owner
        return graph

    def launch(self, graph: int) -> None:
        """Puts what was recorded on the stream."""
        self._launch(graph, self._graphs[graph])

    def forget(self, graph: int) -> None:
        """Gives a recording back."""
        self._forget(graph, self._graphs.pop(graph))

    def close(self) -> None:
        """Frees what was left and the stream; idempotent."""
        if self._closed:
            return
        self._closed = True
        left = len(self._memory) + len(self._hosts) + len(self._graphs)
        if left:
            _LOGGER.error("%d things on the GPU were not given back by their owner; freed now", left)
        for graph in list(self._graphs):
            self.forget(graph)
        for memory in list(self._hosts.values()):
            self.free_host(memory)
        for address in list(self._memory):
            self.free(address)
        self._close()

    @property
    @abc.abstractmethod
    def stream(self) -> int:
        """Handle of the stream, as TensorRT takes it."""

    @abc.abstractmethod
    def to_device(self, address: int, memory: HostMemory) -> None:
        """Puts a copy on the stream; `memory` must stay as it is until `synchronize`."""

    @abc.abstractmethod
    def to_host(self, memory: HostMemory, address: int) -> None:
        """Puts a copy on the stream; `memory` holds it after `synchronize`."""

    @abc.abstractmethod
    def synchronize(self) -> None:
        """Waits until all that is on the stream is done. Raises DeviceError, whatever of it failed."""

    @abc.abstractmethod
    def _allocate(self, size: int) -> tuple[int, Any]:
        """Address and what keeps it alive."""

    @abc.abstractmethod
    def _free(self, address: int, owner: Any) -> None: ...

    @abc.abstractmethod
    def _allocate_host(self, size: int) -> HostMemory: ...

    @abc.abstractmethod
    def _free_host(self, memory: HostMemory) -> None: ...

    # Recording is an option of a library's (pycuda has none); the other three follow a recording that succeeded.

    def _record(self) -> None:
        raise self._no_graphs()

    def _recorded(self) -> tuple[int, Any]:
        raise self._no_graphs()

    def _launch(self, _graph: int, _owner: Any, /) -> None:
        raise self._no_graphs()

    def _forget(self, _graph: int, _owner: Any, /) -> None:
        raise self._no_graphs()

    def _no_graphs(self) -> DeviceError:
        return DeviceError(f"{self.library} cannot record CUDA graphs")

    @abc.abstractmethod
    def _close(self) -> None: ...


def open_device() -> Device:
    """The first GPU, for the calling thread alone.

    Raises:
        BackendMissingError: no library for it, no driver, no GPU; says what to install.
        DeviceError: the GPU does not take another user.
    """
    try:
        import pycuda.driver
    except ImportError:
        pass
    else:
        from edge.backends.pycuda_device import PycudaDevice

        return PycudaDevice(pycuda.driver)
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise BackendMissingError(
            "neither pycuda nor cuda-python is installed here: pip install cuda-python, with the first number of the"
            f" driver's CUDA version, e.g. 'cuda-python>=13,<14' ({error})"
        ) from error
    from edge.backends.cuda_python import CudaPythonDevice

    return CudaPythonDevice(runtime)
