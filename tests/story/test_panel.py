"""An operator at a real station: the page of the daemon itself, and what the log of that daemon holds afterwards."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import TABLET, Tab, chromium
from support.daemon import daemon
from support.packages import make_anchor_package, picture

from lineside.client.feedback import FeedbackClient
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.mentoring_log import MentoringLogReader
from lineside.records import FeedbackEvent, Gesture
from lineside.v1 import mentoring_pb2
from loop.ports import steady_address

pytestmark = [pytest.mark.story, pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def said(folder: Path) -> list[FeedbackEvent]:
    with MentoringLogReader(folder) as reader:
        return list(reader.feedback())


def test_an_operator_judges_while_the_station_is_swapped_killed_and_started_again(tmp_path: Path, browser: Any) -> None:
    first = make_anchor_package(tmp_path / "first")
    second = make_anchor_package(tmp_path / "second", name="better", version="2.0.0", bias=0.05)
    station = tmp_path / "station"
    context = browser.new_context(viewport=TABLET, has_touch=True, locale="en-GB")
    panel = steady_address()
    with daemon(station, {"panel": {"listen": panel, "login": False}}) as process:
        with ModelsClient(process.addresses.grpc) as models:
            models.push(first.folder)
            models.activate(first.digest)
        with InspectionClient(process.addresses.grpc) as line:
            frames = [line.inspect_pixels(picture(0, column), part_id=f"p{column}").frame_id for column in range(3)]
        tab = Tab(context, f"http://{panel}").open()
        tab.ready("dent")
        tab.page.tap("[data-act=REJECT]")
        tab.until(lambda: len(said(process.log_folder)) == 1)
        (event,) = said(process.log_folder)
        assert (event.gesture, event.frame_id, event.operator) == (Gesture.REJECT, frames[2], "operator")

        # Somebody else answers the next one over ZeroMQ: it goes from the queue by itself.
        other = mentoring_pb2.Feedback(
            frame_id=frames[0], detection_id=f"{frames[0]}/0", gesture=mentoring_pb2.GESTURE_CONFIRM, revision=1
        )
        with FeedbackClient(process.addresses.feedback, operator="grace") as client:
            client.send(other)
        tab.until(lambda: "1 to judge" in tab.page.inner_text("#about"))

        with ModelsClient(process.addresses.grpc) as models:
            models.push(second.folder)
            models.activate(second.digest)
        tab.until(lambda: tab.page.inner_text("[data-name=model]").startswith("better 2.0.0"))

        os.kill(json.loads((process.data_dir / "run.json").read_text())["pid"], signal.SIGKILL)
        process.wait()
        tab.page.wait_for_selector('#verdict[data-verdict="LOST"]')
        tab.page.keyboard.press("1")
        assert "1 not saved yet" in tab.told("waiting")
        assert len(said(process.log_folder)) == 2
    with daemon(station, {"panel": {"listen": panel, "login": False}}) as process:
        tab.until(lambda: len(said(process.log_folder)) == 3)
        assert tab.told("saved") == "All saved"
        last = said(process.log_folder)[-1]
        assert (last.gesture, last.frame_id, last.operator) == (Gesture.CONFIRM, frames[1], "operator")
        tab.until(lambda: tab.page.inner_text("#question") == "All judged")
        tab.check()
        context.close()
        assert process.stop() == 0, process.tail()
