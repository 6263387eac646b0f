"""Sends one RPC after another almost-right requests and looks at what comes back. See benchmarks/fuzz.py."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError, Message

from benchmarks.fuzz_requests import Mutator
from benchmarks.fuzz_seeds import Station, push_of, seeds_of
from lineside.open_inference import inference_pb2
from lineside.reasons import Reason
from lineside.v1 import inspection_pb2, model_pb2

IN_FLIGHT = 6
"""Unary calls at a time: fewer than the station takes, so that few are refused unread."""
STREAM_LENGTH = 20
"""Requests of one stream."""
DAMAGED_SHARE = 0.1
TIMEOUT_SECONDS = 60.0
MOST_ANSWERS = 5
"""Read of one answer that is a stream."""
_LAST = ("Prepare", "Activate", "Confirm", "Rollback", "Push", "Freeze")
"""They change what the station does, so the others come before them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """One method of one service."""

    path: str
    """/package.Service/Method"""
    request: type[Message]
    response: type[Message]
    requests_stream: bool
    responses_stream: bool


@dataclasses.dataclass(slots=True)
class Row:
    """What came back from one RPC."""

    rpc: str
    requests: int = 0
    answered: int = 0
    refused: Counter[str] = dataclasses.field(default_factory=Counter)
    """By reason."""
    troubles: list[str] = dataclasses.field(default_factory=list)


def rpcs() -> list[Rpc]:
    """Every method of the station's own services, those that change its models last."""
    found = [
        Rpc(
            path=f"/{service.full_name}/{method.name}",
            request=message_factory.GetMessageClass(method.input_type),
            response=message_factory.GetMessageClass(method.output_type),
            requests_stream=bool(method.client_streaming),
            responses_stream=bool(method.server_streaming),
        )
        for file in (inspection_pb2, inference_pb2, model_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    order = {name: number for number, name in enumerate(_LAST, start=1)}
    return sorted(found, key=lambda rpc: order.get(rpc.path.rpartition("/")[2], 0))


class Fuzzer:
    """One station under attack.

    Args:
        address: of its gRPC.
        station: what requests can be about.
        secrets: bytes that must not stand in any answer.
        seed: of the requests.
    """

    def __init__(self, address: str, station: Station, secrets: Sequence[bytes], seed: int) -> None:
        self._channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
        self._station = station
        self._secrets = tuple(secrets)
        self._seed = seed

    def close(self) -> None:
        """Hangs up."""
        self._channel.close()

    def attack(self, rpc: Rpc, requests: int) -> Row:
        """Sends so many requests to one RPC."""
        chance = random.Random(f"{self._seed}{rpc.path}")
        seeds = seeds_of(rpc.path, self._station) or [rpc.request()]
        mutator = Mutator(chance, seeds)
        row = Row(rpc=rpc.path.lstrip("/"))

        def one(damaged: float = DAMAGED_SHARE) -> bytes:
            if chance.random() < damaged:
                return mutator.damaged(chance.choice(seeds).SerializeToString())
            return mutator.changed(chance.choice(seeds)).SerializeToString()

        if rpc.requests_stream and rpc.responses_stream:
            # What is no message ends its stream, so it comes last.
            ends = range(STREAM_LENGTH - 1, requests, STREAM_LENGTH)
            self._streams(rpc, row, [one(0.5 if number in ends else 0.0) for number in range(requests)])
        elif rpc.requests_stream:
            for _ in range(requests):
                self._push(rpc, row, push_of(self._station, chance, mutator))
        elif rpc.responses_stream:
            for _ in range(requests):
                self._watch(rpc, row, one())
        else:
            self._unary(rpc, row, (one() for _ in range(requests)))
        return row

    def _unary(self, rpc: Rpc, row: Row, requests: Iterator[bytes]) -> None:
        call: Any = self._channel.unary_unary(rpc.path)
        pending: deque[Any] = deque()
        for data in itertools.chain(requests, [None] * IN_FLIGHT):
            if len(pending) == IN_FLIGHT or (data is None and pending):
                self._judge(rpc, row, pending.popleft().result)
            if data is not None:
                row.requests += 1
                pending.append(call.future(data, timeout=TIMEOUT_SECONDS))

    def _push(self, rpc: Rpc, row: Row, messages: list[bytes]) -> None:
        row.requests += 1
        call: Any = self._channel.stream_unary(rpc.path)
        self._judge(rpc, row, lambda: call(iter(messages), timeout=TIMEOUT_SECONDS))

    def _watch(self, rpc: Rpc, row: Row, data: bytes) -> None:
        row.requests += 1
        method: Any = self._channel.unary_stream(rpc.path)
        call = method(data, timeout=TIMEOUT_SECONDS)

        def read() -> bytes:
            call.initial_metadata()  # a watcher is told that he watches; then there may be nothing for long
            if rpc.path.endswith("/Watch") and call.is_active():
                return b""
            return b"".join(itertools.islice(call, MOST_ANSWERS))

        self._judge(rpc, row, read, parse=False)
        call.cancel()

    def _streams(self, rpc: Rpc, row: Row, requests: list[bytes]) -> None:
        call: Any = self._channel.stream_stream(rpc.path)
        for start in range(0, len(requests), STREAM_LENGTH):
            items = requests[start : start + STREAM_LENGTH]
            row.requests += len(items)
            answers: list[bytes] = []

            def read(items: list[bytes] = items, answers: list[bytes] = answers) -> bytes:
                answers.extend(call(iter(items), timeout=TIMEOUT_SECONDS))
                return b""

            whole = self._judge(rpc, row, read, parse=False)
            row.answered -= whole
            if whole and len(answers) != len(items):
                row.troubles.append(f"{len(answers)} answers to {len(items)} requests of a stream")
            for data in answers:
                self._look_at(rpc, row, data)

    def _judge(self, rpc: Rpc, row: Row, answer: Callable[[], bytes], *, parse: bool = True) -> bool:
        """Waits for one answer and looks at it; whether there was one."""
        try:
            data = answer()
        except grpc.RpcError as error:
            trouble = self._refusal(row, error)
            if trouble:
                row.troubles.append(trouble)
            return False
        if parse:
            self._look_at(rpc, row, data)
        else:
            row.answered += 1
            self._leaks(row, data)
        return True

    def _look_at(self, rpc: Rpc, row: Row, data: bytes) -> None:
        self._leaks(row, data)
        try:
            message = rpc.response.FromString(data)
        except DecodeError:
            row.troubles.append("an answer that is no message of its method")
            return
        reason = _reason_inside(message)
        if reason is None:
            row.answered += 1
        elif reason in Reason.__members__ and reason != Reason.INTERNAL.value:
            row.refused[reason] += 1
        else:
            row.troubles.append(f"{reason!r} in the place of an answer")

    def _refusal(self, row: Row, error: Any) -> str:
        code, details = error.code(), error.details() or ""
        word = str(dict(error.trailing_metadata() or ()).get("lineside-reason", ""))
        self._leaks(row, details.encode())
        if word not in Reason.__members__ or Reason[word].code != code.value[0]:
            return f"{code.name} with the reason {word!r}: {details[:200]}"
        if word == Reason.INTERNAL.value or not details.startswith(f"{word}: ") or "\n" in details:
            return f"{code.name}: {details[:200]}"
        row.refused[word] += 1
        return ""

    def _leaks(self, row: Row, data: bytes) -> None:
        for secret in self._secrets:
            if secret in data:
                row.troubles.append(f"an answer holds {secret.decode()!r}")


def _reason_inside(message: Message) -> str | None:
    """Of an error in the place of an answer; None: it is an answer."""
    if isinstance(message, inspection_pb2.InspectStreamResponse):
        return message.error.reason if message.WhichOneof("outcome") != "result" else None
    if isinstance(message, inference_pb2.ModelStreamInferResponse):
        return message.error_message.partition(":")[0] if message.error_message else None
    return None
