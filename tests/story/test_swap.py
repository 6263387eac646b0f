"""A swap under load loses no frame, and every reply's detections belong to the model whose digest it carries."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import packages

from lineside.client.inspection import InspectionClient, StreamAnswer, pixels_request
from lineside.client.models import ModelsClient
from lineside.package import Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2
from loop.station import StationProcess

pytestmark = pytest.mark.story

LOCAL = "127.0.0.1:0"
SWAPS = 20


def config(**models: Any) -> dict[str, Any]:
    return {
        "station": {"name": "line-1"},
        "grpc": {"listen": LOCAL},
        "stream": {"listen": f"tcp://{LOCAL}"},
        "feedback": {"listen": f"tcp://{LOCAL}"},
        "panel": {"listen": LOCAL},
        "models": models,
    }


class Load:
    """Clients that ask without pause and check each answer against the model it names."""

    def __init__(self, target: str, biases: dict[str, float]) -> None:
        self._target = target
        self._biases = biases
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.sent = 0
        self.answered: Counter[str] = Counter()
        self.frames: set[str] = set()
        self.wrong: list[str] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, number))
            for number, work in enumerate((self._one_by_one, self._one_by_one, self._one_by_one, self._pipelined))
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for(self, more: int) -> None:
        """Until that many more frames have been answered."""
        pause = threading.Event()
        until = self.answered.total() + more
        while self.answered.total() < until and not self.wrong:
            pause.wait(0.002)

    def _guarded(self, work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except Exception as error:
            self.wrong.append(f"client {number}: {error!r}")

    def _one_by_one(self, number: int) -> None:
        chance = random.Random(number)
        with InspectionClient(self._target) as client:
            while not self._stop.is_set():
                row, column = chance.randrange(4), chance.randrange(4)
                with self._lock:
                    self.sent += 1
                self._check(client.inspect_pixels(packages.picture(row, column)), row, column)

    def _pipelined(self, number: int) -> None:
        asked: dict[int, tuple[int, int]] = {}
        chance = random.Random(number)

        def requests() -> Iterator[inspection_pb2.InspectRequest]:
            while not self._stop.is_set():
                row, column = chance.randrange(4), chance.randrange(4)
                asked[len(asked)] = (row, column)
                with self._lock:
                    self.sent += 1
                yield pixels_request(packages.picture(row, column))

        with InspectionClient(self._target) as client:
            for answer in client.stream(requests()):
                self._check(self._result(answer), *asked[answer.tag])

    def _result(self, answer: StreamAnswer) -> inspection_pb2.InspectionResult:
        if answer.result is None:
            raise AssertionError(answer.error)
        return answer.result

    def _check(self, result: inspection_pb2.InspectionResult, row: int, column: int) -> None:
        step = packages.STRIDE
        box = (column * step, row * step, (column + 1) * step, (row + 1) * step)
        expected = [(box, round(packages.expected_score(self._biases[result.model.digest]), 4))]
        seen = [
            ((found.box.x1, found.box.y1, found.box.x2, found.box.y2), round(found.score, 4))
            for found in result.detections
        ]
        with self._lock:
            self.answered[result.model.digest] += 1
            self.frames.add(result.frame_id)
            if seen != expected or result.verdict != inspection_pb2.VERDICT_REJECT:
                self.wrong.append(f"{result.model.version}: {seen}, expected {expected}")


def refusal(action: Callable[[], object]) -> Reason:
    with pytest.raises(ContractError) as caught:
        action()
    return caught.value.reason


def bad_packages(folder: Path, private: Path) -> list[tuple[Path, Reason]]:
    """Packages that must not come in, each with the reason."""
    stranger, _ = packages.make_key(folder, "stranger")

    def made(name: str, key: Path | None = private, **options: Any) -> Path:
        return packages.make_anchor_package(folder / name, version="3.0.0", sign_key=key, **options).folder

    altered = made("altered")
    graph = bytearray((altered / "model.onnx").read_bytes())
    graph[100] ^= 1
    (altered / "model.onnx").write_bytes(graph)
    truncated = made("truncated", bias=0.02)
    (truncated / "golden.npz").write_bytes((truncated / "golden.npz").read_bytes()[:-1])
    lying = packages.manifest_for(packages.anchor_head(), version="3.1.0")
    cases = packages.make_anchor_package(folder / "sound", version="3.1.0", bias=0.03)
    from lineside.golden import unpack

    other = packages.write(
        folder / "lying",
        lying,
        packages.graph_for(packages.anchor_head()),
        cases=unpack(cases.read("golden.npz"), cases.manifest),
        key=private,
    )
    return [
        (altered, Reason.PKG_SIGNATURE),
        (truncated, Reason.PKG_SIGNATURE),
        (made("unsigned", None, bias=0.04), Reason.PKG_SIGNATURE),
        (made("strange", stranger, bias=0.05), Reason.PKG_SIGNATURE),
        (other.folder, Reason.PKG_PARITY),
        (made("classes", classes=("hole",)), Reason.PKG_CLASSES),
    ]


def test_swaps_and_a_rollback_under_load_lose_no_frame_and_mix_no_answer(tmp_path: Path) -> None:
    private, public = packages.make_key(tmp_path / "keys")
    one = packages.make_anchor_package(tmp_path / "one", sign_key=private)
    two = packages.make_anchor_package(tmp_path / "two", bias=0.1, sign_key=private)
    bad = bad_packages(tmp_path / "bad", private)
    recipes = [{"name": "all", "thresholds": {"dent": 0.5}}]
    settings = config(trusted_keys=[str(public)]) | {"recipes": recipes}
    with StationProcess(tmp_path / "station", settings) as station:
        target = station.addresses.grpc
        with ModelsClient(target) as models, InspectionClient(target) as client:
            for package in (one, two):
                models.push(package.folder)
            models.activate(one.digest)
            with Load(target, {one.digest: 0.0, two.digest: 0.1}) as load:
                load.wait_for(20)
                for number in range(SWAPS):
                    wanted = (two, one)[number % 2]
                    assert models.activate(wanted.digest).serving
                    # From the reply on, every new frame is the new model's.
                    assert client.inspect_pixels(packages.picture()).model.digest == wanted.digest
                    if number < len(bad):
                        folder, reason = bad[number]
                        assert refusal(lambda folder=folder: models.push(folder)) is reason  # type: ignore[misc]
                        assert client.inspect_pixels(packages.picture()).model.digest == wanted.digest
                    load.wait_for(5)
                status = models.rollback("the story wants it")
                assert status.model.digest == two.digest
                assert client.inspect_pixels(packages.picture()).model.digest == two.digest
                load.wait_for(20)
        assert not load.wrong
        assert load.answered.total() == load.sent
        assert len(load.frames) == load.sent
        assert min(load.answered[package.digest] for package in (one, two)) > 0
        assert station.stop() == 0
    staging = station.data_dir / "models" / "staging"
    assert not list(staging.iterdir())


def test_an_older_model_than_the_confirmed_one_is_refused_by_a_running_station(tmp_path: Path) -> None:
    old = packages.make_cell_package(tmp_path / "old", version="1.0.0")
    new = packages.make_cell_package(tmp_path / "new", version="1.1.0", bias=0.1)
    with StationProcess(tmp_path / "station", config()) as station, ModelsClient(station.addresses.grpc) as models:
        models.push(new.folder)
        models.activate(new.digest)
        models.confirm(new.digest)
        assert refusal(lambda: models.push(old.folder)) is Reason.PKG_ROLLBACK
        assert models.list()[0].model.digest == new.digest


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
