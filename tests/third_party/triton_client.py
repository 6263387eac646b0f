"""What a customer's script does with `tritonclient` as it is published. Runs where nothing of Lineside is installed.

    python triton_client.py ADDRESS WORK

WORK/in.npz holds `batch` uint8 (n, height, width, channels), `picture` uint8 (height, width, 1) and `encoded` uint8,
a picture file. WORK/config.pbtxt is parsed by the client's own messages. What was seen goes to WORK/out.npz (tensors)
and, as JSON, to standard output.
"""

from __future__ import annotations

import asyncio
import functools
import json
import queue
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

NAME = "tiles"
JUDGE = "_inspection"
VERDICT = ("verdict", "boxes", "scores", "classes", "class_names")


def main(address: str, work: Path) -> dict[str, object]:
    given = np.load(work / "in.npz")
    client = triton.InferenceServerClient(address)
    seen: dict[str, object] = {
        "lineside": sorted(name for name in sys.modules if name.split(".")[0] in ("lineside", "edge")),
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": [client.is_model_ready(name) for name in (NAME, JUDGE, "bolts")],
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata(NAME, as_json=True),
        "config": client.get_model_config(NAME, as_json=True)["config"],
        "index": client.get_model_repository_index(as_json=True)["models"],
        "published_fields": published_fields(),
        "config_pbtxt": json_format.MessageToDict(
            text_format.Parse((work / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()),
            preserving_proto_field_name=True,
        ),
    }
    tensors: dict[str, np.ndarray] = {}
    answer = client.infer(NAME, [pixels_input("image", given["batch"])], request_id="42")
    seen["id"] = answer.get_response().id
    for name in ("boxes", "scores", "classes", "areas"):
        tensors[name] = answer.as_numpy(name)
    scores = triton.InferRequestedOutput("scores")
    part = client.infer(NAME, [pixels_input("image", given["batch"][:1])], outputs=[scores])
    seen["part"] = [item.name for item in part.get_response().outputs]

    asked = {"part_id": "AX-7", "rules": '{"name": "lax", "maximum_count": 9}'}
    judged = client.infer(JUDGE, [file_input(given["encoded"])])
    pixels = client.infer(JUDGE, [pixels_input("pixels", given["picture"])])
    lax = client.infer(JUDGE, [file_input(given["encoded"])], parameters=asked)
    for prefix, one in (("file", judged), ("pixels", pixels), ("lax", lax)):
        for name in VERDICT:
            tensors[f"{prefix}.{name}"] = readable(one.as_numpy(name))
    empty = client.infer(JUDGE, [pixels_input("pixels", np.zeros_like(given["picture"]))])
    seen["empty"] = [list(empty.as_numpy(name).shape) for name in ("boxes", "scores", "class_names")]
    seen["recipe"] = lax.get_response().parameters["recipe"].string_param

    seen["stream"] = streamed(client, given["batch"])
    seen["aio"] = asyncio.run(with_asyncio(address, given["batch"]))
    seen["later"] = called_back(client, given["batch"])
    seen["refusals"] = refusals(client, given["batch"])
    statistics = client.get_inference_statistics(NAME, as_json=True)["model_stats"][0]
    seen["inference_count"] = int(statistics["inference_count"])
    client.close()
    np.savez(work / "out.npz", **tensors)
    return seen


def pixels_input(name: str, values: np.ndarray) -> triton.InferInput:
    made = triton.InferInput(name, list(values.shape), "UINT8")
    made.set_data_from_numpy(values)
    return made


def file_input(data: np.ndarray) -> triton.InferInput:
    made = triton.InferInput("image", [1], "BYTES")
    made.set_data_from_numpy(np.array([data.tobytes()], np.object_))
    return made


def readable(values: np.ndarray) -> np.ndarray:
    return np.array([item.decode() for item in values], "U") if values.dtype == np.object_ else values


def streamed(client: triton.InferenceServerClient, batch: np.ndarray) -> list[object]:
    """Three requests on one stream, the second one wrong; its error stands in its place."""
    answers: queue.Queue[object] = queue.Queue()

    def take(result: triton.InferResult, error: InferenceServerException) -> None:
        answers.put(str(error) if error is not None else result.get_response().id)

    client.start_stream(take)
    for number, name in enumerate((NAME, "bolts", NAME)):
        client.async_stream_infer(name, [pixels_input("image", batch[:1])], request_id=str(number))
    seen = [answers.get(timeout=30) for _ in range(3)]
    client.stop_stream()
    return seen


def called_back(client: triton.InferenceServerClient, batch: np.ndarray) -> float:
    answers: queue.Queue[float] = queue.Queue()

    def take(result: triton.InferResult, error: InferenceServerException) -> None:
        answers.put(float("nan") if error is not None else float(result.as_numpy("scores")[0, 0]))

    client.async_infer(NAME, [pixels_input("image", batch[:1])], take)
    return answers.get(timeout=30)


async def with_asyncio(address: str, batch: np.ndarray) -> float:
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        answer = await client.infer(NAME, [pixels_input("image", batch[:1])])
        return float(answer.as_numpy("scores")[0, 0])


def refusals(client: triton.InferenceServerClient, batch: np.ndarray) -> dict[str, list[str]]:
    """Status and message for what a client can get wrong."""
    one = batch[:1]
    floats = triton.InferInput("image", list(one.shape), "FP32")
    floats.set_data_from_numpy(one.astype(np.float32))
    shared = triton.InferInput("image", list(one.shape), "UINT8")
    shared.set_shared_memory("region", one.nbytes)
    ask = functools.partial(client.infer, NAME)
    wrong = {
        "model": lambda: client.infer("bolts", [pixels_input("image", one)]),
        "version": lambda: ask([pixels_input("image", one)], model_version="7"),
        "input": lambda: ask([pixels_input("img", one)]),
        "datatype": lambda: ask([floats]),
        "shape": lambda: ask([pixels_input("image", one[:, :-1])]),
        "batch": lambda: ask([pixels_input("image", np.repeat(one, 9, axis=0))]),
        "output": lambda: ask([pixels_input("image", one)], outputs=[triton.InferRequestedOutput("box")]),
        "shared memory": lambda: ask([shared]),
        "picture": lambda: client.infer(JUDGE, [file_input(np.frombuffer(b"torn", np.uint8))]),
        "metadata": lambda: client.get_model_metadata("bolts"),
    }
    return {what: refusal(call) for what, call in wrong.items()}


def refusal(call: Callable[[], object]) -> list[str]:
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return ["OK", ""]


def published_fields() -> dict[str, list[object]]:
    """Message.field or Enum.value of the published protocol: number, kind, repeated, and the type it refers to."""
    fields: dict[str, list[object]] = {}

    def walk(prefix: str, message: object) -> None:
        for field in message.fields:  # type: ignore[attr-defined]
            kind = field.message_type or field.enum_type
            fields[f"{prefix}.{field.name}"] = [
                field.number,
                field.type,
                field.is_repeated,
                kind.name if kind is not None else "",
            ]
        for nested in message.nested_types:  # type: ignore[attr-defined]
            walk(f"{prefix}.{nested.name}", nested)

    for module in (service_pb2, model_config_pb2):
        for name, message in module.DESCRIPTOR.message_types_by_name.items():
            walk(name, message)
        for name, enum in module.DESCRIPTOR.enum_types_by_name.items():
            for value in enum.values:
                fields[f"{name}.{value.name}"] = [value.number]
    for service in service_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            fields[f"{service.full_name}/{method.name}"] = [
                method.input_type.name,
                method.output_type.name,
                method.client_streaming,
                method.server_streaming,
            ]
    return fields


if __name__ == "__main__":
    json.dump(main(sys.argv[1], Path(sys.argv[2])), sys.stdout)
