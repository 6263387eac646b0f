"""ONNX Runtime on the processor: the backend that works everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.backends.contract import Backend, BackendError, Images, Outputs, OutputSpec

try:
    import onnxruntime
except ImportError as error:  # pragma: no cover - depends on the machine
    raise BackendError("onnxruntime is not installed here; install it with: pip install 'lineside[edge]'") from error

_DTYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}


class OnnxRuntimeCpu(Backend):
    """One session of the CPU execution provider.

    Args:
        graph: a verified model.onnx without external data.
        threads: intra-op threads. Two with a busy neighbour are slower than one: leave a core to the rest.

    Raises:
        BackendError: the bytes are no graph, or one that does not keep the contract of model.proto.
    """

    name = "onnxruntime-cpu"

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin between two pictures would take the core that decodes the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise BackendError(f"{self.name} cannot load the graph: {_first_line(error)}") from error
        super().__init__(input_shape=_input_shape(self._session), outputs=_outputs(self._session))
        self._names = list(self.outputs)

    def _infer(self, images: Images) -> Outputs:
        try:
            values = self._session.run(self._names, {"image": images})
        except Exception as error:
            raise BackendError(f"{self.name} failed: {_first_line(error)}") from error
        return dict(zip(self._names, values, strict=True))

    def _close(self) -> None:
        self._session = None


def _input_shape(session: Any) -> tuple[int, int, int]:
    inputs = session.get_inputs()
    seen = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
    if len(inputs) != 1 or inputs[0].name != "image" or inputs[0].type != "tensor(uint8)" or len(inputs[0].shape) != 4:
        raise BackendError(f"the graph's inputs are {seen}; expected one: image tensor(uint8) (N, H, W, C)")
    height, width, channels = inputs[0].shape[1:]
    if not all(isinstance(side, int) for side in (height, width, channels)):
        raise BackendError(f"the graph's input is {seen}; height, width and channels must be fixed")
    return height, width, channels


def _outputs(session: Any) -> dict[str, OutputSpec]:
    specs = {}
    for item in session.get_outputs():
        shape = tuple(item.shape[1:])
        if item.type not in _DTYPES or not all(isinstance(side, int) for side in shape):
            raise BackendError(
                f"output {item.name} is {item.type} {item.shape}; expected float or int32 with all sides but the"
                " first fixed"
            )
        specs[item.name] = OutputSpec(shape=shape, dtype=np.dtype(_DTYPES[item.type]))
    return specs


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
