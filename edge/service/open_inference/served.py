"""What a model of the Open Inference Protocol is to the service: a description and an answer."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import NamedTuple

import grpc

from edge.service.open_inference.tensors import Parameters, Tensor, malformed
from lineside.open_inference import inference_pb2
from lineside.open_inference.models import ModelSpec, TensorSpec


class Call(NamedTuple):
    """The circumstances of one request."""

    number: int
    arrived_ns: int
    """`time.monotonic_ns`"""
    deadline_ns: int | None
    """On the same clock; None: the caller waits for ever."""
    context: grpc.ServicerContext


class Answer(NamedTuple):
    """What a model says to one request."""

    spec: ModelSpec
    """Of the model that answered."""
    tensors: Mapping[str, Tensor]
    """Every output by name."""
    wanted: tuple[TensorSpec, ...]
    """Those the request asks for."""
    parameters: Mapping[str, str]
    pictures: int
    queue_ns: int
    input_ns: int
    infer_ns: int


class ServedModel(abc.ABC):
    """One model a client can ask; any thread."""

    @abc.abstractmethod
    def spec(self) -> ModelSpec | None:
        """What it is now; None: there is none at present."""

    @abc.abstractmethod
    def infer(self, request: inference_pb2.ModelInferRequest, call: Call) -> Answer:
        """Answers. Raises ContractError."""


def text_of(parameters: Parameters, name: str) -> str:
    """A text among the parameters; empty: it is not there.

    Raises:
        ContractError: REQUEST_MALFORMED, it is no text.
    """
    if name not in parameters:
        return ""
    parameter = parameters[name]
    if parameter.WhichOneof("parameter_choice") != "string_param":
        raise malformed(f"parameter {name} is no text, expected string_param")
    return parameter.string_param


def whole_number_of(parameters: Parameters, name: str) -> int:
    """A whole number among the parameters; 0: it is not there.

    Raises:
        ContractError: REQUEST_MALFORMED, it is none.
    """
    if name not in parameters:
        return 0
    parameter = parameters[name]
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in ("int64_param", "uint64_param"):
        raise malformed(f"parameter {name} is no whole number, expected int64_param")
    return parameter.int64_param if kind == "int64_param" else parameter.uint64_param
