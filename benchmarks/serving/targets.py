"""What is measured: the engine alone, stations with it, and other servers; each started once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from benchmarks.serving import callers, engines, servers
from benchmarks.serving.engines import Engine
from benchmarks.serving.load import Caller
from lineside.client.models import ModelsClient
from lineside.package import Package
from loop.station import StationProcess

Connect = Callable[[str], Caller]
"""From a payload to a caller."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that runs, or the engine in this process."""

    name: str
    payloads: tuple[str, ...]
    callers: tuple[int, ...]
    connect: Connect
    pid: int = 0
    """0: there is no process."""
    address: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Baseline:
    name: str
    script: str
    packages: tuple[str, ...]
    connect: Callable[[int, Any], Connect]


_TOOLS = ("numpy", "opencv-python-headless", "onnxruntime")
_BASELINES = (
    _Baseline(
        name="grpc.aio",
        script="grpc_aio.py",
        packages=("grpcio", "protobuf", *_TOOLS),
        connect=lambda port, pixels: lambda payload: callers.plain_grpc(port, pixels, payload),
    ),
    _Baseline(
        name="fastapi",
        script="fastapi_app.py",
        packages=("fastapi", "uvicorn[standard]", *_TOOLS),
        connect=lambda port, pixels: lambda payload: callers.posted(port, "/infer", pixels, payload, as_json=False),
    ),
    _Baseline(
        name="litserve",
        script="litserve_app.py",
        packages=("litserve", *_TOOLS),
        connect=lambda port, pixels: lambda payload: callers.posted(port, "/predict", pixels, payload, as_json=True),
    ),
    _Baseline(
        name="mlserver",
        script="mlserver_app.py",
        packages=("mlserver", *_TOOLS),
        connect=lambda port, pixels: lambda payload: callers.open_inference(f"127.0.0.1:{port}", pixels, payload),
    ),
)
BASELINE_NAMES = tuple(item.name for item in _BASELINES)


def start_station(
    stack: contextlib.ExitStack, engine: Engine, package: Package, folder: Path, config: dict[str, Any]
) -> StationProcess:
    """A station with the engine, serving; sections of its station.toml are laid over those that keep ports free."""
    sections: dict[str, Any] = {
        "station": {"name": "bench"},
        "grpc": {"listen": "127.0.0.1:0"},
        "stream": {"listen": "tcp://127.0.0.1:0"},
        "feedback": {"listen": "tcp://127.0.0.1:0"},
        "panel": {"listen": "127.0.0.1:0"},
        "mentoring": {"reserve_mb": 1},
    }
    for name, values in config.items():
        sections[name] = {**sections.get(name, {}), **values}
    module = "benchmarks.serving.station" if engine.waits else "edge"
    process = stack.enter_context(StationProcess(folder, sections, module=module))
    with ModelsClient(process.addresses.grpc, actor="benchmark") as models:
        models.push(package.folder)
        models.activate(package.digest)
    # Held still stations do not hear that they are to stop.
    stack.callback(servers.resume, process.addresses.pid)
    return process


def start(
    stack: contextlib.ExitStack,
    engine: Engine,
    package: Package,
    work: Path,
    *,
    environments: Path,
    install_seconds: float,
    baselines: Sequence[str],
    say: Callable[[str], None],
) -> tuple[list[Target], dict[str, str]]:
    """Everything that is measured with one engine, started and held still; and why something is missing."""
    pixels = engines.picture(engine.size)
    graph = package.read("model.onnx")
    call = engines.bare(engine, graph)
    targets = [
        Target(
            name="engine",
            payloads=("tensor",),
            callers=(1,),
            connect=lambda _: callers.alone(call),
        )
    ]
    for name, listen, counts in (
        ("lineside", "127.0.0.1:0", (1, 4, 16)),
        ("lineside unix", f"unix:{work / 'station.sock'}", (1, 4)),
    ):
        process = start_station(stack, engine, package, work / name.replace(" ", "-"), {"grpc": {"listen": listen}})
        address = process.addresses.grpc
        targets.append(
            Target(
                name=name,
                payloads=callers.PAYLOADS,
                callers=counts,
                connect=functools.partial(callers.station, address, pixels),
                pid=process.addresses.pid,
                address=address,
            )
        )
    missing = {}
    for baseline in _BASELINES:
        if baseline.name not in baselines:
            continue
        say(f"{baseline.name} for {engine.name}")
        try:
            targets.append(
                _start_baseline(stack, baseline, engine, pixels, package, work, environments, install_seconds)
            )
        except servers.NotInstalledError as error:
            missing[baseline.name] = str(error)
    for target in targets:
        if target.pid:
            servers.pause(target.pid)
    return targets, missing


def _start_baseline(
    stack: contextlib.ExitStack,
    baseline: _Baseline,
    engine: Engine,
    pixels: Any,
    package: Package,
    work: Path,
    environments: Path,
    install_seconds: float,
) -> Target:
    python = servers.environment(baseline.name, baseline.packages, environments, seconds=install_seconds)
    port = servers.free_port()
    command = [
        str(python),
        str(servers.BASELINES / baseline.script),
        "--graph",
        str(package.folder / "model.onnx"),
        "--size",
        str(engine.size),
        "--port",
        str(port),
        *(["--wait", str(engines.WAIT_SECONDS)] if engine.waits else []),
    ]
    pid = stack.enter_context(servers.running(command, port, work / f"{baseline.name}.log"))
    connect = baseline.connect(port, pixels)
    _wait_until_it_answers(connect("jpeg"))
    return Target(
        name=baseline.name,
        payloads=("raw", "jpeg"),
        callers=(4,),
        connect=connect,
        pid=pid,
    )


def _wait_until_it_answers(caller: Caller) -> None:
    """Some listen before their model is loaded.

    Raises:
        NotInstalledError: it gives no right answer in time.
    """
    until = time.monotonic() + servers.START_SECONDS
    while (trouble := _trouble(caller)) is not None:
        if time.monotonic() > until:
            raise servers.NotInstalledError(f"it does not answer: {str(trouble)[:200]}")
        time.sleep(0.5)


def _trouble(caller: Caller) -> Exception | None:
    try:
        with caller() as call:
            call()
    except (grpc.RpcError, OSError, http.client.HTTPException, ValueError, callers.WrongAnswerError) as error:
        return error
    return None
