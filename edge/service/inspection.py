"""The service Inspection: requests become frames, decisions become answers. Decides nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import grpc

from edge.cameras.thread import CameraThread
from edge.events import EventBus
from edge.inspection import Inspection
from edge.service.cameras import camera_status
from edge.service.guard import arrival_ns
from edge.service.images import read_image
from edge.service.in_order import InOrder
from edge.service.judging import Asked, Judge, check_part_id, deadline_of, refuse_if_late
from edge.service.open_streams import OpenStreams
from edge.service.status import contract_errors, contract_errors_stream, error_message, unforeseen
from lineside import wire
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, inspection_pb2_grpc

STREAM_DEPTH = 3
"""Pictures of one stream in work at a time: one is decoded, one prepared, one in the engine."""


_SERVICE = inspection_pb2.DESCRIPTOR.services_by_name["Inspection"].full_name
PICTURE_PARSERS = {f"/{_SERVICE}/Inspect": wire.split, f"/{_SERVICE}/InspectStream": wire.split_stream}
"""How requests that may hold megabytes are made of their bytes; the methods below get what these give."""


class _Numbered(NamedTuple):
    """A request of a stream with its place among all requests and the time it came."""

    number: int
    arrived_ns: int
    request: wire.Parsed[inspection_pb2.InspectStreamRequest]


class InspectionServicer(inspection_pb2_grpc.InspectionServicer):
    """Answers line PCs.

    Args:
        judge: brings a request to its verdict.
        bus: what watchers read.
        cameras: by name, for Trigger.
    """

    def __init__(self, *, judge: Judge, bus: EventBus, cameras: Mapping[str, CameraThread]) -> None:
        self._judge = judge
        self._bus = bus
        self._cameras = cameras
        self._streams = OpenStreams()

    @contract_errors
    def Inspect(  # type: ignore[override]  # noqa: N802 - the contract's name, and the guard's parser
        self, request: wire.Parsed[inspection_pb2.InspectRequest], context: grpc.ServicerContext
    ) -> inspection_pb2.InspectResponse:
        """One picture, one verdict."""
        inspection = self._decide(request.message, request.picture, self._judge.next_number(), arrival_ns(), context)
        return inspection_pb2.InspectResponse(result=inspection.to_message())

    @contract_errors_stream
    def InspectStream(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: Iterator[wire.Parsed[inspection_pb2.InspectStreamRequest]],
        context: grpc.ServicerContext,
    ) -> Iterator[inspection_pb2.InspectStreamResponse]:
        """Many pictures, answers in their order; a refused one is an Error in its place."""

        def answer(item: _Numbered) -> inspection_pb2.InspectStreamResponse:
            message, picture = item.request
            tag = message.tag
            try:
                inspection = self._decide(message.request, picture, item.number, item.arrived_ns, context)
            except ContractError as error:
                return inspection_pb2.InspectStreamResponse(tag=tag, error=error_message(error))
            except Exception as error:
                return inspection_pb2.InspectStreamResponse(tag=tag, error=error_message(unforeseen(error)))
            return inspection_pb2.InspectStreamResponse(tag=tag, result=inspection.to_message())

        # Numbered where it is read, so that the numbers follow the order of the stream.
        numbered = (_Numbered(self._judge.next_number(), arrival_ns(), request) for request in request_iterator)
        answers = InOrder(numbered, answer, depth=STREAM_DEPTH)
        with self._streams.holding(answers):
            yield from answers
        self._streams.refuse_if_finished()

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
            with self._streams.holding(events):
                # Tells the caller that from now on he misses nothing.
                context.send_initial_metadata(())
                while (event := events.get()) is not None:
                    yield inspection_pb2.WatchResponse(event=event)
        self._streams.refuse_if_finished()

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
        check_part_id(request.part_id)
        rules = self._judge.rules_of(request)
        judge = None if rules is None else self._judge.under(rules)
        inspection = camera.trigger(request.part_id, deadline_monotonic_ns=deadline_of(context), judge=judge)
        refuse_if_late(inspection)
        return inspection_pb2.TriggerResponse(result=inspection.to_message())

    @contract_errors
    def ListCameras(  # noqa: N802
        self,
        request: inspection_pb2.ListCamerasRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inspection_pb2.ListCamerasResponse:
        """The station's cameras as they are now."""
        return inspection_pb2.ListCamerasResponse(cameras=[camera_status(camera) for camera in self._cameras.values()])

    def finish(self) -> None:
        """Ends the streams: what was read is answered, what was published is told, then DRAINING."""
        self._streams.finish()

    def _decide(
        self,
        request: inspection_pb2.InspectRequest,
        picture: memoryview | None,
        number: int,
        arrived_ns: int,
        context: grpc.ServicerContext,
    ) -> Inspection:
        asked = Asked(
            camera=request.camera,
            part_id=request.part_id,
            frame_id=request.frame_id,
            captured_unix_ns=request.captured_unix_ns,
            rules=self._judge.rules_of(request),
        )
        return self._judge(asked, lambda: read_image(request.image, picture), number, arrived_ns, context)
