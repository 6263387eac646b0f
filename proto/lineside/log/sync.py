"""A station's log to a place, shard by shard. Reads the log only; may be killed at any line and run again.

Order: pictures, models and rows first, each under a name that says its content; the shard last, under the next free
number, which the place gives away once. So a shard that is there is whole, what a killed run left is found or lies
there unnamed, and two that run at once do each other no harm. Frames go before the answers about them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lineside.log.place import Place
from lineside.log.pseudonyms import Rename, renamed
from lineside.log.rows import schema_of
from lineside.log.shards import (
    Shard,
    check_station,
    columns_of,
    last_shard,
    model_path,
    parquet_of,
    rows_path,
    sha256_of,
)
from lineside.mentoring_log import IMAGES_FOLDER, event_of, image_path, open_log

logger = logging.getLogger(__name__)

ROWS_A_SHARD = 2000
"""Frames, or answers, of one shard at most."""


class Throttle:
    """Keeps what is sent within a rate, over all that was sent since it began.

    An object goes out in one piece, so the rate holds from one object to the next.

    Args:
        bytes_a_second: None: no limit.
    """

    def __init__(
        self,
        bytes_a_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if bytes_a_second is not None and bytes_a_second <= 0:
            raise ValueError(f"the rate is {bytes_a_second} bytes a second, expected more than 0")
        self._rate = bytes_a_second
        self._clock, self._sleep = clock, sleep
        self._free_at = clock()

    def wait(self, size: int) -> None:
        """Called before `size` bytes go out: waits until those before have had their time."""
        if self._rate is None:
            return
        now = self._clock()
        if now < self._free_at:
            self._sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + size / self._rate


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What one run sent."""

    shards: int = 0
    frames: int = 0
    answers: int = 0
    pictures: int = 0
    bytes: int = 0
    missing: int = 0
    """Pictures that could not be read."""

    def plus(self, other: Synced) -> Synced:
        """Both together."""
        return Synced(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


def sync(
    root: Path,
    place: Place,
    station: str,
    *,
    rename: Rename,
    pseudonyms: bool,
    throttle: Throttle | None = None,
    all_pictures: bool = False,
    rows: int = ROWS_A_SHARD,
) -> Synced:
    """Sends what the place does not have yet.

    Args:
        root: the log's folder; the station may go on writing.
        place: where to.
        station: name of this log in the place.
        rename: what is written for an operator's name.
        pseudonyms: whether these are pseudonyms.
        throttle: of what is sent.
        all_pictures: also pictures that nobody has judged; they are the bulk of a log.
        rows: most frames, or answers, of a shard.

    Raises:
        FileNotFoundError, ContractError: the log cannot be read.
        ValueError: the place holds another log under this name, or cannot be used.
    """
    check_station(station)
    sender = _Sender(root, place, throttle or Throttle(None))
    done = Synced()
    while True:
        last = last_shard(place, station)
        if last is not None and last.pseudonyms != pseudonyms:
            there = "pseudonyms" if last.pseudonyms else "names"
            raise ValueError(
                f"{place.address} has operators of station {station} under {there}; go on the same way, or name another"
                " place"
            )
        step = _step(sender, station, last, rename=rename, pseudonyms=pseudonyms, all_pictures=all_pictures, rows=rows)
        if step is None:
            return done
        done = done.plus(step)


class _Sender:
    """Objects that are to be at the place; counts what went out."""

    def __init__(self, root: Path, place: Place, throttle: Throttle) -> None:
        self.root, self.place, self._throttle = root, place, throttle
        self.bytes = 0

    def send(self, path: str, data: bytes) -> bool:
        """False: it was there."""
        if self.place.size(path) == len(data):
            return False
        self._throttle.wait(len(data))
        self.bytes += len(data)
        return self.place.put(path, data)

    def picture(self, sha256: str, suffix: str) -> tuple[str, bool | None]:
        """Its path; whether it went out now; None: the log has it not, or not whole."""
        path = f"{IMAGES_FOLDER}/{sha256[:2]}/{sha256}.{suffix}"
        try:
            data = image_path(self.root, sha256, suffix).read_bytes()
        except OSError:
            return path, None
        return (path, None) if sha256_of(data) != sha256 else (path, self.send(path, data))


@contextlib.contextmanager
def _at_one_moment(root: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(open_log(root)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        yield connection


def _step(
    sender: _Sender,
    station: str,
    last: Shard | None,
    *,
    rename: Rename,
    pseudonyms: bool,
    all_pictures: bool,
    rows: int,
) -> Synced | None:
    """One shard; None: there is nothing to send."""
    before = sender.bytes
    with _at_one_moment(sender.root) as log:
        _check_same(log, sender.place, last)
        version, schema = schema_of(log)
        since_ns = 0 if last is None else last.frames_until_ns
        since = 0 if last is None else last.feedback_until
        frames = log.execute(
            "SELECT * FROM frames WHERE recorded_unix_ns > ? ORDER BY recorded_unix_ns LIMIT ?", (since_ns, rows)
        ).fetchall()
        answers: list[sqlite3.Row] = []
        if len(frames) < rows:
            answers = log.execute(
                "SELECT * FROM feedback WHERE log_sequence > ? ORDER BY log_sequence LIMIT ?", (since, rows)
            ).fetchall()
        if not frames and not answers:
            return None
        detections = [
            row
            for frame in frames
            for row in log.execute("SELECT * FROM detections WHERE frame_id = ? ORDER BY number", (frame["frame_id"],))
        ]
        spoken_of = sorted({row["frame_id"] for row in answers})
        wanted = {(row["image_sha256"], row["image_suffix"]) for row in frames} if all_pictures else set()
        for frame_id in spoken_of:
            row = log.execute(
                "SELECT image_sha256, image_suffix FROM frames WHERE frame_id = ?", (frame_id,)
            ).fetchone()
            if row is not None:
                wanted.add((row["image_sha256"], row["image_suffix"]))
        digests = sorted({row["model_digest"] for row in frames} - {""})
        models = [row for row in log.execute("SELECT * FROM models") if row["digest"] in digests]
        columns = {name: columns_of(log, name) for name in ("frames", "detections", "feedback")}
    # Nothing of the log is held while things go out, however slowly.
    sent = dict(sender.picture(*item) for item in sorted(wanted))
    for model in models:
        data = json.dumps(dict(model), sort_keys=True, ensure_ascii=False).encode()
        sender.send(model_path(model["digest"]), data)
    tables = {"frames": frames, "detections": detections, "feedback": answers}
    written: dict[str, str] = {}
    for table, content in tables.items():
        if content:
            values = [_renamed(row, rename) if table == "feedback" else tuple(row) for row in content]
            data = parquet_of(columns[table], values)
            written[table] = sha256_of(data)
            sender.send(rows_path(station, written[table]), data)
    shard = Shard(
        station=station,
        number=1 if last is None else last.number + 1,
        schema_version=version,
        schema=schema,
        rows=written,
        counts={table: len(content) for table, content in tables.items() if content},
        models=tuple(model["digest"] for model in models),
        pictures=tuple(sorted(path for path, went in sent.items() if went is not None)),
        missing=tuple(sorted(path for path, went in sent.items() if went is None)),
        frames_until_ns=frames[-1]["recorded_unix_ns"] if frames else since_ns,
        feedback_until=answers[-1]["log_sequence"] if answers else since,
        last_key=answers[-1]["key"] if answers else "" if last is None else last.last_key,
        pseudonyms=pseudonyms,
    )
    if not sender.place.put(shard.path, shard.to_bytes()):
        logger.info("%s: another run was quicker; looking again", shard.path)
        return Synced(bytes=sender.bytes - before)
    if shard.missing:
        logger.warning("%s: %d pictures of the log are gone or damaged", shard.path, len(shard.missing))
    return Synced(
        shards=1,
        frames=len(frames),
        answers=len(answers),
        pictures=sum(bool(went) for went in sent.values()),
        bytes=sender.bytes - before,
        missing=len(shard.missing),
    )


def _check_same(log: sqlite3.Connection, place: Place, last: Shard | None) -> None:
    """The log is the one whose shards the place holds, or a later state of it."""
    if last is None or not last.feedback_until:
        return
    row = log.execute("SELECT key FROM feedback WHERE log_sequence = ?", (last.feedback_until,)).fetchone()
    if row is None or row["key"] != last.last_key:
        here = "none" if row is None else row["key"]
        raise ValueError(
            f"{place.address} holds another log under station {last.station}: its answer {last.feedback_until} is"
            f" {last.last_key}, here it is {here}; name another station, or restore the log from a newer backup"
        )


def _renamed(row: sqlite3.Row, rename: Rename) -> Sequence[Any]:
    """An answer's row under the other name, with the digest of what it says then."""
    values = dict(row)
    event = event_of(row)
    if event.payload_sha256 == row["payload_sha256"]:
        # A damaged row keeps its own digest, and so stays one that is seen to be damaged.
        other = renamed(event, rename)
        values["payload_sha256"] = other.payload_sha256
    values["operator"] = rename(event.operator)
    return tuple(values.values())
