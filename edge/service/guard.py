"""What stands in front of every method of the station's own services.

Requests arrive here as bytes and are parsed in the worker's thread: gRPC's single serving thread stays free, the size
and the time of arrival are known, and what is no message at all is refused in the contract's words instead of
INTERNAL. While the station drains nothing new is begun. Whatever a method raises leaves as a status of the contract.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from edge.service.status import contract_errors, contract_errors_stream
from lineside.reasons import ContractError, Reason

OUR_SERVICES = ("/lineside.v1.", "/inference.")
"""Health, reflection and channelz are others' code and go by unguarded."""

_arrived_ns: contextvars.ContextVar[int] = contextvars.ContextVar("arrived_ns")


class Arrived(NamedTuple):
    """A request as it came."""

    data: bytes
    monotonic_ns: int


def arrived(data: bytes) -> Arrived:
    """Stands in for the generated deserialiser."""
    return Arrived(data, time.monotonic_ns())


def arrival_ns() -> int:
    """When the request in hand had arrived, `time.monotonic_ns`; now, where no guard has seen it."""
    return _arrived_ns.get(time.monotonic_ns())


_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Lane:
    """So many calls at a time; one more is refused at once, in words, instead of waiting where nobody sees it."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self._running = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            if self._running >= self.limit:
                raise ContractError(
                    Reason.QUEUE_FULL,
                    f"{self.limit} calls to {self.name} are already running; call again a little later",
                )
            self._running += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def idle(self, timeout: float) -> bool:
        """Waits until none is running; False if there still is one after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, timeout)


class Guard(grpc.ServerInterceptor):
    """One for a server.

    Args:
        lanes: full method name ("/lineside.v1.Inspection/Inspect") or its service's prefix ("/lineside.v1.Models/") to
            the lane its calls are counted in; the longest that fits.
        draining: whether nothing new is begun any more.
        maximum_bytes: of one message.
    """

    def __init__(self, *, lanes: Mapping[str, Lane], draining: Callable[[], bool], maximum_bytes: int) -> None:
        self._lanes = sorted(lanes.items(), key=lambda item: -len(item[0]))
        self._draining = draining
        self._maximum_bytes = maximum_bytes

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wraps the method of a call that begins."""
        handler = continuation(handler_call_details)
        name = handler_call_details.method
        if handler is None or not name.startswith(OUR_SERVICES):
            return handler
        lane = next(lane for prefix, lane in self._lanes if name.startswith(prefix))
        parse = self._parser(handler.request_deserializer)

        def argument(request: Any) -> Any:
            if self._draining():
                raise ContractError(Reason.DRAINING, "the station is shutting down; call again when it is back")
            return map(parse, request) if handler.request_streaming else parse(request)

        if handler.response_streaming:
            method = _guarded_stream(
                handler.stream_stream if handler.request_streaming else handler.unary_stream, argument, lane
            )
        else:
            method = _guarded(
                handler.stream_unary if handler.request_streaming else handler.unary_unary, argument, lane
            )
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        return make(method, arrived, handler.response_serializer)

    def _parser(self, deserialise: Callable[[bytes], Any]) -> Callable[[Arrived], Any]:
        def parse(request: Arrived) -> Any:
            _arrived_ns.set(request.monotonic_ns)
            if len(request.data) > self._maximum_bytes:
                raise ContractError(
                    Reason.MSG_TOO_LARGE,
                    f"the message has {len(request.data)} bytes, at most {self._maximum_bytes} are read",
                )
            try:
                return deserialise(request.data)
            except DecodeError:
                raise ContractError(
                    Reason.REQUEST_MALFORMED,
                    f"{len(request.data)} bytes that are no message of this method; is the client of another version?",
                ) from None

        return parse


def _guarded(method: Any, argument: Callable[[Any], Any], lane: Lane) -> Any:
    @contract_errors
    def call(_service: object, request: Any, context: grpc.ServicerContext) -> Any:
        with lane:
            return method(argument(request), context)

    return lambda request, context: call(None, request, context)


def _guarded_stream(method: Any, argument: Callable[[Any], Any], lane: Lane) -> Any:
    @contract_errors_stream
    def call(_service: object, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with lane:
            yield from method(argument(request), context)

    return lambda request, context: call(None, request, context)
