"""ONNX Runtime on the processor: the backend that works everywhere."""

from __future__ import annotations

from typing import Any

from edge.backends.contract import Backend, BackendError, Images, Outputs
from edge.backends.onnxruntime_session import (
    CPU,
    first_line,
    input_shape,
    load_onnxruntime,
    make_session,
    output_specs,
    session_options,
)


class OnnxRuntimeCpu(Backend):
    """One session of the CPU execution provider.

    Args:
        graph: a verified model.onnx without external data.
        threads: intra-op threads. Two with a busy neighbour are slower than one: leave a core to the rest.

    Raises:
        BackendMissingError: onnxruntime is not installed.
        BackendError: the bytes are no graph, or one that does not keep the contract of model.proto.
    """

    name = "onnxruntime-cpu"

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        runtime = load_onnxruntime()
        self._session: Any = make_session(runtime, self.name, graph, session_options(runtime, threads), [CPU])
        super().__init__(input_shape=input_shape(self._session), outputs=output_specs(self._session))
        self._names = list(self.outputs)

    def _infer(self, images: Images) -> Outputs:
        try:
            values = self._session.run(self._names, {"image": images})
        except Exception as error:
            raise BackendError(f"{self.name} failed: {first_line(error)}") from error
        return dict(zip(self._names, values, strict=True))

    def _close(self) -> None:
        self._session = None
