"""Prometheus sees where an inspection's time went, what it came to, and who waits."""

from __future__ import annotations

import dataclasses

import numpy as np
from prometheus_client import CollectorRegistry
from support.packages import picture
from support.station import Serving, frame

from edge.inspection import Timings
from edge.metrics.serving import ServingMetrics
from edge.verdict import RecipeSettings


def test_each_frame_is_in_the_stages_it_went_through_and_under_its_verdict() -> None:
    registry = CollectorRegistry()
    metrics = ServingMetrics(registry, in_work=lambda: 3, waiting=lambda: 7)
    shown = frame(picture())
    nothing = Serving(None).pipeline.inspect(shown)  # there is no model
    timed = dataclasses.replace(nothing, timings=Timings(queue_us=400, decode_us=1_600, total_us=2_000))
    for inspection in (timed, timed):
        metrics.saw(shown, inspection, RecipeSettings(name="all"))

    def value(name: str, **labels: str) -> float:
        found = registry.get_sample_value(name, labels)
        assert found is not None, name
        return found

    assert value("lineside_inspections_total", verdict="NO_VERDICT") == 2
    assert value("lineside_inspections_total", verdict="PASS") == 0
    assert value("lineside_no_verdicts_total", reason="NO_MODEL") == 2
    assert np.isclose(value("lineside_stage_seconds_sum", stage="decode"), 0.0032)
    assert value("lineside_stage_seconds_bucket", stage="queue", le="0.0005") == 2
    assert value("lineside_stage_seconds_count", stage="inference") == 0
    assert (value("lineside_pictures_in_work"), value("lineside_pictures_waiting")) == (3, 7)
