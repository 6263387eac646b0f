"""The socket that operators' feedback comes in by: one request, one acknowledgement after it is on the disk.

ZeroMQ ROUTER for DEALER clients, one message part each way (FeedbackRequest, FeedbackAck). Requests are pipelined:
the log takes them in the order they come, and acknowledgements carry the key because refusals are quicker. One thread,
named `feedback-router`; the log's thread only rings a bell.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import socket as sockets
import threading
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol

import zmq
from pydantic import Field

from edge.mentoring.database import Accepted
from edge.mentoring.feedback import FeedbackDraft, draft_of, parse_request
from edge.settings import Settings
from edge.stream.curve import CurveGuard
from lineside.reasons import ContractError, Reason
from lineside.v1 import mentoring_pb2

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 64 << 10
"""Bytes. A connection that sends more is cut by ZeroMQ itself, before memory is taken for it."""
DRAIN_SECONDS = 10.0
"""How long `close` waits for acknowledgements that are on their way."""
_AT_ONCE = 256
_WAITING_PER_CLIENT = 10_000


class FeedbackSettings(Settings):
    """Section [feedback] of station.toml."""

    listen: str = Field(default="tcp://127.0.0.1:5557", pattern=r"^(tcp|ipc)://.+")
    """ZeroMQ endpoint; port 0 takes a free one."""


class Taker(Protocol):
    """Takes feedback (edge.mentoring.log.MentoringLog)."""

    def submit(self, draft: FeedbackDraft) -> Future[Accepted]:
        """Never waits; the future is done when the event is durable, or fails with ContractError."""


class FeedbackRouter(contextlib.AbstractContextManager["FeedbackRouter"]):
    """Serves the socket while open.

    Args:
        endpoint: to bind; port 0 takes a free one.
        log: takes what is well formed.
        curve: protects the socket, and says who an operator is: what a message says of that is overwritten. None:
            the socket is open, and the message is believed.
    """

    def __init__(self, endpoint: str, log: Taker, curve: CurveGuard | None = None) -> None:
        self.endpoint = endpoint
        """Once open: the real address."""
        self._log = log
        self._curve = curve
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._done: collections.deque[tuple[bytes, str, Future[Accepted]]] = collections.deque()
        self._on_the_way = 0
        self._bell, self._ear = sockets.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)

    def __enter__(self) -> FeedbackRouter:
        """Binds the socket and starts the thread.

        Raises:
            OSError: the endpoint cannot be bound.
        """
        started: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="feedback-router")
        self._thread.start()
        try:
            self.endpoint = started.result()
        except zmq.ZMQError as error:
            self.close()
            raise OSError(error.errno, f"feedback cannot listen on {self.endpoint}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Refuses what comes (DRAINING), sends the acknowledgements on their way, closes the socket; idempotent."""
        self._stop.set()
        self._ring()
        if self._thread is not None:
            self._thread.join(DRAIN_SECONDS + 5)
            if self._thread.is_alive():
                logger.error("the feedback thread does not end; leaving it behind")
                return
            self._thread = None
        self._bell.close()
        self._ear.close()

    def _run(self, started: Future[str]) -> None:
        context = zmq.Context() if self._curve is None else self._curve.context
        try:
            with context.socket(zmq.ROUTER) as router:
                router.linger = 1000
                router.maxmsgsize = LARGEST_MESSAGE
                # A client that reads no acknowledgements loses them beyond this, and asks again with the same keys.
                router.sndhwm = router.rcvhwm = _WAITING_PER_CLIENT
                # A client that vanished without a word is forgotten.
                router.heartbeat_ivl, router.heartbeat_timeout = 10_000, 30_000
                try:
                    if self._curve is not None:
                        self._curve.protect(router)
                    router.bind(self.endpoint)
                    endpoint = router.getsockopt_string(zmq.LAST_ENDPOINT)
                except Exception as error:
                    started.set_exception(error)
                    return
                started.set_result(endpoint)
                self._serve(router)
        except Exception:
            logger.exception("the feedback thread has failed; no feedback is taken until the station is started anew")
        finally:
            if self._curve is None:
                context.term()

    def _serve(self, router: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(self._ear.fileno(), zmq.POLLIN)
        deadline: float | None = None
        while True:
            poller.poll(None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000)))
            with contextlib.suppress(BlockingIOError):
                self._ear.recv(4096)
            self._acknowledge(router)
            self._receive(router)
            if not self._stop.is_set():
                continue
            if deadline is None:
                deadline = time.monotonic() + DRAIN_SECONDS
            if self._on_the_way == 0:
                return
            if time.monotonic() >= deadline:
                logger.error("stopped with %d feedback events not acknowledged", self._on_the_way)
                return

    def _receive(self, router: zmq.Socket[bytes]) -> None:
        """Takes what has come, but never so much that acknowledgements have to wait for it."""
        for _ in range(_AT_ONCE):
            try:
                parts = router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            client = parts[0].bytes
            key = ""
            try:
                if len(parts) != 2:
                    raise ContractError(
                        Reason.FEEDBACK_MALFORMED,
                        f"{len(parts) - 1} message parts, expected one with a FeedbackRequest (use a DEALER socket)",
                    )
                feedback = parse_request(parts[1].bytes)
                key = feedback.key
                self._submit(client, draft_of(feedback, operator=self._identity(parts[1])))
            except ContractError as refusal:
                _send(router, client, refused(key, refusal))
            except Exception:
                logger.exception("a feedback request could not be handled")
                trouble = ContractError(Reason.INTERNAL, "the station could not handle this request")
                _send(router, client, refused(key, trouble))

    def _identity(self, part: zmq.Frame) -> str | None:
        if self._curve is None:
            return None
        operator = self._curve.operator_of(part)
        if operator is None:
            raise ContractError(
                Reason.UNAUTHENTICATED, "the key of this connection is not one of the operators' any more"
            )
        return operator

    def _submit(self, client: bytes, draft: FeedbackDraft) -> None:
        if self._stop.is_set():
            raise ContractError(Reason.DRAINING, "the station is stopping; send it again with the same key")
        future = self._log.submit(draft)
        self._on_the_way += 1
        future.add_done_callback(lambda done: self._finished(client, draft.key, done))

    def _finished(self, client: bytes, key: str, future: Future[Accepted]) -> None:
        """On the log's thread: hands the answer to ours."""
        self._done.append((client, key, future))
        self._ring()

    def _ring(self) -> None:
        # A bell that rings already, or nobody who listens any more, are both fine.
        with contextlib.suppress(OSError):
            self._bell.send(b"\0")

    def _acknowledge(self, router: zmq.Socket[bytes]) -> None:
        while self._done:
            client, key, future = self._done.popleft()
            self._on_the_way -= 1
            error = future.exception()
            if error is None:
                answer = future.result()
                ack = mentoring_pb2.FeedbackAck(key=key, log_sequence=answer.log_sequence, duplicate=answer.duplicate)
            elif isinstance(error, ContractError):
                ack = refused(key, error)
            else:
                logger.error("the log failed on a feedback event", exc_info=error)
                ack = refused(key, ContractError(Reason.INTERNAL, "the station could not store this event"))
            _send(router, client, ack)


def refused(key: str, refusal: ContractError) -> mentoring_pb2.FeedbackAck:
    """The acknowledgement that says why nothing was stored."""
    return mentoring_pb2.FeedbackAck(
        key=key, code=int(refusal.reason.code), reason=refusal.reason.value, message=refusal.message
    )


def _send(router: zmq.Socket[bytes], client: bytes, ack: mentoring_pb2.FeedbackAck) -> None:
    # A ROUTER drops what is for a client that has gone; that client will ask again with the same key.
    try:
        router.send_multipart([client, ack.SerializeToString()], zmq.NOBLOCK)
    except zmq.ZMQError as error:
        logger.warning("an acknowledgement could not be sent: %s", error)
