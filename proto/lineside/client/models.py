"""Models of a station, from an engineer's desk: push a package, activate, confirm, roll back, describe, watch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import grpc

from lineside.client import push
from lineside.client.errors import station_errors
from lineside.client.push import OnProgress, OnTrouble, Patience, announcement
from lineside.v1 import model_pb2, model_pb2_grpc, swap_pb2

__all__ = ["ACTOR_METADATA", "ModelsClient", "announcement"]

ACTOR_METADATA = "lineside-actor"
"""Name of the metadata in which a client says who its user is."""
_CHANNEL = (
    # A link that died in silence is found out, and a new one is tried soon: pushes go over slow and broken ones.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class ModelsClient:
    """One connection to a station's Models service; a context manager.

    Every method raises ContractError with the station's reason, or StationUnreachableError.

    Args:
        target: HOST:PORT.
        credentials: of a TLS channel; None: an insecure one.
        timeout: seconds for an answer; a push or an activation may take the station's trial time.
        actor: who uses it, for the station's audit; a certificate's name counts for more. Empty: nothing is said.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float = 180.0,
        actor: str = "",
    ) -> None:
        self._target = target
        self._timeout = timeout
        # Metadata is ASCII.
        ascii_actor = actor.encode("ascii", "replace").decode()
        self._metadata: tuple[tuple[str, str], ...] = ((ACTOR_METADATA, ascii_actor),) if actor else ()
        self._channel = (
            grpc.insecure_channel(target, options=_CHANNEL)
            if credentials is None
            else grpc.secure_channel(target, credentials, options=_CHANNEL)
        )
        self._stub = model_pb2_grpc.ModelsStub(self._channel)

    def push(
        self,
        folder: Path,
        *,
        on_progress: OnProgress | None = None,
        on_trouble: OnTrouble | None = None,
        patience: Patience | None = None,
    ) -> model_pb2.ModelStatus:
        """Sends a package folder, over breaks of the link; the station verifies and tries it before it answers.

        Raises:
            FileNotFoundError: the folder is no package.
        """
        return push.push(
            self._stub,
            self._target,
            folder,
            metadata=self._metadata,
            patience=dataclasses.replace(Patience(), silence=self._timeout) if patience is None else patience,
            on_progress=on_progress,
            on_trouble=on_trouble,
        )

    def received(self, digest: str) -> dict[str, int]:
        """Bytes the station holds, by file name, of a push that broke off; empty: a push begins at the beginning."""
        request = model_pb2.ReceivedRequest(digest=digest)
        with station_errors(self._target):
            answer = self._stub.Received(request, timeout=self._timeout, metadata=self._metadata)
        return {item.name: item.bytes for item in answer.files}

    def prepare(self, digest: str, *, shadow: bool = False) -> model_pb2.ModelStatus:
        """Begins the steps that come before serving where the station asks for any; `shadow`: a shadow in any case."""
        request = model_pb2.PrepareRequest(digest=digest, shadow=shadow)
        with station_errors(self._target):
            return self._stub.Prepare(request, timeout=self._timeout, metadata=self._metadata).status

    def activate(self, digest: str) -> model_pb2.ModelStatus:
        """Lets a package serve, on probation."""
        request = model_pb2.ActivateRequest(digest=digest)
        with station_errors(self._target):
            return self._stub.Activate(request, timeout=self._timeout, metadata=self._metadata).status

    def confirm(self, digest: str) -> model_pb2.ModelStatus:
        """Ends the serving model's probation."""
        request = model_pb2.ConfirmRequest(digest=digest)
        with station_errors(self._target):
            return self._stub.Confirm(request, timeout=self._timeout, metadata=self._metadata).status

    def rollback(self, why: str, *, only_from: str = "") -> model_pb2.ModelStatus:
        """Back to the model that served before; gives back the one that serves now.

        Args:
            why: in words, for the audit.
            only_from: digest that has to serve, or nothing is done; empty: whichever serves.
        """
        request = model_pb2.RollbackRequest(why=why, only_from=only_from)
        with station_errors(self._target):
            return self._stub.Rollback(request, timeout=self._timeout, metadata=self._metadata).status

    def freeze(self, why: str) -> str:
        """Nothing is activated any more; gives back the reason that is told to whoever tries."""
        request = model_pb2.FreezeRequest(frozen=True, why=why)
        with station_errors(self._target):
            return self._stub.Freeze(request, timeout=self._timeout, metadata=self._metadata).frozen

    def thaw(self, why: str) -> None:
        """Models may be activated again."""
        request = model_pb2.FreezeRequest(frozen=False, why=why)
        with station_errors(self._target):
            self._stub.Freeze(request, timeout=self._timeout, metadata=self._metadata)

    def frozen(self) -> str:
        """Why nothing may be activated; empty: it may."""
        with station_errors(self._target):
            return self._stub.List(model_pb2.ListRequest(), timeout=self._timeout).frozen

    def audit(self, after: int = 0) -> Iterator[swap_pb2.AuditEntry]:
        """Who did what, oldest first: entries with a higher number than `after`."""
        with station_errors(self._target):
            for response in self._stub.Audit(model_pb2.AuditRequest(after=after), timeout=self._timeout):
                yield response.entry

    def standing(self, *, timeout: float | None = None) -> model_pb2.ListResponse:
        """Every package, the freeze, where a rollback would go, and what the station says of itself.

        Args:
            timeout: seconds for the answer; None: as for everything else.
        """
        with station_errors(self._target):
            return self._stub.List(model_pb2.ListRequest(), timeout=self._timeout if timeout is None else timeout)

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
