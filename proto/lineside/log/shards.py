"""Shards: a log in immutable pieces, many stations side by side.

    PLACE/stations/NAME/000000001.json          a shard: which rows and pictures; appears when all of these are there
    PLACE/stations/NAME/rows/SHA256.parquet     its rows of one table
    PLACE/models/HEX64.json                     a model, as the log's table holds it
    PLACE/images/ab/SHA256.sfx                  pictures, by content, of all stations

Rows keep the columns of the log they came from, and a shard names that log's schema: what is put together again is read
as the log itself would be. A shard's number comes from the place, so nothing has to be remembered at the station.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineside.log.new_log import TABLES, new_log
from lineside.log.place import Place
from lineside.mentoring_log import IMAGES_FOLDER

FORMAT_VERSION = 1
STATIONS, MODELS, ROWS = "stations", "models", "rows"
_NUMBER = re.compile(r"(\d{9})\.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What one shard says of itself."""

    station: str
    number: int
    """From 1."""
    schema_version: int
    schema: str
    """Statements that make the tables its rows fit."""
    rows: Mapping[str, str]
    """By table, the SHA-256 of the file; no entry: it has none."""
    counts: Mapping[str, int]
    models: tuple[str, ...]
    """Digests of models that the place holds."""
    pictures: tuple[str, ...]
    """Paths of pictures that the place holds, of frames that somebody judged in this shard or that were asked for."""
    missing: tuple[str, ...]
    """Pictures that the log should have and has not, or not whole."""
    frames_until_ns: int
    """`recorded_unix_ns` of the last frame in this and all earlier shards."""
    feedback_until: int
    """Log sequence of the last answer in them; 0: none."""
    last_key: str
    """Of that answer: tells another log under the same name."""
    pseudonyms: bool
    """Operators have pseudonyms."""

    @property
    def path(self) -> str:
        """Below the place."""
        return shard_path(self.station, self.number)

    def to_bytes(self) -> bytes:
        """The object's content."""
        values = {"lineside_shard": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def shard_of(data: bytes, where: str) -> Shard:
    """Reads a shard's own object.

    Raises:
        ValueError: it is none, or of a newer format.
    """
    try:
        values = json.loads(data)
        version = values.pop("lineside_shard")
        if version != FORMAT_VERSION:
            raise ValueError(f"format {version}, this version reads {FORMAT_VERSION}; use a newer Lineside")
        for name in ("models", "pictures", "missing"):
            values[name] = tuple(values[name])
        return Shard(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is no shard that can be read: {error}") from None


def check_station(name: str) -> str:
    """The name, where it can be one.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"station is {name!r}, expected 1 to 64 letters, digits, '.', '_' or '-'")
    return name


def shard_path(station: str, number: int) -> str:
    """Below the place."""
    return f"{STATIONS}/{station}/{number:09d}.json"


def rows_path(station: str, sha256: str) -> str:
    """Below the place."""
    return f"{STATIONS}/{station}/{ROWS}/{sha256}.parquet"


def model_path(digest: str) -> str:
    """Below the place."""
    return f"{MODELS}/{digest.removeprefix('sha256:')}.json"


def shard_numbers(names: Iterable[str]) -> list[int]:
    """Numbers of the shards among the names of a station's objects, ascending."""
    return sorted(int(found.group(1)) for name in names if (found := _NUMBER.fullmatch(name)))


def last_shard(place: Place, station: str) -> Shard | None:
    """The newest shard of a station, or None."""
    numbers = shard_numbers(place.names(f"{STATIONS}/{station}"))
    if not numbers:
        return None
    path = shard_path(station, numbers[-1])
    return shard_of(place.get(path), f"{place.address}/{path}")


def parquet_of(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as Parquet.

    Args:
        columns: names and SQLite types.
        rows: values in that order.
    """
    import pyarrow
    from pyarrow import parquet

    types = {"TEXT": pyarrow.string(), "INTEGER": pyarrow.int64(), "REAL": pyarrow.float64(), "BLOB": pyarrow.binary()}
    arrays = [pyarrow.array([row[at] for row in rows], types[kind]) for at, (_, kind) in enumerate(columns)]
    buffer = io.BytesIO()
    table = pyarrow.Table.from_arrays(arrays, names=[name for name, _ in columns])
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def sha256_of(data: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def stations_in(folder: Path) -> list[str]:
    """Stations that a local copy of a place holds shards of."""
    root = folder / STATIONS
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def shards_in(folder: Path, station: str) -> list[Shard]:
    """A station's shards in a local copy of a place, in their order.

    Raises:
        ValueError: one is missing in between, or cannot be read.
    """
    root = folder / STATIONS / station
    numbers = shard_numbers(path.name for path in root.iterdir())
    if numbers != list(range(1, len(numbers) + 1)):
        gap = next(number for number, seen in enumerate([*numbers, 0], 1) if number != seen)
        raise ValueError(f"{root} has no shard {gap} and later ones; copy the place whole")
    return [shard_of((folder / shard_path(station, number)).read_bytes(), str(root)) for number in numbers]


def build_log(folder: Path, station: str, out: Path) -> Path:
    """Puts a station's log together again from a local copy of a place. Its pictures are those of the place.

    Args:
        folder: the copy.
        station: whose log.
        out: the log's folder; one that is there already is taken for this one.

    Raises:
        ValueError: shards are missing, or rows are damaged.
        OSError: rows are missing, or the log cannot be written.
        ModuleNotFoundError: pyarrow is not installed.
    """
    shards = shards_in(folder, station)
    if not shards:
        raise ValueError(f"{folder} holds no shard of station {station}")
    if out.is_dir():
        return out
    try:
        _build(folder, station, shards, out)
    except OSError:
        if not out.is_dir():  # else somebody was quicker, and has built the same
            raise
    return out


def _build(folder: Path, station: str, shards: Sequence[Shard], out: Path) -> None:
    from pyarrow import parquet

    newest = max(shards, key=lambda shard: shard.schema_version)
    with new_log(out, schema=newest.schema, version=newest.schema_version) as log:
        for digest in sorted({name for shard in shards for name in shard.models}):
            log.model(json.loads((folder / model_path(digest)).read_bytes()))
        for table in TABLES[1:]:
            for shard in shards:
                if table not in shard.rows:
                    continue
                path = folder / rows_path(station, shard.rows[table])
                data = path.read_bytes()
                if sha256_of(data) != shard.rows[table]:
                    raise ValueError(f"{path} does not have the SHA-256 of its name; fetch it again")
                rows = parquet.read_table(io.BytesIO(data))
                values = [column.to_pylist() for column in rows.columns]
                log.rows(table, rows.column_names, zip(*values, strict=True))
        (log.root / IMAGES_FOLDER).symlink_to((folder / IMAGES_FOLDER).absolute())


def columns_of(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    """A table's columns: names and types."""
    return [(str(name), str(kind)) for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")]
