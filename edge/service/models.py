"""The Models service on the wire: packages come in, are swapped, confirmed and rolled back. Decides nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import grpc

from edge.models.manager import ModelManager
from edge.service.status import contract_errors, contract_errors_stream
from lineside.client.models import ACTOR_METADATA
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2, model_pb2_grpc, swap_pb2

_WATCH_POLL_SECONDS = 0.5
_LONGEST_CLAIM = 64


def actor_of(context: grpc.ServicerContext) -> str:
    """Who asks: the name in the client's certificate where there is one; else the address of the connection, with the
    name its user claims."""
    names: Iterable[bytes] = context.auth_context().get("x509_common_name", ())  # type: ignore[assignment]
    certified = next((name.decode(errors="replace") for name in names), None)
    if certified is not None:
        return certified
    metadata = dict(context.invocation_metadata() or ())
    claimed = metadata.get(ACTOR_METADATA, "")
    text = claimed.decode(errors="replace") if isinstance(claimed, bytes) else claimed
    text = "".join(letter for letter in text if letter.isprintable())[:_LONGEST_CLAIM]
    return f"{text} ({context.peer()})" if text else context.peer()


class ModelsServicer(model_pb2_grpc.ModelsServicer):
    """Hands every call to the manager.

    Args:
        manager: the station's models.
        report: what the station says of itself; None: nothing.
    """

    def __init__(self, manager: ModelManager, report: Callable[[], swap_pb2.StationReport] | None = None) -> None:
        self._manager = manager
        self._report = report

    @contract_errors
    def List(self, request: model_pb2.ListRequest, context: grpc.ServicerContext) -> model_pb2.ListResponse:  # noqa: N802, ARG002
        """Every package, the serving one first."""
        return model_pb2.ListResponse(
            models=self._manager.list(),
            frozen=self._manager.frozen,
            way_back=self._manager.way_back,
            station=None if self._report is None else self._report(),
        )

    @contract_errors
    def Push(  # noqa: N802
        self, request_iterator: Iterator[model_pb2.PushRequest], context: grpc.ServicerContext
    ) -> model_pb2.PushResponse:
        """A Begin, then chunks; nothing is written before the Begin has been checked."""
        first = next(request_iterator, None)
        if first is None or first.WhichOneof("part") != "begin":
            raise ContractError(Reason.REQUEST_MALFORMED, "a push begins with its Begin message")
        status = self._manager.push(first.begin, _chunks(request_iterator), actor_of(context))
        return model_pb2.PushResponse(status=status)

    @contract_errors
    def Received(self, request: model_pb2.ReceivedRequest, context: grpc.ServicerContext) -> model_pb2.ReceivedResponse:  # noqa: N802, ARG002
        """What is there of a push that broke off."""
        files = self._manager.received(request.digest)
        return model_pb2.ReceivedResponse(
            files=[model_pb2.ReceivedFile(name=name, bytes=size) for name, size in sorted(files.items())]
        )

    @contract_errors
    def Prepare(  # noqa: N802
        self, request: model_pb2.PrepareRequest, context: grpc.ServicerContext
    ) -> model_pb2.PrepareResponse:
        """Begins replay and shadow."""
        status = self._manager.prepare(request.digest, actor_of(context), shadow=request.shadow)
        return model_pb2.PrepareResponse(status=status)

    @contract_errors
    def Activate(  # noqa: N802
        self, request: model_pb2.ActivateRequest, context: grpc.ServicerContext
    ) -> model_pb2.ActivateResponse:
        """Warms up, then switches between two frames."""
        return model_pb2.ActivateResponse(status=self._manager.activate(request.digest, actor_of(context)))

    @contract_errors
    def Confirm(  # noqa: N802
        self, request: model_pb2.ConfirmRequest, context: grpc.ServicerContext
    ) -> model_pb2.ConfirmResponse:
        """Ends the probation."""
        return model_pb2.ConfirmResponse(status=self._manager.confirm(request.digest, actor_of(context)))

    @contract_errors
    def Rollback(  # noqa: N802
        self, request: model_pb2.RollbackRequest, context: grpc.ServicerContext
    ) -> model_pb2.RollbackResponse:
        """Back to the model before."""
        status = self._manager.rollback(request.why, actor_of(context), only_from=request.only_from or None)
        return model_pb2.RollbackResponse(status=status)

    @contract_errors
    def Describe(self, request: model_pb2.DescribeRequest, context: grpc.ServicerContext) -> model_pb2.DescribeResponse:  # noqa: N802, ARG002
        """State and manifest."""
        status, manifest = self._manager.describe(request.digest)
        return model_pb2.DescribeResponse(status=status, manifest=manifest)

    @contract_errors
    def Freeze(self, request: model_pb2.FreezeRequest, context: grpc.ServicerContext) -> model_pb2.FreezeResponse:  # noqa: N802
        """Nothing is activated any more, or it may be again."""
        if request.frozen:
            self._manager.freeze(request.why, actor_of(context))
        else:
            self._manager.thaw(request.why, actor_of(context))
        return model_pb2.FreezeResponse(frozen=self._manager.frozen)

    @contract_errors_stream
    def Audit(  # noqa: N802
        self,
        request: model_pb2.AuditRequest,
        context: grpc.ServicerContext,
    ) -> Iterator[model_pb2.AuditResponse]:
        """Who did what."""
        for entry in self._manager.audit(request.after):
            if not context.is_active():
                return
            yield model_pb2.AuditResponse(entry=swap_pb2.AuditEntry(**dataclasses.asdict(entry)))

    @contract_errors_stream
    def Watch(  # noqa: N802
        self,
        request: model_pb2.WatchModelsRequest,  # noqa: ARG002
        context: grpc.ServicerContext,
    ) -> Iterator[model_pb2.WatchModelsResponse]:
        """Present states, then changes, until the caller leaves or the station stops."""
        with self._manager.watch() as watch:
            # Somebody who hangs up gives his place back at once.
            context.add_callback(watch.wake)
            while context.is_active():
                event = watch.get(_WATCH_POLL_SECONDS)
                if event is not None:
                    yield model_pb2.WatchModelsResponse(event=event)


def _chunks(requests: Iterator[model_pb2.PushRequest]) -> Iterator[model_pb2.PushChunk]:
    for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise ContractError(Reason.REQUEST_MALFORMED, "after the Begin only chunks are expected")
        yield request.chunk
