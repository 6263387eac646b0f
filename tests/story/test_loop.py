"""A miniature of the loop with real processes: a light is changed, clicks are learnt from, models are swapped.

The demo's own function at a size for one core: it learns little, and promises as much about frames and clicks.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lineside.client.feedback import FeedbackClient
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.mentoring_log import MentoringLogReader
from lineside.pixels import decode
from lineside.v1 import mentoring_pb2
from loop.demo import LINE_CAMERA, DemoSettings, demo, tell_clicks
from loop.display import LineDisplay
from loop.station import RUN_FILE
from training.data.synthetic import LineCounts

pytestmark = [pytest.mark.story, pytest.mark.timeout(600)]


def settings(out: Path) -> DemoSettings:
    return DemoSettings(
        out=out,
        counts=LineCounts(train=60, evaluation=8, mentoring=24),
        baseline_steps=260,
        candidate_steps=40,
        live_parts=4,
        panel_port=0,
    )


def test_the_loop_learns_from_clicks_and_swaps_without_losing_a_frame(tmp_path: Path) -> None:
    lines: list[str] = []
    out = tmp_path / "demo"
    with demo(settings(out), LineDisplay(lines.append)) as (loop, result):
        figures = result.figures
        swap = figures["swap"]
        digests = list(swap["by_model"])

        # Every picture sent was answered, and every answer was its own model's.
        assert figures["frames_lost"] == 0
        assert figures["frames_refused"] == figures["frames_without_verdict"] == 0
        assert figures["frames_answered"] == figures["frames_sent"]
        assert len(digests) == 2
        assert swap["replies_compared"] == swap["frames_sent"]
        assert swap["replies_of_a_wrong_model"] == 0
        assert swap["replies_by_the_old_model_after_the_new"] == 0
        assert figures["line"]["inspected"] >= 12

        # The clicks counted are the clicks on disk, and those that the candidate learnt from.
        assert figures["clicks"] > 0
        assert figures["operator_seconds"] == 1.5 * figures["clicks"]
        assert figures["clicks_refused"] == {}
        with MentoringLogReader(loop.station.log_folder) as log:
            assert log.count()[1] == figures["clicks"]
            highest = max(event.log_sequence for event in log.feedback())
        addresses = loop.station.addresses
        with ModelsClient(addresses.grpc) as models:
            serving = models.describe()
        assert serving.status.model.version == "1.1.0"
        lineage = serving.manifest.lineage
        assert 0 < lineage.feedback_events <= figures["clicks"]
        assert lineage.last_log_sequence <= highest
        assert lineage.parent_digest == digests[0] != serving.status.model.digest

        # What was written is what was said.
        assert json.loads(result.json_path.read_text()) == figures
        assert decode(result.picture_path.read_bytes()).ndim == 3
        assert "frames lost" in result.table_path.read_text()
        assert any("light was changed" in line for line in lines)

        a_visitors_click_is_told_when_it_is_on_disk(addresses.grpc, addresses.feedback)
    assert not (loop.station.data_dir / RUN_FILE).exists()


def a_visitors_click_is_told_when_it_is_on_disk(grpc: str, feedback: str) -> None:
    """The station is still there; somebody judges a part of the live line."""
    told: list[str] = []
    heard = threading.Event()

    def say(text: str) -> None:
        told.append(text)
        heard.set()

    threading.Thread(target=tell_clicks, args=(grpc, say), daemon=True).start()
    with (
        InspectionClient(grpc) as client,
        client.watch(cameras=[LINE_CAMERA]) as events,
        FeedbackClient(feedback, operator="visitor") as socket,
    ):
        shown = next(event.inspection for event in events if event.inspection.mentored)
        # Told from when the listener is there: a revision each time, until one is heard.
        for revision in range(1, 100):
            message = mentoring_pb2.Feedback(
                frame_id=shown.frame_id, gesture=mentoring_pb2.GESTURE_FRAME_COMPLETE, revision=revision
            )
            socket.send(message)
            if heard.wait(0.5):
                break
    assert "visitor says frame complete" in told[0]
