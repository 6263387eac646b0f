"""What all of ONNX Runtime's execution providers share: the library, a session, what a graph takes and gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from edge.backends.contract import BackendError, BackendMissingError, OutputSpec

CPU = "CPUExecutionProvider"
_OWN_SOURCE = re.compile(r"^/\S+\.(?:cc|h):\d+ .*?\) ")
"""Where in the library an error was raised, which some begin with."""
_DTYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}


def load_onnxruntime() -> Any:
    """The library, which is two packages under one name: onnxruntime and onnxruntime-gpu.

    Raises:
        BackendMissingError: neither is installed, or its own libraries do not load.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise BackendMissingError(
            f"onnxruntime is not installed here: pip install 'lineside[edge]', or 'lineside[gpu]' on a machine with an"
            f" NVIDIA GPU ({first_line(error)})"
        ) from error
    return onnxruntime


def require_provider(runtime: Any, name: str, provider: str) -> None:
    """Whether this build of the library has an execution provider at all.

    Raises:
        BackendMissingError: it has not.
    """
    offered = runtime.get_available_providers()
    if provider not in offered:
        raise BackendMissingError(
            f"{name}: this onnxruntime {runtime.__version__} runs on {', '.join(offered)} alone; take it away and"
            " install the one for GPUs: pip uninstall onnxruntime; pip install 'lineside[gpu]'"
        )


def session_options(runtime: Any, threads: int) -> Any:
    """As the station wants them: few threads that sleep while they wait, and errors as exceptions, not as log lines."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between two pictures would take the core that decodes the next one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def make_session(runtime: Any, name: str, graph: bytes, options: Any, providers: list[Any]) -> Any:
    """A session whose first provider is the one that was asked for.

    Args:
        name: of the backend, for messages.
        providers: names, or (name, settings), the one that is wanted first.

    Raises:
        BackendMissingError: the library gave up the wanted provider for the next one. It does so without an error, and
            the station would then serve on the processor while its owner believes in a GPU.
        BackendError: the graph cannot be loaded.
    """
    try:
        session = runtime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no common base but Exception
        raise BackendError(f"{name} cannot load the graph: {first_line(error)}") from error
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    serving = session.get_providers()
    if serving[0] != wanted:
        raise BackendMissingError(
            f"{name}: ONNX Runtime could not start {wanted} and took {', '.join(serving)} without a word; is there a"
            " GPU, its driver, and the CUDA, cuDNN or TensorRT libraries that this version of onnxruntime-gpu asks for?"
        )
    return session


def input_shape(session: Any) -> tuple[int, int, int]:
    """(height, width, channels) of the one input.

    Raises:
        BackendError: it is not that of model.proto.
    """
    inputs = session.get_inputs()
    seen = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
    if len(inputs) != 1 or inputs[0].name != "image" or inputs[0].type != "tensor(uint8)" or len(inputs[0].shape) != 4:
        raise BackendError(f"the graph's inputs are {seen}; expected one: image tensor(uint8) (N, H, W, C)")
    height, width, channels = inputs[0].shape[1:]
    if not all(isinstance(side, int) for side in (height, width, channels)):
        raise BackendError(f"the graph's input is {seen}; height, width and channels must be fixed")
    return height, width, channels


def output_specs(session: Any) -> dict[str, OutputSpec]:
    """The outputs by name.

    Raises:
        BackendError: one has another type than model.proto knows, or a size that is not fixed.
    """
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


def first_line(error: BaseException) -> str:
    """Of what a library says."""
    text = _OWN_SOURCE.sub("", str(error).strip())
    return text.splitlines()[0] if text else type(error).__name__
