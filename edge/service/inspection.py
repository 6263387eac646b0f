"""The service Inspection: requests become frames, decisions become answers. Decides nothing itself."""

from __future__ import annotations

import collections
import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import grpc

from edge.cameras.thread import CameraThread
from edge.events import EventBus, Subscription
from edge.frame import LONGEST_PART_ID, Frame, is_camera_name
from edge.inspection import Inspection, Verdict
from edge.pipeline import Pipeline
from edge.service.guard import arrival_ns
from edge.service.images import read_image
from edge.service.in_order import InOrder
from edge.service.status import contract_errors, contract_errors_stream, error_message, unforeseen
from lineside.ids import is_frame_id, new_frame_id
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, inspection_pb2_grpc

CAMERA_OF_CALLERS = "grpc"
"""Where a request names no camera."""
STREAM_DEPTH = 3
"""Pictures of one stream in work at a time: one is decoded, one prepared, one in the engine."""
_FOR_EVER_SECONDS = 86400.0
REMEMBERED_FRAME_IDS = 65536
"""So many of the callers' latest frame ids are known again."""


class FrameIds:
    """The callers' latest frame ids, so that none is used twice. Thread-safe."""

    def __init__(self, keep: int = REMEMBERED_FRAME_IDS) -> None:
        self._lock = threading.Lock()
        self._order: collections.deque[str] = collections.deque()
        self._known: set[str] = set()
        self._keep = keep

    def claim(self, frame_id: str) -> None:
        """Marks an id as used.

        Raises:
            ContractError: FRAME_REUSED.
        """
        with self._lock:
            if frame_id in self._known:
                raise ContractError(
                    Reason.FRAME_REUSED, f"frame_id {frame_id} has been used before; a frame id is for one picture only"
                )
            self._known.add(frame_id)
            self._order.append(frame_id)
            if len(self._order) > self._keep:
                self._known.discard(self._order.popleft())


class _Numbered(NamedTuple):
    """A request of a stream with its place among all requests and the time it came."""

    number: int
    arrived_ns: int
    request: inspection_pb2.InspectStreamRequest


class InspectionServicer(inspection_pb2_grpc.InspectionServicer):
    """Answers line PCs.

    Args:
        pipeline: judges.
        bus: what watchers read.
        cameras: by name, for Trigger.
    """

    def __init__(self, *, pipeline: Pipeline, bus: EventBus, cameras: Mapping[str, CameraThread]) -> None:
        self._pipeline = pipeline
        self._bus = bus
        self._cameras = cameras
        self._numbers = itertools.count(1)
        self._frame_ids = FrameIds()
        self._lock = threading.Lock()
        self._open: set[InOrder[_Numbered, inspection_pb2.InspectStreamResponse] | Subscription] = set()
        self._finished = False

    @contract_errors
    def Inspect(  # noqa: N802 - the contract's name
        self, request: inspection_pb2.InspectRequest, context: grpc.ServicerContext
    ) -> inspection_pb2.InspectResponse:
        """One picture, one verdict."""
        inspection = self._judge(request, next(self._numbers), arrival_ns(), context)
        return inspection_pb2.InspectResponse(result=inspection.to_message())

    @contract_errors_stream
    def InspectStream(  # noqa: N802
        self, request_iterator: Iterator[inspection_pb2.InspectStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[inspection_pb2.InspectStreamResponse]:
        """Many pictures, answers in their order; a refused one is an Error in its place."""

        def answer(item: _Numbered) -> inspection_pb2.InspectStreamResponse:
            tag = item.request.tag
            try:
                inspection = self._judge(item.request.request, item.number, item.arrived_ns, context)
            except ContractError as error:
                return inspection_pb2.InspectStreamResponse(tag=tag, error=error_message(error))
            except Exception as error:
                return inspection_pb2.InspectStreamResponse(tag=tag, error=error_message(unforeseen(error)))
            return inspection_pb2.InspectStreamResponse(tag=tag, result=inspection.to_message())

        # Numbered where it is read, so that the numbers follow the order of the stream.
        numbered = (_Numbered(next(self._numbers), arrival_ns(), request) for request in request_iterator)
        answers = InOrder(numbered, answer, depth=STREAM_DEPTH)
        self._register(answers)
        try:
            yield from answers
        finally:
            self._forget(answers)
        self._refuse_if_finished()

    @contract_errors_stream
    def Watch(  # noqa: N802
        self, request: inspection_pb2.WatchRequest, context: grpc.ServicerContext
    ) -> Iterator[inspection_pb2.WatchResponse]:
        """Everything the station decides, until the caller hangs up or the station stops."""
        from_sequence = request.from_sequence if request.HasField("from_sequence") else None
        with self._bus.subscribe(
            boot_id=request.boot_id, from_sequence=from_sequence, cameras=tuple(request.cameras)
        ) as events:
            if not context.add_callback(events.close):
                return
            self._register(events)
            try:
                # Tells the caller that from now on he misses nothing.
                context.send_initial_metadata(())
                while (event := events.get()) is not None:
                    yield inspection_pb2.WatchResponse(event=event)
            finally:
                self._forget(events)
        self._refuse_if_finished()

    @contract_errors
    def Trigger(  # noqa: N802
        self, request: inspection_pb2.TriggerRequest, context: grpc.ServicerContext
    ) -> inspection_pb2.TriggerResponse:
        """A picture of one of the station's cameras, taken now."""
        camera = self._cameras.get(request.camera)
        if camera is None:
            there_are = ", ".join(sorted(self._cameras)) or "none"
            raise ContractError(
                Reason.CAMERA_UNKNOWN, f"no camera {request.camera[:80]!r} at this station; there are: {there_are}"
            )
        _check_part_id(request.part_id)
        inspection = camera.trigger(request.part_id, deadline_monotonic_ns=_deadline(context))
        _refuse_if_late(inspection)
        return inspection_pb2.TriggerResponse(result=inspection.to_message())

    def finish(self) -> None:
        """Ends the streams: what was read is answered, what was published is told, then DRAINING."""
        with self._lock:
            self._finished = True
            for stream in self._open:
                stream.finish()

    def _judge(
        self, request: inspection_pb2.InspectRequest, number: int, arrived_ns: int, context: grpc.ServicerContext
    ) -> Inspection:
        started_ns = time.monotonic_ns()
        deadline_ns = _deadline(context)
        if not context.is_active() or (deadline_ns is not None and started_ns >= deadline_ns):
            raise ContractError(Reason.DEADLINE, "the caller's time was over before a worker was free; allow more time")
        camera = request.camera or CAMERA_OF_CALLERS
        _check_request(request, camera)
        image = read_image(request.image)
        decoded_ns = time.monotonic_ns()
        if request.frame_id:
            self._frame_ids.claim(request.frame_id)
        frame = Frame(
            frame_id=request.frame_id or new_frame_id(),
            camera=camera,
            part_id=request.part_id,
            camera_sequence=number,
            captured_unix_ns=request.captured_unix_ns or time.time_ns() - (decoded_ns - arrived_ns),
            captured_monotonic_ns=arrived_ns,
            pixels=image.pixels,
            source=image.source,
            source_suffix=image.source_suffix,
        )
        inspection = self._pipeline.inspect(
            frame,
            queue_us=max(0, started_ns - arrived_ns) // 1000,
            decode_us=(decoded_ns - started_ns) // 1000,
            deadline_monotonic_ns=deadline_ns,
        )
        _refuse_if_late(inspection)
        return inspection

    def _register(self, stream: InOrder[_Numbered, inspection_pb2.InspectStreamResponse] | Subscription) -> None:
        with self._lock:
            self._open.add(stream)
            if self._finished:
                stream.finish()

    def _forget(self, stream: InOrder[_Numbered, inspection_pb2.InspectStreamResponse] | Subscription) -> None:
        with self._lock:
            self._open.discard(stream)

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise ContractError(Reason.DRAINING, "the station is shutting down; call again when it is back")


def _check_request(request: inspection_pb2.InspectRequest, camera: str) -> None:
    if not is_camera_name(camera):
        raise ContractError(
            Reason.REQUEST_MALFORMED,
            f"camera is {camera[:80]!r}, expected 1 to 64 letters, digits, '-', '_' or '.'",
        )
    _check_part_id(request.part_id)
    if request.frame_id and not is_frame_id(request.frame_id):
        raise ContractError(
            Reason.REQUEST_MALFORMED,
            f"frame_id is {request.frame_id[:80]!r}, expected a UUIDv7 in lower case, or none",
        )
    if request.captured_unix_ns < 0:
        raise ContractError(
            Reason.REQUEST_MALFORMED, f"captured_unix_ns is {request.captured_unix_ns}, expected 0 or later"
        )


def _check_part_id(part_id: str) -> None:
    if len(part_id) > LONGEST_PART_ID:
        raise ContractError(
            Reason.REQUEST_MALFORMED, f"part_id has {len(part_id)} characters, expected at most {LONGEST_PART_ID}"
        )


def _deadline(context: grpc.ServicerContext) -> int | None:
    """On the monotonic clock in nanoseconds; None: the caller waits for ever, which gRPC says with some 290 years."""
    left = context.time_remaining()
    if left is None or left > _FOR_EVER_SECONDS:
        return None
    return time.monotonic_ns() + int(left * 1e9)


def _refuse_if_late(inspection: Inspection) -> None:
    if inspection.verdict is Verdict.NO_VERDICT and inspection.verdict_reason == Reason.DEADLINE.value:
        raise ContractError(Reason.DEADLINE, "the caller's time was over before there was a verdict; allow more time")
