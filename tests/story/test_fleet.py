"""A desk and real stations: canaries, waves, links that break, a desk that is killed, a model that disappoints."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from support import packages
from support.daemon import daemon
from support.links import BreakingLink

from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.fleet.cli import main
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package, write_package
from loop.ports import steady_address
from loop.station import StationProcess, to_toml

pytestmark = [pytest.mark.story, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240.0
FILLING = 3 << 20
DARK = 0.3
"""Brightness of a part that is sound to a model without bias, and rejected by one with a bias of 0.3."""


def desk(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lineside", "deploy", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """The same in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def status(fleet: Path) -> dict[str, dict[str, object]]:
    _, out, _ = run("status", "--fleet", fleet, "--json")
    return {item["name"]: item for item in json.loads(out)["stations"]}


def served(fleet: Path) -> dict[str, str]:
    """Version that each station serves; "-": it does not answer."""
    return {
        name: item["serving"]["version"] if item["reachable"] else "-"  # type: ignore[index]
        for name, item in status(fleet).items()
    }


def steps(journal: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(text) for text in journal.read_text().splitlines()]
    return [(line["station"], line["step"], line["outcome"]) for line in lines if "step" in line]


def eventually(question: Callable[[], bool]) -> None:
    pause, until = threading.Event(), time.monotonic() + SECONDS
    while not question():
        assert time.monotonic() < until, "it did not come true"
        pause.wait(0.05)


def long_package(folder: Path, version: str, bias: float) -> Package:
    """With a card that does not shrink, so that a link can break in the middle."""
    sound = packages.make_anchor_package(folder / f"{version}-sound", version=version, bias=bias)
    card = np.random.default_rng(3).integers(0, 256, FILLING, np.uint8).tobytes()
    files = {name: sound.read(name) for name in (GRAPH_NAME, GOLDEN_NAME)}
    return write_package(folder / version, sound.manifest, {**files, "card.html": card})


def station(folder: Path, name: str, listen: str) -> StationProcess:
    return daemon(
        folder / name,
        {
            "station": {"name": name},
            "grpc": {"listen": listen},
            "panel": {"enabled": False},
            "metrics": {"listen": "127.0.0.1:0"},
        },
    )


@contextlib.contextmanager
def parts(targets: Sequence[str]) -> Iterator[None]:
    """Dark parts come along at every station while inside."""
    stopping = threading.Event()

    def work(target: str) -> None:
        with InspectionClient(target) as client:
            while not stopping.wait(0.03):
                with contextlib.suppress(Exception):  # a station that is just being stopped
                    client.inspect_pixels(packages.picture(brightness=DARK))

    threads = [threading.Thread(target=work, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)


def give(target: str, package: Package, *, parts: int = 110) -> None:
    """The model a station serves to begin with, confirmed, with a baseline."""
    with ModelsClient(target) as models, InspectionClient(target) as client:
        models.push(package.folder)
        models.activate(package.digest)
        models.confirm(package.digest)
        for _ in range(parts):
            client.inspect_pixels(packages.picture(brightness=DARK))


def write_fleet(path: Path, addresses: dict[str, str]) -> Path:
    tables = [{"name": name, "address": address, "group": "hall"} for name, address in addresses.items()]
    path.write_text(to_toml({"stations": tables}))
    return path


@pytest.fixture
def addresses() -> dict[str, str]:
    return {name: steady_address() for name in ("line-1", "line-2", "line-3")}


def test_a_roll_out_survives_its_own_death_broken_links_and_a_station_that_is_down(
    tmp_path: Path, addresses: dict[str, str]
) -> None:
    old, new = packages.make_anchor_package(tmp_path / "old"), long_package(tmp_path, "1.1.0", 0.01)
    journal = tmp_path / "journal.jsonl"
    with contextlib.ExitStack() as stack:
        stations = {name: station(tmp_path, name, addresses[name]) for name in addresses}
        # The third one is down, and has never had a model.
        for name in ("line-1", "line-2"):
            stack.enter_context(stations[name])
            give(addresses[name], old)
        # The canary's link is slow and breaks twice in a push of 3 MB.
        slow = stack.enter_context(BreakingLink(addresses["line-1"], [1_200_000, 1_200_000], bytes_per_second=1.5e6))
        fleet = write_fleet(tmp_path / "fleet.toml", {**addresses, "line-1": slow.address})
        code, out, _ = run("status", "--fleet", fleet)
        assert (code, "2 of 3 stations answer" in out) == (3, True)
        rollout = (
            *("rollout", new.folder, "--fleet", fleet, "--to", "hall", "--canary", "line-1", "--journal", journal),
            *("--frames", "20", "--seconds", "1", "--confirm", "--patience", "60"),
        )
        code, plan, _ = run(*rollout, "--dry-run")
        assert code == 0
        assert "push 3.2 of 3.2 MB; activate in place of tiles 1.0.0" in plan
        assert not journal.exists()

        stack.enter_context(parts([addresses["line-1"], addresses["line-2"]]))
        # The desk is killed when the canary has the model and nobody knows yet whether it is well.
        with desk(*rollout) as process:
            eventually(lambda: journal.exists() and ("line-1", "activate", "done") in steps(journal))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert slow.connections >= 3
        assert slow.carried < FILLING + 2 * 1_000_000  # what had arrived was not sent again
        assert served(fleet) == {"line-1": "1.1.0", "line-2": "1.0.0", "line-3": "-"}

        # The same command goes on; the station that is down holds nobody up and comes last.
        with desk(*rollout) as process:
            eventually(lambda: ("line-2", "confirm", "done") in steps(journal))
            assert not any(name == "line-3" and step == "activate" for name, step, _ in steps(journal))
            stack.enter_context(stations["line-3"])
            stack.enter_context(parts([addresses["line-3"]]))
            out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, out + err
        done = steps(journal)
        assert done.count(("line-1", "push", "done")) == 1
        for name in addresses:
            assert done.count((name, "activate", "begun")) == 1
            assert (name, "confirm", "done") in done
        # No other station was begun with before the canary had settled.
        assert done.index(("line-1", "confirm", "done")) < min(
            number for number, (name, _, _) in enumerate(done) if name != "line-1"
        )
        found = status(fleet)
        assert {
            name: (item["serving"]["version"], item["serving"]["state"]) for name, item in found.items()
        } == dict.fromkeys(  # type: ignore[index]
            addresses, ("1.1.0", "CONFIRMED")
        )
        # Nothing is left to do, and that is quickly said.
        assert run(*rollout)[0] == 0
        assert steps(journal).count(("line-2", "activate", "begun")) == 1

        # And back again, by name and once: a second rollback finds nothing to go back from.
        back = ("rollback", "--fleet", fleet, "--to", "line-1", "line-2", "--from", "tiles@1.1.0", "--why", "a trial")
        code, out, _ = run(*back)
        assert (code, out.count("tiles 1.0.0 serves")) == (0, 2)
        code, out, _ = run(*back)
        assert (code, out.count("left alone")) == (0, 2)


def test_a_canary_that_alarms_stops_everybody_and_what_was_brought_is_taken_back(
    tmp_path: Path, addresses: dict[str, str]
) -> None:
    old = packages.make_anchor_package(tmp_path / "old")
    eager = packages.make_anchor_package(tmp_path / "eager", version="1.1.0", bias=0.3)
    del addresses["line-3"]
    page = tmp_path / "page.html"
    with contextlib.ExitStack() as stack:
        stations = {name: station(tmp_path, name, addresses[name]) for name in addresses}
        for name in addresses:
            stack.enter_context(stations[name])
            give(addresses[name], old)
        stack.enter_context(parts(list(addresses.values())))
        fleet = write_fleet(tmp_path / "fleet.toml", addresses)
        rollout = (
            *("rollout", eager.folder, "--fleet", fleet, "--to", "all", "--canary", "1", "--undo"),
            *("--frames", "5000", "--seconds", "1"),
        )
        code, out, _ = run(*rollout)
        assert code == 1
        assert "STOPPED by line-1" in out
        assert "times as often" in out  # in the station's own words: its probation took the model back
        assert "line-2  not begun" in out
        (journal,) = (tmp_path / "rollouts").glob("*.jsonl")
        assert {name for name, _, _ in steps(journal)} == {"line-1", ""}
        with ModelsClient(addresses["line-2"]) as models:
            # Nobody has so much as sent it anything.
            assert [item.model.digest for item in models.list()] == [old.digest]
            assert [entry.action for entry in models.audit()] == ["start", "push", "activate", "confirm"]
        with ModelsClient(addresses["line-1"]) as models:
            # The undo did not go back a second time.
            assert models.list()[0].model.digest == old.digest
            assert [entry.action for entry in models.audit()].count("rollback") == 1
        with urllib.request.urlopen(f"http://{stations['line-1'].addresses.metrics}/metrics", timeout=20) as page_of:
            figures = page_of.read().decode()
        assert 'lineside_model_rollbacks_total{by="station"} 1.0' in figures
        assert f'lineside_serving_model_info{{digest="{old.digest}",name="tiles",version="1.0.0"}} 1.0' in figures
        assert "process_resident_memory_bytes" in figures
        # The model is not brought to any station again before somebody has said so.
        code, _, err = run(*rollout)
        assert code == 2
        assert "stopped by an alarm of line-1" in err
        code, _, _ = run("status", "--fleet", fleet, "--html", page)
        assert code == 0
        text = page.read_text()
        assert "tiles 1.1.0 taken back" in text
        assert "<script" not in text
