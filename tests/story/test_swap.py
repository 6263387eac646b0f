"""Swaps on a real station: no frame lost under load, no way back to an older version, no kill that leaves nothing."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import packages

from benchmarks.swap import BIASES, run
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2, model_pb2
from loop.station import StationProcess

pytestmark = pytest.mark.story

LOCAL = "127.0.0.1:0"
SWAPS = 50
LEAST_SERVED = 100


def config(**models: Any) -> dict[str, Any]:
    return {
        "station": {"name": "line-1"},
        "grpc": {"listen": LOCAL},
        "stream": {"listen": f"tcp://{LOCAL}"},
        "feedback": {"listen": f"tcp://{LOCAL}"},
        "panel": {"listen": LOCAL},
        "models": models,
    }


def refusal(action: Callable[[], object]) -> Reason:
    with pytest.raises(ContractError) as caught:
        action()
    return caught.value.reason


def test_fifty_swaps_under_load_lose_no_frame_and_mix_no_answer(tmp_path: Path) -> None:
    report = run(tmp_path, swaps=SWAPS, seed=7)
    assert report.troubles == []
    assert (report.failed, report.mixed) == (0, 0)
    # Every tenth was of a package that must not come in: refused for exactly its reason, while the one before served.
    assert (report.swaps, report.refused, report.rollbacks) == (SWAPS, SWAPS // 10, SWAPS // 10)
    # It was a test of something: every model answered, and frames came through between all those swaps.
    assert report.models_seen == len(BIASES)
    assert report.requests > 6 * SWAPS


def test_an_older_model_than_the_confirmed_one_is_refused_by_a_running_station(tmp_path: Path) -> None:
    old = packages.make_cell_package(tmp_path / "old", version="1.0.0")
    new = packages.make_cell_package(tmp_path / "new", version="1.1.0", bias=0.1)
    with StationProcess(tmp_path / "station", config()) as station, ModelsClient(station.addresses.grpc) as models:
        models.push(new.folder)
        models.activate(new.digest)
        models.confirm(new.digest)
        assert refusal(lambda: models.push(old.folder)) is Reason.PKG_ROLLBACK
        assert models.list()[0].model.digest == new.digest


def test_a_running_station_shows_a_shadow_takes_a_bad_model_back_and_says_who_did_what(tmp_path: Path) -> None:
    one = packages.make_anchor_package(tmp_path / "one")
    eager = packages.make_anchor_package(tmp_path / "eager", version="1.1.0", bias=0.3)
    dark = packages.picture(brightness=0.3)  # a sound part to the first model, and not to the second
    with StationProcess(tmp_path / "station", config()) as station:
        target = station.addresses.grpc
        with ModelsClient(target, actor="ada@desk") as models, InspectionClient(target) as client:
            models.activate(models.push(one.folder).model.digest)
            models.confirm(one.digest)
            models.push(eager.folder)
            models.prepare(eager.digest, shadow=True)

            def status_of(digest: str) -> model_pb2.ModelStatus:
                return models.describe(digest).status

            served = 0
            # A baseline of a few frames can never speak against the next model, however quick the shadow is.
            while served < LEAST_SERVED or status_of(eager.digest).shadow.pass_to_reject < 10:
                assert client.inspect_pixels(dark).verdict == inspection_pb2.VERDICT_PASS
                served += 1
            # Nobody has set a limit here, so it may serve all the same; the line then tells that it should not.
            models.activate(eager.digest)
            while client.inspect_pixels(dark).model.digest == eager.digest:
                pass
            assert client.inspect_pixels(dark).verdict == inspection_pb2.VERDICT_PASS
            assert "times as often" in status_of(eager.digest).message
            deeds = [(entry.action, entry.outcome) for entry in models.audit()]
            actors = {entry.action: entry.actor for entry in models.audit()}
    assert deeds == [
        (action, "done")
        for action in ("start", "push", "activate", "confirm", "push", "prepare", "activate", "rollback")
    ]
    assert actors["activate"].startswith("ada@desk (ipv4:127.0.0.1")
    assert actors["rollback"] == "station"


def swap_until_killed(target: str, made: tuple[Package, Package]) -> None:
    """Swaps back and forth; ends with the station."""
    with ModelsClient(target) as models:
        number = 0
        try:
            while True:
                models.activate(made[number % 2].digest)
                number += 1
        except Exception:
            return


def test_a_station_killed_while_it_swaps_serves_one_of_the_two_again(tmp_path: Path) -> None:
    made = (
        packages.make_anchor_package(tmp_path / "one"),
        packages.make_anchor_package(tmp_path / "two", bias=0.1),
    )
    scores = {made[0].digest: packages.expected_score(0.0), made[1].digest: packages.expected_score(0.1)}
    chance = random.Random(5)
    pause = threading.Event()
    for round_number in range(4):
        with StationProcess(tmp_path / "station", config()) as station:
            target = station.addresses.grpc
            with ModelsClient(target) as models, InspectionClient(target) as client:
                if round_number == 0:
                    for package in made:
                        models.push(package.folder)
                    models.activate(made[0].digest)
                serving = models.list()[0]
                result = client.inspect_pixels(packages.picture())
                assert serving.serving
                assert result.model.digest == serving.model.digest
                assert result.detections[0].score == pytest.approx(scores[result.model.digest], abs=1e-4)
            thread = threading.Thread(target=swap_until_killed, args=(target, made))
            thread.start()
            pause.wait(chance.uniform(0.05, 0.4))
            os.kill(station.addresses.pid, signal.SIGKILL)
            thread.join(60)
