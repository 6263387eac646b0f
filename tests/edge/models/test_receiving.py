"""Receiving files: only known names, only in staging, only what was announced; and going on where a link broke."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge.models.receiving import KEPT_SECONDS, MAXIMUM_BROKEN, MAXIMUM_CHUNK_BYTES, Arrivals, Staging
from lineside.package import digest_of
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

MANIFEST = b"{}"
GRAPH = bytes(range(200))
LIMIT = 1 << 20


def begin(**changes: bytes) -> model_pb2.PushBegin:
    files = {"manifest.json": MANIFEST, "model.onnx": GRAPH, **changes}
    return model_pb2.PushBegin(
        digest=digest_of(files["manifest.json"]),
        files=[
            model_pb2.PackageFile(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        ],
    )


def chunk(name: str, offset: int, data: bytes) -> model_pb2.PushChunk:
    return model_pb2.PushChunk(name=name, offset=offset, data=data)


def refusal(action: object, reason: Reason, word: str) -> None:
    with pytest.raises(ContractError, match=word) as caught:
        action()  # type: ignore[operator]
    assert caught.value.reason is reason


def test_files_arrive_in_pieces_and_interleaved(tmp_path: Path) -> None:
    with Staging(tmp_path, begin(), LIMIT) as staging:
        staging.write(chunk("model.onnx", 0, GRAPH[:150]))
        staging.write(chunk("manifest.json", 0, MANIFEST))
        staging.write(chunk("model.onnx", 150, GRAPH[150:]))
        staging.finish()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "manifest.json": MANIFEST,
        "model.onnx": GRAPH,
    }


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/b", "model.onnx/../x", "..", "", "MODEL.ONNX", "model.onnx\0", "model.pkl"]
)
def test_a_name_that_no_package_has_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    announced = begin()
    announced.files.add(name=name, size=1, sha256="0" * 64)
    refusal(lambda: Staging(tmp_path, announced, LIMIT), Reason.PKG_MALFORMED, "does not belong")
    assert not list(tmp_path.iterdir())


def test_an_announcement_has_to_make_sense(tmp_path: Path) -> None:
    twice = begin()
    twice.files.append(twice.files[0])
    refusal(lambda: Staging(tmp_path, twice, LIMIT), Reason.PKG_MALFORMED, "twice")
    no_digest = begin()
    no_digest.digest = "sha256:../../x"
    refusal(lambda: Staging(tmp_path, no_digest, LIMIT), Reason.PKG_MALFORMED, "digest")
    no_manifest = begin()
    del no_manifest.files[0]
    refusal(lambda: Staging(tmp_path, no_manifest, LIMIT), Reason.PKG_MALFORMED, "manifest.json is missing")
    refusal(lambda: Staging(tmp_path, begin(), 100), Reason.MSG_TOO_LARGE, "takes 100")
    huge = begin()
    huge.files[1].size = 1 << 62
    refusal(lambda: Staging(tmp_path, huge, 1 << 63), Reason.MSG_TOO_LARGE, "model.onnx is announced with more")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bad", "reason", "word"),
    [
        (chunk("golden.npz", 0, b"x"), Reason.PKG_MALFORMED, "not announced"),
        (chunk("../evil", 0, b"x"), Reason.PKG_MALFORMED, "not announced"),
        (chunk("model.onnx", 1, b"x"), Reason.PKG_MALFORMED, "continue at 0"),
        (chunk("model.onnx", 1 << 63, b"x"), Reason.PKG_MALFORMED, "continue at 0"),
        (chunk("model.onnx", 0, bytes(201)), Reason.PKG_HASH, "longer than the 200"),
        (chunk("model.onnx", 0, bytes(MAXIMUM_CHUNK_BYTES + 1)), Reason.MSG_TOO_LARGE, "at most"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused(
    tmp_path: Path, bad: model_pb2.PushChunk, reason: Reason, word: str
) -> None:
    with Staging(tmp_path, begin(), LIMIT) as staging:
        refusal(lambda: staging.write(bad), reason, word)


def test_a_push_that_ends_early_or_was_altered_is_refused(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("short", "altered", "other")]
    for folder in folders:
        folder.mkdir()
    with Staging(folders[0], begin(), LIMIT) as staging:
        staging.write(chunk("manifest.json", 0, MANIFEST))
        refusal(staging.finish, Reason.PKG_HASH, "0 bytes, 200 were announced")
    with Staging(folders[1], begin(), LIMIT) as staging:
        staging.write(chunk("manifest.json", 0, MANIFEST))
        staging.write(chunk("model.onnx", 0, GRAPH[::-1]))
        refusal(staging.finish, Reason.PKG_HASH, "SHA-256")
    another = begin()
    another.digest = "sha256:" + "0" * 64
    with Staging(folders[2], another, LIMIT) as staging:
        staging.write(chunk("manifest.json", 0, MANIFEST))
        staging.write(chunk("model.onnx", 0, GRAPH))
        refusal(staging.finish, Reason.PKG_HASH, "are not the package")


# Links that break


class BrokenLinkError(Exception):
    """What a transport says when the other side is gone."""


def resumable(**changes: bytes) -> model_pb2.PushBegin:
    announced = begin(**changes)
    announced.resume = True
    return announced


def everything(announced: model_pb2.PushBegin, held: dict[str, int], step: int = 7) -> Iterator[model_pb2.PushChunk]:
    """As a sender goes on who was told what the station holds."""
    data = {"manifest.json": MANIFEST, "model.onnx": GRAPH}
    for item in announced.files:
        for offset in range(held.get(item.name, 0), item.size, step):
            yield chunk(item.name, offset, data[item.name][offset : offset + step])


def breaking(chunks: Iterator[model_pb2.PushChunk], after: int) -> Iterator[model_pb2.PushChunk]:
    for _ in range(after):
        yield next(chunks)
    raise BrokenLinkError("the cable")


def receive(
    arrivals: Arrivals, announced: model_pb2.PushBegin, chunks: Iterator[model_pb2.PushChunk]
) -> dict[str, bytes]:
    with arrivals.whole(announced, chunks) as folder:
        return {path.name: path.read_bytes() for path in folder.iterdir()}


WHOLE = {"manifest.json": MANIFEST, "model.onnx": GRAPH}


@hypothesis_settings(max_examples=60, deadline=None)
@given(breaks=st.lists(st.integers(0, 12), max_size=5), lost=st.integers(0, 30), restarts=st.booleans())
def test_a_push_that_breaks_off_anywhere_any_number_of_times_arrives_whole(
    tmp_path_factory: pytest.TempPathFactory, breaks: list[int], lost: int, restarts: bool
) -> None:
    root = tmp_path_factory.mktemp("staging")
    arrivals = Arrivals(root, LIMIT)
    for after in breaks:
        # A sender may know of fewer bytes than arrived: the answer was on its way, or the last ones were.
        held = {name: max(0, size - lost) for name, size in arrivals.received(begin().digest).items()}
        with pytest.raises(BrokenLinkError):
            receive(
                arrivals,
                resumable(),
                breaking(everything(begin(), held), min(after, len(list(everything(begin(), held))))),
            )
        if restarts:
            arrivals = Arrivals(root, LIMIT)
            arrivals.clean()
    held = arrivals.received(begin().digest)
    if breaks:
        assert sum(held.values()) > 0 or max(breaks) == 0
    assert receive(arrivals, resumable(), everything(begin(), held)) == WHOLE
    assert not list(root.iterdir())


def test_a_push_that_does_not_ask_to_be_continued_leaves_nothing(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, LIMIT)
    with pytest.raises(BrokenLinkError):
        receive(arrivals, begin(), breaking(everything(begin(), {}), 5))
    assert not list(tmp_path.iterdir())
    assert arrivals.received(begin().digest) == {}


def test_a_refusal_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, LIMIT)
    with pytest.raises(ContractError, match="not announced"):
        receive(arrivals, resumable(), iter([chunk("manifest.json", 0, MANIFEST), chunk("golden.npz", 0, b"x")]))
    assert not list(tmp_path.iterdir())


def test_bytes_that_rotted_meanwhile_are_refused_and_the_next_push_begins_anew(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, LIMIT)
    with pytest.raises(BrokenLinkError):
        receive(arrivals, resumable(), breaking(everything(begin(), {}), 8))
    (rotten,) = tmp_path.glob("*/model.onnx")
    rotten.write_bytes(b"\xff" * rotten.stat().st_size)
    held = arrivals.received(begin().digest)
    refusal(lambda: receive(arrivals, resumable(), everything(begin(), held)), Reason.PKG_HASH, "SHA-256")
    assert arrivals.received(begin().digest) == {}
    assert receive(arrivals, resumable(), everything(begin(), {})) == WHOLE


def test_only_the_same_announcement_continues_a_push(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, LIMIT)
    with pytest.raises(BrokenLinkError):
        receive(arrivals, resumable(), breaking(everything(begin(), {}), 8))
    other = resumable(**{"golden.npz": b"more"})
    with pytest.raises(BrokenLinkError):
        receive(arrivals, other, breaking(iter([]), 0))
    assert sum(arrivals.received(begin().digest).values()) == 0


def test_a_push_takes_the_place_of_one_whose_link_died_in_silence(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, LIMIT)
    begun, go = threading.Event(), threading.Event()
    said: list[Exception] = []

    def stuck() -> Iterator[model_pb2.PushChunk]:
        yield from list(everything(begin(), {}))[:9]
        begun.set()
        assert go.wait(60)
        yield chunk("model.onnx", 56, b"late")

    def work() -> None:
        try:
            receive(arrivals, resumable(), stuck())
        except ContractError as error:
            said.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    held = arrivals.received(begin().digest)
    assert sum(held.values()) > 50
    assert receive(arrivals, resumable(), everything(begin(), held)) == WHOLE
    go.set()
    thread.join(60)
    assert "taken over" in str(said[0])
    assert not list(tmp_path.iterdir())


def test_broken_pushes_are_kept_for_a_week_and_only_the_newest(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, LIMIT)
    digests = []
    for number in range(MAXIMUM_BROKEN + 2):
        announced = resumable(**{"manifest.json": f'{{"number": {number}}}'.encode()})
        digests.append(announced.digest)
        with pytest.raises(BrokenLinkError):
            receive(arrivals, announced, breaking(iter([chunk("model.onnx", 0, GRAPH)]), 1))
        moment = time.time() - 100 + number
        os.utime(tmp_path / f"{announced.digest[7:]}.begin", (moment, moment))
    assert [bool(arrivals.received(digest)) for digest in digests] == [False] * 2 + [True] * MAXIMUM_BROKEN
    (tmp_path / "push-of-an-older-version").mkdir()
    arrivals.clean()
    assert len(list(tmp_path.iterdir())) == 2 * MAXIMUM_BROKEN
    arrivals.clean(now=time.time() + KEPT_SECONDS)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_a_push_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = Arrivals(tmp_path, LIMIT)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    action: Callable[[], object] = lambda: receive(arrivals, resumable(), everything(begin(), {}))  # noqa: E731
    refusal(action, Reason.STORAGE_FULL, "disk is full")
    assert not list(tmp_path.iterdir())
