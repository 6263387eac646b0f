"""A CUDA driver whose device is the host's own memory, under both libraries' names: it notes every call, and objects.

Nothing happens before `synchronize`: whoever reads an answer earlier reads rubbish. Copies out of memory that is not
page-locked, freed or foreign addresses, a second free, and whatever is still there at the end are faults. It stands for
the driver alone; what calls it is the station's own code.
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

RUBBISH = 0xCD
Work = Callable[[], None]


@dataclasses.dataclass
class HostCuda:
    """The driver, and what it has seen."""

    calls: list[str] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)
    memory: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    pinned: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    streams: set[int] = dataclasses.field(default_factory=set)
    graphs: dict[int, list[Work]] = dataclasses.field(default_factory=dict)
    contexts: int = 0
    room: int = 1 << 30
    """Bytes the device has."""
    failing: set[str] = dataclasses.field(default_factory=set)
    """Calls that fail from now on."""
    count: int = 1
    """GPUs."""
    _pending: list[Work] = dataclasses.field(default_factory=list)
    _recording: list[Work] | None = None
    _next: int = 1

    @property
    def counted(self) -> Counter[str]:
        return Counter(self.calls)

    def left(self) -> dict[str, int]:
        """What was not given back."""
        kinds = {
            "memory": len(self.memory),
            "pinned": len(self.pinned),
            "streams": len(self.streams),
            "graphs": len(self.graphs),
            "contexts": self.contexts,
        }
        return {kind: count for kind, count in kinds.items() if count}

    def handle(self) -> int:
        self._next += 1
        return self._next

    def make(self, size: int, kept: dict[int, np.ndarray]) -> np.ndarray | None:
        if kept is self.memory and size + sum(array.nbytes for array in kept.values()) > self.room:
            return None
        array = np.full(size, RUBBISH, np.uint8)
        kept[array.ctypes.data] = array
        return array

    def give_back(self, address: int, kept: dict[int, np.ndarray], what: str) -> bool:
        if self._pending:
            self.faults.append(f"{what} while the stream still works")
        if address not in kept:
            self.faults.append(f"{what} of what is not there")
            return False
        del kept[address]
        return True

    def copy(self, to: int, source: int, size: int, *, onto_device: bool) -> None:
        device, host = (to, source) if onto_device else (source, to)
        if not self.holds(self.memory, device, size):
            self.faults.append("a copy beyond the device's memory")
        if not self.holds(self.pinned, host, size):
            self.faults.append("a copy with memory that is not page-locked")
        self.put(lambda: ctypes.memmove(to, source, size))

    @staticmethod
    def holds(kept: dict[int, np.ndarray], address: int, size: int) -> bool:
        return any(start <= address and address + size <= start + array.nbytes for start, array in kept.items())

    def put(self, work: Callable[[], Any]) -> None:
        (self._pending if self._recording is None else self._recording).append(work)

    def synchronize(self) -> None:
        if self._recording is not None:
            self.faults.append("waiting for a stream that records")
        pending, self._pending = self._pending, []
        for work in pending:
            work()

    # cuda.bindings.runtime

    def runtime(self) -> Any:
        """As cuda-python names it: every function answers with its error first."""
        ok, bad, full = (SimpleNamespace(name=name) for name in ("cudaSuccess", "cudaErrorUnknown", "cudaErrorMemory"))

        def call(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any) -> Any:
                self.calls.append(name)
                return (bad, None) if name in self.failing else function(*arguments)

            return called

        def allocate(kept: dict[int, np.ndarray]) -> Callable[..., Any]:
            def made(size: int, *_: int) -> Any:
                array = self.make(size, kept)
                return (full, None) if array is None else (ok, array.ctypes.data)

            return made

        def stream(flags: int) -> Any:
            self.streams.add(handle := self.handle())
            return ok, handle

        def end_stream(handle: int) -> Any:
            self.streams.discard(handle)
            return (ok,)

        def copy(to: int, source: int, size: int, kind: str, handle: int) -> Any:
            assert handle in self.streams
            self.copy(to, source, size, onto_device=kind == "there")
            return (ok,)

        def synchronize(handle: int) -> Any:
            assert handle in self.streams
            self.synchronize()
            return (ok,)

        def begin(handle: int, mode: str) -> Any:
            self._recording = []
            return (ok,)

        def end(handle: int) -> Any:
            recorded, self._recording = self._recording, None
            return ok, recorded

        def instantiate(recorded: list[Work], flags: int) -> Any:
            self.graphs[handle := self.handle()] = recorded
            return ok, handle

        def launch(graph: int, handle: int) -> Any:
            for work in self.graphs[graph]:
                self.put(work)
            return (ok,)

        def forget(graph: int) -> Any:
            del self.graphs[graph]
            return (ok,)

        functions = {
            "cudaGetDeviceCount": lambda: (ok, self.count),
            "cudaSetDevice": lambda device: (ok,),
            "cudaMalloc": allocate(self.memory),
            "cudaFree": lambda address: (ok if self.give_back(address, self.memory, "cudaFree") else bad,),
            "cudaHostAlloc": allocate(self.pinned),
            "cudaFreeHost": lambda address: (ok if self.give_back(address, self.pinned, "cudaFreeHost") else bad,),
            "cudaStreamCreateWithFlags": stream,
            "cudaStreamDestroy": end_stream,
            "cudaStreamSynchronize": synchronize,
            "cudaStreamBeginCapture": begin,
            "cudaStreamEndCapture": end,
            "cudaGraphInstantiate": instantiate,
            "cudaGraphDestroy": lambda graph: (ok,),
            "cudaGraphLaunch": launch,
            "cudaGraphExecDestroy": forget,
            "cudaMemcpyAsync": copy,
            "cudaGetErrorString": lambda error: (ok, b"as the driver says"),
        }
        return SimpleNamespace(
            **{name: call(name, function) for name, function in functions.items()},
            cudaError_t=SimpleNamespace(cudaSuccess=ok),
            cudaMemcpyKind=SimpleNamespace(cudaMemcpyHostToDevice="there", cudaMemcpyDeviceToHost="back"),
            cudaStreamCaptureMode=SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread"),
            cudaStreamNonBlocking=1,
            cudaHostAllocDefault=0,
        )

    # pycuda.driver

    def pycuda(self) -> Any:
        """As pycuda names it: objects that free themselves, exceptions."""
        driver = self

        class Error(Exception):
            pass

        def check(name: str) -> None:
            driver.calls.append(name)
            if name in driver.failing:
                raise Error(f"{name} failed: as the driver says")

        class Memory:
            def __init__(self, size: int) -> None:
                check("mem_alloc")
                array = driver.make(size, driver.memory)
                if array is None:
                    raise Error("cuMemAlloc failed: out of memory")
                self.address = array.ctypes.data

            def __int__(self) -> int:
                return self.address

            def free(self) -> None:
                check("free")
                driver.give_back(self.address, driver.memory, "free")

        class Pinned:
            def __init__(self, array: np.ndarray) -> None:
                self.address, self.__array_interface__ = array.ctypes.data, array.__array_interface__

            def free(self) -> None:
                check("pinned free")
                driver.give_back(self.address, driver.pinned, "pinned free")

        def pagelocked_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
            check("pagelocked_empty")
            array = driver.make(shape[0], driver.pinned)
            assert array is not None
            return np.asarray(Pinned(array))  # an array whose `base` frees it, as pycuda's

        class Stream:
            def __init__(self) -> None:
                check("Stream")
                driver.streams.add(handle := driver.handle())
                self.handle = handle

            def synchronize(self) -> None:
                check("synchronize")
                driver.synchronize()

            def __del__(self) -> None:
                driver.streams.discard(self.handle)

        def there(address: int, array: np.ndarray, stream: Stream) -> None:
            check("memcpy_htod_async")
            driver.copy(address, array.ctypes.data, array.nbytes, onto_device=True)

        def back(array: np.ndarray, address: int, stream: Stream) -> None:
            check("memcpy_dtoh_async")
            driver.copy(array.ctypes.data, address, array.nbytes, onto_device=False)

        class Context:
            def push(self) -> None:
                check("push")
                driver.contexts += 1

            def pop(self) -> None:
                check("pop")
                driver.contexts -= 1

            def detach(self) -> None:
                check("detach")

        class Device:
            def __init__(self, ordinal: int) -> None:
                check("Device")

            @staticmethod
            def count() -> int:
                return driver.count

            def retain_primary_context(self) -> Context:
                return Context()

        return SimpleNamespace(
            Error=Error,
            init=lambda: check("init"),
            Device=Device,
            Stream=Stream,
            mem_alloc=Memory,
            pagelocked_empty=pagelocked_empty,
            memcpy_htod_async=there,
            memcpy_dtoh_async=back,
        )
