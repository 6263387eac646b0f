"""Valid requests for every RPC of a station: what `benchmarks.fuzz` changes a little."""

from __future__ import annotations

import dataclasses
import functools
import random
import struct
from pathlib import Path

import numpy as np
from google.protobuf.message import Message

from benchmarks import tiles
from benchmarks.fuzz_requests import Mutator
from lineside.client.inspection import file_request, pixels_request
from lineside.client.push import announcement
from lineside.open_inference import inference_pb2
from lineside.package import Package
from lineside.pixels import encode_png
from lineside.v1 import inspection_pb2, mentoring_pb2, model_pb2

_CHUNK = 16384
_INSPECTION, _MODELS = "/lineside.v1.Inspection/", "/lineside.v1.Models/"
_OPEN_INFERENCE = "/inference.GRPCInferenceService/"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What requests to it can be about."""

    serving: Package
    other: Package
    """Also there; could serve."""
    unsigned: Package
    """Not there, and refused without being parsed."""
    shared_memory: str
    """Name of an object with a 64 x 64 mono picture in it."""


def seeds_of(path: str, station: Station) -> list[Message]:
    """Valid requests for /package.Service/Method; none where an empty message is all there is to say."""
    if path.startswith(_OPEN_INFERENCE):
        return _open_inference(path.removeprefix(_OPEN_INFERENCE))
    if path.startswith(_INSPECTION):
        return _inspection(path.removeprefix(_INSPECTION), station)
    return _models(path.removeprefix(_MODELS), station)


def push_of(station: Station, chance: random.Random, mutator: Mutator) -> list[bytes]:
    """The messages of a push of the unsigned package, with one of them changed, left out, doubled or displaced."""
    messages = list(_push(station.unsigned.folder, chance.random() < 0.3))
    at = chance.randrange(len(messages))
    kind = chance.randrange(6)
    if kind <= 2:
        messages[at] = mutator.changed(model_pb2.PushRequest.FromString(messages[at])).SerializeToString()
    elif kind == 3:
        del messages[at]
    elif kind == 4:
        messages.insert(at, messages[chance.randrange(len(messages))])
    else:
        messages[at] = mutator.damaged(messages[at])
    return messages


@functools.cache
def _push(folder: Path, resume: bool) -> tuple[bytes, ...]:
    begin = announcement(folder)
    begin.resume = resume
    messages = [model_pb2.PushRequest(begin=begin)]
    for item in begin.files:
        data = (folder / item.name).read_bytes()
        messages += [
            model_pb2.PushRequest(chunk=model_pb2.PushChunk(name=item.name, offset=at, data=data[at : at + _CHUNK]))
            for at in range(0, len(data), _CHUNK)
        ]
    return tuple(message.SerializeToString() for message in messages)


def _inspection(method: str, station: Station) -> list[Message]:
    file = file_request(encode_png(tiles.picture()), camera="side", part_id="AX-7")
    raw = pixels_request(tiles.picture(), part_id="L-1", captured_unix_ns=7)
    colour = pixels_request(np.zeros((8, 12, 3), np.uint8), recipe="lax")
    shared = inspection_pb2.InspectRequest(
        image=inspection_pb2.Image(
            shared_memory=inspection_pb2.SharedMemoryImage(
                name=station.shared_memory, width=64, height=64, format=inspection_pb2.PIXEL_FORMAT_MONO8
            )
        )
    )
    own = inspection_pb2.Recipe(
        name="mine",
        thresholds={"dent": 0.6, "scratch": 0.7},
        regions=[mentoring_pb2.Box(x1=0, y1=0, x2=32, y2=32)],
        minimum_side=4,
        maximum_count=1,
        exclusive_classes=["dent", "scratch"],
    )
    ruled = pixels_request(tiles.picture(), recipe=own)
    requests = [file, raw, colour, shared, ruled]
    if method == "Inspect":
        return list(requests)
    if method == "InspectStream":
        return [
            inspection_pb2.InspectStreamRequest(request=request, tag=number) for number, request in enumerate(requests)
        ]
    if method == "Watch":
        return [inspection_pb2.WatchRequest(boot_id="b", from_sequence=3, cameras=["side"])]
    return [
        inspection_pb2.TriggerRequest(camera="files", part_id="AX-7", recipe_name="lax"),
        inspection_pb2.TriggerRequest(camera="files", recipe=own),
    ]


def _models(method: str, station: Station) -> list[Message]:
    digests = [station.serving.digest, station.other.digest]
    if method == "Rollback":
        return [model_pb2.RollbackRequest(why="for a try", only_from=digest) for digest in digests]
    if method == "Freeze":
        return [model_pb2.FreezeRequest(frozen=True, why="a shift without changes"), model_pb2.FreezeRequest()]
    if method == "Audit":
        return [model_pb2.AuditRequest(after=2)]
    if method == "Push":
        return [model_pb2.PushRequest(begin=announcement(station.unsigned.folder))]
    kinds: dict[str, type[Message]] = {
        "Received": model_pb2.ReceivedRequest,
        "Prepare": model_pb2.PrepareRequest,
        "Activate": model_pb2.ActivateRequest,
        "Confirm": model_pb2.ConfirmRequest,
        "Describe": model_pb2.DescribeRequest,
    }
    return [kinds[method](digest=digest) for digest in digests] if method in kinds else []


def _open_inference(method: str) -> list[Message]:
    if method in ("ModelInfer", "ModelStreamInfer"):
        return _inferences()
    kinds: dict[str, type[Message]] = {
        "ModelReady": inference_pb2.ModelReadyRequest,
        "ModelMetadata": inference_pb2.ModelMetadataRequest,
        "ModelConfig": inference_pb2.ModelConfigRequest,
        "ModelStatistics": inference_pb2.ModelStatisticsRequest,
    }
    if method in kinds:
        return [
            kinds[method](name=name, version=version) for name, version in (("tiles", "1.0.0"), ("_inspection", ""))
        ]
    return (
        [inference_pb2.RepositoryIndexRequest(repository_name="r", ready=True)] if method == "RepositoryIndex" else []
    )


def _inferences() -> list[Message]:
    batch = np.stack([tiles.picture(), tiles.picture(0, 0)])
    tensor = inference_pb2.ModelInferRequest.InferInputTensor
    graph = inference_pb2.ModelInferRequest(
        model_name="tiles",
        id="7",
        inputs=[tensor(name="image", datatype="UINT8", shape=[2, 64, 64, 1])],
        outputs=[inference_pb2.ModelInferRequest.InferRequestedOutputTensor(name="scores")],
        raw_input_contents=[batch.tobytes()],
    )
    graph.parameters["timeout"].int64_param = 5_000_000
    typed = inference_pb2.ModelInferRequest(model_name="tiles")
    contents = inference_pb2.InferTensorContents(uint_contents=tiles.picture().ravel().tolist())
    typed.inputs.add(name="image", datatype="UINT8", shape=[1, 64, 64, 1], contents=contents)
    data = encode_png(tiles.picture())
    file = inference_pb2.ModelInferRequest(
        model_name="_inspection",
        inputs=[tensor(name="image", datatype="BYTES", shape=[1])],
        raw_input_contents=[struct.pack("<I", len(data)) + data],
    )
    file.parameters["part_id"].string_param = "AX-7"
    file.parameters["rules"].string_param = '{"name": "mine", "thresholds": {"dent": 0.6}, "maximumCount": 1}'
    pixels = inference_pb2.ModelInferRequest(
        model_name="_inspection",
        inputs=[tensor(name="pixels", datatype="UINT8", shape=[8, 12, 3])],
        raw_input_contents=[bytes(8 * 12 * 3)],
    )
    pixels.parameters["recipe"].string_param = "lax"
    pixels.parameters["captured_unix_ns"].int64_param = 7
    return [graph, typed, file, pixels]
