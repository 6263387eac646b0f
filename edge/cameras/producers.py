"""GenTL producers (.cti files), each loaded once in the process and shared by the cameras that need it.

A producer shows its cameras to one user only, and looking for cameras again takes the present ones away. So the list
is made when the first camera of a producer is opened, and made anew when none of them is open any more.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.cameras.contract import CameraLostError

_LOCK = threading.Lock()
"""Producers are loaded and devices opened by one thread at a time: the standard promises nothing else."""
_IN_USE: dict[tuple[Path, ...], tuple[Any, int]] = {}
"""harvesters' own object for these producers, and how many cameras use it."""


def driver_errors() -> tuple[type[Exception], ...]:
    """What the libraries raise.

    Raises:
        ImportError: they are not installed.
    """
    with warnings.catch_warnings():  # their generated code warns, and where warnings are errors it crashes
        warnings.simplefilter("ignore")
        import harvesters.core  # noqa: F401
        from genicam.genapi import GenericException as NodeError
        from genicam.gentl import GenericException
    return GenericException, NodeError


def producers(chosen: Path | None) -> tuple[Path, ...]:
    """The producer of station.toml, or all in the folders of GENICAM_GENTL64_PATH.

    Raises:
        CameraLostError: there is none.
    """
    if chosen is not None:
        if not chosen.is_file():
            raise CameraLostError(f"producer {chosen} is not there")
        return (chosen,)
    folders = os.environ.get("GENICAM_GENTL64_PATH", "")
    found = [file for folder in folders.split(os.pathsep) if folder for file in sorted(Path(folder).glob("*.cti"))]
    if not found:
        raise CameraLostError(
            "no GenTL producer: install the camera maker's software and set `producer` to its .cti file "
            f"(GENICAM_GENTL64_PATH is {folders!r})"
        )
    return tuple(found)


class SharedProducers:
    """One camera's use of some producers, from here to `release`."""

    def __init__(self, files: Sequence[Path]) -> None:
        from harvesters.core import Harvester

        self._files = tuple(files)
        self._released = False
        with _LOCK:
            harvester, users = _IN_USE.get(self._files, (None, 0))
            if harvester is None:
                harvester = Harvester()
                for file in self._files:
                    harvester.add_file(str(file), check_existence=True, check_validity=True)
                harvester.update()
            _IN_USE[self._files] = (harvester, users + 1)
        self._harvester = harvester

    def create(self, serial: str, torn: Callable[[], None]) -> Any:
        """harvesters' acquirer for the device with a serial number (empty: the first one).

        Args:
            serial: as the producer gives it.
            torn: called for each buffer that was not filled to its end; harvesters keeps those to itself.

        Raises:
            CameraLostError: there is no such device.
        """
        from harvesters.core import Callback

        class Torn(Callback):  # type: ignore[misc]
            def emit(self, context: object = None) -> None:  # noqa: ARG002
                torn()

        with _LOCK:
            devices = self._harvester.device_info_list
            place = next(
                (at for at, device in enumerate(devices) if not serial or device.serial_number == serial), None
            )
            if place is None:
                there_are = ", ".join(f"{device.serial_number} ({device.model})" for device in devices) or "none"
                others = _IN_USE[self._files][1] - 1
                later = f"; listed when the first of {others} other cameras in use was opened" if others else ""
                raise CameraLostError(f"no camera with serial {serial or '(any)'}; there are: {there_are}{later}")
            acquirer = self._harvester.create(place)
            acquirer.add_callback(acquirer.Events.INCOMPLETE_BUFFER, Torn())
            return acquirer

    def release(self) -> None:
        """The camera is closed; with the last one the producers are let go. Idempotent."""
        if self._released:
            return
        self._released = True
        with _LOCK:
            harvester, users = _IN_USE.pop(self._files)
            if users > 1:
                _IN_USE[self._files] = (harvester, users - 1)
            else:
                harvester.reset()
