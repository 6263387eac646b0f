"""Inspection by a station, from a line PC: one picture, a stream of them, a camera's trigger, and watching it work.

Needs grpcio and numpy; pictures are sent as files, as arrays, or left in shared memory on the same host.
"""

from __future__ import annotations

import collections
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import NamedTuple

import grpc
import numpy as np
from numpy.typing import NDArray

from lineside import wire
from lineside.client.errors import station_errors
from lineside.client.requests import Rules, describe, file_request, pixels_request, with_fields
from lineside.client.shared_memory import SharedPictures, Slot
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, inspection_pb2_grpc

__all__ = [
    "EventStream",
    "InspectionClient",
    "Rules",
    "SharedPictures",
    "StreamAnswer",
    "file_request",
    "pixels_request",
]

LARGEST_ANSWER_BYTES = 64 << 20

_INSPECT = f"/{inspection_pb2.DESCRIPTOR.services_by_name['Inspection'].full_name}/Inspect"


class StreamAnswer(NamedTuple):
    """What a stream says about one request: exactly one of `result` and `error` is there."""

    tag: int
    """The request's number in the stream, from 0."""
    result: inspection_pb2.InspectionResult | None
    error: ContractError | None


class EventStream:
    """Events of a station in their order; an iterator and a context manager that hangs up."""

    def __init__(
        self, responses: Iterator[inspection_pb2.WatchResponse], hang_up: Callable[[], object], target: str
    ) -> None:
        self._responses = responses
        self._hang_up = hang_up
        self._target = target
        self._hung_up = False

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> inspection_pb2.StationEvent:
        """The next event, waiting for it.

        Raises:
            StopIteration: hung up here.
            ContractError: the station ended it (DRAINING), or the time asked for is over (DEADLINE).
            StationUnreachableError: the connection is gone.
        """
        try:
            with station_errors(self._target):
                return next(self._responses).event
        except Exception:
            if self._hung_up:
                raise StopIteration from None
            raise

    def close(self) -> None:
        """Hangs up; a waiting `next` ends. From any thread; idempotent."""
        self._hung_up = True
        self._hang_up()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InspectionClient:
    """One connection to a station's Inspection service; a context manager, usable from several threads.

    Every method raises ContractError with the station's reason, or StationUnreachableError.

    Args:
        target: HOST:PORT, or unix:PATH.
        credentials: of a TLS channel; None: an insecure one.
        timeout: seconds for the answer to one picture.
    """

    def __init__(
        self, target: str, *, credentials: grpc.ChannelCredentials | None = None, timeout: float = 30.0
    ) -> None:
        self._target = target
        self._timeout = timeout
        # The station deals out its time by caller, and over a unix socket cannot tell one connection from another.
        self._metadata = (("lineside-caller", secrets.token_hex(8)),)
        options = [
            ("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),
            ("grpc.max_send_message_length", -1),
            # A connection of its own: the station deals out its time by connection.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self._stub = inspection_pb2_grpc.InspectionStub(self._channel)
        # The same method for requests that are bytes already.
        self._inspect_bytes: grpc.UnaryUnaryMultiCallable[bytes, inspection_pb2.InspectResponse] = (
            self._channel.unary_unary(_INSPECT, response_deserializer=inspection_pb2.InspectResponse.FromString)
        )

    def inspect(self, request: inspection_pb2.InspectRequest) -> inspection_pb2.InspectionResult:
        """Judges one picture, as a request made by `file_request`, `pixels_request` or by hand."""
        with station_errors(self._target):
            return self._stub.Inspect(request, timeout=self._timeout, metadata=self._metadata).result

    def inspect_file(
        self,
        data: bytes,
        *,
        camera: str = "",
        part_id: str = "",
        frame_id: str = "",
        captured_unix_ns: int = 0,
        recipe: Rules = None,
    ) -> inspection_pb2.InspectionResult:
        """Judges a picture file: JPEG, PNG, WebP, BMP or TIFF."""
        request = file_request(
            b"", camera=camera, part_id=part_id, frame_id=frame_id, captured_unix_ns=captured_unix_ns, recipe=recipe
        )
        return self._inspect_joined(request, data)

    def inspect_pixels(
        self,
        pixels: NDArray[np.uint8],
        *,
        camera: str = "",
        part_id: str = "",
        frame_id: str = "",
        captured_unix_ns: int = 0,
        recipe: Rules = None,
    ) -> inspection_pb2.InspectionResult:
        """Judges raw pixels, uint8 (h, w) or (h, w, 3) RGB.

        Raises:
            ValueError: they are something else.
        """
        request = inspection_pb2.InspectRequest()
        describe(pixels, request.image.raw)
        with_fields(
            request, camera=camera, part_id=part_id, frame_id=frame_id, captured_unix_ns=captured_unix_ns, recipe=recipe
        )
        return self._inspect_joined(request, np.ascontiguousarray(pixels).data)

    def inspect_shared(
        self,
        shared: SharedPictures,
        pixels: NDArray[np.uint8],
        *,
        camera: str = "",
        part_id: str = "",
        frame_id: str = "",
        captured_unix_ns: int = 0,
        recipe: Rules = None,
    ) -> inspection_pb2.InspectionResult:
        """Judges raw pixels by way of shared memory, for a station on this host; they are copied into a slot.

        Raises:
            ValueError: they are no picture, or too large for a slot.
            TimeoutError: no slot was free in the time for an answer.
        """
        with shared.put(pixels, timeout=self._timeout) as slot:
            return self.inspect(
                slot.request(
                    camera=camera, part_id=part_id, frame_id=frame_id, captured_unix_ns=captured_unix_ns, recipe=recipe
                )
            )

    def stream(
        self, requests: Iterable[inspection_pb2.InspectRequest | tuple[Slot, inspection_pb2.InspectRequest]]
    ) -> Iterator[StreamAnswer]:
        """Judges many pictures: sends ahead while it waits, answers in the order of the requests.

        A picture that is refused has its error in its place and does not end the stream. A slot that comes with its
        request is given back when the answer is there; the ring needs a few more than one, or nothing is sent ahead.
        """
        slots: collections.deque[Slot | None] = collections.deque()

        def numbered() -> Iterator[inspection_pb2.InspectStreamRequest]:
            for number, item in enumerate(requests):
                slot, request = item if isinstance(item, tuple) else (None, item)
                slots.append(slot)
                yield inspection_pb2.InspectStreamRequest(request=request, tag=number)

        call = self._stub.InspectStream(numbered(), metadata=self._metadata)
        try:
            while True:
                with station_errors(self._target):
                    response = next(call, None)
                if response is None:
                    return
                answer = _stream_answer(response)
                if (slot := slots.popleft()) is not None:
                    slot.__exit__(None if answer.error is None else type(answer.error), answer.error, None)
                yield answer
        finally:
            call.cancel()
            while slots:
                if (slot := slots.popleft()) is not None:
                    slot.__exit__(StopIteration, StopIteration(), None)

    def _inspect_joined(
        self, request: inspection_pb2.InspectRequest, picture: bytes | memoryview
    ) -> inspection_pb2.InspectionResult:
        with station_errors(self._target):
            return self._inspect_bytes(
                wire.join(request, picture), timeout=self._timeout, metadata=self._metadata
            ).result

    def trigger(self, camera: str, *, part_id: str = "", recipe: Rules = None) -> inspection_pb2.InspectionResult:
        """Takes a picture with one of the station's cameras now, and judges it."""
        request = inspection_pb2.TriggerRequest(camera=camera, part_id=part_id)
        _put_rules(request, recipe)
        with station_errors(self._target):
            return self._stub.Trigger(request, timeout=self._timeout, metadata=self._metadata).result

    def cameras(self) -> list[inspection_pb2.CameraStatus]:
        """The station's own cameras: how they are, and what they have done since it started."""
        with station_errors(self._target):
            answer = self._stub.ListCameras(inspection_pb2.ListCamerasRequest(), timeout=self._timeout)
        return list(answer.cameras)

    def watch(
        self,
        *,
        from_sequence: int | None = None,
        boot_id: str = "",
        cameras: Collection[str] = (),
        timeout: float | None = None,
    ) -> EventStream:
        """Everything the station decides. When this returns, nothing that happens from now on is missed.

        Args:
            from_sequence: first event wanted, usually the last one seen plus 1; None: only what happens from now on.
            boot_id: that `from_sequence` belongs to.
            cameras: only these cameras' inspections; empty: all.
            timeout: seconds after which it ends with DEADLINE; None: never.
        """
        request = inspection_pb2.WatchRequest(boot_id=boot_id, from_sequence=from_sequence, cameras=cameras)
        call = self._stub.Watch(request, timeout=timeout)
        with station_errors(self._target):
            # A station that refuses has no first metadata either: then the status is what `next` raises.
            call.initial_metadata()
        return EventStream(call, call.cancel, self._target)

    def close(self) -> None:
        """Ends the connection; idempotent."""
        self._channel.close()

    def __enter__(self) -> InspectionClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _put_rules(request: inspection_pb2.InspectRequest | inspection_pb2.TriggerRequest, recipe: Rules) -> None:
    if isinstance(recipe, str):
        request.recipe_name = recipe
    elif recipe is not None:
        request.recipe.CopyFrom(recipe)


def _stream_answer(response: inspection_pb2.InspectStreamResponse) -> StreamAnswer:
    if response.WhichOneof("outcome") == "result":
        return StreamAnswer(response.tag, response.result, None)
    word = response.error.reason
    reason = Reason[word] if word in Reason.__members__ else Reason.INTERNAL
    return StreamAnswer(response.tag, None, ContractError(reason, response.error.message.removeprefix(f"{word}: ")))
