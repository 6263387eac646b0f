"""What stands in front of every method of the station's own services.

Requests arrive here as bytes and are parsed in the worker's thread: gRPC's single serving thread stays free, the size
and the time of arrival are known, and what is no message at all is refused in the contract's words instead of
INTERNAL. While the station drains nothing new is begun. Whatever a method raises leaves as a status of the contract.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from edge.service.status import contract_errors, contract_errors_stream
from lineside.reasons import ContractError, Reason

OUR_SERVICES = ("/lineside.v1.", "/inference.")
"""Health, reflection and channelz are others' code and go by unguarded."""

CALLER_KEY = "lineside-caller"
"""Metadata by which a client names itself, so that its calls count as one caller's whatever connections they take; else
the connection is the caller."""
_LONGEST_CALLER = 64

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


def caller_of(context: grpc.ServicerContext) -> str:
    """Who calls: as he names himself, or his connection."""
    return _named(context.invocation_metadata()) or str(context.peer())


def _named(metadata: Any) -> str:
    for key, value in metadata:
        if key == CALLER_KEY:
            return f"named {value[:_LONGEST_CALLER]}"
    return ""


_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Lane:
    """So many calls at a time; one more is refused at once, in words, instead of waiting where nobody sees it.

    Where there are several callers nobody holds more than his share of the places, and a few are kept for callers who
    hold none: one who sends ahead cannot shut the others out.

    Args:
        name: of the calls, for whoever is refused.
        limit: places.
        reserve: places beyond them, for callers who hold none.
    """

    def __init__(self, name: str, limit: int, *, reserve: int = 0) -> None:
        self.name = name
        self.limit = limit
        self.reserve = reserve
        self._running = 0
        self._held: collections.Counter[str] = collections.Counter()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """Holds a place while inside.

        Raises:
            ContractError: QUEUE_FULL.
        """
        with self._changed:
            if self.refuses(caller):
                raise self.refusal(caller)
            self._running += 1
            self._held[caller] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._held[caller] -= 1
                if not self._held[caller]:
                    del self._held[caller]
                self._changed.notify_all()

    def refuses(self, caller: str) -> bool:
        """Whether there is no place for one more call of this caller; may be said without the lock, as a guess."""
        mine = self._held.get(caller, 0)
        if not mine:
            return self._running >= self.limit + self.reserve
        share = max(1, self.limit // len(self._held)) if self.reserve else self.limit
        return self._running >= self.limit or mine >= share

    def refusal(self, caller: str) -> ContractError:
        """In words."""
        mine = self._held.get(caller, 0)
        yours = f", {mine} of them yours" if self.reserve and mine < self._running else ""
        return ContractError(
            Reason.QUEUE_FULL,
            f"{self._running} calls to {self.name} are already running{yours}; call again a little later",
        )

    @property
    def running(self) -> int:
        """Calls."""
        return self._running

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
        parsers: by full method name, what makes a request of its bytes instead of the generated deserialiser.
    """

    def __init__(
        self,
        *,
        lanes: Mapping[str, Lane],
        draining: Callable[[], bool],
        maximum_bytes: int,
        parsers: Mapping[str, Callable[[bytes], Any]] | None = None,
    ) -> None:
        self._lanes = sorted(lanes.items(), key=lambda item: -len(item[0]))
        self._draining = draining
        self._maximum_bytes = maximum_bytes
        self._parsers = dict(parsers or {})
        # Made once a method: this runs in gRPC's only serving thread.
        self._known: dict[str, tuple[Any, Lane, Any]] = {}

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wraps the method of a call that begins."""
        name = handler_call_details.method
        known = self._known.get(name)
        if known is None:
            handler = continuation(handler_call_details)
            if handler is None or not name.startswith(OUR_SERVICES):
                return handler
            known = self._known[name] = self._wrapped(name, handler)
        handler, lane, refusing = known
        # Where it is clear already, before megabytes are read: no place, or none for one who names himself.
        if lane.refuses(_named(handler_call_details.invocation_metadata)):
            return refusing
        return handler

    def _wrapped(self, name: str, handler: Any) -> tuple[Any, Lane, Any]:
        """The guarded method, its lane, and what is put in its place where the lane is full."""
        lane = next(lane for prefix, lane in self._lanes if name.startswith(prefix))
        parse = self._parser(self._parsers.get(name, handler.request_deserializer))

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
        guarded = make(method, arrived, handler.response_serializer)

        def refuse(_service: object, _messages: object, context: grpc.ServicerContext) -> Any:
            if self._draining():
                raise ContractError(Reason.DRAINING, "the station is shutting down; call again when it is back")
            raise lane.refusal(caller_of(context))

        # A method that takes a stream begins without waiting for a message, which nobody would read.
        refused = contract_errors(refuse)
        refusing = _MAKERS[True, False](
            lambda messages, context: refused(None, messages, context), arrived, handler.response_serializer
        )
        return guarded, lane, refusing

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
        with lane.place(caller_of(context)):
            return method(argument(request), context)

    return lambda request, context: call(None, request, context)


def _guarded_stream(method: Any, argument: Callable[[Any], Any], lane: Lane) -> Any:
    @contract_errors_stream
    def call(_service: object, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with lane.place(caller_of(context)):
            yield from method(argument(request), context)

    return lambda request, context: call(None, request, context)
