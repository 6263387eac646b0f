"""`tritonclient` as it is published, in an environment without Lineside, against a station as a service starts it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.daemon import daemon
from support.packages import expected_score, make_anchor_package, picture
from support.station import png
from support.third_party import CLIENT, python_with_tritonclient

from export.triton import CONFIG_NAME, export_triton
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.open_inference import inference_pb2
from lineside.open_inference.models import found_in
from lineside.package import Package
from lineside.v1 import inspection_pb2

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("third party")]
PICTURE = picture(2, 1)


class Seen(NamedTuple):
    """What the client saw, and what Inspect said of the same picture."""

    said: dict[str, Any]
    tensors: dict[str, np.ndarray]
    inspected: inspection_pb2.InspectionResult
    package: Package


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    python = python_with_tritonclient()
    folder = tmp_path_factory.mktemp("third party")
    package = make_anchor_package(folder / "package")
    export_triton(package, folder / "models")
    (folder / CONFIG_NAME).write_text((folder / "models" / "tiles" / CONFIG_NAME).read_text())
    batch = np.stack([PICTURE, picture(0, 3, brightness=0.6), np.zeros_like(PICTURE)])[:, :, :, None]
    encoded = np.frombuffer(png(PICTURE), np.uint8)
    np.savez(folder / "in.npz", batch=batch, picture=PICTURE[:, :, None], encoded=encoded)
    with daemon(folder / "station", {"panel": {"enabled": False}}) as process:
        address = process.addresses.grpc
        with ModelsClient(address) as models:
            models.push(package.folder)
            models.activate(package.digest)
        # -I: nothing of this checkout can be imported by accident.
        done = subprocess.run(
            [str(python), "-I", str(CLIENT), address, str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + process.tail()
        with InspectionClient(address) as client:
            inspected = client.inspect_pixels(PICTURE)
        assert process.stop() == 0, process.tail()
    with np.load(folder / "out.npz") as arrays:
        yield Seen(json.loads(done.stdout), dict(arrays), inspected, package)


def test_it_finds_a_live_server_with_the_models_described(seen: Seen) -> None:
    said = seen.said
    assert said["lineside"] == []
    assert (said["live"], said["ready"], said["model_ready"]) == (True, True, [True, True, False])
    assert said["server"]["name"] == "lineside"
    assert [item["name"] for item in said["index"]] == ["tiles", "_inspection"]
    assert said["metadata"]["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": ["-1", "64", "64", "1"]}]
    assert said["config"]["input"][0]["data_type"] == "TYPE_UINT8"
    assert said["config"]["parameters"]["lineside.digest"]["string_value"] == seen.package.digest


def test_its_tensors_hold_inspects_detections(seen: Seen) -> None:
    first = {name: seen.tensors[name][0] for name in ("boxes", "scores", "classes", "areas")}
    found = found_in(first, seen.package.manifest)
    told = seen.inspected.detections
    assert len(told) == len(found) == 1
    assert found.scores.tolist() == [told[0].score]
    assert found.boxes.tolist() == [[told[0].box.x1, told[0].box.y1, told[0].box.x2, told[0].box.y2]]
    assert found.areas[0].tolist() == list(told[0].areas)
    assert seen.tensors["scores"][:, 0] == pytest.approx([expected_score(0.0), expected_score(0.0, 0.6), 0.0], abs=1e-6)
    assert (seen.said["id"], seen.said["part"]) == ("42", ["scores"])


@pytest.mark.parametrize("form", ["file", "pixels", "lax"])
def test_its_inspections_are_inspects(seen: Seen, form: str) -> None:
    told = seen.inspected.detections
    read = {name: seen.tensors[f"{form}.{name}"] for name in ("verdict", "boxes", "scores", "classes", "class_names")}
    assert read["verdict"].tolist() == ["PASS" if form == "lax" else "REJECT"]
    assert read["class_names"].tolist() == [item.class_name for item in told]
    assert read["classes"].tolist() == [item.class_index for item in told]
    assert read["scores"].tolist() == [item.score for item in told]
    assert read["boxes"].tolist() == [[item.box.x1, item.box.y1, item.box.x2, item.box.y2] for item in told]
    assert seen.said["empty"] == [[0, 4], [0], [0]]
    assert seen.said["recipe"] == "lax"


def test_its_stream_its_callbacks_and_its_asyncio_work_as_well(seen: Seen) -> None:
    first, wrong, last = seen.said["stream"]
    assert (first, last) == ("0", "2")
    assert "MODEL_UNKNOWN: no model 'bolts'" in wrong
    assert seen.said["aio"] == seen.said["later"] == pytest.approx(expected_score(0.0), abs=1e-6)
    assert seen.said["inference_count"] == 3 + 1 + 2 + 1 + 1


@pytest.mark.parametrize(
    ("what", "status", "says"),
    [
        ("model", "NOT_FOUND", "no model 'bolts' serves here; there are: tiles, _inspection"),
        ("version", "NOT_FOUND", "tiles is here in version 1.0.0, not '7'"),
        ("input", "INVALID_ARGUMENT", "no input 'img' of model tiles; there are: image"),
        ("datatype", "INVALID_ARGUMENT", "has datatype 'FP32', expected UINT8"),
        ("shape", "INVALID_ARGUMENT", "has shape [1, 63, 64, 1], expected [-1, 64, 64, 1]"),
        ("batch", "INVALID_ARGUMENT", "holds 9 pictures, expected at most 8"),
        ("output", "INVALID_ARGUMENT", "no output 'box' of model tiles"),
        ("shared memory", "INVALID_ARGUMENT", "asks for shared_memory_region"),
        ("picture", "INVALID_ARGUMENT", "IMAGE_DECODE: 4 bytes that begin like no known picture"),
        ("metadata", "NOT_FOUND", "no model 'bolts'"),
    ],
)
def test_what_it_gets_wrong_it_is_told(seen: Seen, what: str, status: str, says: str) -> None:
    code, message = seen.said["refusals"][what]
    assert code == f"StatusCode.{status}"
    assert says in message


def test_every_name_and_number_of_ours_is_the_published_protocols(seen: Seen) -> None:
    published = seen.said["published_fields"]
    ours: dict[str, list[object]] = {}

    def walk(prefix: str, message: Any) -> None:
        for field in message.fields:
            kind = field.message_type or field.enum_type
            ours[f"{prefix}.{field.name}"] = [field.number, field.type, field.is_repeated, kind.name if kind else ""]
        for nested in message.nested_types:
            walk(f"{prefix}.{nested.name}", nested)

    for name, message in inference_pb2.DESCRIPTOR.message_types_by_name.items():
        walk(name, message)
    for name, enum in inference_pb2.DESCRIPTOR.enum_types_by_name.items():
        for value in enum.values:
            ours[f"{name}.{value.name}"] = [value.number]
    (service,) = inference_pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods:
        ours[f"{service.full_name}/{method.name}"] = [
            method.input_type.name,
            method.output_type.name,
            method.client_streaming,
            method.server_streaming,
        ]
    assert len(ours) > 100
    assert {name: (kind, published.get(name)) for name, kind in ours.items() if published.get(name) != kind} == {}


def test_tritons_own_messages_read_the_exported_configuration(seen: Seen) -> None:
    config = seen.said["config_pbtxt"]
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("tiles", "onnxruntime", 8)
    assert config["dynamic_batching"] == {}
    assert config["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["64", "64", "1"]}]
    # But for batching of its own, Triton would tell a client what the station tells him.
    assert {key: value for key, value in config.items() if key != "dynamic_batching"} == seen.said["config"]
