"""Line PCs that hand their pictures over in shared memory, one by one and in a stream; and those that were killed."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from support.packages import picture
from support.station import HeldBackend, Listening

from edge.service.shared_memory import Sweeper
from lineside import shared_memory
from lineside.client.inspection import InspectionClient, SharedPictures
from lineside.reasons import ContractError, Reason

pytestmark = pytest.mark.skipif(not shared_memory.FOLDER.is_dir(), reason="there is no /dev/shm here")


def test_a_picture_in_a_slot_is_judged_like_one_that_was_sent(line: Listening) -> None:
    pixels = picture(2, 3)
    sent = line.client.inspect_pixels(pixels)
    with SharedPictures(pixels.nbytes, slots=1) as shared:
        for _ in range(3):
            answer = line.client.inspect_shared(shared, pixels, part_id="P")
            assert [item.areas for item in answer.detections] == [item.areas for item in sent.detections]
            assert answer.part_id == "P"


def test_a_stream_gives_each_slot_back_with_its_answer(line: Listening) -> None:
    with SharedPictures(picture().nbytes, slots=3) as shared:

        def requests() -> object:
            for number in range(20):
                slot = shared.put(picture(number % 4, 0), timeout=30)
                yield slot, slot.request(part_id=str(number))

        answers = list(line.client.stream(requests()))  # type: ignore[arg-type]
        assert [answer.result.part_id for answer in answers if answer.result] == [str(number) for number in range(20)]
        assert [answer.result.detections[0].areas[0] for answer in answers if answer.result] == [
            4 * (number % 4) for number in range(20)
        ]
        taken = [shared.slot(height=1, width=1, timeout=0) for _ in range(3)]
        assert len(taken) == 3


def test_a_slot_of_a_call_that_ran_out_of_time_rests(held: tuple[Listening, HeldBackend]) -> None:
    listening, _ = held
    with (
        InspectionClient(listening.server.address, timeout=0.2) as hasty,
        SharedPictures(picture().nbytes, slots=1) as shared,
    ):
        with pytest.raises(ContractError) as error:
            hasty.inspect_shared(shared, picture())
        assert error.value.reason is Reason.DEADLINE
        with pytest.raises(TimeoutError):
            shared.slot(height=1, width=1, timeout=0)


def test_the_station_removes_what_a_killed_line_pc_left() -> None:
    code = (
        "import os, signal; from lineside.client.shared_memory import SharedPictures\n"
        "s = SharedPictures(4096); print(s.name, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with Sweeper(seconds=0.05):
        name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
        assert name
        until = time.monotonic() + 30
        while (shared_memory.FOLDER / name).exists():
            assert time.monotonic() < until
            time.sleep(0.01)
