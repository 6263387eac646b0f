"""The data folder: whose it is, what kind of disk, how much room; the log in it; the clock."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from edge.config import StationConfig
from edge.data_folder import LOCK_NAME
from edge.doctor.findings import Finding, State
from lineside.mentoring_log import DATABASE_NAME, MentoringLogReader
from lineside.reasons import ContractError

_CHECK_SECONDS = 20.0
_BUILT = 1_767_225_600
"""2026-01-01: no clock is earlier that was ever set since this program was written."""
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}
_STA_UNSYNC = 0x40
_GIB = 1 << 30


def is_running(data_dir: Path) -> bool:
    """Whether a station uses this data folder now."""
    try:
        descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(descriptor)


def disk_findings(config: StationConfig) -> list[Finding]:
    """Permissions, kind and room of the data folder."""
    folder = config.station.data_dir
    there = _nearest(folder)
    if folder.exists() and there != folder:
        return [_finding("disk", "data folder", State.FAULT, f"{folder} is no folder", "name another data_dir")]
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"lineside")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return [
            _finding(
                "disk",
                "data folder",
                State.FAULT,
                f"{folder} cannot be written: {error.strerror or error}",
                f"give it to the station's user (now {_user()}), e.g. chown -R {_user()} {folder}"
                if error.errno in (errno.EACCES, errno.EPERM)
                else "the disk is full, or mounted for reading",
            )
        ]
    text = f"{folder} can be written" if there == folder else f"{folder} will be made in {there}"
    return [_finding("disk", "data folder", State.OK, text), _kind(there), _room(config, there)]


def _kind(folder: Path) -> Finding:
    kind = _filesystem(folder)
    if kind in _NETWORK:
        todo = "put data_dir on a disk of this machine"
        text = f"{kind}, over a network: its locks and syncs are not to be relied upon"
        return _finding("disk", "file system", State.FAULT, text, todo)
    if kind in ("tmpfs", "ramfs"):
        todo = "put data_dir on a disk"
        return _finding("disk", "file system", State.FAULT, f"{kind}: gone with the next power cut", todo)
    if kind == "overlay":
        todo = "mount a volume there"
        return _finding("disk", "file system", State.WARNING, "overlay: gone with the container", todo)
    return _finding("disk", "file system", State.OK, kind or "not known here")


def _filesystem(folder: Path) -> str:
    """Its kind, as /proc/self/mountinfo says; empty: there is no such file."""
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    place = str(folder.resolve())
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = before.split(" ")[4].replace("\\040", " ")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, after.split(" ")[0]
    return kind


def _room(config: StationConfig, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    mentoring = config.mentoring
    least = (mentoring.keep_free_mb + mentoring.reserve_mb) << 20
    text = f"{free / _GIB:.1f} GiB free, {mentoring.budget_gb:g} GiB are the log's budget"
    if free < least:
        todo = "make room; below it no picture is kept"
        return _finding("disk", "room", State.FAULT, f"{text}, {least / _GIB:.2f} GiB have to stay free", todo)
    pictures = config.mentoring_root / "images"
    if free < mentoring.budget_gb * _GIB and not pictures.exists():
        todo = "a smaller mentoring.budget_gb, or a larger disk"
        return _finding("disk", "room", State.WARNING, f"{text}: the disk will be full first", todo)
    return _finding("disk", "room", State.OK, text)


def log_findings(config: StationConfig) -> list[Finding]:
    """Whether the log can be read, and is whole."""
    root = config.mentoring_root
    if not (root / DATABASE_NAME).exists():
        return [_finding("log", "database", State.OK, f"none yet in {root}; the station makes it")]
    try:
        with MentoringLogReader(root) as reader:
            frames, events = reader.count()
        fault = _damage(root / DATABASE_NAME)
    except (ContractError, OSError, sqlite3.Error) as error:
        todo = "move the log's folder away, keep it, and start with a new one or a copy"
        return [_finding("log", "database", State.FAULT, f"cannot be used: {error}", todo)]
    if fault:
        todo = "move the log's folder away and keep it: what can be read of it can still be learned from"
        return [_finding("log", "database", State.FAULT, f"damaged: {fault}", todo)]
    return [_finding("log", "database", State.OK, f"whole, {frames} frames and {events} answers in {root}")]


def _damage(path: Path) -> str:
    """What SQLite finds wrong, in the time there is for it; empty: nothing."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    end = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: int(time.monotonic() > end), 100_000)
    try:
        said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return ""  # a large log: as far as it was looked at, it is whole
        raise
    finally:
        connection.close()
    return "" if said == "ok" else said


def clock_findings(config: StationConfig, now: float) -> list[Finding]:
    """Whether the clock is set, and kept.

    Args:
        config: of the station; what it wrote last is never later than now.
        now: seconds since 1970.
    """
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _BUILT:
        todo = "set it; is the battery empty?"
        return [_finding("clock", "time", State.FAULT, f"{shown} cannot be", todo)]
    data = config.station.data_dir
    files = (config.mentoring_root / DATABASE_NAME, data / "models" / "audit.jsonl", data / "models" / "journal.json")
    latest = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
    if latest > now + 60:
        text = f"{shown} is {(latest - now) / 3600:.1f} h before the station's last entry: it was set back"
        return [_finding("clock", "time", State.FAULT, text, "set it right; entries would be out of order")]
    kept = _is_synchronised()
    if kept is False:
        text = f"{shown}, kept by nobody: it drifts"
        return [_finding("clock", "time", State.WARNING, text, "let chrony or systemd-timesyncd keep it")]
    return [_finding("clock", "time", State.OK, shown + ("" if kept is None else ", kept by a time server"))]


def _is_synchronised() -> bool | None:
    """What the kernel says; None: it cannot be asked."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        answer = ctypes.create_string_buffer(256)  # struct timex, modes 0: change nothing
        if libc.adjtimex(answer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    status = ctypes.c_int.from_buffer(answer, 40 if ctypes.sizeof(ctypes.c_long) == 8 else 20).value
    return not status & _STA_UNSYNC


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _finding(section: str, name: str, state: State, text: str, todo: str = "") -> Finding:
    return Finding(section=section, name=name, state=state, text=text, todo=todo)
