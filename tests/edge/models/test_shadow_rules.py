"""A shadow is judged by the rules its frame was judged by, also where a request has brought them."""

from __future__ import annotations

import threading
from pathlib import Path

from support.packages import make_anchor_package, picture
from support.station import Serving, frame, serving_model

from edge.inspection import Verdict
from edge.models.settings import ShadowSettings
from edge.models.shadow import Shadow
from edge.verdict import EVERYTHING_COUNTS, RecipeSettings


def test_the_candidates_verdict_follows_the_rules_of_the_request(tmp_path: Path) -> None:
    counted = threading.Semaphore(0)
    lax = RecipeSettings(name="lax", maximum_count=1)
    with (
        serving_model(make_anchor_package(tmp_path / "old")) as old,
        serving_model(make_anchor_package(tmp_path / "new", version="1.1.0", bias=0.05)) as new,
        Shadow(new, ShadowSettings(frames=1), counted.release) as shadow,
    ):
        pipeline = Serving(old).pipeline
        for rules, verdict in ((lax, Verdict.PASS), (EVERYTHING_COUNTS, Verdict.REJECT)):
            pictured = frame(picture())
            inspection = pipeline.inspect(pictured, recipe=rules)
            assert inspection.verdict is verdict
            shadow.offer(pictured, inspection, rules)
            assert counted.acquire(timeout=30)
        report = shadow.report()
    assert report.frames == 2
    assert report.pass_to_reject == report.reject_to_pass == 0
