"""The ring of pictures in shared memory: slots come back with the answer, and nothing is left of a caller who dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lineside import shared_memory
from lineside.client.shared_memory import REST_SECONDS, SharedPictures
from lineside.reasons import ContractError, Reason

pytestmark = pytest.mark.skipif(not shared_memory.FOLDER.is_dir(), reason="there is no /dev/shm here")
DIES = "import os, signal; from lineside.client.shared_memory import SharedPictures; s = SharedPictures(4096)\n"


def test_a_slot_holds_what_was_put_there_under_the_name_in_its_request() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    with SharedPictures(64, slots=2) as shared, shared.put(pixels), shared.put(pixels[:, :, 0] + 1) as slot:
        handle = slot.request(camera="top", recipe="strict").image.shared_memory
        data = (shared_memory.FOLDER / handle.name).read_bytes()
        assert (handle.width, handle.height) == (5, 4)
        assert data[handle.offset : handle.offset + 20] == (pixels[:, :, 0] + 1).tobytes()
        assert slot.request(camera="top", recipe="strict").recipe_name == "strict"
    assert not (shared_memory.FOLDER / handle.name).exists()


def test_a_slot_is_free_again_with_the_answer_and_with_a_refusal_of_the_station() -> None:
    with SharedPictures(64, slots=1) as shared:
        with shared.slot(height=2, width=2), pytest.raises(TimeoutError, match="no slot was free within 0 s"):
            shared.slot(height=2, width=2, timeout=0)
        with pytest.raises(ContractError), shared.slot(height=2, width=2, timeout=0):
            raise ContractError(Reason.QUEUE_FULL, "full")
        with shared.slot(height=2, width=2, timeout=0):
            pass


def test_a_slot_whose_caller_gave_up_rests_because_the_station_may_still_be_reading() -> None:
    with SharedPictures(64, slots=1) as shared:
        with pytest.raises(ContractError), shared.slot(height=2, width=2):
            raise ContractError(Reason.DEADLINE, "late")
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            shared.slot(height=2, width=2, timeout=0)
        with shared.slot(height=2, width=2, timeout=30):
            assert time.monotonic() - before > REST_SECONDS / 2


def test_whoever_waits_for_a_slot_gets_it_when_another_leaves_it() -> None:
    with SharedPictures(64, slots=1) as shared:
        first = shared.slot(height=2, width=2)
        threading.Timer(0.05, lambda: first.__exit__(None, None, None)).start()
        with shared.slot(height=2, width=2, timeout=30):
            pass


def test_a_picture_that_does_not_fit_is_refused_in_words() -> None:
    with SharedPictures(64) as shared:
        for height, width, channels in ((5, 5, 3), (0, 1, 1), (1, 1, 2)):
            with pytest.raises(ValueError, match="do not fit: a slot holds 64"):
                shared.slot(height=height, width=width, channels=channels)
        with pytest.raises(ValueError, match=r"pixels are float64 \(2,\)"):
            shared.put(np.zeros(2))  # type: ignore[arg-type]


def test_a_closed_ring_wakes_whoever_waits() -> None:
    shared = SharedPictures(64, slots=1)
    shared.slot(height=2, width=2)
    threading.Timer(0.05, shared.close).start()
    with pytest.raises(RuntimeError, match="closed"):
        shared.slot(height=2, width=2, timeout=30)


def test_of_a_killed_caller_nothing_is_left_after_the_next_sweep_and_the_living_are_spared() -> None:
    code = DIES + "print(s.name, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
    with SharedPictures(4096) as living:  # its birth sweeps
        assert not (shared_memory.FOLDER / dead).exists()
        shared_memory.sweep()
        assert (shared_memory.FOLDER / living.name).exists()


def test_sweeping_takes_only_what_is_ours(tmp_path: Path) -> None:
    for name in ("lineside-0123456789abcdef", "lineside-notes", "other-0123456789abcdef"):
        (tmp_path / name).write_bytes(b"x")
    young, old = tmp_path / "lineside-1111111111111111.new", tmp_path / "lineside-2222222222222222.new"
    for path in (young, old):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    (tmp_path / "lineside-3333333333333333").symlink_to(tmp_path / "lineside-notes")
    assert shared_memory.sweep(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "lineside-notes",
        "other-0123456789abcdef",
        young.name,
        "lineside-3333333333333333",
    }
