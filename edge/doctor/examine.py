"""Everything the doctor looks at, in the order of its page."""

from __future__ import annotations

import datetime
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edge.backends.opening import BACKENDS
from edge.cameras.genicam import GenicamCameraSettings
from edge.config import StationConfig
from edge.doctor import backends, cameras, disk, drivers, keys, ports
from edge.doctor.apart import Seen, look
from edge.doctor.findings import Finding, State
from edge.models.engine_builds import ENGINES_FOLDER
from edge.models.journal import Journal
from edge.models.store import PackageStore
from edge.outputs import board
from lineside.engines.store import EngineStore
from lineside.package import GRAPH_NAME, read_package
from lineside.reasons import ContractError

_PRODUCERS = "GENICAM_GENTL64_PATH"

Look = Callable[..., dict[str, Seen]]
"""`apart.look`, or a test's own."""


def examine(config: StationConfig, source: str, *, look_apart: Look = look) -> list[Finding]:
    """Looks at a machine with a station's eyes. Nothing is started and nothing is changed.

    Args:
        config: of the station, valid.
        source: where it comes from and how it is, for the first line.
        look_apart: asks drivers and runtimes.
    """
    running = disk.is_running(config.station.data_dir)
    state = "runs now" if running else "does not run"
    found = [Finding(section="station", name=config.station.name, state=State.OK, text=f"{source}; it {state}")]
    seen = look_apart([*BACKENDS, *drivers.LOOKS], environment=_environment(config))
    found += backends.findings(config.models.backend, seen)
    if seen["tensorrt"].works:
        found += _engine(config)
    found += cameras.findings(config.cameras, {kind: seen[kind] for kind in drivers.LOOKS})
    found += [ports.finding(address, running=running) for address in ports.addresses(config)]
    found += keys.findings(config, datetime.datetime.now(datetime.timezone.utc))
    found += _outputs(config)
    found += disk.disk_findings(config)
    found += disk.clock_findings(config, time.time())
    return found + disk.log_findings(config)


def _environment(config: StationConfig) -> Mapping[str, str]:
    """With the GenTL producers that cameras of the configuration name."""
    own: Sequence[Path] = [
        camera.producer.absolute().parent
        for camera in config.cameras
        if isinstance(camera, GenicamCameraSettings) and camera.producer is not None
    ]
    folders = [*map(str, own), *filter(None, [os.environ.get(_PRODUCERS, "")])]
    return {_PRODUCERS: os.pathsep.join(dict.fromkeys(folders))}


def _engine(config: StationConfig) -> list[Finding]:
    """Of the model that serves, where there is one."""
    from edge.backends.tensorrt_native import machine

    models = config.station.data_dir / "models"
    try:
        lineup = Journal(models / "journal.json").load()
        if lineup is None or lineup.serving is None:
            return []
        item = lineup.get(lineup.serving)
        graph = read_package(PackageStore(models).folder(lineup.serving)).read(GRAPH_NAME)
    except (ContractError, OSError, ValueError) as error:
        return [Finding(section=backends.SECTION, name="engine", state=State.WARNING, text=f"no model to ask: {error}")]
    here = machine()
    return [
        backends.engine_finding(
            config.models.backend,
            EngineStore(config.station.data_dir / ENGINES_FOLDER).entries(),
            f"{item.name} {item.version}",
            hashlib.sha256(graph).hexdigest(),
            here.runtimes[0].title,
            here.gpu,
        )
    ]


def _outputs(config: StationConfig) -> list[Finding]:
    try:
        names = board.check(config.outputs)
    except (ValueError, OSError, ContractError) as error:
        return [Finding(section="outputs", name="line outputs", state=State.FAULT, text=str(error))]
    return [Finding(section="outputs", name=name, state=State.OK, text="could be made") for name in names]
