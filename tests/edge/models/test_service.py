"""The Models service and its clients over real gRPC: reasons arrive, and the command line says them in one line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from edge.models.manager import ModelManager
from edge.service.models import ModelsServicer
from lineside.client import cli
from lineside.client.errors import StationUnreachableError
from lineside.client.models import ModelsClient, announcement
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2, model_pb2_grpc


@pytest.fixture
def target(models: ModelManager) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(6))
    model_pb2_grpc.add_ModelsServicer_to_server(ModelsServicer(models), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait(30)


@pytest.fixture
def client(target: str) -> Iterator[ModelsClient]:
    with ModelsClient(target, timeout=60) as made:
        yield made


def test_every_call_answers(client: ModelsClient, one: Package, two: Package) -> None:
    told: list[tuple[int, int]] = []
    status = client.push(one.folder, on_progress=lambda sent, total: told.append((sent, total)))
    assert status.state == model_pb2.MODEL_STATE_BUILT
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in one.folder.iterdir())
    assert client.activate(one.digest).serving
    assert client.confirm(one.digest).state == model_pb2.MODEL_STATE_CONFIRMED
    client.push(two.folder)
    client.activate(two.digest)
    assert [item.model.version for item in client.list()] == ["1.1.0", "1.0.0"]
    assert client.describe().manifest == two.manifest
    assert client.describe(one.digest).status.state == model_pb2.MODEL_STATE_CONFIRMED
    assert client.rollback("because").model.digest == one.digest


def test_refusals_arrive_as_the_contracts_errors(client: ModelsClient, target: str, one: Package) -> None:
    with pytest.raises(ContractError) as caught:
        client.rollback("nothing to go back to")
    assert caught.value.reason is Reason.PKG_STATE
    assert caught.value.message == "there is no earlier model on this station to go back to"
    (one.folder / "golden.npz").write_bytes(b"torn")
    with pytest.raises(ContractError, match=r"golden\.npz has 4 bytes") as caught:
        client.push(one.folder)
    assert caught.value.reason is Reason.PKG_HASH
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        client.push(one.folder.parent)
    stub = model_pb2_grpc.ModelsStub(grpc.insecure_channel(target))
    chunk = model_pb2.PushRequest(chunk=model_pb2.PushChunk(name="model.onnx"))
    begin = model_pb2.PushRequest(begin=announcement(one.folder))
    for requests in ([], [chunk], [begin, begin], [model_pb2.PushRequest()]):
        with pytest.raises(grpc.RpcError) as refused:
            stub.Push(iter(requests))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert dict(refused.value.trailing_metadata())["lineside-reason"] == "REQUEST_MALFORMED"


def test_a_client_that_hangs_up_leaves_nothing(client: ModelsClient, target: str, one: Package, tmp_path: Path) -> None:
    arrived = threading.Event()

    def requests() -> Iterator[model_pb2.PushRequest]:
        yield model_pb2.PushRequest(begin=announcement(one.folder))
        arrived.wait(30)

    with grpc.insecure_channel(target) as channel:
        call = model_pb2_grpc.ModelsStub(channel).Push.future(requests())
        staging = tmp_path / "data" / "models" / "staging"
        pause = threading.Event()
        while not list(staging.iterdir()):
            pause.wait(0.01)
        call.cancel()
        arrived.set()
        while list(staging.iterdir()):
            pause.wait(0.01)
    assert client.list() == []
    assert client.push(one.folder).state == model_pb2.MODEL_STATE_BUILT


def test_watching_begins_with_the_present_and_goes_on_with_changes(client: ModelsClient, one: Package) -> None:
    client.push(one.folder)
    events = client.watch(timeout=60)
    assert next(events).status.state == model_pb2.MODEL_STATE_BUILT
    client.activate(one.digest)
    assert [next(events).status.state for _ in range(2)] == [
        model_pb2.MODEL_STATE_WARMED,
        model_pb2.MODEL_STATE_ACTIVE,
    ]


def test_nobody_there_is_said_in_words() -> None:
    with (
        ModelsClient("127.0.0.1:1", timeout=20) as client,
        pytest.raises(StationUnreachableError, match=r"no station answers at 127\.0\.0\.1:1"),
    ):
        client.list()


def test_the_command_line_does_the_whole_way(
    target: str, one: Package, two: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main([*arguments, "--station", target])
        said = capsys.readouterr()
        return code, said.out, said.err

    assert "no models" in run("list")[1]
    assert "tiles 1.0.0  ACTIVE  serving" in run("push", str(one.folder), "--activate")[1]
    assert "BUILT" in run("push", str(two.folder))[1]
    assert "ACTIVE" in run("activate", "tiles@1.1.0")[1]
    assert "CONFIRMED" in run("confirm", two.digest[:20])[1]
    assert '"version": "1.1.0"' in run("describe")[1]
    assert '"version": "1.0.0"' in run("describe", "tiles@1.0.0")[1]
    assert "tiles 1.0.0" in run("rollback", "--why", "escapes")[1]
    code, _, error = run("activate", "tiles@9.9.9")
    assert (code, error.strip()) == (
        2,
        "lineside models activate: 0 models fit 'tiles@9.9.9'; the station holds tiles@1.0.0, tiles@1.1.0",
    )
    code, _, error = run("rollback")
    assert code == 2
    assert error.startswith("lineside models rollback: PKG_STATE: ")
    assert error.count("\n") == 1


def test_progress_ends_with_the_last_byte(capsys: pytest.CaptureFixture[str]) -> None:
    cli._progress(5, 10)
    cli._progress(10, 10)
    assert capsys.readouterr().err.endswith("100% 0.0 of 0.0 MB\n")


def test_the_command_line_prepares_freezes_watches_and_audits(
    target: str, client: ModelsClient, one: Package, two: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main([*arguments, "--station", target])
        said = capsys.readouterr()
        return code, said.out, said.err

    run("push", str(one.folder), "--activate")
    run("push", str(two.folder))
    assert "WARMED" in run("prepare", two.digest, "--follow")[1]
    assert "SHADOW" in run("prepare", two.digest, "--shadow", "--follow")[1]
    assert "shadow: 0 frames, 0 dropped, 0 failed" in run("list")[1]
    assert "audit week" in run("freeze", "--why", "audit week")[1]
    code, _, error = run("activate", "tiles@1.1.0")
    assert code == 2
    assert "FROZEN: the models of this station are frozen" in error
    assert run("list")[1].startswith("frozen by ")
    assert run("thaw", "--why", "over")[0] == 0
    assert "ACTIVE" in run("activate", "tiles@1.1.0")[1]
    assert "probation: 0 frames" in run("list")[1]
    lines = run("audit")[1].splitlines()
    assert [line.split("  ")[2] for line in lines] == [
        "start", "push", "activate", "push", "prepare", "prepare", "freeze", "activate", "thaw", "activate",
    ]  # fmt: skip
    assert "tiles@1.1.0  FROZEN" in lines[7]
    assert "@" in lines[7].split("FROZEN")[1]
    assert len(run("audit", "--after", "9")[1].splitlines()) == 1


def test_what_is_held_of_a_broken_push_is_told_and_an_odd_digest_refused(target: str, one: Package) -> None:
    stub = model_pb2_grpc.ModelsStub(grpc.insecure_channel(target))
    assert not stub.Received(model_pb2.ReceivedRequest(digest=one.digest)).files
    with pytest.raises(grpc.RpcError) as refused:
        stub.Received(model_pb2.ReceivedRequest(digest="../../etc"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
