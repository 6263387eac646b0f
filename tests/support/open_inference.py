"""Asking a station as a client of the Open Inference Protocol does, with a plain stub."""

from __future__ import annotations

import struct
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from edge.service.open_inference.inspection import INSPECTION_MODEL
from lineside.open_inference import inference_pb2, inference_pb2_grpc
from lineside.reasons import Reason

SECONDS = 30.0
Input = inference_pb2.ModelInferRequest.InferInputTensor
Output = inference_pb2.ModelInferRequest.InferRequestedOutputTensor
Contents = inference_pb2.InferTensorContents
DTYPES = {"FP32": "<f4", "INT32": "<i4"}


class Asking:
    """A plain stub, with refusals as the contract's errors."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.stub = inference_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def infer(self, request: inference_pb2.ModelInferRequest) -> inference_pb2.ModelInferResponse:
        return self.stub.ModelInfer(request, timeout=SECONDS)


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """Code and text; the reason's word stands in the trailer as well."""
    with pytest.raises(grpc.RpcError) as error:
        call()
    word = dict(error.value.trailing_metadata())["lineside-reason"]
    assert error.value.details().startswith(f"{word}: ")
    assert error.value.code().value[0] == Reason[word].code
    return error.value.code(), error.value.details()


def images(*pictures: np.ndarray) -> np.ndarray:
    return np.stack(pictures)[:, :, :, None]


def raw_request(batch: np.ndarray, **fields: object) -> inference_pb2.ModelInferRequest:
    values: dict[str, object] = {
        "model_name": "tiles",
        "inputs": [Input(name="image", datatype="UINT8", shape=batch.shape)],
        "raw_input_contents": [batch.tobytes()],
    }
    return inference_pb2.ModelInferRequest(**{**values, **fields})  # type: ignore[arg-type]


def inspection_request(data: bytes, **fields: object) -> inference_pb2.ModelInferRequest:
    values: dict[str, object] = {
        "model_name": INSPECTION_MODEL,
        "inputs": [Input(name="image", datatype="BYTES", shape=[1])],
        "raw_input_contents": [struct.pack("<I", len(data)) + data],
    }
    return inference_pb2.ModelInferRequest(**{**values, **fields})  # type: ignore[arg-type]


def text(value: str) -> inference_pb2.InferParameter:
    return inference_pb2.InferParameter(string_param=value)


def tensors(response: inference_pb2.ModelInferResponse) -> dict[str, np.ndarray | list[bytes]]:
    """Outputs by name, however they came."""
    read: dict[str, np.ndarray | list[bytes]] = {}
    for number, output in enumerate(response.outputs):
        if output.datatype == "BYTES":
            if response.raw_output_contents:
                data, items = response.raw_output_contents[number], []
                while data:
                    (length,) = struct.unpack_from("<I", data)
                    items.append(data[4 : 4 + length])
                    data = data[4 + length :]
            else:
                items = list(output.contents.bytes_contents)
            assert list(output.shape) == [len(items)]
            read[output.name] = items
        elif response.raw_output_contents:
            values = np.frombuffer(response.raw_output_contents[number], DTYPES[output.datatype])
            read[output.name] = values.reshape(tuple(output.shape))
        else:
            field = "fp32_contents" if output.datatype == "FP32" else "int_contents"
            values = np.array(getattr(output.contents, field), DTYPES[output.datatype])
            read[output.name] = values.reshape(tuple(output.shape))
    return read
