"""An operator's side of the feedback socket: says something once, and knows that it is on the station's disk."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
import uuid
from collections.abc import Iterable
from types import TracebackType

import zmq
import zmq.utils.monitor
from google.protobuf.message import DecodeError

from lineside.client.curve import CurveKeys
from lineside.client.errors import StationUnreachableError
from lineside.reasons import ContractError, Reason
from lineside.v1 import mentoring_pb2

WORTH_ANOTHER_TRY = frozenset({Reason.QUEUE_FULL.value, Reason.DRAINING.value, Reason.STORAGE_FAULT.value})
"""Refusals that pass by themselves."""
_PAUSE_SECONDS = 0.1


@dataclasses.dataclass(slots=True)
class _Waiting:
    place: int
    request: bytes
    due: float
    """When to send it again."""
    tries_left: int


class FeedbackClient(contextlib.AbstractContextManager["FeedbackClient"]):
    """Sends feedback, again with the same key until it is acknowledged. For one thread at a time.

    Args:
        endpoint: of the station, e.g. tcp://station:5557.
        operator: who speaks, where a message does not say; a station with CURVE goes by the key instead.
        curve: keys, for a station with CURVE.
        timeout: seconds to wait for an acknowledgement before sending again.
        tries: how often to send at all.
        window: most events on their way at once in `send_many`.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        operator: str = "",
        curve: CurveKeys | None = None,
        timeout: float = 3.0,
        tries: int = 5,
        window: int = 64,
    ) -> None:
        if timeout <= 0 or tries < 1 or window < 1:
            raise ValueError(f"timeout {timeout}, tries {tries} and window {window} must be above 0")
        self._endpoint = endpoint
        self._operator = operator
        self._timeout = timeout
        self._tries = tries
        self._window = window
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        # One more than can ever wait: sending never blocks.
        self._socket.sndhwm = window * tries + 1
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        try:
            if curve is not None:
                curve.apply(self._socket)
            self._socket.connect(endpoint)
        except BaseException:
            self.close()
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; idempotent."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()
        self._context.term()

    def send(self, feedback: mentoring_pb2.Feedback) -> mentoring_pb2.FeedbackAck:
        """Sends one event and waits until it is on the station's disk.

        Args:
            feedback: an empty key, operator, revision (1) or client_unix_ns (now) is filled in, in the message given,
                so that sending the same message again means the same event.

        Raises:
            ContractError: the station refused it; nothing was stored.
            StationUnreachableError: no acknowledgement came. It may be stored or not; sending the message again tells.
        """
        (ack,) = self.send_many([feedback])
        if ack.code:
            raise ContractError(_reason(ack.reason), ack.message)
        return ack

    def send_many(self, events: Iterable[mentoring_pb2.Feedback]) -> list[mentoring_pb2.FeedbackAck]:
        """Sends events without waiting for each; refusals are in the acknowledgements.

        Args:
            events: as in `send`. Reads from it as far as the window allows.

        Returns:
            The acknowledgements, in the order of the events.

        Raises:
            ContractError: UNAUTHENTICATED, the station does not know this client's key.
            StationUnreachableError: as in `send`.
        """
        source = iter(events)
        acks: dict[int, mentoring_pb2.FeedbackAck] = {}
        waiting: dict[str, collections.deque[_Waiting]] = {}
        sent = on_the_way = 0
        exhausted = False
        while True:
            while not exhausted and on_the_way < self._window:
                feedback = next(source, None)
                if feedback is None:
                    exhausted = True
                    break
                self._complete(feedback)
                request = mentoring_pb2.FeedbackRequest(feedback=feedback).SerializeToString()
                item = _Waiting(place=sent, request=request, due=0.0, tries_left=self._tries)
                self._transmit(item)
                waiting.setdefault(feedback.key, collections.deque()).append(item)
                sent += 1
                on_the_way += 1
            if not waiting:
                return [acks[place] for place in range(sent)]
            for ack in self._receive(min(item.due for queue in waiting.values() for item in queue)):
                queue = waiting.get(ack.key)
                if queue is None:
                    continue  # the answer to an earlier try, or to an earlier call
                if ack.reason in WORTH_ANOTHER_TRY and queue[0].tries_left > 0:
                    queue[0].due = time.monotonic() + _PAUSE_SECONDS
                    continue
                acks[queue.popleft().place] = ack
                on_the_way -= 1
                if not queue:
                    del waiting[ack.key]
            now = time.monotonic()
            for queue in waiting.values():
                for item in queue:
                    if item.due <= now:
                        self._transmit(item)

    def _complete(self, feedback: mentoring_pb2.Feedback) -> None:
        feedback.key = feedback.key or str(uuid.uuid4())
        feedback.operator = feedback.operator or self._operator
        feedback.revision = feedback.revision or 1
        feedback.client_unix_ns = feedback.client_unix_ns or time.time_ns()

    def _transmit(self, item: _Waiting) -> None:
        if item.tries_left == 0:
            raise StationUnreachableError(
                f"no acknowledgement from {self._endpoint} in {self._tries} times {self._timeout:g} s; is the address"
                " right, the station running, and CURVE used on both sides or on none? Send the same again later"
            )
        item.tries_left -= 1
        item.due = time.monotonic() + self._timeout
        with contextlib.suppress(zmq.Again):  # a full pipe: counts as a try that was not answered
            self._socket.send(item.request, zmq.NOBLOCK)

    def _receive(self, until: float) -> list[mentoring_pb2.FeedbackAck]:
        """What has come by then; waits for a first one."""
        ready = dict(self._poller.poll(max(0, round((until - time.monotonic()) * 1000))))
        if self._monitor in ready:
            event = zmq.utils.monitor.recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise ContractError(
                    Reason.UNAUTHENTICATED, f"the station at {self._endpoint} does not know the key of this client"
                )
        acks = []
        with contextlib.suppress(zmq.Again):
            while True:
                # What is no acknowledgement did not come from a station.
                with contextlib.suppress(DecodeError):
                    acks.append(mentoring_pb2.FeedbackAck.FromString(self._socket.recv(zmq.NOBLOCK)))
        return acks


def _reason(word: str) -> Reason:
    # A newer station may know words that this client does not.
    return Reason[word] if word in Reason.__members__ else Reason.INTERNAL
