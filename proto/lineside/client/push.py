"""Sends a package over links that break: asks how far it came, and goes on from there.

The station keeps what arrived and answers for whole files by their SHA-256, so nothing has to be believed of a link; a
push that had arrived altered begins anew, once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lineside.client.errors import StationUnreachableError, station_errors
from lineside.package import FILE_NAMES, MANIFEST_NAME, digest_of
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2, model_pb2_grpc

CHUNK_BYTES = 1 << 18
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
_ASK_SECONDS = 20.0
_LOOK_SECONDS = 1.0
_PASSING = (Reason.QUEUE_FULL, Reason.DRAINING, Reason.DEADLINE)

OnProgress = Callable[[int, int], None]
"""Called with the bytes that have left here or lie there already, and the bytes in all."""
OnTrouble = Callable[[Exception, float], None]
"""Called with what went wrong, and the seconds until the next try."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a push goes on trying, in seconds."""

    without_progress: float = 300.0
    """The link may break as often as it likes, as long as something arrives within this time."""
    silence: float = 180.0
    """A call that neither takes a byte nor answers for so long is given up and begun again; a trial may take this."""
    pause: Callable[[float], None] = time.sleep
    look: Callable[[], None] = lambda: None
    """Called about every second while a call runs; what it raises ends the push, which can be gone on with later."""


def push(
    stub: model_pb2_grpc.ModelsStub,
    target: str,
    folder: Path,
    *,
    metadata: tuple[tuple[str, str], ...] = (),
    patience: Patience = Patience(),
    on_progress: OnProgress | None = None,
    on_trouble: OnTrouble | None = None,
) -> model_pb2.ModelStatus:
    """Sends a package folder; the station verifies and tries it before it answers.

    Args:
        stub: of the station.
        target: HOST:PORT, for messages.
        folder: of the package.
        metadata: of each call.
        patience: how long it goes on.
        on_progress: told of every chunk.
        on_trouble: told of every break.

    Raises:
        FileNotFoundError: the folder is no package.
        ContractError: the station refuses it.
        StationUnreachableError: nobody answered at the first try, or nothing arrived for `without_progress` seconds.
    """
    begin = announcement(folder)
    begin.resume = True
    furthest, moved_at, wait = -1, time.monotonic(), FIRST_WAIT_SECONDS
    began_anew = False
    while True:
        held: dict[str, int] = {}
        try:
            with station_errors(target):
                request = model_pb2.ReceivedRequest(digest=begin.digest)
                answer = stub.Received(request, timeout=_ASK_SECONDS, metadata=metadata)
                held = {item.name: item.bytes for item in answer.files}
                if sum(held.values()) > furthest:
                    furthest, moved_at, wait = sum(held.values()), time.monotonic(), FIRST_WAIT_SECONDS
                return _send(stub, folder, begin, held, metadata, patience, on_progress)
        except StationUnreachableError as error:
            if furthest < 0:
                raise
            trouble: Exception = error
        except ContractError as error:
            if error.reason is Reason.PKG_HASH and any(held.values()) and not began_anew:
                began_anew = True  # what lay there was altered; the station has dropped it
            elif error.reason not in _PASSING:
                raise
            trouble = error
        if time.monotonic() - moved_at > patience.without_progress:
            raise trouble
        if on_trouble is not None:
            on_trouble(trouble, wait)
        patience.pause(wait)
        wait = min(LONGEST_WAIT_SECONDS, wait * 2)


def announcement(folder: Path) -> model_pb2.PushBegin:
    """What a push of this folder begins with: its digest, names, sizes and hashes. Checks nothing else.

    Raises:
        FileNotFoundError: there is no manifest.json.
    """
    manifest = folder / MANIFEST_NAME
    if not manifest.is_file():
        raise FileNotFoundError(f"{folder} is no package: it holds no {MANIFEST_NAME}")
    begin = model_pb2.PushBegin(digest=digest_of(manifest.read_bytes()))
    # A package holds these names and no others; an odd file beside them stays here.
    for name in FILE_NAMES:
        path = folder / name
        if path.is_file():
            with open(path, "rb") as stream:
                state = hashlib.sha256()
                while block := stream.read(1 << 20):
                    state.update(block)
            begin.files.add(name=name, size=path.stat().st_size, sha256=state.hexdigest())
    return begin


class _Requests:
    """The messages of one push; knows when the last one was taken."""

    def __init__(
        self, folder: Path, begin: model_pb2.PushBegin, held: Mapping[str, int], on_progress: OnProgress | None
    ) -> None:
        self.moved_at = time.monotonic()
        self._folder, self._begin, self._held, self._on_progress = folder, begin, held, on_progress

    def __iter__(self) -> Iterator[model_pb2.PushRequest]:
        total = sum(item.size for item in self._begin.files)
        sent = sum(min(item.size, self._held.get(item.name, 0)) for item in self._begin.files)
        yield model_pb2.PushRequest(begin=self._begin)
        for item in self._begin.files:
            offset = self._held.get(item.name, 0)
            with open(self._folder / item.name, "rb") as stream:
                stream.seek(offset)
                while data := stream.read(CHUNK_BYTES):
                    self.moved_at = time.monotonic()
                    yield model_pb2.PushRequest(chunk=model_pb2.PushChunk(name=item.name, offset=offset, data=data))
                    offset += len(data)
                    sent += len(data)
                    if self._on_progress is not None:
                        self._on_progress(sent, total)
        self.moved_at = time.monotonic()


def _send(
    stub: model_pb2_grpc.ModelsStub,
    folder: Path,
    begin: model_pb2.PushBegin,
    held: Mapping[str, int],
    metadata: tuple[tuple[str, str], ...],
    patience: Patience,
    on_progress: OnProgress | None,
) -> model_pb2.ModelStatus:
    """One try. Raises grpc.RpcError; ContractError DEADLINE where nothing moves."""
    requests = _Requests(folder, begin, held, on_progress)
    call = stub.Push.future(iter(requests), metadata=metadata)
    answered = threading.Event()
    call.add_done_callback(lambda _: answered.set())
    try:
        while not answered.wait(_LOOK_SECONDS):
            patience.look()
            if time.monotonic() - requests.moved_at > patience.silence:
                raise ContractError(
                    Reason.DEADLINE, f"the station took nothing and said nothing for {patience.silence:.0f} s"
                )
        return call.result().status
    finally:
        call.cancel()
