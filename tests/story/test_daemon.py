"""The daemon as a service manager starts it: one process, every door open, every refusal in the contract's words."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import zmq
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.daemon import daemon
from support.packages import make_anchor_package, picture
from support.station import png, write_pictures

from lineside.client.errors import StationUnreachableError
from lineside.client.feedback import FeedbackClient
from lineside.client.inspection import InspectionClient, file_request, pixels_request
from lineside.client.models import ModelsClient
from lineside.mentoring_log import MentoringLogReader
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, mentoring_pb2
from loop.station import StationFailedError, StationProcess

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("daemon")]
SECONDS = 30.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_anchor_package(tmp_path_factory.mktemp("package") / "p")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, package: Package) -> Iterator[StationProcess]:
    """A station with a model and two cameras: one torn picture in a folder, and the synthetic line."""
    folder = tmp_path_factory.mktemp("station")
    write_pictures(folder / "pictures", {"a.png": picture(0, 1), "b.png": b"torn", "c.png": picture(2, 3)})
    cameras = [
        {"name": "files", "kind": "folder", "folder": "pictures"},
        {"name": "line", "kind": "synthetic", "fps": 20, "size": 128},
    ]
    with daemon(folder, {"cameras": cameras}) as process:
        with ModelsClient(process.addresses.grpc) as models:
            models.push(package.folder)
            models.activate(package.digest)
        yield process
        assert process.stop() == 0, process.tail()


@pytest.fixture
def client(station: StationProcess) -> Iterator[InspectionClient]:
    with InspectionClient(station.addresses.grpc) as made:
        yield made


def health(address: str, service: str) -> int:
    with grpc.insecure_channel(address) as channel:
        return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service)).status


def test_it_starts_without_a_model_says_so_and_serves_the_one_it_is_given(tmp_path: Path, package: Package) -> None:
    with daemon(tmp_path, {"panel": {"enabled": False}}) as process:
        address = process.addresses.grpc
        assert process.addresses.panel == ""
        with InspectionClient(address) as client, ModelsClient(address) as models, client.watch() as events:
            answer = client.inspect_pixels(picture())
            assert (answer.verdict, answer.verdict_reason) == (inspection_pb2.VERDICT_NO_VERDICT, "NO_MODEL")
            assert health(address, "lineside.v1.Inspection") == health_pb2.HealthCheckResponse.NOT_SERVING
            assert health(address, "lineside.v1.Models") == health_pb2.HealthCheckResponse.SERVING
            models.push(package.folder)
            models.activate(package.digest)
            assert health(address, "lineside.v1.Inspection") == health_pb2.HealthCheckResponse.SERVING
            answer = client.inspect_pixels(picture())
            assert answer.verdict == inspection_pb2.VERDICT_REJECT
            assert answer.model.digest == package.digest
            kinds = []
            while "inspection" not in kinds[1:]:
                kinds.append(next(events).WhichOneof("event"))
            assert kinds[0] == "inspection"
            assert "model" in kinds
        assert process.stop() == 0, process.tail()
    # The model is there again after a restart, without anybody doing anything.
    with daemon(tmp_path, {"panel": {"enabled": False}}) as process:
        with InspectionClient(process.addresses.grpc) as client:
            assert client.inspect_pixels(picture()).model.digest == package.digest
        assert process.stop() == 0, process.tail()


def test_every_door_is_open(station: StationProcess, client: InspectionClient) -> None:
    answer = client.inspect_file(png(picture()), part_id="P-1")
    assert answer.mentored
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.rcvtimeo = int(SECONDS * 1000)
        socket.subscribe(b"inspection.line")
        socket.connect(station.addresses.stream)
        topic, data = socket.recv_multipart()  # the synthetic line runs freely
    event = inspection_pb2.StationEvent.FromString(data)
    assert topic == b"inspection.line"
    assert event.boot_id == station.addresses.boot_id
    with client.watch(from_sequence=event.sequence, boot_id=event.boot_id) as events:
        assert next(events) == event
    with urllib.request.urlopen(f"http://{station.addresses.panel}/", timeout=SECONDS) as page:
        assert b"<html" in page.read().lower()


def test_it_has_told_malloc_to_keep_blocks_of_a_pictures_size(station: StationProcess) -> None:
    environment = Path(f"/proc/{station.addresses.pid}/environ").read_bytes().split(b"\0")
    if any(name.startswith("MALLOC_") for name in os.environ):
        pytest.skip("these tests run with MALLOC_ variables of their own, which the station respects")
    assert b"MALLOC_MMAP_THRESHOLD_=1073741824" in environment


def test_a_click_is_told_to_watchers_and_is_in_the_log(station: StationProcess, client: InspectionClient) -> None:
    answer = client.inspect_pixels(picture(), part_id="P-2")
    detection = answer.detections[0].detection_id
    with (
        client.watch(cameras=["nobody"]) as events,
        FeedbackClient(station.addresses.feedback, operator="ada") as clicks,
    ):
        ack = clicks.send(
            mentoring_pb2.Feedback(
                key="click-0001",
                frame_id=answer.frame_id,
                detection_id=detection,
                gesture=mentoring_pb2.GESTURE_REJECT,
                revision=1,
                operator="ada",
                seconds=1.5,
            )
        )
        assert ack.code == 0, ack
        told = next(events)
        assert told.feedback.log_sequence == ack.log_sequence
        assert told.feedback.feedback.detection_id == detection
    with MentoringLogReader(station.log_folder) as log:
        record = log.record(answer.frame_id)
    assert record is not None
    assert (record.frame.part_id, record.frame.boot_id) == ("P-2", station.addresses.boot_id)
    assert [judgement.detection_id for judgement in record.judgements] == [detection]


def test_a_trigger_answers_for_its_own_picture_and_a_torn_one_is_no_verdict(client: InspectionClient) -> None:
    answers = [client.trigger("files") for _ in range(3)]
    assert [answer.part_id for answer in answers] == ["a", "b", "c"]
    assert [list(answer.detections[0].areas) for answer in (answers[0], answers[2])] == [[1], [11]]
    assert (answers[1].verdict, answers[1].verdict_reason) == (inspection_pb2.VERDICT_NO_VERDICT, "IMAGE_DECODE")
    with pytest.raises(ContractError) as error:
        client.trigger("files")
    assert error.value.reason is Reason.CAMERA_LOST


def test_every_frame_of_a_free_running_camera_is_told_once_and_in_order(client: InspectionClient) -> None:
    with client.watch(cameras=["line"]) as events:
        numbers = [next(events).inspection.camera_sequence for _ in range(15)]
    assert numbers == list(range(numbers[0], numbers[0] + 15))


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (file_request(b""), grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_DECODE"),
        (file_request(b"\x89PNG\r\n\x1a\n" + bytes(40)), grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_DECODE"),
        (file_request(png(picture())[:-30]), grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_DECODE"),
        (inspection_pb2.InspectRequest(), grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_DECODE"),
        (
            inspection_pb2.InspectRequest(
                image={"raw": {"pixels": b"123", "width": 32768, "height": 32768, "format": 1}}  # type: ignore[arg-type]
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "IMAGE_SHAPE",
        ),
        (
            inspection_pb2.InspectRequest(
                image={"raw": {"pixels": bytes(12), "width": 2, "height": 3, "format": 2}}  # type: ignore[arg-type]
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "IMAGE_SHAPE",
        ),
        (file_request(bytes(70 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED, None),
    ],
)
def test_bad_pictures_get_the_exact_status_and_reason(
    station: StationProcess, request_: inspection_pb2.InspectRequest, code: grpc.StatusCode, reason: str | None
) -> None:
    from lineside.v1 import inspection_pb2_grpc

    with (
        grpc.insecure_channel(station.addresses.grpc, [("grpc.max_send_message_length", -1)]) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        inspection_pb2_grpc.InspectionStub(channel).Inspect(request_, timeout=SECONDS)
    assert error.value.code() is code
    if reason is not None:
        assert dict(error.value.trailing_metadata())["lineside-reason"] == reason
        assert error.value.details().startswith(f"{reason}: ")
    assert str(station.folder) not in error.value.details()


CONTRACT_CODES = {reason.code for reason in Reason}


def random_request(chance: random.Random, frame_ids: list[str]) -> inspection_pb2.InspectRequest:
    """Mostly almost right: what is wrong is in one or two fields."""
    pixels = np.frombuffer(chance.randbytes(64 * 64), np.uint8).reshape(64, 64)
    request = file_request(png(pixels)) if chance.random() < 0.5 else pixels_request(pixels)
    for _ in range(chance.randint(0, 2)):
        match chance.randrange(9):
            case 0:
                data = bytearray(png(pixels))
                for _ in range(chance.randint(1, 20)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                request.image.encoded = bytes(data[: chance.randint(0, len(data))])
            case 1:
                request.image.raw.pixels = chance.randbytes(chance.choice([0, 1, 12, 4096, 12288]))
            case 2:
                request.image.raw.width = chance.choice([0, 1, 63, 64, 32768, 2**32 - 1])
            case 3:
                request.image.raw.format = chance.choice([0, 1, 2, 3, 4, -1, 2**31 - 1])
            case 4:
                request.image.shared_memory.name = chance.choice(["", "..", "/x", "../proc/self/mem", "a" * 300])
                request.image.shared_memory.width = request.image.shared_memory.height = chance.choice([0, 8, 2**31])
                request.image.shared_memory.format = chance.choice([0, 1, 9])
                request.image.shared_memory.offset = chance.choice([0, 2**63, 2**64 - 1])
            case 5:
                request.camera = chance.choice(["", "top", "a b", "é", "x" * 70, "\0"])
            case 6:
                request.part_id = chance.choice(["", "P", "\n" * 256, "ü" * 300])
            case 7:
                request.frame_id = chance.choice(["", "x", *frame_ids])
            case 8:
                request.captured_unix_ns = chance.choice([0, -1, 2**63 - 1, -(2**63)])
    return request


def outcome(call: object) -> int:
    """0 for an answer, else the code; fails the test on anything that is not the contract's."""
    try:
        call()  # type: ignore[operator]
    except grpc.RpcError as error:
        code = error.code().value[0]  # type: ignore[attr-defined]
        text = error.details()  # type: ignore[attr-defined]
        word = dict(error.trailing_metadata())["lineside-reason"]  # type: ignore[attr-defined]
        assert code in CONTRACT_CODES, text
        assert Reason[word].code == code
        assert word != "INTERNAL", text
        assert "Traceback" not in text
        assert ".py" not in text
        return int(code)
    return 0


def test_random_requests_get_an_answer_or_a_refusal_of_the_contract(station: StationProcess) -> None:
    from lineside.ids import new_frame_id
    from lineside.v1 import inspection_pb2_grpc

    chance = random.Random(20)
    frame_ids = [new_frame_id() for _ in range(3)]
    requests = [random_request(chance, frame_ids) for _ in range(400)]
    with grpc.insecure_channel(station.addresses.grpc) as channel:
        stub = inspection_pb2_grpc.InspectionStub(channel)
        codes = [outcome(lambda request=request: stub.Inspect(request, timeout=SECONDS)) for request in requests]
        raw = channel.unary_unary("/lineside.v1.Inspection/Inspect")
        for request in requests[:150]:
            data = bytearray(request.SerializeToString())
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(min(60, len(data)))] = chance.randrange(256)
            outcome(lambda data=data: raw(bytes(data), timeout=SECONDS))
        streamed = list(
            stub.InspectStream(
                (inspection_pb2.InspectStreamRequest(request=item, tag=tag) for tag, item in enumerate(requests)),
                timeout=SECONDS,
            )
        )
        for _ in range(60):
            camera, part = chance.choice(["files", "", "é", "x" * 99]), chance.choice(["", "p" * 400])
            trigger = inspection_pb2.TriggerRequest(camera=camera, part_id=part)
            outcome(lambda trigger=trigger: stub.Trigger(trigger, timeout=SECONDS))
    assert 0 in codes
    assert len(set(codes)) >= 3
    assert [answer.tag for answer in streamed] == list(range(400))
    for answer in streamed:
        if answer.WhichOneof("outcome") == "error":
            assert Reason[answer.error.reason].code == answer.error.code
            assert answer.error.reason != "INTERNAL", answer.error.message
    with InspectionClient(station.addresses.grpc) as client:
        assert client.inspect_pixels(picture()).verdict == inspection_pb2.VERDICT_REJECT
    assert "Traceback" not in (station.folder / "station.log").read_text()


def test_an_unknown_key_is_one_line_that_names_the_possible_ones(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text('[station]\nname = "line-1"\n[grpc]\nport = 50051\n')
    for command in ("check", "run"):
        done = subprocess.run(
            [sys.executable, "-m", "edge", command, str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "unknown key grpc.port; possible here: listen, workers" in done.stderr


def test_a_data_folder_that_holds_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data" / "log").mkdir(parents=True)
    (tmp_path / "data" / "log" / "log.sqlite").write_bytes(b"not a database, " * 100)
    torn = daemon(tmp_path)
    with pytest.raises(StationFailedError, match="exit code 2"):
        torn.start()
    (line,) = [line for line in torn.tail(100).splitlines() if line.startswith("lineside station: ")]
    assert "log.sqlite" in line
    assert "Traceback" not in torn.tail(100)


def test_a_data_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    (tmp_path / "station.toml").write_text('[station]\nname = "line-1"\n')
    done = subprocess.run(
        [sys.executable, "-m", "edge", "run", str(tmp_path / "station.toml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "data" in done.stderr


def test_a_second_station_on_the_same_folder_or_port_is_refused_in_one_line(
    station: StationProcess, tmp_path: Path
) -> None:
    second = daemon(tmp_path / "b", {"station": {"data_dir": str(station.data_dir)}})
    with pytest.raises(StationFailedError, match="another station runs with the data folder"):
        second.start()
    third = daemon(tmp_path / "c", {"grpc": {"listen": station.addresses.grpc}})
    with pytest.raises(StationFailedError, match="exit code 2"):
        third.start()
    assert "cannot be had" in third.tail()
    assert "Traceback" not in third.tail(100)
    assert json.loads((station.data_dir / "run.json").read_text())["pid"] == station.addresses.pid


def test_a_polite_stop_answers_what_is_in_flight_and_ends_with_zero(tmp_path: Path, package: Package) -> None:
    process = daemon(tmp_path, {"cameras": [{"name": "line", "kind": "synthetic", "fps": 50, "size": 128}]})
    with process, InspectionClient(process.addresses.grpc) as client:
        with ModelsClient(process.addresses.grpc) as models:
            models.push(package.folder)
            models.activate(package.digest)
        answered: list[str] = []
        ended: list[Exception] = []
        running = threading.Event()

        def send() -> None:
            try:
                while True:
                    answered.append(client.inspect_pixels(picture()).frame_id)
                    running.set()
            except (ContractError, StationUnreachableError) as error:
                ended.append(error)

        senders = [threading.Thread(target=send) for _ in range(3)]
        for sender in senders:
            sender.start()
        assert running.wait(SECONDS)
        assert process.stop() == 0, process.tail()
        for sender in senders:
            sender.join(SECONDS)
        assert len(ended) == 3
        for error in ended:
            assert isinstance(error, StationUnreachableError) or error.reason is Reason.DRAINING, error
    assert not (process.data_dir / "run.json").exists()
    # Every answer that said so is in the log.
    with MentoringLogReader(process.log_folder) as log:
        kept = {record.frame.frame_id for record in log.records()}
    assert set(answered) <= kept


def test_a_killed_station_starts_again(tmp_path: Path) -> None:
    process = daemon(tmp_path)
    with process:
        first = process.addresses
        os.kill(first.pid, signal.SIGKILL)
        process.stop()
        process.start()
        assert process.addresses.boot_id != first.boot_id
        assert process.stop() == 0, process.tail()


HANGS_AT_ITS_END = """
import asyncio, contextlib, sys
from edge import cli, daemon

@contextlib.asynccontextmanager
async def station(config):
    yield
    await asyncio.Event().wait()

daemon.station = station
sys.exit(cli.main(["run", sys.argv[1]]))
"""


def test_a_second_signal_is_final(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text('[station]\nname = "line-1"\n')
    with subprocess.Popen(
        [sys.executable, "-c", HANGS_AT_ITS_END, str(file)],
        stderr=subprocess.PIPE,
        text=True,
        env={"MALLOC_ARENA_MAX": "8", **os.environ},  # so that it does not start itself once more
    ) as process:
        assert process.stderr is not None
        for word, number in (("is ready", signal.SIGTERM), ("is stopping", signal.SIGINT)):
            while word not in (line := process.stderr.readline()):
                assert line, "the process ended"
            process.send_signal(number)
        assert process.wait(SECONDS) == 1
        assert "stopping at once" in process.stderr.read()
