"""What is wrong with a request of the Open Inference Protocol is said in one line that names it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from support.open_inference import (
    Asking,
    Contents,
    Input,
    Output,
    images,
    inspection_request,
    raw_request,
    refused,
    text,
)
from support.packages import picture
from support.station import Listening, Serving

from edge.models.slot import ServingModel
from edge.service.server import OPEN_INFERENCE
from lineside.open_inference import inference_pb2


@pytest.fixture(scope="module")
def line(model: ServingModel) -> Iterator[Listening]:
    """One station for all of them: refusals leave nothing behind."""
    with Listening(Serving(model)) as listening:
        yield listening


@pytest.fixture(scope="module")
def asking(line: Listening) -> Iterator[Asking]:
    made = Asking(line.server.address)
    with made.channel:
        yield made


# Refusals


def with_input(**fields: object) -> inference_pb2.ModelInferRequest:
    values: dict[str, object] = {"name": "image", "datatype": "UINT8", "shape": [1, 64, 64, 1]}
    return raw_request(images(picture()), inputs=[Input(**{**values, **fields})])  # type: ignore[arg-type]


def typed(**contents: object) -> inference_pb2.ModelInferRequest:
    return with_input_typed(Contents(**contents))  # type: ignore[arg-type]


def with_input_typed(contents: inference_pb2.InferTensorContents) -> inference_pb2.ModelInferRequest:
    request = with_input(contents=contents)
    request.ClearField("raw_input_contents")
    return request


IMAGE = picture().tobytes()
SHARED = {"shared_memory_region": inference_pb2.InferParameter(string_param="region")}
CLASSIFY = {"classification": inference_pb2.InferParameter(int64_param=3)}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (with_input(name="img"), "no input 'img' of model tiles; there are: image"),
        (with_input(datatype="FP32"), "input image has datatype 'FP32', expected UINT8"),
        (with_input(shape=[64, 64, 1]), "has shape [64, 64, 1], expected [-1, 64, 64, 1]"),
        (with_input(shape=[1, 64, 32, 1]), "has shape [1, 64, 32, 1]"),
        (with_input(shape=[0, 64, 64, 1]), "has shape [0, 64, 64, 1]"),
        (with_input(shape=[-1, 64, 64, 1]), "has shape [-1, 64, 64, 1]"),
        (with_input(shape=[9, 64, 64, 1]), "holds 9 pictures, expected at most 8"),
        (with_input(shape=[1 << 62, 64, 64, 1]), "holds 4611686018427387904 pictures"),
        (with_input(shape=[2, 64, 64, 1]), "4096 bytes of raw contents, expected 8192 for UINT8 [2, 64, 64, 1]"),
        (with_input(parameters=SHARED), "asks for shared_memory_region, which this station does not offer"),
        (with_input(contents=Contents(uint_contents=[1])), "has contents too; use one of both"),
        (raw_request(images(picture()), inputs=[]), "1 raw_input_contents for 0 inputs"),
        (raw_request(images(picture()), raw_input_contents=[IMAGE] * 2), "2 raw_input_contents for 1 inputs"),
        (raw_request(images(picture()), raw_input_contents=[], inputs=[]), "input image of model tiles is missing"),
        (
            raw_request(
                images(picture()),
                inputs=[Input(name="image", datatype="UINT8", shape=[1, 64, 64, 1])] * 2,
                raw_input_contents=[IMAGE] * 2,
            ),
            "input image is there twice",
        ),
        (
            raw_request(images(picture()), outputs=[Output(name="box")]),
            "no output 'box' of model tiles; there are: boxes",
        ),
        (raw_request(images(picture()), outputs=[Output(name="boxes")] * 2), "output boxes is asked for twice"),
        (
            raw_request(images(picture()), outputs=[Output(name="scores", parameters=CLASSIFY)]),
            "asks for classification",
        ),
        (raw_request(images(picture()), parameters={"timeout": text("soon")}), "timeout is no whole number"),
        (typed(), "has 0 uint_contents, expected 4096 for [1, 64, 64, 1]"),
        (typed(uint_contents=[0] * 4095 + [256]), "has the element 256, expected 0 to 255"),
        (typed(uint_contents=[0] * 4095), "has 4095 uint_contents, expected 4096"),
        (typed(int_contents=[0] * 4096), "is UINT8 and has int_contents, expected uint_contents"),
        (inspection_request(b"", inputs=[], raw_input_contents=[]), "both image and pixels, or none"),
        (inspection_request(b"", raw_input_contents=[b""]), "has 0 elements in its raw contents, expected 1"),
        (inspection_request(b"", raw_input_contents=[b"\x05\x00\x00"]), "raw contents end inside element 0"),
        (inspection_request(b"", raw_input_contents=[b"\x05\x00\x00\x00abc"]), "raw contents end inside element 0"),
        (inspection_request(b"", raw_input_contents=[bytes(9)]), "has 1 elements and more in its raw contents"),
        (inspection_request(b""), "IMAGE_DECODE: the image is empty"),
        (inspection_request(b"hello"), "IMAGE_DECODE: 5 bytes that begin like no known picture"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_one_line(
    asking: Asking, line: Listening, request_: inference_pb2.ModelInferRequest, says: str
) -> None:
    code, details = refused(lambda: asking.infer(request_))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert says in details
    assert "\n" not in details
    assert line.serving.kept.frames == []


@pytest.mark.parametrize("sides", [(64, 64, 2), (1, 1, 4)])
def test_pixels_have_one_or_three_channels(asking: Asking, sides: tuple[int, int, int]) -> None:
    request = inspection_request(b"", inputs=[Input(name="pixels", datatype="UINT8", shape=sides)])
    request.raw_input_contents[0] = bytes(int(np.prod(sides)))
    assert "1 (mono) or 3 (RGB) channels" in refused(lambda: asking.infer(request))[1]


def test_a_picture_with_sides_no_frame_has_is_refused_before_it_is_one(asking: Asking) -> None:
    request = inspection_request(b"", inputs=[Input(name="pixels", datatype="UINT8", shape=(1, 40000, 1))])
    request.raw_input_contents[0] = bytes(40000)
    code, details = refused(lambda: asking.infer(request))
    assert (code, "IMAGE_SHAPE" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_unknown_models_and_versions_are_not_found_with_those_there_are(asking: Asking) -> None:
    Request = inference_pb2.ModelMetadataRequest  # noqa: N806
    code, details = refused(lambda: asking.stub.ModelMetadata(Request(name="bolts")))
    assert (code, "there are: tiles, _inspection" in details) == (grpc.StatusCode.NOT_FOUND, True)
    code, details = refused(lambda: asking.infer(raw_request(images(picture()), model_version="7")))
    assert (code, "here in version 1.0.0, not '7'" in details) == (grpc.StatusCode.NOT_FOUND, True)
    assert refused(lambda: asking.stub.ModelStatistics(inference_pb2.ModelStatisticsRequest(name="bolts")))[0]


def test_bytes_that_are_no_message_and_methods_that_are_not_offered(asking: Asking) -> None:
    call = asking.channel.unary_unary(f"/{OPEN_INFERENCE}/ModelInfer")
    code, details = refused(lambda: call(b"\xff\xff\xff\xff"))
    assert (code, "no message of this method" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    with pytest.raises(grpc.RpcError) as error:
        asking.channel.unary_unary(f"/{OPEN_INFERENCE}/RepositoryModelLoad")(b"")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
