"""The seam to the GPU: what is called of the real library exists, and a machine without a driver is told in words."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.cuda_on_host import HostCuda

from edge.backends import cuda_python
from edge.backends.contract import BackendMissingError
from edge.backends.cuda_python import CudaPythonDevice
from edge.backends.device import open_device
from edge.backends.pycuda_device import PycudaDevice

SOURCE = Path(cuda_python.__file__).read_text()


def test_cuda_python_has_every_function_and_constant_that_is_used_of_it() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs pip install 'cuda-python>=13,<14'")
    called = set(re.findall(r'_call\("(\w+)"', SOURCE))
    named = set(re.findall(r"(?:self\._cuda|runtime)\.(cuda[\w.]+)", SOURCE))
    assert {"cudaMalloc", "cudaGraphLaunch"} <= called
    assert "cudaMemcpyKind.cudaMemcpyHostToDevice" in named
    for name in called | named:
        found = runtime
        for part in name.split("."):
            found = getattr(found, part)


def test_the_driver_of_these_tests_has_no_function_that_the_real_one_lacks() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs pip install 'cuda-python>=13,<14'")
    assert [name for name in vars(HostCuda().runtime()) if not hasattr(runtime, name)] == []


def test_without_a_driver_the_real_library_is_told_in_words() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs pip install 'cuda-python>=13,<14'")
    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("this machine has a driver; the test is about one that has none")
    with pytest.raises(BackendMissingError, match=r"CUDA cannot be used here: .*\(cudaError.*install NVIDIA's driver"):
        open_device()


@pytest.mark.parametrize("library", ["cuda-python", "pycuda"])
def test_a_driver_without_a_gpu_is_told_in_words(library: str) -> None:
    cuda = HostCuda(count=0)
    with pytest.raises(BackendMissingError, match="there is no GPU"):
        CudaPythonDevice(cuda.runtime()) if library == "cuda-python" else PycudaDevice(cuda.pycuda())
    assert cuda.left() == {}


def test_pycuda_is_preferred_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = HostCuda()
    monkeypatch.setitem(__import__("sys").modules, "pycuda", SimpleNamespace(driver=(driver := cuda.pycuda())))
    monkeypatch.setitem(__import__("sys").modules, "pycuda.driver", driver)
    device = open_device()
    assert device.library == "pycuda"
    device.close()
    assert cuda.left() == {}


@pytest.mark.parametrize("library", ["cuda-python", "pycuda"])
def test_what_its_owner_forgets_is_freed_and_told(library: str, caplog: pytest.LogCaptureFixture) -> None:
    cuda = HostCuda()
    device = CudaPythonDevice(cuda.runtime()) if library == "cuda-python" else PycudaDevice(cuda.pycuda())
    device.allocate(100)
    device.allocate_host(100)
    with caplog.at_level(logging.ERROR):
        device.close()
        device.close()
    assert caplog.messages == ["2 things on the GPU were not given back by their owner; freed now"]
    assert cuda.left() == {}


def test_a_recording_that_breaks_off_leaves_the_stream_as_it_was() -> None:
    cuda = HostCuda()
    device = CudaPythonDevice(cuda.runtime())

    def break_off() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        device.capture(break_off)
    device.synchronize()
    device.close()
    assert (cuda.left(), cuda.faults) == ({}, [])
