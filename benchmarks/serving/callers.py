"""How each target is asked about a picture: by the station's own client, or by the plain one its kind of server has."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import grpc
import numpy as np
from google.protobuf.wrappers_pb2 import BytesValue
from numpy.typing import NDArray

from benchmarks.serving import engines
from benchmarks.serving.load import Call, Caller
from lineside.client.inspection import InspectionClient, SharedPictures
from lineside.open_inference import inference_pb2, inference_pb2_grpc
from lineside.v1 import inspection_pb2

PAYLOADS = ("shared memory", "raw", "jpeg")


class WrongAnswerError(Exception):
    """A target answered, and not PASS."""


def station(address: str, pixels: NDArray[np.uint8], payload: str) -> Caller:
    """A line PC with a connection of its own."""
    data = engines.jpeg(pixels) if payload == "jpeg" else b""

    @contextlib.contextmanager
    def connect() -> Iterator[Call]:
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(InspectionClient(address))
            shared = stack.enter_context(SharedPictures(pixels.nbytes, slots=2)) if payload == "shared memory" else None

            def call() -> None:
                if shared is not None:
                    result = client.inspect_shared(shared, pixels)
                elif payload == "raw":
                    result = client.inspect_pixels(pixels)
                else:
                    result = client.inspect_file(data)
                if result.verdict != inspection_pb2.VERDICT_PASS:
                    raise WrongAnswerError(f"the station said {result.verdict_reason}, expected PASS")

            yield call

    return connect


def _picture(pixels: NDArray[np.uint8], payload: str) -> bytes:
    return engines.jpeg(pixels) if payload == "jpeg" else pixels.tobytes()


def plain_grpc(port: int, pixels: NDArray[np.uint8], payload: str) -> Caller:
    """Bytes to the plain grpc.aio server."""
    data = _picture(pixels, payload)

    @contextlib.contextmanager
    def connect() -> Iterator[Call]:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            infer: grpc.UnaryUnaryMultiCallable[BytesValue, bytes] = channel.unary_unary(
                "/plain.Plain/Infer", request_serializer=BytesValue.SerializeToString
            )
            yield lambda: _check(infer(BytesValue(value=data)))

    return connect


def posted(port: int, path: str, pixels: NDArray[np.uint8], payload: str, *, as_json: bool) -> Caller:
    """A picture in the body of a POST over a kept connection, or as base64 in JSON."""
    data = _picture(pixels, payload)

    @contextlib.contextmanager
    def connect() -> Iterator[Call]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:

            def call() -> None:
                body = json.dumps({"picture": base64.b64encode(data).decode()}).encode() if as_json else data
                kind = "application/json" if as_json else "application/octet-stream"
                connection.request("POST", path, body, {"Content-Type": kind})
                _check(connection.getresponse().read())

            yield call

    return connect


def open_inference(address: str, pixels: NDArray[np.uint8], payload: str) -> Caller:
    """A tensor of bytes to a server of the Open Inference Protocol, by gRPC."""
    data = _picture(pixels, payload)

    @contextlib.contextmanager
    def connect() -> Iterator[Call]:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, options) as channel:
            stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)

            def call() -> None:
                request = inference_pb2.ModelInferRequest(model_name="model")
                request.inputs.add(name="picture", datatype="UINT8", shape=[len(data)])
                request.raw_input_contents.append(data)
                answer = stub.ModelInfer(request)
                raw = answer.raw_output_contents
                score = np.frombuffer(raw[0], np.float32)[0] if raw else answer.outputs[0].contents.fp32_contents[0]
                if not score < 0.5:
                    raise WrongAnswerError(f"the server gave a score of {score}, expected one below 0.5")

            yield call

    return connect


def alone(call: Callable[[], object]) -> Caller:
    """The engine itself."""

    def run() -> None:
        call()

    def connect() -> AbstractContextManager[Call]:
        return contextlib.nullcontext(run)

    return connect


def _check(answer: bytes) -> None:
    if json.loads(answer).get("verdict") != "PASS":
        raise WrongAnswerError(f"the server answered {answer[:80]!r}, expected PASS")
