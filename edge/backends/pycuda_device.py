"""The seam to the GPU filled by `pycuda`, the common choice on a Jetson.

pycuda belongs to the thread that made its context current: called from another it crashes the process, so the engine's
owner thread does everything here. It cannot record CUDA graphs. It is a source package that needs CUDA's headers and a
driver to install, so it was never installed where this was written: on a GPU nothing of this file has been run, and the
tests run it over a driver of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge.backends.contract import BackendMissingError
from edge.backends.device import Device, DeviceError, HostMemory


class PycudaDevice(Device):
    """The first GPU, through its primary context, which TensorRT uses too.

    Args:
        driver: `pycuda.driver`.

    Raises:
        BackendMissingError: there is no driver or no GPU.
    """

    captures = False

    def __init__(self, driver: Any) -> None:
        super().__init__()
        self._cuda = driver
        self.library = "pycuda"
        try:
            driver.init()
            count = driver.Device.count()
        except driver.Error as error:
            raise BackendMissingError(f"CUDA cannot be used here: {error}; install NVIDIA's driver for it") from error
        if not count:
            raise BackendMissingError("CUDA cannot be used here: there is no GPU")
        with self._errors("a context"):
            self._context = driver.Device(0).retain_primary_context()
            self._context.push()
        try:
            with self._errors("a stream"):
                self._stream = driver.Stream()
        except BaseException:
            self._context.pop()
            raise

    @property
    def stream(self) -> int:
        """Its handle."""
        return int(self._stream.handle)

    def to_device(self, address: int, memory: HostMemory) -> None:
        """A copy on the stream."""
        with self._errors("a copy to the device"):
            self._cuda.memcpy_htod_async(address, memory, self._stream)

    def to_host(self, memory: HostMemory, address: int) -> None:
        """A copy on the stream."""
        with self._errors("a copy from the device"):
            self._cuda.memcpy_dtoh_async(memory, address, self._stream)

    def synchronize(self) -> None:
        """Waits for the stream."""
        with self._errors("waiting for the device"):
            self._stream.synchronize()

    def _allocate(self, size: int) -> tuple[int, Any]:
        with self._errors(f"{size} bytes on the device"):
            owner = self._cuda.mem_alloc(size)
        return int(owner), owner

    def _free(self, address: int, owner: Any) -> None:  # noqa: ARG002
        with self._errors("giving memory back"):
            owner.free()

    def _allocate_host(self, size: int) -> HostMemory:
        with self._errors(f"{size} bytes of page-locked memory"):
            memory: HostMemory = self._cuda.pagelocked_empty((size,), np.uint8)
        return memory

    def _free_host(self, memory: HostMemory) -> None:
        with self._errors("giving page-locked memory back"):
            memory.base.free()  # type: ignore[union-attr]

    def _close(self) -> None:
        del self._stream
        self._context.pop()
        self._context.detach()

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._cuda.Error as error:
            raise DeviceError(f"{what}: {error}") from error
