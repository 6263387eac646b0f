"""The station: wires its parts and decides nothing. Three verbs: start, serve, shut down.

Everything sits on one stack, so stopping is starting in reverse. The first SIGTERM or SIGINT is polite: calls in
flight are finished, new ones are told DRAINING, what is queued for the disk is written. The second one is final.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector

from edge.backends import open_backend
from edge.cameras import make_camera
from edge.cameras.contract import CameraState, Pace
from edge.cameras.group import CameraGroup
from edge.cameras.judging import BadFrame
from edge.cameras.metrics import CameraMetrics
from edge.cameras.thread import CameraThread
from edge.config import StationConfig
from edge.data_folder import locked, run_file
from edge.events import EventBus
from edge.frame import Frame
from edge.inspection import Inspection
from edge.mentoring.feedback import message_of
from edge.mentoring.log import MentoringLog
from edge.mentoring.selection import Selector
from edge.metrics.models import ModelCounters, ModelGauges
from edge.metrics.server import MetricsServer
from edge.metrics.serving import ServingMetrics
from edge.models.engine_builds import ENGINES_FOLDER
from edge.models.manager import ModelManager
from edge.outputs.board import Outputs
from edge.outputs.contract import OutputState
from edge.outputs.metrics import OutputMetrics
from edge.panel.parts import PanelParts
from edge.panel.server import PanelServer
from edge.pipeline import Observer, Pipeline
from edge.report import StationReporter
from edge.service.cameras import CAMERA_STATES
from edge.service.inspection import InspectionServicer
from edge.service.judging import Judge
from edge.service.models import ModelsServicer
from edge.service.open_inference.service import OpenInferenceServicer
from edge.service.server import GrpcServer
from edge.service.shared_memory import Sweeper
from edge.stream.curve import CurveGuard
from edge.stream.feedback import FeedbackRouter
from edge.stream.publisher import DetectionPublisher
from edge.verdict import RecipeSettings
from lineside.records import FeedbackEvent
from lineside.v1 import inspection_pb2, mentoring_pb2, model_pb2

logger = logging.getLogger(__name__)

Part = TypeVar("Part")

_OUTPUT_STATES = {
    OutputState.WAITING: inspection_pb2.OUTPUT_STATE_WAITING,
    OutputState.CONNECTED: inspection_pb2.OUTPUT_STATE_CONNECTED,
    OutputState.LOST: inspection_pb2.OUTPUT_STATE_LOST,
}


def run(config: StationConfig) -> None:
    """Runs a station until it is told to stop.

    Raises:
        OSError: an address or the data folder cannot be had.
        ValueError, FileNotFoundError: a key file is missing or none.
        ContractError: the mentoring log cannot be used.
    """
    asyncio.run(_run(config))


async def _run(config: StationConfig) -> None:
    stopping = asyncio.Event()
    _take_signals(stopping)
    started = time.monotonic()
    async with station(config):
        logger.info("station %s is ready after %.1f s", config.station.name, time.monotonic() - started)
        await stopping.wait()
        logger.info("station %s is stopping", config.station.name)
    logger.info("station %s has stopped", config.station.name)


@contextlib.asynccontextmanager
async def station(config: StationConfig) -> AsyncIterator[None]:
    """All parts of a station, running while inside."""
    boot_id = uuid.uuid4().hex
    async with contextlib.AsyncExitStack() as stack:
        await _enter(stack, locked(config.station.data_dir))
        bus = EventBus(boot_id)
        stack.callback(bus.close)
        log = await _enter(
            stack,
            MentoringLog(config.mentoring_root, config.mentoring, _tell_feedback(bus), boot_id=boot_id),
        )
        health = _Health()
        registry = CollectorRegistry()
        counters = ModelCounters(registry)
        manager = await _enter(
            stack,
            ModelManager(
                config.models,
                config.station.data_dir,
                functools.partial(open_backend, engines=config.station.data_dir / ENGINES_FOLDER),
                _tell_model(bus, health, counters),
                log.model_seen,
                recipes=config.recipes,
                log=config.mentoring_root,
                on_deed=counters.deed,
            ),
        )
        counters.begins_with("" if manager.slot.serving is None else manager.slot.serving.identity.digest)
        reporter = StationReporter(
            name=config.station.name,
            boot_id=boot_id,
            data_dir=config.station.data_dir,
            last_alarm=lambda: manager.last_alarm,
        )
        observers = _Observers(manager)
        pipeline = Pipeline(
            station=config.station.name,
            slot=manager.slot,
            bus=bus,
            log=log,
            selector=Selector(config.mentoring.policies, config.mentoring.seed, asking=config.mentoring.asking),
            recipes=config.recipes,
            observer=observers,
        )
        curve = await _enter(stack, CurveGuard(config.curve)) if config.curve is not None else None
        publisher = await _enter(stack, DetectionPublisher(config.stream, bus, curve))
        router = await _enter(stack, FeedbackRouter(config.feedback.listen, log, curve))
        cameras = {
            settings.name: CameraThread(
                functools.partial(make_camera, settings), _judge(pipeline), _judge_bad(pipeline), _tell_camera(bus)
            )
            for settings in config.cameras
        }
        await _enter(stack, Sweeper())
        judge = Judge(pipeline, request_recipes=config.grpc.request_recipes, in_work=config.grpc.in_work)
        grpc_server = await _enter(
            stack,
            GrpcServer(
                config.grpc,
                inspection=InspectionServicer(judge=judge, bus=bus, cameras=cameras),
                models=ModelsServicer(manager, reporter),
                open_inference=OpenInferenceServicer(
                    slot=manager.slot, judge=judge, batch=config.grpc.open_inference_batch
                )
                if config.grpc.open_inference
                else None,
            ),
        )
        health.tells(lambda: grpc_server.model_serves(manager.slot.serving is not None))
        panel_address = ""
        if config.panel.enabled:
            parts = PanelParts(
                station=config.station.name,
                settings=config.panel,
                bus=bus,
                log=log,
                pictures=pipeline.pictures,
                slot=manager.slot,
                swaps=manager.list,
                models=manager,
                folder=config.panel_folder,
            )
            panel_address = (await stack.enter_async_context(PanelServer(parts))).address
        metrics_address = ""
        if config.metrics.listen:
            ProcessCollector(registry=registry)
            registry.register(CameraMetrics(cameras))
            gate = judge.gate
            observers.add(ServingMetrics(registry, in_work=lambda: gate.working, waiting=lambda: gate.waiting))
            registry.register(ModelGauges(manager.list, lambda: manager.frozen, reporter))
            metrics_address = (await _enter(stack, MetricsServer(config.metrics, registry))).address
        await _enter(stack, CameraGroup(cameras))
        outputs = await _enter(
            stack,
            Outputs(
                station=config.station.name,
                settings=config.outputs,
                triggers={name: _trigger(camera) for name, camera in cameras.items()},
                able=_able(cameras, manager),
                bus=bus,
                on_state=_tell_output(bus, grpc_server),
            ),
        )
        registry.register(OutputMetrics(outputs.threads))
        await _enter(
            stack,
            run_file(
                config.station.data_dir,
                {
                    "boot_id": boot_id,
                    "pid": os.getpid(),
                    "grpc": grpc_server.address,
                    "stream": publisher.endpoint,
                    "feedback": router.endpoint,
                    "panel": panel_address,
                    "metrics": metrics_address,
                    "outputs": outputs.addresses,
                    "ready": True,
                },
            ),
        )
        yield


async def _enter(stack: contextlib.AsyncExitStack, part: AbstractContextManager[Part]) -> Part:
    """Starts a part now and stops it with the stack, in threads: the loop stays free for the panel and for signals."""
    entered = await asyncio.to_thread(part.__enter__)
    stack.push_async_callback(asyncio.to_thread, part.__exit__, None, None, None)
    return entered


class _Observers:
    """Tells several of every frame that was judged."""

    def __init__(self, *observers: Observer) -> None:
        self._observers: tuple[Observer, ...] = observers

    def add(self, observer: Observer) -> None:
        """From the next frame on."""
        self._observers = (*self._observers, observer)

    def saw(self, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:
        """See edge.pipeline.Observer."""
        for observer in self._observers:
            observer.saw(frame, inspection, recipe)


class _Health:
    """Stands between the models and the server, which is made after them."""

    def __init__(self) -> None:
        self._tell: Callable[[], None] = lambda: None

    def tells(self, tell: Callable[[], None]) -> None:
        """Who is told from now on; also told at once, of what happened before."""
        self._tell = tell
        tell()

    def changed(self) -> None:
        """The serving model may be another one, or none."""
        self._tell()


def _tell_model(bus: EventBus, health: _Health, counters: ModelCounters) -> Callable[[model_pb2.ModelEvent], None]:
    def tell(event: model_pb2.ModelEvent) -> None:
        counters.event(event)
        bus.publish(inspection_pb2.StationEvent(model=event))
        health.changed()

    return tell


def _tell_feedback(bus: EventBus) -> Callable[[FeedbackEvent, int], None]:
    def tell(event: FeedbackEvent, log_sequence: int) -> None:
        recorded = mentoring_pb2.FeedbackRecorded(feedback=message_of(event), log_sequence=log_sequence)
        bus.publish(inspection_pb2.StationEvent(feedback=recorded))

    return tell


def _tell_camera(bus: EventBus) -> Callable[[str, CameraState, str], None]:
    def tell(name: str, state: CameraState, message: str) -> None:
        event = inspection_pb2.CameraEvent(camera=name, state=CAMERA_STATES[state], message=message)
        bus.publish(inspection_pb2.StationEvent(camera=event))

    return tell


def _tell_output(bus: EventBus, server: GrpcServer) -> Callable[[str, OutputState, str], None]:
    def tell(name: str, state: OutputState, message: str) -> None:
        server.output_connected(name, state is OutputState.CONNECTED)
        event = inspection_pb2.OutputEvent(output=name, state=_OUTPUT_STATES[state], message=message)
        bus.publish(inspection_pb2.StationEvent(output=event))

    return tell


def _trigger(camera: CameraThread) -> Callable[[str, int], Inspection]:
    return lambda part_id, deadline: camera.trigger(part_id, deadline_monotonic_ns=deadline)


def _able(cameras: Mapping[str, CameraThread], manager: ModelManager) -> Callable[[str, bool], str]:
    """Why there can be no result of a camera now; one of line PCs is theirs to know."""

    def able(name: str, triggered: bool) -> str:
        camera = cameras.get(name)
        if camera is not None and triggered and camera.pace is not Pace.STATION:
            return f"camera {name} has its own pace: follow it instead"
        if camera is not None and camera.state is not CameraState.RUNNING:
            return f"camera {name} is not running"
        return "" if manager.slot.serving is not None else "there is no model"

    return able


def _judge(pipeline: Pipeline) -> Callable[[Frame, int | None], Inspection]:
    return lambda frame, deadline: pipeline.inspect(frame, deadline_monotonic_ns=deadline)


def _judge_bad(pipeline: Pipeline) -> Callable[[BadFrame], Inspection]:
    return lambda bad: pipeline.no_picture(
        bad.reason,
        frame_id=bad.frame_id,
        camera=bad.camera,
        part_id=bad.part_id,
        camera_sequence=bad.camera_sequence,
        captured_unix_ns=bad.captured_unix_ns,
        captured_monotonic_ns=bad.captured_monotonic_ns,
    )


def _take_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        if stopping.is_set():
            logger.critical("second %s: stopping at once; what was not acknowledged is lost", number.name)
            os._exit(1)
        logger.info("%s: finishing what is in flight; once more stops at once", number.name)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
