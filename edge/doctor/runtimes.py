"""Whether each backend works here: a small graph is really run, as far as the machine goes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

import numpy as np

from edge.backends.contract import BackendError

# uint8 image (N, 4, 4, 1) -> Cast to float -> heat (N, 4, 4, 1); opset 20, IR 10. tests/edge/doctor makes it anew.
GRAPH = base64.b64decode(
    "CAoSADpmCh4KBWltYWdlEgRoZWF0IgRDYXN0KgkKAnRvGAGgAQISAWRaIAoFaW1hZ2USFwoVCAISEQoDEgFOCgIIBAoCCAQKAggB"
    "Yh8KBGhlYXQSFwoVCAESEQoDEgFOCgIIBAoCCAQKAggBQgQKABAU"
)


class CannotError(Exception):
    """It does not work here; the message says why and what to install."""


def _onnxruntime(name: str) -> str:
    import onnxruntime

    from edge.backends import open_backend

    with open_backend(name, GRAPH) as backend:
        pictures = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
        heat = backend.infer(pictures)["heat"]
    if not np.array_equal(heat, pictures.astype(np.float32)):
        raise CannotError("it runs and answers wrongly; take another version of the runtime or of the driver")
    return f"onnxruntime {onnxruntime.__version__} ran a graph"


def _tensorrt() -> str:
    from edge.backends.device import open_device
    from edge.backends.tensorrt_native import machine

    here = machine()
    device = open_device()
    try:
        address = device.allocate(1 << 20)
        device.free(address)
    finally:
        device.close()
    names = " and ".join(runtime.title for runtime in here.runtimes)
    return f"{names} on {here.gpu.name} ({here.gpu.capability}), memory through {device.library}"


def _looked(look: Callable[[], str]) -> Callable[[], str]:
    def looked() -> str:
        try:
            return look()
        except BackendError as error:
            raise CannotError(str(error)) from error

    return looked


def _by_name(name: str) -> Callable[[], str]:
    return _looked(lambda: _onnxruntime(name))


LOOKS: Mapping[str, Callable[[], str]] = {
    "onnxruntime-cpu": _by_name("onnxruntime-cpu"),
    "onnxruntime-cuda": _by_name("onnxruntime-cuda"),
    "onnxruntime-tensorrt": _by_name("onnxruntime-tensorrt"),
    "tensorrt": _looked(_tensorrt),
}
"""By the backend's name."""
