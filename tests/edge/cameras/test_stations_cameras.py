"""A whole station with several cameras: each with its own recipe, each told of, and none that can hold up the end."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.camera_line import SECONDS, Sending
from support.cameras import NOISY, numbered_basler, viky
from support.daemon import daemon
from support.packages import make_anchor_package, picture
from support.rtsp import RtspServer
from support.station import Listening, Serving, serving_model, write_pictures

from edge.cameras.contract import Pace, Picture
from edge.cameras.group import CameraGroup
from edge.cameras.metrics import CameraMetrics
from edge.cameras.thread import CameraThread
from edge.verdict import RecipeSettings
from lineside.client.inspection import InspectionClient
from lineside.reasons import ContractError
from lineside.v1 import inspection_pb2


def test_several_cameras_at_once_each_by_its_own_recipe(tmp_path: Path) -> None:
    recipes = [
        RecipeSettings(name="lax", camera="left", maximum_count=1),
        RecipeSettings(name="strict", camera="right"),
        RecipeSettings(name="blind", camera="top", part="B-*", thresholds={"dent": 1.0, "scratch": 1.0}),
    ]
    expected = {
        ("left", "A-1"): inspection_pb2.VERDICT_PASS,
        ("right", "A-1"): inspection_pb2.VERDICT_REJECT,
        ("top", "A-1"): inspection_pb2.VERDICT_REJECT,
        ("top", "B-1"): inspection_pb2.VERDICT_PASS,
    }
    with serving_model(make_anchor_package(tmp_path / "p")) as model:
        serving = Serving(model, recipes=recipes)
        devices = {name: Sending(Pace.STATION, name=name) for name in ("left", "right", "top")}
        for device in devices.values():
            for _ in range(20):
                device.sent.put(Picture(pixels=picture()))
        cameras = {
            name: CameraThread(
                lambda device=device: device,  # type: ignore[misc]
                lambda frame, deadline: serving.pipeline.inspect(frame, deadline_monotonic_ns=deadline),
                lambda bad: pytest.fail(bad.message),
                lambda *_: None,
            )
            for name, device in devices.items()
        }
        with CameraGroup(cameras), Listening(serving, cameras=cameras) as line:
            seen: dict[tuple[str, str], set[int]] = {key: set() for key in expected}

            def trigger(key: tuple[str, str]) -> None:
                for _ in range(5):
                    seen[key].add(line.client.trigger(key[0], part_id=key[1]).verdict)

            threads = [threading.Thread(target=trigger, args=(key,)) for key in expected]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SECONDS)
            assert seen == {key: {verdict} for key, verdict in expected.items()}
            statuses = {status.camera: status for status in line.client.cameras()}
        assert {name: status.triggers for name, status in statuses.items()} == {"left": 5, "right": 5, "top": 10}
        assert all(status.state == inspection_pb2.CAMERA_STATE_RUNNING for status in statuses.values())
        assert all(status.pace == inspection_pb2.CAMERA_PACE_STATION for status in statuses.values())


def test_a_black_picture_is_no_verdict_for_whoever_triggered_it_and_is_counted() -> None:
    serving = Serving(None)
    device = Sending(Pace.STATION)
    device.sent.put(Picture(pixels=np.zeros((8, 8), np.uint8)))
    camera = CameraThread(
        lambda: device,
        lambda frame, _: pytest.fail(f"{frame.frame_id} was judged"),
        lambda bad: serving.pipeline.no_picture(
            bad.reason,
            frame_id=bad.frame_id,
            camera=bad.camera,
            part_id=bad.part_id,
            camera_sequence=bad.camera_sequence,
            captured_unix_ns=bad.captured_unix_ns,
            captured_monotonic_ns=bad.captured_monotonic_ns,
        ),
        lambda *_: None,
    )
    registry = CollectorRegistry()
    registry.register(CameraMetrics({"top": camera}))
    with camera, Listening(serving, cameras={"top": camera}) as line:
        result = line.client.trigger("top", part_id="P-7")
        (status,) = line.client.cameras()
        text = generate_latest(registry).decode()
    assert (result.verdict, result.verdict_reason) == (inspection_pb2.VERDICT_NO_VERDICT, "IMAGE_BLACK")
    assert (result.part_id, result.camera_sequence) == ("P-7", 1)
    assert (dict(status.bad), status.frames, status.judged) == ({"IMAGE_BLACK": 1}, 1, 0)
    assert 'lineside_camera_bad_frames_total{camera="top",reason="IMAGE_BLACK"} 1.0' in text
    assert 'lineside_camera_judged_total{camera="top"} 0.0' in text
    assert 'lineside_camera_running{camera="top",kind=""} 1.0' in text


@pytest.mark.story
def test_a_station_whose_cameras_hang_serves_the_others_and_stops_in_time(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", {"a.png": picture(0, 1)})
    with RtspServer(lambda _: np.zeros((64, 64, 3), np.uint8), silent=True) as silent:  # FFmpeg waits for its answer
        cameras = [
            {"name": "stuck-1", "kind": "rtsp", "url": silent.url, "open_seconds": 100},
            {"name": "stuck-2", "kind": "rtsp", "url": silent.url, "open_seconds": 100},
            {"name": "files", "kind": "folder", "folder": "pictures", "loop": True},
            {"name": "away", "kind": "folder", "folder": "no-such"},
        ]
        with daemon(tmp_path, {"cameras": cameras, "panel": {"enabled": False}}) as process:
            with InspectionClient(process.addresses.grpc) as client:
                assert client.trigger("files").verdict_reason == "NO_MODEL"
                with pytest.raises(ContractError, match="CAMERA_MODE: camera stuck-1 is triggered by itself"):
                    client.trigger("stuck-1")
                with pytest.raises(ContractError, match="CAMERA_LOST"):
                    client.trigger("away")
                time.sleep(1.5)  # away is tried again meanwhile
                statuses = {status.camera: status for status in client.cameras()}
            assert statuses["stuck-1"].state == inspection_pb2.CAMERA_STATE_UNSPECIFIED  # being opened
            assert statuses["stuck-1"].pace == inspection_pb2.CAMERA_PACE_CAMERA
            assert statuses["files"].state == inspection_pb2.CAMERA_STATE_RUNNING
            assert statuses["away"].state == inspection_pb2.CAMERA_STATE_LOST
            assert "no-such cannot be read" in statuses["away"].message
            assert statuses["away"].failed > 1
            begun = time.monotonic()
            assert process.stop() == 0, process.tail(40)
            assert time.monotonic() - begun < 10
            log = process.tail(200)
    assert log.count("camera away: lost") == 1, log
    assert log.count("its driver hangs and is left alone") == 2, log


@pytest.mark.story
@pytest.mark.xdist_group("basler")
def test_a_station_with_industrial_cameras_of_two_makers_runs_and_ends_cleanly(tmp_path: Path) -> None:
    sized = {"width": 128, "height": 128, "exposure_us": 1000}
    cameras = [
        {"name": "a", **numbered_basler(tmp_path / "numbers", 16), "fps": 20, "checks": NOISY},
        {
            "name": "b",
            "kind": "basler",
            "serial": "0815-0000",
            "acquisition": "free",
            "fps": 20,
            "checks": NOISY,
            **sized,
        },
        {"name": "c", "kind": "genicam", "producer": str(viky()), "acquisition": "free", "fps": 20, "checks": NOISY},
        {
            "name": "d",
            "kind": "genicam",
            "producer": str(viky()),
            "serial": "2",
            "acquisition": "free",
            "checks": NOISY,
        },
    ]
    with daemon(tmp_path, {"cameras": cameras, "panel": {"enabled": False}}) as process:
        with InspectionClient(process.addresses.grpc) as client:
            until = time.monotonic() + SECONDS
            while not all(status.judged >= 5 for status in client.cameras()) and time.monotonic() < until:
                time.sleep(0.1)
            statuses = {status.camera: status for status in client.cameras()}
            assert client.trigger("a", part_id="P-1").part_id == "P-1"
        assert {name: (status.judged >= 5, status.message) for name, status in statuses.items()} == dict.fromkeys(
            "abcd", (True, "")
        )
        assert process.stop() == 0, process.tail(40)
        assert "hangs" not in process.tail(200)
