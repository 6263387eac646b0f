"""The GPU of this machine, asked of the driver itself: its name, capability and version. No CUDA package is needed."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import subprocess
from pathlib import Path
from typing import Any

# CUdevice_attribute of cuda.h
_CAPABILITY_MAJOR = 75
_CAPABILITY_MINOR = 76
_KERNEL_MODULE = Path("/sys/module/nvidia/version")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The first GPU of a machine."""

    name: str
    capability: str
    """e.g. "SM87"."""
    driver: str
    """What kernels timed here depend on, e.g. "driver 580.65, CUDA 13.0"."""


@functools.cache
def local_gpu() -> Gpu | None:
    """The first GPU, or None: there is none, or no driver for it.

    The driver's library is asked first: a Jetson has it, while its nvidia-smi tells no capability or is missing.
    """
    return _from_driver() or _from_tool()


def _from_driver() -> Gpu | None:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version, device, major, minor = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(256)
    steps: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("cuInit", (0,)),
        ("cuDriverGetVersion", (ctypes.byref(version),)),
        ("cuDeviceGet", (ctypes.byref(device), 0)),
        ("cuDeviceGetName", (name, len(name), device)),
        ("cuDeviceGetAttribute", (ctypes.byref(major), _CAPABILITY_MAJOR, device)),
        ("cuDeviceGetAttribute", (ctypes.byref(minor), _CAPABILITY_MINOR, device)),
    )
    if any(getattr(cuda, function)(*arguments) != 0 for function, arguments in steps):
        return None
    return Gpu(
        name=name.value.decode(errors="replace"),
        capability=f"SM{major.value}{minor.value}",
        driver=_driver(f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"),
    )


def _from_tool() -> Gpu | None:
    command = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_tool(said)


def parse_tool(said: str) -> Gpu | None:
    """The first line of nvidia-smi's table; None where it tells no capability."""
    parts = [part.strip() for part in (said.splitlines() or [""])[0].rsplit(",", 2)]
    if len(parts) != 3 or not parts[1].replace(".", "").isdigit():
        return None
    return Gpu(name=parts[0], capability="SM" + parts[1].replace(".", ""), driver=f"driver {parts[2]}")


def _driver(cuda: str) -> str:
    try:
        return f"driver {_KERNEL_MODULE.read_text().strip()}, {cuda}"
    except OSError:
        return cuda
