"""The seam to the GPU filled by `cuda-python` (NVIDIA's own bindings of the CUDA runtime).

Every function gives back its error code first. Without a driver the library imports all the same and answers each call
with cudaErrorInsufficientDriver. On a GPU nothing of this file has been run; every name it uses is compared with the
library's, and the tests run it over a driver of their own that keeps its memory on the host.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edge.backends.contract import BackendMissingError
from edge.backends.device import Device, DeviceError, HostMemory


class CudaPythonDevice(Device):
    """The first GPU.

    Args:
        runtime: `cuda.bindings.runtime`.

    Raises:
        BackendMissingError: there is no driver, one that is too old, or no GPU.
    """

    captures = True

    def __init__(self, runtime: Any) -> None:
        super().__init__()
        self._cuda = runtime
        self.library = "cuda-python"
        error, count = runtime.cudaGetDeviceCount()
        if error != runtime.cudaError_t.cudaSuccess or not count:
            why = "there is no GPU" if error == runtime.cudaError_t.cudaSuccess else _words(runtime, error)
            raise BackendMissingError(f"CUDA cannot be used here: {why}; install NVIDIA's driver for the GPU")
        self._call("cudaSetDevice", 0)
        self._stream = self._call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)

    @property
    def stream(self) -> int:
        """Its handle."""
        return int(self._stream)

    def to_device(self, address: int, memory: HostMemory) -> None:
        """A copy on the stream."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, memory.ctypes.data, memory.nbytes, kind, self._stream)

    def to_host(self, memory: HostMemory, address: int) -> None:
        """A copy on the stream."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", memory.ctypes.data, address, memory.nbytes, kind, self._stream)

    def synchronize(self) -> None:
        """Waits for the stream."""
        self._call("cudaStreamSynchronize", self._stream)

    def _allocate(self, size: int) -> tuple[int, Any]:
        return int(self._call("cudaMalloc", size)), None

    def _free(self, address: int, owner: Any) -> None:  # noqa: ARG002
        self._call("cudaFree", address)

    def _allocate_host(self, size: int) -> HostMemory:
        address = int(self._call("cudaHostAlloc", size, self._cuda.cudaHostAllocDefault))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def _free_host(self, memory: HostMemory) -> None:
        self._call("cudaFreeHost", memory.ctypes.data)

    def _record(self) -> None:
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)

    def _recorded(self) -> tuple[int, Any]:
        graph = self._call("cudaStreamEndCapture", self._stream)
        try:
            ready = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)
        return int(ready), ready

    def _launch(self, graph: int, owner: Any) -> None:  # noqa: ARG002
        self._call("cudaGraphLaunch", owner, self._stream)

    def _forget(self, graph: int, owner: Any) -> None:  # noqa: ARG002
        self._call("cudaGraphExecDestroy", owner)

    def _close(self) -> None:
        self._call("cudaStreamDestroy", self._stream)

    def _call(self, function: str, *arguments: Any) -> Any:
        error, *answer = getattr(self._cuda, function)(*arguments)
        if error != self._cuda.cudaError_t.cudaSuccess:
            raise DeviceError(f"{function}: {_words(self._cuda, error)}")
        return answer[0] if answer else None


def _words(runtime: Any, error: Any) -> str:
    _, said = runtime.cudaGetErrorString(error)
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return f"{text} ({getattr(error, 'name', error)})"
