"""The service Inspection over real gRPC: answers, refusals in their exact words, streams, watching, overload, stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.packages import picture
from support.station import HeldBackend, Listening, Serving, refusal

from edge.models.slot import ServingModel
from edge.service.server import INSPECTION, GrpcServer, GrpcSettings
from lineside.client.inspection import InspectionClient, StreamAnswer, file_request, pixels_request
from lineside.ids import new_frame_id
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, inspection_pb2_grpc

SECONDS = 30.0


def test_a_refusal_carries_code_reason_and_text_on_the_wire(line: Listening) -> None:
    with grpc.insecure_channel(line.server.address) as channel:
        stub = inspection_pb2_grpc.InspectionStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            stub.Inspect(file_request(b""))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details().startswith("IMAGE_DECODE: the image is empty")
    assert ("lineside-reason", "IMAGE_DECODE") in [tuple(item) for item in error.value.trailing_metadata()]


# Identity


def test_the_callers_frame_id_is_the_answers_and_cannot_be_used_twice(line: Listening) -> None:
    frame_id = new_frame_id()
    answer = line.client.inspect_pixels(picture(), frame_id=frame_id, part_id="P", camera="side", captured_unix_ns=7)
    assert (answer.frame_id, answer.part_id, answer.camera, answer.captured_unix_ns) == (frame_id, "P", "side", 7)
    assert refusal(lambda: line.client.inspect_pixels(picture(), frame_id=frame_id)).reason is Reason.FRAME_REUSED


def test_a_frame_id_whose_picture_was_refused_can_be_used_for_the_right_one(line: Listening) -> None:
    frame_id = new_frame_id()
    refusal(lambda: line.client.inspect_file(b"", frame_id=frame_id))
    assert line.client.inspect_pixels(picture(), frame_id=frame_id).frame_id == frame_id


def test_without_one_each_frame_gets_its_own_id_and_the_callers_camera(line: Listening) -> None:
    answers = [line.client.inspect_pixels(picture()) for _ in range(3)]
    assert len({answer.frame_id for answer in answers}) == 3
    assert {answer.camera for answer in answers} == {"grpc"}
    assert [answer.camera_sequence for answer in answers] == [1, 2, 3]
    assert all(answer.captured_unix_ns > 0 for answer in answers)


# Streams


def test_a_stream_answers_in_order_with_errors_in_their_place(line: Listening) -> None:
    requests = [
        pixels_request(picture(number % 4, 0), part_id=str(number)) if number % 5 else file_request(b"torn")
        for number in range(60)
    ]
    answers = list(line.client.stream(iter(requests)))
    assert [answer.tag for answer in answers] == list(range(60))
    for number, answer in enumerate(answers):
        if number % 5:
            assert answer.result is not None
            assert (answer.result.part_id, answer.result.detections[0].areas[0]) == (str(number), 4 * (number % 4))
        else:
            assert answer.error is not None
            assert answer.error.reason is Reason.IMAGE_DECODE
    numbers = [answer.result.camera_sequence for answer in answers if answer.result is not None]
    assert numbers == sorted(numbers)


def test_a_stream_is_pipelined_and_answers_before_it_is_closed(held: tuple[Listening, HeldBackend]) -> None:
    listening, engine = held
    engine.go.set()
    more = threading.Event()

    def requests() -> Iterator[inspection_pb2.InspectRequest]:
        yield pixels_request(picture())
        assert more.wait(SECONDS)
        yield pixels_request(picture())

    answers: Iterator[StreamAnswer] = listening.client.stream(requests())
    assert next(answers).result is not None
    more.set()
    assert [answer.tag for answer in answers] == [1]


def test_a_caller_who_hangs_up_leaves_nothing_behind(line: Listening) -> None:
    before = threading.active_count()
    for _ in range(5):
        answers = line.client.stream(pixels_request(picture()) for _ in range(1000))
        next(answers)
        answers.close()  # type: ignore[attr-defined]
    assert line.client.inspect_pixels(picture()).detections
    # gRPC's own pool may have grown; five abandoned streams would leave more than that.
    for thread in threading.enumerate():
        if thread.name.startswith("stream"):
            thread.join(SECONDS)
            assert not thread.is_alive()
    assert threading.active_count() <= before + 20


# Watching


def test_a_watcher_sees_every_decision_from_the_moment_the_call_returns(line: Listening) -> None:
    with line.client.watch() as events:
        sent = [line.client.inspect_pixels(picture(), camera=camera).frame_id for camera in ("a", "b", "a")]
        seen = [next(events) for _ in range(3)]
    assert [event.inspection.frame_id for event in seen] == sent
    assert [event.sequence for event in seen] == [1, 2, 3]


def test_a_watcher_resumes_where_he_was_and_may_ask_for_some_cameras_only(line: Listening) -> None:
    sent = [line.client.inspect_pixels(picture(), camera=camera).frame_id for camera in ("a", "b", "a")]
    with line.client.watch(from_sequence=2, boot_id="boot-1") as events:
        assert [next(events).inspection.frame_id for _ in range(2)] == sent[1:]
    with line.client.watch(from_sequence=1, cameras=["b"]) as events:
        assert next(events).inspection.frame_id == sent[1]


def test_a_watcher_of_another_boot_is_told_of_the_gap(line: Listening) -> None:
    line.client.inspect_pixels(picture())
    with line.client.watch(from_sequence=50, boot_id="yesterday") as events:
        assert next(events).gap.resumes_at == 1
        assert next(events).sequence == 1


def test_a_watcher_too_many_is_refused(held: tuple[Listening, HeldBackend]) -> None:
    listening, _ = held
    with listening.client.watch():
        assert refusal(lambda: next(listening.client.watch())).reason is Reason.QUEUE_FULL


# Cameras


def test_an_unknown_camera_is_refused_with_those_there_are(line: Listening) -> None:
    error = refusal(lambda: line.client.trigger("top"))
    assert (error.reason, error.message) == (
        Reason.CAMERA_UNKNOWN,
        "no camera 'top' at this station; there are: none",
    )


# No model, overload, deadlines, stopping


def health(address: str, service: str = INSPECTION) -> int:
    with grpc.insecure_channel(address) as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service)).status


def test_without_a_model_the_answer_is_no_verdict_and_health_says_not_serving() -> None:
    with Listening(Serving(None)) as listening:
        answer = listening.client.inspect_pixels(picture())
        assert (answer.verdict, answer.verdict_reason) == (inspection_pb2.VERDICT_NO_VERDICT, "NO_MODEL")
        assert not answer.HasField("model")
        for service in ("", INSPECTION):
            assert health(listening.server.address, service) == health_pb2.HealthCheckResponse.NOT_SERVING
        listening.server.model_serves(True)
        assert health(listening.server.address) == health_pb2.HealthCheckResponse.SERVING


def in_thread(call: object) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(call())  # type: ignore[operator]
        except ContractError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_one_call_too_many_is_refused_while_the_others_are_answered(held: tuple[Listening, HeldBackend]) -> None:
    listening, engine = held
    calls = [in_thread(lambda: listening.client.inspect_pixels(picture())) for _ in range(2)]
    assert engine.entered.acquire(timeout=SECONDS)
    refused = 0
    while not refused:  # the second call may still be on its way in: then this one took its place and waits
        probe = InspectionClient(listening.server.address, timeout=0.5)
        error = refusal(lambda probe=probe: probe.inspect_pixels(picture()))
        probe.close()
        refused += error.reason is Reason.QUEUE_FULL
    engine.go.set()
    for thread, _ in calls:
        thread.join(SECONDS)
    outcomes = [outcome for _, (outcome,) in calls]
    assert any(isinstance(outcome, inspection_pb2.InspectionResult) for outcome in outcomes)
    assert listening.client.inspect_pixels(picture()).detections


def test_a_call_whose_time_is_over_is_told_so_and_its_picture_is_not_run(held: tuple[Listening, HeldBackend]) -> None:
    listening, engine = held
    thread, outcome = in_thread(lambda: listening.client.inspect_pixels(picture()))
    assert engine.entered.acquire(timeout=SECONDS)
    with InspectionClient(listening.server.address, timeout=0.1) as hasty:
        assert refusal(lambda: hasty.inspect_pixels(picture())).reason is Reason.DEADLINE
    threading.Event().wait(0.5)  # on a busy machine the server's own clock runs out a little after the client's
    engine.go.set()
    thread.join(SECONDS)
    assert isinstance(outcome[0], inspection_pb2.InspectionResult)
    assert listening.client.inspect_pixels(picture()).detections  # the lane is free again
    assert engine.calls == 2


def test_a_message_beyond_the_limit_is_refused(model: ServingModel) -> None:
    settings = GrpcSettings(listen="127.0.0.1:0", max_message_mb=1)
    with Listening(Serving(model), settings=settings) as listening:
        for size in ((1 << 20) + 1, 3 << 20):
            error = refusal(lambda size=size: listening.client.inspect_file(b"\xff\xd8\xff" + bytes(size)))
            assert error.reason is Reason.MSG_TOO_LARGE
        assert listening.client.inspect_pixels(picture()).detections


def test_bytes_that_are_no_message_are_refused_as_malformed(line: Listening) -> None:
    with grpc.insecure_channel(line.server.address) as channel:
        for method in ("Inspect", "Trigger"):
            call = channel.unary_unary(f"/{INSPECTION}/{method}")
            with pytest.raises(grpc.RpcError) as error:
                call(b"\xff\xff\xff\xff")
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert error.value.details().startswith("REQUEST_MALFORMED: 4 bytes")
        stream = channel.stream_stream(f"/{INSPECTION}/InspectStream")
        with pytest.raises(grpc.RpcError) as error:
            list(stream(iter([b"\xff\xff\xff\xff"])))
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(f"/{INSPECTION}/Fly")(b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_fault_of_ours_is_internal_without_a_word_of_where(
    line: Listening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(line.serving.pipeline, "inspect", fail)
    error = refusal(lambda: line.client.inspect_pixels(picture()))
    assert error.reason is Reason.INTERNAL
    assert "secret" not in error.message
    (answer,) = line.client.stream(iter([pixels_request(picture())]))
    assert answer.error is not None
    assert answer.error.reason is Reason.INTERNAL
    assert "/secret/path" in caplog.text


def test_stopping_answers_what_is_in_flight_and_refuses_the_rest_with_draining(
    held: tuple[Listening, HeldBackend],
) -> None:
    listening, engine = held
    watching = listening.client.watch()
    thread, outcome = in_thread(lambda: listening.client.inspect_pixels(picture()))
    assert engine.entered.acquire(timeout=SECONDS)
    stopping = threading.Thread(target=listening.server.close)
    stopping.start()
    while health(listening.server.address) == health_pb2.HealthCheckResponse.SERVING:
        pass
    assert refusal(lambda: listening.client.inspect_pixels(picture())).reason is Reason.DRAINING
    engine.go.set()
    thread.join(SECONDS)
    stopping.join(SECONDS)
    assert isinstance(outcome[0], inspection_pb2.InspectionResult)
    assert next(watching).inspection.frame_id == outcome[0].frame_id
    assert refusal(lambda: next(watching)).reason is Reason.DRAINING


def test_stopping_ends_an_open_stream_after_the_answers_to_what_was_read(line: Listening) -> None:
    more = threading.Event()

    def requests() -> Iterator[inspection_pb2.InspectRequest]:
        yield pixels_request(picture())
        more.wait(SECONDS)

    answers = line.client.stream(requests())
    assert next(answers).result is not None
    line.server.close()
    assert refusal(lambda: next(answers)).reason is Reason.DRAINING
    more.set()


def test_a_station_can_listen_on_a_unix_socket(model: ServingModel, tmp_path: Path) -> None:
    settings = GrpcSettings(listen=f"unix:{tmp_path / 'station.sock'}")
    with Listening(Serving(model), settings=settings) as listening:
        assert listening.client.inspect_pixels(picture()).detections


def test_an_address_in_use_is_refused_in_one_line(line: Listening, model: ServingModel) -> None:
    from edge.service.inspection import InspectionServicer
    from edge.service.judging import Judge

    serving = Serving(model)
    servicer = InspectionServicer(judge=Judge(serving.pipeline), bus=serving.bus, cameras={})
    with (
        pytest.raises(OSError, match="cannot be had"),
        GrpcServer(GrpcSettings(listen=line.server.address), inspection=servicer),
    ):
        pass


def test_reflection_and_channelz_are_off_unless_asked_for(line: Listening, model: ServingModel) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    def services(address: str) -> set[str]:
        with grpc.insecure_channel(address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            (answer,) = stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=SECONDS
            )
        return {item.name for item in answer.list_services_response.service}

    with pytest.raises(grpc.RpcError) as error:
        services(line.server.address)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    settings = GrpcSettings(listen="127.0.0.1:0", reflection=True, channelz=True)
    with Listening(Serving(model), settings=settings) as open_line:
        assert {INSPECTION, "grpc.health.v1.Health"} <= services(open_line.server.address)
