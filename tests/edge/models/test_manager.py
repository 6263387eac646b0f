"""The whole way of a package: pushed, proven, serving, gone back from."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import packages
from support.pushes import ACTOR, Told, chunks, manager, push, refused, score, states

from edge.backends import open_backend
from edge.backends.contract import Backend
from edge.models.manager import ModelManager
from lineside.client.models import announcement
from lineside.package import Package, manifest_bytes
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2


def test_the_way_of_two_packages(models: ModelManager, told: Told, one: Package, two: Package) -> None:
    push(models, one.folder)
    models.activate(one.digest, ACTOR)
    assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
    models.confirm(one.digest, ACTOR)
    push(models, two.folder)
    assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
    assert models.activate(two.digest, ACTOR).serving
    assert score(models) == pytest.approx(packages.expected_score(0.1), abs=1e-5)
    status = models.rollback("alarms doubled", ACTOR)
    assert (status.model.version, status.serving) == ("1.0.0", True)
    assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
    assert told.story == [
        ("", "RECEIVED"),
        ("1.0.0", "VERIFIED"),
        ("1.0.0", "BUILT"),
        ("1.0.0", "WARMED"),
        ("1.0.0", "ACTIVE"),
        ("1.0.0", "CONFIRMED"),
        ("", "RECEIVED"),
        ("1.1.0", "VERIFIED"),
        ("1.1.0", "BUILT"),
        ("1.1.0", "WARMED"),
        ("1.0.0", "CONFIRMED"),  # it does not serve any more
        ("1.1.0", "ACTIVE"),
        ("1.1.0", "RETIRED"),
        ("1.0.0", "CONFIRMED"),  # it does again
    ]
    assert {event.actor for event in told.events} == {ACTOR}
    assert told.models == [one.digest, two.digest, one.digest]
    refused(lambda: models.rollback("again", ACTOR), Reason.PKG_STATE, "no earlier model")


def test_pushing_what_is_there_answers_with_its_state(models: ModelManager, one: Package) -> None:
    push(models, one.folder)
    models.activate(one.digest, ACTOR)

    def nothing() -> Iterator[model_pb2.PushChunk]:
        raise AssertionError("no chunk is to be read")
        yield

    status = models.push(announcement(one.folder), nothing(), ACTOR)
    assert (status.state, status.serving) == (model_pb2.MODEL_STATE_ACTIVE, True)
    assert models.activate(one.digest, ACTOR).serving


def test_unknown_models_are_said_to_be_unknown(models: ModelManager) -> None:
    digest = "sha256:" + "0" * 64
    for action in (models.activate, models.confirm):
        refused(lambda action=action: action(digest, ACTOR), Reason.MODEL_UNKNOWN, digest)  # type: ignore[misc]
    refused(lambda: models.describe(digest), Reason.MODEL_UNKNOWN, digest)
    refused(lambda: models.describe(""), Reason.NO_MODEL, "push one")


def test_describe_gives_the_manifest_of_stored_and_of_serving_models(
    models: ModelManager, one: Package, two: Package
) -> None:
    push(models, one.folder)
    push(models, two.folder)
    models.activate(one.digest, ACTOR)
    assert models.describe("")[1] == one.manifest
    status, manifest = models.describe(two.digest)
    assert (manifest, status.serving) == (two.manifest, False)


def test_a_watcher_sees_the_present_and_then_every_change(models: ModelManager, one: Package) -> None:
    push(models, one.folder)
    with models.watch() as watch:
        models.activate(one.digest, ACTOR)
        seen = [watch.get(10) for _ in range(3)]
        assert [event.status.state for event in seen if event is not None] == [3, 4, 7]
        assert watch.get(0.01) is None
    models.confirm(one.digest, ACTOR)


# Refusals: the reason, no trace, and whoever serves goes on


def altered(folder: Path) -> Package:
    package = packages.make_anchor_package(folder)
    graph = bytearray((folder / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (folder / "model.onnx").write_bytes(graph)
    return package


def truncated(folder: Path) -> Package:
    package = packages.make_anchor_package(folder)
    (folder / "golden.npz").write_bytes((folder / "golden.npz").read_bytes()[:-10])
    return package


def unreadable(folder: Path) -> Package:
    package = packages.make_anchor_package(folder)
    (folder / "manifest.json").write_bytes(b"{")
    return package


def nan(folder: Path) -> Package:
    sound = packages.make_anchor_package(folder.with_name("sound"))
    graph = packages.graph_for(packages.anchor_head(), bias=float("nan"))
    from lineside.golden import unpack

    return packages.write(folder, sound.manifest, graph, cases=unpack(sound.read("golden.npz"), sound.manifest))


def without_dent(folder: Path) -> Package:
    return packages.make_anchor_package(folder, classes=("hole", "scratch"))


def stray_file(folder: Path) -> Package:
    package = packages.make_anchor_package(folder)
    (folder / "card.html").write_text("<p>")
    return package


@pytest.mark.parametrize(
    ("make", "reason", "word"),
    [
        (altered, Reason.PKG_HASH, "model.onnx"),
        (truncated, Reason.PKG_HASH, "golden.npz"),
        (unreadable, Reason.PKG_MALFORMED, "manifest.json"),
        (nan, Reason.PKG_NAN, "NaN"),
        (without_dent, Reason.PKG_CLASSES, "also need dent"),
        (stray_file, Reason.PKG_MALFORMED, "card.html is not listed"),
    ],
)
def test_a_bad_package_is_refused_with_its_reason_while_the_old_model_serves(
    tmp_path: Path, told: Told, two: Package, make: Callable[[Path], Package], reason: Reason, word: str
) -> None:
    bad = make(tmp_path / "bad").folder
    with manager(tmp_path / "data", told, required=("dent",)) as models:
        push(models, two.folder)
        models.activate(two.digest, ACTOR)
        refused(lambda: push(models, bad), reason, word)
        refusal = told.events[-1].status
        assert (refusal.state, refusal.reason) == (model_pb2.MODEL_STATE_REFUSED, reason.value)
        assert score(models) == pytest.approx(packages.expected_score(0.1), abs=1e-5)
        refused(lambda: models.activate(announcement(bad).digest, ACTOR), Reason.PKG_STATE, "REFUSED")
    kept = tmp_path / "data" / "models"
    assert not list((kept / "staging").iterdir())
    assert two.digest.removeprefix("sha256:") in [path.name for path in (kept / "packages").iterdir()]


def test_a_push_that_breaks_off_leaves_nothing_and_speaks_ill_of_nobody(
    models: ModelManager, tmp_path: Path, one: Package
) -> None:
    def torn() -> Iterator[model_pb2.PushChunk]:
        yield next(chunks(one.folder))
        raise ConnectionError("the cable")

    with pytest.raises((ContractError, ConnectionError)):
        models.push(announcement(one.folder), torn(), ACTOR)
    refused(lambda: models.push(announcement(one.folder), iter(()), ACTOR), Reason.PKG_HASH, "were announced")
    assert models.list() == ()
    assert not list((tmp_path / "data" / "models" / "staging").iterdir())
    assert push(models, one.folder).state == model_pb2.MODEL_STATE_BUILT


def test_a_refused_package_gets_another_trial_when_it_is_pushed_again(tmp_path: Path, told: Told, one: Package) -> None:
    with manager(tmp_path / "data", told, required=("hole",)) as models:
        refused(lambda: push(models, one.folder), Reason.PKG_CLASSES, "hole")
        assert states(models) == {"": "REFUSED"}
    with manager(tmp_path / "data", told) as models:
        assert push(models, one.folder).state == model_pb2.MODEL_STATE_BUILT


def test_only_what_a_trusted_key_signed_is_opened(tmp_path: Path, told: Told) -> None:
    private, public = packages.make_key(tmp_path / "keys")
    stranger, _ = packages.make_key(tmp_path / "keys", "stranger")
    with manager(tmp_path / "data", told, trusted_keys=(public,)) as models:
        unsigned = packages.make_anchor_package(tmp_path / "unsigned").folder
        refused(lambda: push(models, unsigned), Reason.PKG_SIGNATURE, "not signed")
        strange = packages.make_anchor_package(tmp_path / "strange", version="2.0.0", sign_key=stranger).folder
        refused(lambda: push(models, strange), Reason.PKG_SIGNATURE, "none of the station's 1 keys")
        garbage = packages.make_anchor_package(tmp_path / "garbage", version="2.1.0", sign_key=private).folder
        (garbage / "manifest.json").write_bytes(b"{ this would not parse")
        refused(lambda: push(models, garbage), Reason.PKG_SIGNATURE, "signed other files than these .manifest.json.")
        sound = packages.make_anchor_package(tmp_path / "sound", version="3.0.0", sign_key=private)
        push(models, sound.folder)
        assert models.activate(sound.digest, ACTOR).serving
    with pytest.raises(ValueError, match="no file"):
        manager(tmp_path / "data", told, trusted_keys=(tmp_path / "gone.pub",))


def test_where_signatures_are_not_required_a_wrong_one_is_still_refused(tmp_path: Path, told: Told) -> None:
    _, public = packages.make_key(tmp_path / "keys")
    stranger, _ = packages.make_key(tmp_path / "keys", "stranger")
    with manager(tmp_path / "data", told, trusted_keys=(public,), require_signature=False) as models:
        push(models, packages.make_anchor_package(tmp_path / "unsigned").folder)
        strange = packages.make_anchor_package(tmp_path / "strange", version="2.0.0", sign_key=stranger).folder
        refused(lambda: push(models, strange), Reason.PKG_SIGNATURE, "keys signed")


def test_an_older_version_than_the_confirmed_one_is_refused(models: ModelManager, one: Package, two: Package) -> None:
    push(models, one.folder)
    push(models, two.folder)
    models.activate(two.digest, ACTOR)
    models.confirm(two.digest, ACTOR)
    refused(lambda: models.activate(one.digest, ACTOR), Reason.PKG_ROLLBACK, "older than 1.1.0")
    assert states(models) == {"1.1.0": "CONFIRMED", "1.0.0": "BUILT"}


def test_a_model_whose_answers_change_after_the_trial_is_not_activated(
    tmp_path: Path, told: Told, one: Package, two: Package
) -> None:
    """The runtime that serves is asked as well, not only the trial's."""

    def swapped(name: str, graph: bytes, *, threads: int) -> Backend:
        return open_backend(name, two.read("model.onnx") if graph == one.read("model.onnx") else graph, threads=threads)

    with manager(tmp_path / "data", told, opener=swapped) as models:
        push(models, one.folder)
        refused(lambda: models.activate(one.digest, ACTOR), Reason.PKG_PARITY, "golden case")
        assert states(models) == {"1.0.0": "REFUSED"}


def test_a_rollback_does_not_wait_for_a_push_under_trial(
    tmp_path: Path, told: Told, one: Package, two: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = packages.make_anchor_package(tmp_path / "three", version="1.2.0", bias=0.05)
    trying, go = threading.Event(), threading.Event()
    with manager(tmp_path / "data", told) as models:
        for package in (one, two):
            push(models, package.folder)
            models.activate(package.digest, ACTOR)

        def slow(*_: object) -> None:
            trying.set()
            assert go.wait(60)

        monkeypatch.setattr("edge.models.trial.Trials.run", slow)
        thread = threading.Thread(target=push, args=(models, third.folder))
        thread.start()
        assert trying.wait(30)
        assert models.rollback("now", ACTOR).model.version == "1.0.0"
        assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-5)
        go.set()
        thread.join(30)
        assert states(models)["1.2.0"] == "BUILT"


def test_a_third_push_at_once_is_told_to_wait(models: ModelManager, tmp_path: Path, one: Package, two: Package) -> None:
    third = packages.make_anchor_package(tmp_path / "three", version="1.2.0", bias=0.05)
    arrived, go = threading.Semaphore(0), threading.Event()

    def slow(folder: Path) -> Iterator[model_pb2.PushChunk]:
        arrived.release()
        assert go.wait(60)
        yield from chunks(folder)

    threads = [
        threading.Thread(target=models.push, args=(announcement(package.folder), slow(package.folder), ACTOR))
        for package in (one, two)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert arrived.acquire(timeout=30)
    refused(lambda: push(models, third.folder), Reason.QUEUE_FULL, "2 pushes")
    go.set()
    for thread in threads:
        thread.join(60)
    assert states(models) == {"1.0.0": "BUILT", "1.1.0": "BUILT"}


def test_a_stopping_station_says_so(tmp_path: Path, told: Told, one: Package) -> None:
    models = manager(tmp_path / "data", told)
    models.start()
    models.close()
    models.close()
    for action in (lambda: push(models, one.folder), lambda: models.rollback("", ACTOR)):
        refused(action, Reason.DRAINING, "stopping")


def test_a_manifest_that_names_a_path_is_never_followed(tmp_path: Path, models: ModelManager, one: Package) -> None:
    tricked = model_pb2.PackageManifest()
    tricked.CopyFrom(one.manifest)
    tricked.files[0].name = "../../../../escaped"
    folder = tmp_path / "tricked"
    shutil.copytree(one.folder, folder)
    (folder / "manifest.json").write_bytes(manifest_bytes(tricked))
    refused(lambda: push(models, folder), Reason.PKG_MALFORMED, "expected each at most once out of")
    assert not list(tmp_path.rglob("escaped"))
