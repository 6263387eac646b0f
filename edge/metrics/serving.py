"""What Prometheus sees of the inspections: where their time goes, what they came to, and who waits.

Nothing here is by camera or part: callers invent such names, and each would be a series for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from edge.frame import Frame
from edge.inspection import Inspection, Verdict
from edge.verdict import RecipeSettings

STAGES = ("queue", "decode", "preprocess", "inference", "decide", "total")
"""As in StageTimings of inspection.proto."""
BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Seconds; close together where a line's time per part is."""


class ServingMetrics:
    """Told of every frame that was judged. Thread-safe.

    Args:
        registry: where they are shown.
        in_work: pictures of callers between decoding and verdict, now.
        waiting: pictures of callers that wait for that, now.
    """

    def __init__(self, registry: CollectorRegistry, *, in_work: Callable[[], int], waiting: Callable[[], int]) -> None:
        stages = Histogram(
            "lineside_stage_seconds",
            "Where an inspection's time went; total is from its arrival to the decision.",
            ["stage"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._stages = [(stages.labels(stage), f"{stage}_us") for stage in STAGES]
        verdicts = Counter("lineside_inspections", "Frames judged, by verdict.", ["verdict"], registry=registry)
        self._verdicts = {verdict: verdicts.labels(verdict.value) for verdict in Verdict}
        self._without = Counter(
            "lineside_no_verdicts", "Frames without a verdict, by reason.", ["reason"], registry=registry
        )
        self._alarms = Counter("lineside_detections", "Detections, by class.", ["class_name"], registry=registry)
        Gauge("lineside_pictures_in_work", "Of callers, between decoding and verdict.", registry=registry).set_function(
            in_work
        )
        Gauge("lineside_pictures_waiting", "Of callers, for their turn.", registry=registry).set_function(waiting)

    def saw(self, frame: Frame, inspection: Inspection, recipe: RecipeSettings) -> None:  # noqa: ARG002
        """One frame that was judged; see edge.pipeline.Observer."""
        for histogram, field in self._stages:
            microseconds = getattr(inspection.timings, field)
            if microseconds:  # a stage that did not happen is 0
                histogram.observe(microseconds / 1e6)
        self._verdicts[inspection.verdict].inc()
        if inspection.verdict is Verdict.NO_VERDICT:
            self._without.labels(inspection.verdict_reason).inc()
        for detection in inspection.detections:
            self._alarms.labels(detection.class_name).inc()
