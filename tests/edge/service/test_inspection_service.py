"""The service Inspection over real gRPC: answers, refusals in their exact words, streams, watching, overload, stop."""

from __future__ import annotations

import contextlib
import multiprocessing.shared_memory
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.packages import expected_score, make_anchor_package, picture
from support.station import HeldBackend, Listening, Serving, png, serving_model

from edge.models.slot import ServingModel
from edge.service.server import INSPECTION, GrpcServer, GrpcSettings
from lineside.client.inspection import InspectionClient, StreamAnswer, file_request, pixels_request
from lineside.ids import new_frame_id
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, inspection_pb2_grpc

SECONDS = 30.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_anchor_package(tmp_path_factory.mktemp("package") / "p")


@pytest.fixture(scope="module")
def model(package: Package) -> Iterator[ServingModel]:
    with serving_model(package) as loaded:
        yield loaded


@pytest.fixture
def line(model: ServingModel) -> Iterator[Listening]:
    with Listening(Serving(model)) as listening:
        yield listening


@pytest.fixture
def held(package: Package) -> Iterator[tuple[Listening, HeldBackend]]:
    """A station whose engine waits until it is let go, with room for two calls."""
    backends: list[HeldBackend] = []

    def open_held(graph: bytes) -> HeldBackend:
        backends.append(HeldBackend(graph))
        return backends[-1]

    with (
        serving_model(package, open_held) as loaded,
        Listening(
            Serving(loaded), settings=GrpcSettings(listen="127.0.0.1:0", workers=2, watchers=1, drain_seconds=20)
        ) as listening,
    ):
        try:
            yield listening, backends[0]
        finally:
            backends[0].go.set()


def refusal(call: object) -> ContractError:
    with pytest.raises(ContractError) as error:
        call()  # type: ignore[operator]
    return error.value


# Pictures


def test_a_file_and_raw_pixels_of_the_same_picture_get_the_same_answer(line: Listening) -> None:
    answers = [line.client.inspect_file(png(picture())), line.client.inspect_pixels(picture())]
    for answer in answers:
        assert answer.verdict == inspection_pb2.VERDICT_REJECT
        assert answer.detections[0].score == pytest.approx(expected_score(0.0), abs=1e-6)
    assert answers[0].detections[0].box == answers[1].detections[0].box


def test_the_file_is_kept_as_it_came_and_raw_pixels_have_none(line: Listening) -> None:
    line.client.inspect_file(png(picture()))
    line.client.inspect_pixels(picture())
    (file, _, _), (raw, _, _) = line.serving.kept.frames
    assert (file.source, file.source_suffix) == (png(picture()), "png")
    assert (raw.source, raw.source_suffix) == (None, "")


def test_colour_orders_are_told_apart(line: Listening) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 200
    line.client.inspect_pixels(red, camera="rgb")
    request = pixels_request(np.ascontiguousarray(red[:, :, ::-1]), camera="bgr")
    request.image.raw.format = inspection_pb2.PIXEL_FORMAT_BGR8
    line.client.inspect(request)
    for camera in ("rgb", "bgr"):
        latest = line.serving.pipeline.pictures.get(camera)
        assert latest is not None
        assert np.array_equal(latest[0].pixels, red)


@contextlib.contextmanager
def shared(data: bytes) -> Iterator[str]:
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=len(data))
    try:
        memory.buf[: len(data)] = data
        yield memory.name
    finally:
        memory.close()
        memory.unlink()


def shared_request(name: str, **fields: int) -> inspection_pb2.InspectRequest:
    values = {"width": 64, "height": 64, "format": inspection_pb2.PIXEL_FORMAT_MONO8, "offset": 0, **fields}
    image = inspection_pb2.Image(shared_memory=inspection_pb2.SharedMemoryImage(name=name, **values))
    return inspection_pb2.InspectRequest(image=image)


def test_pixels_are_read_from_shared_memory_at_their_offset(line: Listening) -> None:
    with shared(b"\xff" * 100 + picture().tobytes()) as name:
        for spelled in (name, f"/{name}"):
            answer = line.client.inspect(shared_request(spelled, offset=100))
            assert [item.areas[0] for item in answer.detections] == [5]


def test_shared_memory_that_is_too_small_or_not_there_is_refused(line: Listening) -> None:
    with shared(bytes(64 * 64)) as name:
        # The system rounds the object up to whole pages, which is what can be read.
        beyond = refusal(lambda: line.client.inspect(shared_request(name, offset=1 << 20)))
        assert (beyond.reason, "holds 0 bytes" in beyond.message) == (Reason.IMAGE_SHAPE, True)
        far = refusal(lambda: line.client.inspect(shared_request(name, offset=(1 << 64) - 1)))
        assert far.reason is Reason.IMAGE_SHAPE
        huge = refusal(lambda: line.client.inspect(shared_request(name, width=32768, height=32768)))
        assert huge.reason is Reason.IMAGE_SHAPE
    gone = refusal(lambda: line.client.inspect(shared_request(name)))
    assert (gone.reason, "cannot be opened" in gone.message) == (Reason.IMAGE_DECODE, True)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a/b", "..", ".", "x" * 129, "a\0b"])
def test_a_name_that_is_none_never_reaches_the_file_system(line: Listening, name: str) -> None:
    assert refusal(lambda: line.client.inspect(shared_request(name))).reason is Reason.REQUEST_MALFORMED


def test_a_link_in_shared_memory_is_not_followed(line: Listening, tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_bytes(bytes(64 * 64))
    link = Path("/dev/shm") / f"lineside-test-{os.getpid()}"
    link.symlink_to(target)
    try:
        assert refusal(lambda: line.client.inspect(shared_request(link.name))).reason is Reason.IMAGE_DECODE
    finally:
        link.unlink()


RAW = {"pixels": bytes(64 * 64), "width": 64, "height": 64, "format": inspection_pb2.PIXEL_FORMAT_MONO8}


def raw_request(**fields: object) -> inspection_pb2.InspectRequest:
    raw = inspection_pb2.RawImage(**{**RAW, **fields})  # type: ignore[arg-type]
    return inspection_pb2.InspectRequest(image=inspection_pb2.Image(raw=raw))


def sixteen_bit_png() -> bytes:
    import cv2

    return cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes()


@pytest.mark.parametrize(
    ("request_", "reason", "says"),
    [
        (inspection_pb2.InspectRequest(), Reason.IMAGE_DECODE, "holds no image"),
        (inspection_pb2.InspectRequest(image={}), Reason.IMAGE_DECODE, "holds no image"),
        (file_request(b""), Reason.IMAGE_DECODE, "empty (0 bytes)"),
        (file_request(b"hello"), Reason.IMAGE_DECODE, "like no known picture"),
        (file_request(png(picture())[:60]), Reason.IMAGE_DECODE, "cannot be decoded"),
        (file_request(sixteen_bit_png()), Reason.IMAGE_SHAPE, "uint16"),
        (raw_request(pixels=bytes(5)), Reason.IMAGE_SHAPE, "5 bytes of pixels, expected 4096"),
        (raw_request(pixels=bytes(5000)), Reason.IMAGE_SHAPE, "5000 bytes"),
        (raw_request(width=0), Reason.IMAGE_SHAPE, "0x64"),
        (raw_request(width=32769), Reason.IMAGE_SHAPE, "32769x64"),
        (raw_request(width=32768, height=32768), Reason.IMAGE_SHAPE, "32768x32768"),
        (raw_request(width=4294967295, height=4294967295), Reason.IMAGE_SHAPE, "4294967295"),
        (raw_request(format=0), Reason.IMAGE_SHAPE, "pixel format is 0"),
        (raw_request(format=77), Reason.IMAGE_SHAPE, "pixel format is 77"),
        (file_request(png(picture()), camera="a b"), Reason.REQUEST_MALFORMED, "camera is 'a b'"),
        (file_request(png(picture()), camera="x" * 65), Reason.REQUEST_MALFORMED, "camera"),
        (file_request(png(picture()), part_id="x" * 257), Reason.REQUEST_MALFORMED, "257 characters"),
        (file_request(png(picture()), frame_id="7"), Reason.REQUEST_MALFORMED, "UUIDv7"),
        (file_request(png(picture()), captured_unix_ns=-1), Reason.REQUEST_MALFORMED, "captured_unix_ns is -1"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_the_contracts_words(
    line: Listening, request_: inspection_pb2.InspectRequest, reason: Reason, says: str
) -> None:
    error = refusal(lambda: line.client.inspect(request_))
    assert error.reason is reason
    assert says in error.message
    assert line.serving.kept.frames == []


def test_a_picture_that_claims_to_be_huge_is_refused_without_taking_memory_for_it(line: Listening) -> None:
    header = bytearray(png(picture()))
    header[16:24] = (30000).to_bytes(4, "big") * 2  # width and height of the PNG's first chunk
    assert refusal(lambda: line.client.inspect_file(bytes(header))).reason is Reason.IMAGE_DECODE


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

    serving = Serving(model)
    servicer = InspectionServicer(pipeline=serving.pipeline, bus=serving.bus, cameras={})
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
