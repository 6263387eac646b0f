"""Builds in a process of their own: ended in order, by Ctrl-C, by kill -9 of either side, and never half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import packages

from export.engines import process
from export.engines.compile import Job
from export.engines.process import compile_apart
from lineside.engines.key import BatchRange
from lineside.engines.store import EngineStore
from lineside.engines.tensorrt_api import EngineBuildError, EngineCancelledError, load_tensorrt
from lineside.package import GRAPH_NAME, Package

ROOT = Path(__file__).resolve().parents[3]
JOB = Job(
    builder="tensorrt_rtx",
    target="SM89",
    input_name="image",
    sides=(64, 64, 1),
    profiles=(BatchRange(),),
    workspace_mb=64,
)


@pytest.fixture(autouse=True)
def _needs_the_builder() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs pip install 'lineside[tensorrt-rtx]'")


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return packages.make_anchor_package(tmp_path / "p")


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def builders_of(pid: int) -> list[int]:
    """Children that build; a command that looks for a GPU has others for a moment."""
    return [child for child in children_of(pid) if b"export.engines.process" in command_of(child)]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 200.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_the_engine_comes_back_and_the_child_stood_back_in_a_session_of_its_own(package: Package) -> None:
    seen: dict[str, int] = {}

    def look(phase: str, parent: str | None, done: int, steps: int) -> bool:
        for child in builders_of(os.getpid()):
            if not seen:
                seen.update(
                    nice=os.getpriority(os.PRIO_PROCESS, child),
                    session=os.getsid(child),
                    child=child,
                    oom=int(Path(f"/proc/{child}/oom_score_adj").read_text()),
                )
        return True

    made = compile_apart(JOB, package.read(GRAPH_NAME), b"", look)
    assert load_tensorrt("tensorrt_rtx").engine_fault(made.engine) is None
    assert len(made.layers) > 1
    assert made.figures["peak memory of the build"] > 1 << 20
    assert seen["nice"] == 19
    assert seen["session"] == seen["child"]
    assert seen["oom"] == 1000
    assert not alive(seen["child"])


def test_a_build_that_is_stopped_ends_and_says_so(package: Package) -> None:
    with pytest.raises(EngineCancelledError, match="nothing was stored"):
        compile_apart(JOB, package.read(GRAPH_NAME), b"", lambda *_: False)


def test_a_builder_that_is_killed_is_told_with_what_to_do(package: Package) -> None:
    def kill(phase: str, parent: str | None, done: int, steps: int) -> bool:
        for child in builders_of(os.getpid()):
            os.kill(child, signal.SIGKILL)
        return True

    with pytest.raises(EngineBuildError, match=r"ended by SIGKILL, nothing was stored; .*memory"):
        compile_apart(JOB, package.read(GRAPH_NAME), b"", kill)


def test_the_builders_refusal_crosses_the_border_as_it_is() -> None:
    with pytest.raises(EngineBuildError, match=r"(?s)cannot read the graph.*own words"):
        compile_apart(JOB, b"no graph")


@pytest.mark.parametrize("interrupts", [1, 2])
def test_a_builder_that_does_not_listen_is_ended_after_a_while_or_by_the_second_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: int
) -> None:
    deaf = tmp_path / "deaf"
    first = '{"progress": ["Building engine", null, 0, 6]}'
    deaf.write_text(f"#!/bin/sh\necho $$ > {tmp_path / 'pid'}\necho '{first}'\nexec sleep 600\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(deaf))
    if interrupts == 1:
        monkeypatch.setattr(process, "_GRACE_SECONDS", -4.5)  # it waits five seconds longer than the child should need

    begun = threading.Event()

    def note(*_: object) -> bool:
        begun.set()
        return True

    def interrupt() -> None:
        assert begun.wait(200)
        for _ in range(interrupts):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.5)

    hand = threading.Thread(target=interrupt)
    hand.start()
    with pytest.raises(KeyboardInterrupt):
        compile_apart(JOB, b"graph", b"", note)
    hand.join()
    wait_until(lambda: not alive(int((tmp_path / "pid").read_text())), "the builder lives on", 10)


def start(package: Package) -> tuple[subprocess.Popen[str], int]:
    """The command, once its building child runs; and the child."""
    command = [sys.executable, str(ROOT / "export" / "build_engine.py"), str(package.folder)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: bool(builders_of(parent.pid)) or parent.poll() is not None, "the building process did not start")
    children = builders_of(parent.pid)
    assert children, parent.communicate()
    return parent, children[0]


def test_ctrl_c_ends_the_build_cleanly(package: Package) -> None:
    parent, child = start(package)
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=200)
    assert said.endswith("stopped; nothing was stored\n"), said
    assert parent.returncode == 130
    assert not alive(child)
    assert list((package.folder.parent / "engines").iterdir()) == []


def test_a_command_that_is_killed_takes_its_builder_along_and_the_next_one_builds(package: Package) -> None:
    parent, child = start(package)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not alive(child), "the builder outlived the command that wanted it")
    store = EngineStore(package.folder.parent / "engines")
    assert store.entries() == ()
    command = [sys.executable, str(ROOT / "export" / "build_engine.py"), str(package.folder), "--no-wait"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in store.folder.iterdir()} == {".engine", ".json"}
