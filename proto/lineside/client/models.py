"""Models of a station, from an engineer's desk: push a package, activate, confirm, roll back, describe, watch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import grpc

from lineside.client.errors import station_errors
from lineside.package import FILE_NAMES, MANIFEST_NAME, digest_of
from lineside.v1 import model_pb2, model_pb2_grpc

CHUNK_BYTES = 1 << 18

OnProgress = Callable[[int, int], None]
"""Called with the bytes sent and the bytes in all."""


class ModelsClient:
    """One connection to a station's Models service; a context manager.

    Every method raises ContractError with the station's reason, or StationUnreachableError.

    Args:
        target: HOST:PORT.
        credentials: of a TLS channel; None: an insecure one.
        timeout: seconds for an answer; a push or an activation may take the station's trial time.
    """

    def __init__(
        self, target: str, *, credentials: grpc.ChannelCredentials | None = None, timeout: float = 180.0
    ) -> None:
        self._target = target
        self._timeout = timeout
        self._channel = (
            grpc.insecure_channel(target) if credentials is None else grpc.secure_channel(target, credentials)
        )
        self._stub = model_pb2_grpc.ModelsStub(self._channel)

    def push(self, folder: Path, *, on_progress: OnProgress | None = None) -> model_pb2.ModelStatus:
        """Sends a package folder; the station verifies and tries it before it answers.

        Raises:
            FileNotFoundError: the folder is no package.
        """
        begin = announcement(folder)
        with station_errors(self._target):
            response = self._stub.Push(_requests(folder, begin, on_progress), timeout=self._timeout)
        return response.status

    def activate(self, digest: str) -> model_pb2.ModelStatus:
        """Lets a package serve, on probation."""
        with station_errors(self._target):
            return self._stub.Activate(model_pb2.ActivateRequest(digest=digest), timeout=self._timeout).status

    def confirm(self, digest: str) -> model_pb2.ModelStatus:
        """Ends the serving model's probation."""
        with station_errors(self._target):
            return self._stub.Confirm(model_pb2.ConfirmRequest(digest=digest), timeout=self._timeout).status

    def rollback(self, why: str) -> model_pb2.ModelStatus:
        """Back to the model that served before; gives back the one that serves now."""
        with station_errors(self._target):
            return self._stub.Rollback(model_pb2.RollbackRequest(why=why), timeout=self._timeout).status

    def list(self) -> list[model_pb2.ModelStatus]:
        """Every package the station knows, the serving one first."""
        with station_errors(self._target):
            return list(self._stub.List(model_pb2.ListRequest(), timeout=self._timeout).models)

    def describe(self, digest: str = "") -> model_pb2.DescribeResponse:
        """State and manifest of one package; the serving one by default."""
        with station_errors(self._target):
            return self._stub.Describe(model_pb2.DescribeRequest(digest=digest), timeout=self._timeout)

    def watch(self, *, timeout: float | None = None) -> Iterator[model_pb2.ModelEvent]:
        """The present state of every package, then every change; ends after `timeout` seconds with DEADLINE."""
        with station_errors(self._target):
            for response in self._stub.Watch(model_pb2.WatchModelsRequest(), timeout=timeout):
                yield response.event

    def close(self) -> None:
        """Idempotent."""
        self._channel.close()

    def __enter__(self) -> ModelsClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


def _requests(
    folder: Path, begin: model_pb2.PushBegin, on_progress: OnProgress | None
) -> Iterator[model_pb2.PushRequest]:
    total, sent = sum(item.size for item in begin.files), 0
    yield model_pb2.PushRequest(begin=begin)
    for item in begin.files:
        with open(folder / item.name, "rb") as stream:
            offset = 0
            while data := stream.read(CHUNK_BYTES):
                yield model_pb2.PushRequest(chunk=model_pb2.PushChunk(name=item.name, offset=offset, data=data))
                offset += len(data)
                sent += len(data)
                if on_progress is not None:
                    on_progress(sent, total)
