"""The gRPC server: which services, how many calls, and how it stops. Synchronous, with one bounded pool of threads.

The pool has a thread for every call that the lanes let in and some to spare, so a call is begun or refused at once:
what cannot be served now is never queued where nobody sees it.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from types import TracebackType
from typing import Any

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import Field

from edge.service.guard import Guard, Lane
from edge.service.inspection import PICTURE_PARSERS, InspectionServicer
from edge.service.open_inference.service import OpenInferenceServicer
from edge.settings import Settings
from lineside.open_inference import inference_pb2, inference_pb2_grpc
from lineside.v1 import inspection_pb2, inspection_pb2_grpc, model_pb2, model_pb2_grpc

logger = logging.getLogger(__name__)

INSPECTION = inspection_pb2.DESCRIPTOR.services_by_name["Inspection"].full_name
MODELS = model_pb2.DESCRIPTOR.services_by_name["Models"].full_name
OPEN_INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_MODEL_CALLS = 8
_QUERY_CALLS = 8
_SPARE_THREADS = 8
_WAITING_CALLS = 256
_TRANSPORT_SLACK_BYTES = 1 << 20
_KEEPALIVE_MS = 20_000


class GrpcSettings(Settings):
    """Section [grpc]."""

    listen: str = "127.0.0.1:50051"
    """host:port (port 0: any free one) or unix:PATH. There is no authentication: keep it on a trusted network."""
    workers: int = Field(default=16, ge=1, le=256)
    """Inspect, Trigger and ModelInfer calls at a time; one more is refused with QUEUE_FULL. Where there are several
    callers none holds more than his share, and a quarter as many places again are for callers who hold none."""
    in_work: int = Field(default=4, ge=1, le=256)
    """Pictures of callers in work at a time, from their decoding to their verdict; the others wait, callers in turn.
    One is in the engine, one prepared, one being decoded and one being answered."""
    streams: int = Field(default=16, ge=1, le=256)
    """InspectStream and ModelStreamInfer calls at a time."""
    watchers: int = Field(default=32, ge=1, le=1024)
    """Watch calls at a time, of both services together."""
    max_message_mb: int = Field(default=64, ge=1, le=1024)
    """Largest message, MiB; a raw 5-megapixel RGB picture has 15."""
    drain_seconds: float = Field(default=8.0, ge=0, le=3600)
    """How long calls in flight may take when the station stops."""
    open_inference: bool = True
    """Answer clients of the Open Inference Protocol (Triton, KServe) as well."""
    open_inference_batch: int = Field(default=8, ge=1, le=256)
    """Pictures one of their requests may hold."""
    request_recipes: bool = True
    """Whether a request may bring its own rules; else it may only name a recipe of the station."""
    reflection: bool = False
    """Tell callers which services and messages there are: for developers."""
    channelz: bool = False
    """Tell callers about the server's connections: for finding faults."""


class GrpcServer:
    """A context manager: entering listens, leaving drains.

    Args:
        settings: of the section.
        inspection: the service.
        models: the service, or None where the station has none.
        open_inference: the service, or None where the station does not offer it.
    """

    def __init__(
        self,
        settings: GrpcSettings,
        *,
        inspection: InspectionServicer,
        models: model_pb2_grpc.ModelsServicer | None = None,
        open_inference: OpenInferenceServicer | None = None,
    ) -> None:
        self._settings = settings
        self._inspection = inspection
        self._open_inference = open_inference
        self._draining = False
        self._lock = threading.Lock()
        self._judging = Lane("Inspect, Trigger and ModelInfer", settings.workers, reserve=settings.workers // 4)
        self._streaming = Lane("InspectStream and ModelStreamInfer", settings.streams)
        watching = Lane("Watch", settings.watchers)
        self._managing = Lane("Models", _MODEL_CALLS)
        lanes = {
            f"/{INSPECTION}/": self._judging,
            f"/{INSPECTION}/InspectStream": self._streaming,
            f"/{INSPECTION}/Watch": watching,
            f"/{MODELS}/": self._managing,
            f"/{MODELS}/Watch": watching,
            f"/{OPEN_INFERENCE}/": Lane("models' descriptions", _QUERY_CALLS),
            f"/{OPEN_INFERENCE}/ModelInfer": self._judging,
            f"/{OPEN_INFERENCE}/ModelStreamInfer": self._streaming,
        }
        threads = sum(lane.limit + lane.reserve for lane in set(lanes.values())) + _SPARE_THREADS
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        maximum_bytes = settings.max_message_mb << 20
        self._server = grpc.server(
            self._pool,
            interceptors=[
                Guard(
                    lanes=lanes, draining=lambda: self._draining, maximum_bytes=maximum_bytes, parsers=PICTURE_PARSERS
                )
            ],
            maximum_concurrent_rpcs=threads + _WAITING_CALLS,
            options=[
                # A little more than ours, so that a message just too large is refused in the contract's words.
                ("grpc.max_receive_message_length", maximum_bytes + _TRANSPORT_SLACK_BYTES),
                ("grpc.max_send_message_length", maximum_bytes),
                # A link that died in silence must not hold its place in a lane until TCP gives up (15 minutes).
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
                # Clients ask as well, while a push waits for its trial; gRPC's default would hang up on them.
                ("grpc.http2.max_ping_strikes", 0),
                # Without this two stations could share a port, each getting half of the calls.
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health: Any = health.HealthServicer()
        services = [INSPECTION, health.SERVICE_NAME]
        inspection_pb2_grpc.add_InspectionServicer_to_server(inspection, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._models = models is not None
        if models is not None:
            model_pb2_grpc.add_ModelsServicer_to_server(models, self._server)
            services.append(MODELS)
        if open_inference is not None:
            inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(open_inference, self._server)
            services.append(OPEN_INFERENCE)
        self._judging_services = [INSPECTION, *([] if open_inference is None else [OPEN_INFERENCE])]
        if settings.channelz:
            channelz.add_channelz_servicer(self._server)
        if settings.reflection:
            reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], self._server)
        self.address = ""
        """Where it listens, as a client needs it; known once entered."""

    def __enter__(self) -> GrpcServer:
        """Listens.

        Raises:
            OSError: the address cannot be had.
        """
        listen = self._settings.listen
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError:
            port = 0
        if not port:
            raise OSError(f"[grpc] listen: {listen} cannot be had; is another station running, or the address wrong?")
        self.address = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
        self.model_serves(False)
        if self._models:
            self._health.set(MODELS, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()
        logger.info("gRPC listens on %s", self.address)
        return self

    def model_serves(self, serves: bool) -> None:
        """Health of the services that judge, and of the station as a whole: NOT_SERVING while there is no model."""
        with self._lock:
            if self._draining:
                return
            answer = health_pb2.HealthCheckResponse.SERVING if serves else health_pb2.HealthCheckResponse.NOT_SERVING
            for service in ("", *self._judging_services):
                self._health.set(service, answer)

    def output_connected(self, name: str, connected: bool) -> None:
        """Health of a line output, as the service `lineside.output.NAME`: NOT_SERVING while nobody is connected."""
        with self._lock:
            if not self._draining:
                served = health_pb2.HealthCheckResponse
                self._health.set(f"lineside.output.{name}", served.SERVING if connected else served.NOT_SERVING)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finishes calls in flight, refuses new ones with DRAINING, then stops listening; idempotent."""
        with self._lock:
            if self._draining:
                return
            self._draining = True
        self._health.enter_graceful_shutdown()
        limit = self._settings.drain_seconds
        if not self._judging.idle(limit):
            logger.warning("calls were still running after %.1f s and are cut off", limit)
        # The streams after the calls, so that watchers are told the last verdicts as well.
        self._inspection.finish()
        if self._open_inference is not None:
            self._open_inference.finish()
        self._streaming.idle(min(limit, 2.0))
        self._server.stop(grace=min(limit, 1.0)).wait()
        self._pool.shutdown(wait=False)
        logger.info("gRPC has stopped")
