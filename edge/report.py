"""What the station says of itself to whoever looks after many: its name, its clock, its disk, its last alarm."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from edge.models.audit import Entry
from lineside import __version__
from lineside.v1 import swap_pb2

_LOGGER = logging.getLogger(__name__)


class StationReporter:
    """Makes a StationReport whenever it is asked; any thread.

    Args:
        name: of the station.
        boot_id: of this run of the daemon.
        data_dir: whose disk is measured.
        last_alarm: the latest line of the audit that is one.
    """

    def __init__(self, *, name: str, boot_id: str, data_dir: Path, last_alarm: Callable[[], Entry | None]) -> None:
        self._name = name
        self._boot_id = boot_id
        self._data_dir = data_dir
        self._last_alarm = last_alarm
        self._started = time.monotonic()

    def __call__(self) -> swap_pb2.StationReport:
        """As it is now."""
        free, total = disk_of(self._data_dir)
        alarm = self._last_alarm()
        return swap_pb2.StationReport(
            name=self._name,
            boot_id=self._boot_id,
            version=__version__,
            unix_ns=time.time_ns(),
            up_seconds=time.monotonic() - self._started,
            disk_free_bytes=free,
            disk_total_bytes=total,
            last_alarm=None if alarm is None else swap_pb2.AuditEntry(**dataclasses.asdict(alarm)),
        )


def disk_of(folder: Path) -> tuple[int, int]:
    """Bytes free and in all of the disk a folder lies on; zeros where it cannot be asked."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        _LOGGER.warning("the disk of the data folder cannot be asked: %s", error)
        return 0, 0
    return usage.free, usage.total
