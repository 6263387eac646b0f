"""A station's serving side inside one test process: real pipeline, real gRPC, a model whose answers are known."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.backends import open_backend
from edge.backends.contract import Backend, BackendError, Images, Outputs
from edge.backends.onnxruntime_cpu import OnnxRuntimeCpu
from edge.cameras.thread import CameraThread
from edge.events import EventBus
from edge.frame import Frame
from edge.inspection import Detection, Inspection
from edge.mentoring.selection import Selection
from edge.models.slot import ModelSlot, ServingModel
from edge.pipeline import Pipeline
from edge.service.inspection import InspectionServicer
from edge.service.judging import Judge
from edge.service.open_inference.service import OpenInferenceServicer
from edge.service.server import GrpcServer, GrpcSettings
from edge.verdict import RecipeSettings
from lineside.client.inspection import InspectionClient
from lineside.ids import new_frame_id
from lineside.package import Package
from lineside.pixels import Pixels
from lineside.reasons import ContractError


class KeptFrames:
    """Chooses and keeps every frame with detections, in memory."""

    def __init__(self, *, takes: bool = True) -> None:
        self.frames: list[tuple[Frame, Inspection, Selection]] = []
        self.takes = takes

    def down_to(self, thresholds: Mapping[str, float]) -> float | None:
        return None

    def choose(
        self,
        inspection: Inspection,
        *,
        thresholds: Mapping[str, float] | None = None,
        pixels: Pixels | None = None,
        candidates: Sequence[Detection] = (),
    ) -> Selection | None:
        return Selection(because="any_detection", probability=1.0) if inspection.detections else None

    def keep(
        self, frame: Frame, inspection: Inspection, selection: Selection, *, candidates: Sequence[Detection] = ()
    ) -> bool:
        if self.takes:
            self.frames.append((frame, inspection, selection))
        return self.takes


class HeldBackend(Backend):
    """A real engine that waits inside each call until it is let go."""

    name = "held"

    def __init__(self, graph: bytes) -> None:
        self._engine = OnnxRuntimeCpu(graph)
        super().__init__(input_shape=self._engine.input_shape, outputs=self._engine.outputs)
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)
        self.calls = 0

    def _infer(self, images: Images) -> Outputs:
        self.calls += 1
        self.entered.release()
        if not self.go.wait(60):
            raise BackendError("nobody let the engine go")
        return self._engine.infer(images)

    def _close(self) -> None:
        self._engine.close()


class Serving:
    """Pipeline, bus and slot."""

    def __init__(
        self,
        model: ServingModel | None,
        *,
        recipes: Sequence[RecipeSettings] = (),
        kept: KeptFrames | None = None,
        station: str = "line-1",
    ) -> None:
        self.bus = EventBus("boot-1")
        self.slot = ModelSlot()
        self.slot.switch(model)
        self.kept = kept or KeptFrames()
        self.pipeline = Pipeline(
            station=station, slot=self.slot, bus=self.bus, log=self.kept, selector=self.kept, recipes=recipes
        )


def frame(pixels: np.ndarray, *, camera: str = "top", part_id: str = "P-1", sequence: int = 1) -> Frame:
    return Frame(
        frame_id=new_frame_id(),
        camera=camera,
        part_id=part_id,
        camera_sequence=sequence,
        captured_unix_ns=1,
        captured_monotonic_ns=1,
        pixels=pixels,
    )


@contextlib.contextmanager
def serving_model(package: Package, open_engine: Callable[[bytes], Backend] | None = None) -> Iterator[ServingModel]:
    with ServingModel(package, open_engine or (lambda graph: open_backend("onnxruntime-cpu", graph))) as model:
        yield model


class Listening:
    """A gRPC server over a `Serving`, and a client of it."""

    def __init__(
        self,
        serving: Serving,
        *,
        cameras: Mapping[str, CameraThread] | None = None,
        settings: GrpcSettings | None = None,
    ) -> None:
        settings = settings or GrpcSettings(listen="127.0.0.1:0")
        judge = Judge(serving.pipeline, request_recipes=settings.request_recipes)
        servicer = InspectionServicer(judge=judge, bus=serving.bus, cameras=cameras or {})
        open_inference = OpenInferenceServicer(slot=serving.slot, judge=judge, batch=settings.open_inference_batch)
        self.serving = serving
        self.server = GrpcServer(settings, inspection=servicer, open_inference=open_inference)

    def __enter__(self) -> Listening:
        self.server.__enter__()
        self.server.model_serves(self.serving.slot.serving is not None)
        self.client = InspectionClient(self.server.address)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.close()


def refusal(call: object) -> ContractError:
    with pytest.raises(ContractError) as error:
        call()  # type: ignore[operator]
    return error.value


def png(pixels: np.ndarray) -> bytes:
    from lineside.pixels import encode_png

    return encode_png(pixels)


def write_pictures(folder: Path, pictures: Mapping[str, np.ndarray | bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else png(content))
