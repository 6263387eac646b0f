"""One station's way in a roll-out, against a real manager behind a real gRPC server in this process."""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support import packages
from support.model_line import Line
from support.pushes import ACTOR, Told, manager, push

from edge.models.manager import ModelManager
from edge.models.settings import ModelsSettings
from edge.report import StationReporter
from edge.service.models import ModelsServicer
from lineside.fleet.inventory import Station, Tls
from lineside.fleet.journal import ALARM, BEGUN, DONE, Journal
from lineside.fleet.journal import Line as Step
from lineside.fleet.plan import Limits, Plan
from lineside.fleet.rollout import roll_back_all, roll_out
from lineside.fleet.worker import Job
from lineside.package import Package
from lineside.v1 import model_pb2_grpc

QUICK = Limits(frames=0, seconds=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Package]:
    folder = tmp_path_factory.mktemp("packages")
    return (
        packages.make_anchor_package(folder / "one"),
        packages.make_anchor_package(folder / "two", version="1.1.0", bias=0.01),
    )


@contextlib.contextmanager
def station_of(
    models: ModelManager,
    *,
    name: str = "line-1",
    servicer: Callable[..., ModelsServicer] = ModelsServicer,
    credentials: grpc.ServerCredentials | None = None,
    tls: Tls | None = None,
) -> Iterator[Station]:
    """The manager on a port, as the station of this name."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    report = StationReporter(name=name, boot_id="boot", data_dir=Path(), last_alarm=lambda: models.last_alarm)
    model_pb2_grpc.add_ModelsServicer_to_server(servicer(models, report), server)
    port = (
        server.add_insecure_port("127.0.0.1:0")
        if credentials is None
        else server.add_secure_port("127.0.0.1:0", credentials)
    )
    server.start()
    try:
        yield Station(name="line-1", address=f"{'127.0.0.1' if tls is None else 'localhost'}:{port}", tls=tls)
    finally:
        server.stop(0).wait(30)


@pytest.fixture
def models(tmp_path: Path, made: tuple[Package, Package]) -> Iterator[ModelManager]:
    """The first package serves, confirmed."""
    with manager(tmp_path / "data", Told()) as started:
        serve(started, made[0])
        yield started


def serve(models: ModelManager, package: Package) -> None:
    push(models, package.folder)
    models.activate(package.digest, ACTOR)
    models.confirm(package.digest, ACTOR)


def bring(station: Station, package: Package, journal: Path, *, limits: Limits = QUICK, undo: bool = False) -> Any:
    """A roll-out to this one station; its outcome, and the whole result."""
    plan = Plan(digest=package.digest, canaries=(station.name,), waves=(), limits=limits)
    job = Job(folder=package.folder, digest=package.digest, limits=limits, patience=5.0, poll=0.05, actor="ada@desk")
    with Journal(journal) as opened:
        result = roll_out([station], plan, job, opened, undo=undo)
    return result.outcomes[0], result


def actions(models: ModelManager) -> list[tuple[str, str]]:
    """What was done after the first model was confirmed."""
    return [(entry.action, entry.outcome) for entry in models.audit()][4:]


def test_each_station_goes_its_own_way_shadow_included(tmp_path: Path, made: tuple[Package, Package]) -> None:
    one, two = made
    settings = ModelsSettings.model_validate({"shadow": {"frames": 5}})
    told: list[str] = []
    with manager(tmp_path / "data", Told(), shadow=settings.shadow) as models, station_of(models) as station:
        serve(models, one)
        line, stopping = Line(models), threading.Event()
        parts = threading.Thread(target=lambda: [line.run(1) for _ in iter(lambda: stopping.wait(0.02), True)])
        parts.start()
        try:
            limits = Limits(frames=5, seconds=0, shadow_frames=10, most_flips=0.5)
            plan = Plan(digest=two.digest, canaries=("line-1",), waves=(), limits=limits, confirm=True)
            job = Job(folder=two.folder, digest=two.digest, limits=limits, confirm=True, patience=30, poll=0.05)
            with Journal(tmp_path / "journal.jsonl") as journal:
                result = roll_out([station], plan, job, journal, tell=lambda name, text: told.append(f"{name} {text}"))
                assert journal.progress.finished
        finally:
            stopping.set()
            parts.join(30)
        assert [outcome.outcome for outcome in result.outcomes] == [DONE], result
        assert [action for action, _ in actions(models)] == ["push", "prepare", "activate", "confirm"]
        assert any("line-1 prepare: shadow:" in text for text in told)
        assert models.list()[0].shadow.frames >= 10


class LosesAnswers(ModelsServicer):
    """The first activation is done, and its answer gets lost on the way."""

    lost = False
    afterwards: Callable[[ModelManager], object] = staticmethod(lambda _: None)

    def Activate(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = super().Activate(request, context)
        if not self.lost:
            self.lost = True
            self.afterwards(self._manager)
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return answer


def test_an_activation_whose_answer_got_lost_is_not_repeated(
    tmp_path: Path, models: ModelManager, made: tuple[Package, Package]
) -> None:
    with station_of(models, servicer=LosesAnswers) as station:
        outcome, _ = bring(station, made[1], tmp_path / "journal.jsonl")
    assert outcome.outcome == DONE
    assert actions(models) == [("push", DONE), ("activate", DONE)]


def test_a_model_taken_back_while_its_answer_was_lost_is_an_alarm_and_not_brought_again(
    tmp_path: Path, models: ModelManager, made: tuple[Package, Package]
) -> None:
    class TakenBack(LosesAnswers):
        afterwards = staticmethod(lambda models: models.rollback("worse", "station"))

    with station_of(models, servicer=TakenBack) as station:
        outcome, result = bring(station, made[1], tmp_path / "journal.jsonl", undo=True)
    assert (outcome.step, outcome.outcome) == ("watch", ALARM)
    assert [item.text for item in result.undone] == ["tiles 1.0.0 serves; left alone"]
    assert actions(models) == [("push", DONE), ("activate", DONE), ("rollback", DONE)]


def test_a_desk_that_comes_back_after_its_death_asks_the_station_first(
    tmp_path: Path, models: ModelManager, made: tuple[Package, Package]
) -> None:
    """Killed after the activation; meanwhile somebody has gone back."""
    two, journal = made[1], tmp_path / "journal.jsonl"
    plan = Plan(digest=two.digest, canaries=("line-1",), waves=(), limits=QUICK)
    with Journal(journal) as opened:
        opened.begin(plan)
        opened.note(Step(station="line-1", step="activate", outcome=BEGUN))
    push(models, two.folder)
    models.activate(two.digest, ACTOR)
    models.rollback("not good", "grace")
    with station_of(models) as station:
        outcome, _ = bring(station, two, journal)
        assert (outcome.outcome, "somebody let another model serve" in outcome.text) == (ALARM, True)
        with pytest.raises(ValueError, match="was stopped by an alarm of line-1"):
            bring(station, two, journal)
    assert actions(models)[-1] == ("rollback", DONE)


def test_a_frozen_station_and_an_idle_one_stop_it_in_their_own_words(
    tmp_path: Path, models: ModelManager, made: tuple[Package, Package]
) -> None:
    models.freeze("audit week", "grace")
    with station_of(models) as station:
        outcome, result = bring(station, made[1], tmp_path / "journal.jsonl")
        assert (outcome.step, outcome.outcome, "FROZEN" in outcome.text) == ("activate", "refused", True)
        assert result.stopped_by is outcome
        models.thaw("", "grace")
        # A refusal is no alarm: the same roll-out goes on. Without parts the model never settles.
        limits = Limits(frames=10, seconds=0)
        outcome, result = bring(station, made[1], tmp_path / "other.jsonl", limits=limits)
        assert (outcome.step, outcome.outcome) == ("watch", "stalled")
        assert "nothing has moved for 5 s: 0 of 10 frames" in outcome.text
        assert (result.stopped_by, len(result.open)) == (None, 1)
        assert models.list()[0].model.digest == made[1].digest


def test_a_station_under_another_name_is_not_touched(
    tmp_path: Path, models: ModelManager, made: tuple[Package, Package]
) -> None:
    with station_of(models, name="line-9") as station:
        outcome, _ = bring(station, made[1], tmp_path / "journal.jsonl")
        assert "answers as 'line-9', not 'line-1'" in outcome.text
        (back,) = roll_back_all([station], "", "").outcomes
        assert back.outcome == "refused"
    assert actions(models) == []


def certificate(folder: Path, name: str, issuer: tuple[x509.Certificate, Any] | None = None) -> tuple[Any, Any]:
    """A certificate and its key, written as NAME.pem and NAME.key; without an issuer it vouches for others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    by, signing = (subject, key) if issuer is None else (issuer[0].subject, issuer[1])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(signing, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return made, key


def test_an_encrypted_link_is_used_and_its_certificate_names_who_did_it(
    tmp_path: Path, models: ModelManager, made: tuple[Package, Package]
) -> None:
    vouching = certificate(tmp_path, "ca")
    for name in ("proxy", "ada"):
        certificate(tmp_path, name, vouching)
    ca, chain, key = ((tmp_path / name).read_bytes() for name in ("ca.pem", "proxy.pem", "proxy.key"))
    credentials = grpc.ssl_server_credentials([(key, chain)], root_certificates=ca, require_client_auth=True)
    tls = Tls(ca=tmp_path / "ca.pem", certificate=tmp_path / "ada.pem", key=tmp_path / "ada.key")
    with station_of(models, credentials=credentials, tls=tls) as station:
        outcome, _ = bring(station, made[1], tmp_path / "journal.jsonl")
        assert outcome.outcome == DONE, outcome
        assert [entry.actor for entry in models.audit() if entry.action == "activate"][-1] == "ada"
        (lost,) = roll_back_all(
            [Station(name="line-1", address=station.address, tls=Tls(ca=tmp_path / "none.pem"))], "", ""
        ).outcomes
        assert (lost.outcome, "none.pem cannot be read" in lost.text) == ("refused", True)
