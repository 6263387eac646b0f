"""One builder at a time, also among processes, also when one of them is killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lineside.engines.lock import LockBusyError, exclusive, is_held

HOLD = (
    "import sys; from pathlib import Path; from lineside.engines.lock import exclusive\n"
    "with exclusive(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
)


def test_another_process_holds_it_is_named_and_lets_go_when_killed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert is_held(path)
        with pytest.raises(LockBusyError, match=f"process {other.pid}"), exclusive(path, wait=False):
            pass
        other.kill()
        other.wait()
    assert not is_held(path)
    with exclusive(path, wait=False):
        assert is_held(path)
    assert not path.exists()


def test_whoever_waits_is_told_once_for_whom(tmp_path: Path) -> None:
    path, told, inside = tmp_path / "a.lock", [], threading.Event()

    def wait_for_it() -> None:
        with exclusive(path, on_wait=told.append):
            inside.set()

    waiter = threading.Thread(target=wait_for_it)
    with exclusive(path):
        waiter.start()
        assert not inside.wait(0.5)
    waiter.join(10)
    assert inside.is_set()
    assert len(told) == 1


def test_never_two_inside_though_the_file_is_removed_each_time(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "a.lock", [0], [0]

    def often() -> None:
        for _ in range(40):
            with contextlib.suppress(LockBusyError), exclusive(path, wait=False):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    workers = [threading.Thread(target=often) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most[0] == 1
