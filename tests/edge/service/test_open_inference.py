"""The Open Inference Protocol over real gRPC: descriptions, tensors both ways, the same answers as Inspect."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.open_inference import (
    SECONDS,
    Asking,
    Input,
    Output,
    images,
    inspection_request,
    raw_request,
    refused,
    tensors,
    text,
)
from support.packages import expected_score, make_anchor_package, make_cell_package, picture
from support.station import HeldBackend, Listening, Serving, png, serving_model

from edge.models.slot import ServingModel
from edge.service.inspection import InspectionServicer
from edge.service.judging import Judge
from edge.service.open_inference.inspection import INSPECTION_MODEL
from edge.service.server import OPEN_INFERENCE, GrpcServer, GrpcSettings
from edge.verdict import RecipeSettings
from lineside.ids import new_frame_id
from lineside.open_inference import inference_pb2
from lineside.open_inference.models import found_in, manifest_of
from lineside.reasons import ContractError, Reason


@pytest.fixture
def asking(line: Listening) -> Iterator[Asking]:
    made = Asking(line.server.address)
    with made.channel:
        yield made


# What there is


def test_live_and_ready_say_whether_a_model_serves(asking: Asking) -> None:
    assert asking.stub.ServerLive(inference_pb2.ServerLiveRequest()).live
    assert asking.stub.ServerReady(inference_pb2.ServerReadyRequest()).ready
    for name, version, ready in (
        ("tiles", "", True),
        ("tiles", "1.0.0", True),
        ("tiles", "2", False),
        ("x", "", False),
    ):
        assert asking.stub.ModelReady(inference_pb2.ModelReadyRequest(name=name, version=version)).ready is ready
    with Listening(Serving(None)) as empty:
        other = Asking(empty.server.address)
        with other.channel:
            assert other.stub.ServerLive(inference_pb2.ServerLiveRequest()).live
            assert not other.stub.ServerReady(inference_pb2.ServerReadyRequest()).ready
            for name in ("tiles", INSPECTION_MODEL):
                assert not other.stub.ModelReady(inference_pb2.ModelReadyRequest(name=name)).ready
            code, _ = refused(lambda: other.infer(raw_request(images(picture()))))
            assert code is grpc.StatusCode.UNAVAILABLE
            answer = tensors(other.infer(inspection_request(png(picture()))))
            assert (answer["verdict"], answer["verdict_reason"]) == ([b"NO_VERDICT"], [b"NO_MODEL"])
            listed = other.stub.RepositoryIndex(inference_pb2.RepositoryIndexRequest()).models
            assert [(item.name, item.state) for item in listed] == [(INSPECTION_MODEL, "UNAVAILABLE")]
            assert not other.stub.RepositoryIndex(inference_pb2.RepositoryIndexRequest(ready=True)).models


def test_health_of_this_service_follows_the_model(line: Listening) -> None:
    def health() -> int:
        with grpc.insecure_channel(line.server.address) as channel:
            request = health_pb2.HealthCheckRequest(service=OPEN_INFERENCE)
            return health_pb2_grpc.HealthStub(channel).Check(request).status

    assert health() == health_pb2.HealthCheckResponse.SERVING
    line.server.model_serves(False)
    assert health() == health_pb2.HealthCheckResponse.NOT_SERVING


def test_the_graph_is_described_as_a_model_repository_would(asking: Asking, model: ServingModel) -> None:
    metadata = asking.stub.ModelMetadata(inference_pb2.ModelMetadataRequest(name="tiles"))
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("tiles", ["1.0.0"], "onnxruntime_onnx")
    described = {item.name: (item.datatype, list(item.shape)) for item in (*metadata.inputs, *metadata.outputs)}
    assert described == {
        "image": ("UINT8", [-1, 64, 64, 1]),
        "boxes": ("FP32", [-1, 24, 4]),
        "scores": ("FP32", [-1, 24]),
        "classes": ("INT32", [-1, 24]),
        "areas": ("INT32", [-1, 24]),
    }
    config = asking.stub.ModelConfig(inference_pb2.ModelConfigRequest(name="tiles")).config
    assert (config.max_batch_size, list(config.input[0].dims)) == (8, [64, 64, 1])
    assert config.input[0].data_type == inference_pb2.TYPE_UINT8
    assert config.parameters["lineside.digest"].string_value == model.identity.digest
    assert manifest_of(config).anchors == model.package.manifest.anchors


def test_the_server_and_its_models_are_named(asking: Asking) -> None:
    metadata = asking.stub.ServerMetadata(inference_pb2.ServerMetadataRequest())
    assert (metadata.name, list(metadata.extensions)[:2]) == ("lineside", ["model_configuration", "statistics"])
    listed = asking.stub.RepositoryIndex(inference_pb2.RepositoryIndexRequest()).models
    assert [(item.name, item.state) for item in listed] == [("tiles", "READY"), (INSPECTION_MODEL, "READY")]
    inputs = asking.stub.ModelConfig(inference_pb2.ModelConfigRequest(name=INSPECTION_MODEL)).config.input
    assert [(item.name, item.optional) for item in inputs] == [("image", True), ("pixels", True)]


# The graph


@pytest.mark.parametrize("typed", [False, True])
def test_a_batch_of_tensors_is_answered_with_the_graphs_outputs(
    asking: Asking, model: ServingModel, typed: bool
) -> None:
    batch = images(picture(0, 1), picture(2, 3, brightness=0.6), np.zeros((64, 64), np.uint8))
    request = raw_request(batch, id="seven")
    if typed:
        request.ClearField("raw_input_contents")
        request.inputs[0].contents.uint_contents.extend(batch.ravel().tolist())
    response = asking.infer(request)
    assert (response.model_name, response.model_version, response.id) == ("tiles", "1.0.0", "seven")
    assert response.parameters["lineside.digest"].string_param == model.identity.digest
    assert bool(response.raw_output_contents) is not typed
    read = tensors(response)
    expected = model.run(batch)
    assert set(read) == {"boxes", "scores", "classes", "areas"}
    for name, values in expected.items():
        assert np.array_equal(read[name], values)
    assert [round(float(score), 3) for score in read["scores"][:, 0]] == [
        round(expected_score(0.0), 3),
        round(expected_score(0.0, 0.6), 3),
        0.0,
    ]


def test_the_configuration_is_enough_to_read_detections_out_of_the_tensors(asking: Asking, line: Listening) -> None:
    manifest = manifest_of(asking.stub.ModelConfig(inference_pb2.ModelConfigRequest(name="tiles")).config)
    for pixels in (picture(0, 1), picture(3, 3, brightness=1.0), np.zeros((64, 64), np.uint8)):
        read = tensors(asking.infer(raw_request(images(pixels))))
        found = found_in({name: values[0] for name, values in read.items()}, manifest)  # type: ignore[misc]
        told = line.client.inspect_pixels(pixels).detections
        assert [(item.class_index, item.score) for item in told] == list(
            zip(found.classes.tolist(), found.scores.tolist(), strict=True)
        )
        assert [[item.box.x1, item.box.y1, item.box.x2, item.box.y2] for item in told] == found.boxes.tolist()


def test_a_cell_heads_heat_comes_whole(tmp_path: Path) -> None:
    with serving_model(make_cell_package(tmp_path / "cells")) as cells, Listening(Serving(cells)) as listening:
        asking = Asking(listening.server.address)
        with asking.channel:
            response = asking.infer(raw_request(images(picture(1, 2))))
            heat = tensors(response)["heat"]
            assert list(response.outputs[0].shape) == [1, 4, 4, 2]
            assert heat[0, 1, 2, 0] == pytest.approx(expected_score(0.0), abs=1e-6)  # type: ignore[call-overload]
            manifest = manifest_of(asking.stub.ModelConfig(inference_pb2.ModelConfigRequest(name="tiles")).config)
            assert found_in({"heat": heat[0]}, manifest).areas[0].tolist() == [6]  # type: ignore[dict-item]


def test_only_the_outputs_asked_for_come_in_the_order_asked_for(asking: Asking) -> None:
    response = asking.infer(raw_request(images(picture()), outputs=[Output(name="classes"), Output(name="scores")]))
    assert [output.name for output in response.outputs] == ["classes", "scores"]
    assert len(response.raw_output_contents) == 2


def test_tensors_of_the_graph_are_neither_judged_nor_kept(asking: Asking, line: Listening) -> None:
    asking.infer(raw_request(images(picture())))
    assert line.serving.kept.frames == []
    with line.client.watch(from_sequence=1) as events:
        line.client.inspect_pixels(picture())
        assert next(events).sequence == 1


# The inspection


@pytest.mark.parametrize("form", ["raw file", "typed file", "raw pixels", "typed pixels"])
def test_a_picture_gets_inspects_answer_in_every_form(asking: Asking, line: Listening, form: str) -> None:
    pixels = picture(2, 1)
    file = png(pixels)
    request = inspection_request(file)
    if "pixels" in form:
        request.inputs[0].CopyFrom(Input(name="pixels", datatype="UINT8", shape=[64, 64, 1]))
        request.raw_input_contents[0] = pixels.tobytes()
    if "typed" in form:
        request.ClearField("raw_input_contents")
        if "pixels" in form:
            request.inputs[0].contents.uint_contents.extend(pixels.ravel().tolist())
        else:
            request.inputs[0].contents.bytes_contents.append(file)
    response = asking.infer(request)
    read = tensors(response)
    told = line.client.inspect_file(file)
    assert (read["verdict"], read["verdict_reason"]) == ([b"REJECT"], [told.verdict_reason.encode()])
    assert read["class_names"] == [item.class_name.encode() for item in told.detections] == [b"dent"]
    assert read["scores"].tolist() == [item.score for item in told.detections]  # type: ignore[union-attr]
    assert read["classes"].tolist() == [item.class_index for item in told.detections]  # type: ignore[union-attr]
    assert read["boxes"].tolist() == [[item.box.x1, item.box.y1, item.box.x2, item.box.y2] for item in told.detections]  # type: ignore[union-attr]
    assert response.parameters["lineside.digest"].string_param == told.model.digest
    # Judged, kept and told like any other frame.
    kept = line.serving.kept.frames[0][0]
    assert read["frame_id"] == [kept.frame_id.encode()]
    assert read["detection_ids"] == [f"{kept.frame_id}/0".encode()]
    assert kept.source == (None if "pixels" in form else file)


def test_where_nothing_is_found_the_tensors_are_empty_and_keep_their_shape(asking: Asking) -> None:
    response = asking.infer(inspection_request(png(np.zeros((64, 64), np.uint8))))
    read = tensors(response)
    assert read["verdict"] == [b"PASS"]
    shapes = {output.name: list(output.shape) for output in response.outputs}
    assert (shapes["boxes"], shapes["scores"], shapes["class_names"]) == ([0, 4], [0], [0])


def test_parameters_carry_part_frame_and_rules(model: ServingModel) -> None:
    recipes = [RecipeSettings(name="lax", part="none", maximum_count=3)]
    with Listening(Serving(model, recipes=recipes)) as line:
        asking = Asking(line.server.address)
        frame_id = new_frame_id()

        def ask(**parameters: inference_pb2.InferParameter) -> inference_pb2.ModelInferResponse:
            return asking.infer(inspection_request(png(picture()), parameters=parameters))

        with asking.channel:
            ask(
                part_id=text("AX-7"),
                camera=text("side"),
                frame_id=text(frame_id),
                captured_unix_ns=inference_pb2.InferParameter(int64_param=7),
            )
            frame = line.serving.kept.frames[0][0]
            assert (frame.part_id, frame.camera, frame.frame_id, frame.captured_unix_ns) == (
                "AX-7",
                "side",
                frame_id,
                7,
            )
            assert refused(lambda: ask(frame_id=text(frame_id)))[0] is grpc.StatusCode.ALREADY_EXISTS
            named = ask(recipe=text("lax"))
            assert tensors(named)["verdict"] == [b"PASS"]
            assert named.parameters["recipe"].string_param == "lax"
            own = ask(rules=text(json.dumps({"name": "mine", "thresholds": {"dent": 0.9}})))
            assert (tensors(own)["verdict"], own.parameters["recipe"].string_param) == ([b"PASS"], "mine")
            for wrong, says in (
                ({"part-id": text("x")}, "no parameter 'part-id'"),
                ({"part_id": inference_pb2.InferParameter(int64_param=7)}, "part_id is no text"),
                ({"captured_unix_ns": text("7")}, "captured_unix_ns is no whole number"),
                ({"rules": text("{")}, "rules is no Recipe as JSON"),
                ({"rules": text("[" * 5000)}, "rules is no Recipe as JSON"),
                ({"rules": text('{"thresholds": {"dnet": 0.9}}')}, "names the class 'dnet'"),
                ({"rules": text("{}"), "recipe": text("lax")}, "both recipe and rules"),
            ):
                code, details = refused(lambda wrong=wrong: ask(**wrong))
                assert (code, says in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details
            assert refused(lambda: ask(recipe=text("nuts")))[0] is grpc.StatusCode.NOT_FOUND


# Queue, deadline, statistics, streams, stop


def test_it_waits_in_inspects_queue_and_its_timeout_is_kept(held: tuple[Listening, HeldBackend]) -> None:
    listening, engine = held
    asking = Asking(listening.server.address)
    with asking.channel:
        calls = [asking.stub.ModelInfer.future(raw_request(images(picture()))) for _ in range(2)]  # type: ignore[attr-defined]
        assert engine.entered.acquire(timeout=SECONDS)
        hasty = raw_request(images(picture()))
        hasty.parameters["timeout"].int64_param = 200_000
        while True:  # the second call may still be on its way in: then this one took its place and its time runs out
            code, _ = refused(lambda: asking.infer(hasty))
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                break
            assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(ContractError) as error:
            listening.client.inspect_pixels(picture())
        assert error.value.reason is Reason.QUEUE_FULL
        engine.go.set()
        for call in calls:
            outcome = call.exception(timeout=SECONDS)
            assert outcome is None or outcome.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_statistics_count_pictures_requests_and_refusals(asking: Asking) -> None:
    asking.infer(raw_request(images(picture(), picture())))
    asking.infer(raw_request(images(picture())))
    refused(lambda: asking.infer(raw_request(images(picture()), outputs=[Output(name="x")])))
    asking.infer(inspection_request(png(picture())))
    graph, inspection = asking.stub.ModelStatistics(inference_pb2.ModelStatisticsRequest()).model_stats
    assert (graph.name, graph.version, inspection.name) == ("tiles", "1.0.0", INSPECTION_MODEL)
    assert (graph.inference_count, graph.inference_stats.success.count, graph.inference_stats.fail.count) == (3, 2, 1)
    assert inspection.inference_count == inspection.inference_stats.success.count == 1
    for stats in (graph.inference_stats, inspection.inference_stats):
        parts = (stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output)
        assert 0 < sum(part.ns for part in parts) <= stats.success.ns
    assert graph.last_inference > 1_700_000_000_000


def test_a_stream_answers_in_order_with_errors_in_their_place(asking: Asking) -> None:
    requests = [
        raw_request(images(picture(number % 4, 0)), id=str(number), model_name="tiles" if number % 5 else "bolts")
        for number in range(40)
    ]
    answers = list(asking.stub.ModelStreamInfer(iter(requests), timeout=SECONDS))
    assert [answer.infer_response.id for answer in answers] == [str(number) for number in range(40)]
    for number, answer in enumerate(answers):
        if number % 5:
            assert tensors(answer.infer_response)["areas"][0, 0] == 4 * (number % 4)  # type: ignore[call-overload]
        else:
            assert answer.error_message.startswith("MODEL_UNKNOWN: no model 'bolts'")


def test_stopping_ends_an_open_stream_after_the_answers_to_what_was_read(asking: Asking, line: Listening) -> None:
    more = threading.Event()

    def requests() -> Iterator[inference_pb2.ModelInferRequest]:
        yield raw_request(images(picture()))
        more.wait(SECONDS)

    answers = asking.stub.ModelStreamInfer(requests())
    assert next(answers).infer_response.outputs
    line.server.close()
    code, _ = refused(lambda: next(answers))
    assert code is grpc.StatusCode.UNAVAILABLE
    more.set()


def test_a_station_that_does_not_offer_it_has_no_such_service(model: ServingModel, tmp_path: Path) -> None:
    serving = Serving(model)
    servicer = InspectionServicer(judge=Judge(serving.pipeline), bus=serving.bus, cameras={})
    with GrpcServer(GrpcSettings(listen=f"unix:{tmp_path / 's.sock'}"), inspection=servicer) as server:
        asking = Asking(server.address)
        with asking.channel, pytest.raises(grpc.RpcError) as error:
            asking.stub.ServerLive(inference_pb2.ServerLiveRequest())
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_another_model_that_begins_to_serve_is_described_from_then_on(
    asking: Asking, line: Listening, tmp_path: Path
) -> None:
    with serving_model(make_anchor_package(tmp_path / "b", version="2.0.0", bias=0.1)) as other:
        asking.infer(raw_request(images(picture())))
        line.serving.slot.switch(other)
        response = asking.infer(raw_request(images(picture())))
        assert response.model_version == "2.0.0"
        assert tensors(response)["scores"][0, 0] == pytest.approx(expected_score(0.1), abs=1e-6)  # type: ignore[call-overload]
        metadata = asking.stub.ModelMetadata(inference_pb2.ModelMetadataRequest(name="tiles"))
        assert list(metadata.versions) == ["2.0.0"]
        assert line.client.inspect_pixels(picture()).model.version == "2.0.0"
