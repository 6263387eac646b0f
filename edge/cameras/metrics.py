"""What Prometheus sees of a station's cameras, read when it asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.cameras.contract import CameraState
from edge.cameras.thread import CameraThread

_COUNTS = {
    "frames": "Frames with an identity: pictures that came, and parts whose picture never came.",
    "judged": "Frames brought to the model.",
    "missing": "Pictures the camera took and the station never saw, by the camera's own numbers.",
    "triggers": "Triggers taken up.",
    "opened": "Times it was opened; all but the first are reconnections.",
    "failed": "Times it was lost or could not be opened.",
}


class CameraMetrics(Collector):
    """The cameras, by name, as they stand when Prometheus asks."""

    def __init__(self, cameras: Mapping[str, CameraThread]) -> None:
        self._cameras = cameras

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask while it is being put together."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Every family once."""
        running = GaugeMetricFamily("lineside_camera_running", "1: it is open.", labels=["camera", "kind"])
        last = GaugeMetricFamily(
            "lineside_camera_last_frame_timestamp_seconds",
            "When the latest frame was taken; 0: none yet.",
            labels=["camera"],
        )
        counts = {
            name: CounterMetricFamily(f"lineside_camera_{name}", text, labels=["camera"])
            for name, text in _COUNTS.items()
        }
        bad = CounterMetricFamily(
            "lineside_camera_bad_frames", "Frames that were never judged, by reason.", labels=["camera", "reason"]
        )
        for name, camera in self._cameras.items():
            numbers = camera.counts
            running.add_metric([name, camera.kind], float(camera.state is CameraState.RUNNING))
            last.add_metric([name], numbers.last_unix_ns / 1e9)
            for count, family in counts.items():
                family.add_metric([name], getattr(numbers, count))
            for reason, number in sorted(numbers.bad.items()):
                bad.add_metric([name, reason], number)
        yield from (running, last, *counts.values(), bad)
