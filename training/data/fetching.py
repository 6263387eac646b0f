"""Which objects a kind of data needs, and its local folder once they are here. Local places are given back as they are.

A set with one annotation file fetches the pictures that it names and no others, a log those that somebody has judged:
the bucket beside them may be of any size.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from lineside.log.shards import MODELS, STATIONS, build_log, model_path, shard_of, shards_in, stations_in
from lineside.mentoring_log import DATABASE_NAME, IMAGES_FOLDER
from training.data.storage import Remote, StorageError, Store, address_of, cache_root
from training.extras import need


def local_tree(place: str | Path) -> Path:
    """A folder with everything below a place.

    Raises:
        StorageError: the place cannot be read, or holds nothing.
        MissingExtraError: s3fs is not installed.
    """
    address = address_of(place)
    if address is None:
        return Path(place)
    store = Store(address)
    objects = store.listing()
    if not objects:
        raise StorageError(f"there is nothing below {address}/; look at the name of the place")
    return store.view(objects)


def local_coco(place: str | Path) -> Path:
    """The annotation file of a COCO set, its pictures beside it or in `images`.

    Args:
        place: the JSON file, or a place that holds exactly one.

    Raises:
        StorageError: the place cannot be read, or a picture is not there.
        MissingExtraError: s3fs is not installed.
    """
    address = address_of(place)
    if address is None:
        return Path(place)
    name = ""
    if address.endswith(".json"):
        address, name = _parent_of(address)
    store = Store(address)
    objects = store.listing()
    if not name:
        files = sorted(path for path in objects if "/" not in path and path.endswith(".json"))
        if len(files) != 1:
            raise StorageError(f"{address}/ holds {len(files)} JSON files, expected one COCO file; name it")
        name = files[0]
    if name not in objects:
        raise StorageError(f"there is no {address}/{name}")
    needed = {name: objects[name]}
    for picture in _pictures_of(store.fetch(objects[name])):
        for path in (picture, f"images/{picture}"):
            if path in objects:
                needed[path] = objects[path]
                break
        else:
            raise StorageError(f"{address}/{name} names {picture}, which is not there and not in {address}/images/")
    return store.view(needed) / name


def _parent_of(address: str) -> tuple[str, str]:
    """The place an object lies in, and its name there."""
    path = PurePosixPath(address.removeprefix("s3://"))
    if len(path.parts) < 2:
        raise StorageError(f"{address} names a bucket, expected s3://BUCKET/.../NAME")
    return f"s3://{path.parent}", path.name


def _pictures_of(annotations: Path) -> list[str]:
    """Names of the pictures; none where it is no COCO file, which its importer then says in full."""
    try:
        return [str(entry["file_name"]) for entry in json.loads(annotations.read_text(encoding="utf-8"))["images"]]
    except (ValueError, KeyError, TypeError):
        return []


def local_logs(places: Sequence[str | Path]) -> list[Path]:
    """The folders of mentoring logs: of shards, one for each station that the place holds.

    Args:
        places: folders of logs, here or in object storage; places of shards, or PLACE/stations/NAME for one station's.

    Raises:
        StorageError: a place cannot be read, or holds no log.
        MissingExtraError: s3fs or pyarrow is not installed.
    """
    return [root for place in places for root in _logs_at(place)]


def local_log(place: str | Path) -> Path:
    """As `local_logs` of one place, which holds one log.

    Raises:
        StorageError: also where it holds several.
        MissingExtraError: s3fs or pyarrow is not installed.
    """
    found = _logs_at(place)
    if len(found) != 1:
        names = ", ".join(f"{place}/{STATIONS}/{root.name}" for root in found)
        raise StorageError(
            f"{place} holds shards of {len(found)} stations, and this takes one log; name one of {names}"
        )
    return found[0]


def _logs_at(place: str | Path) -> list[Path]:
    address = address_of(place)
    if address is None:
        root, station = _one_station(Path(place))
        return [Path(place)] if not (root / STATIONS).is_dir() else _built(root.absolute(), station, str(place))
    path, station = _one_station(PurePosixPath(address.removeprefix("s3://")))
    store = Store(f"s3://{path}")
    shards = store.listing(f"{STATIONS}/{station}/" if station else f"{STATIONS}/")
    if not shards:
        return [_whole_log(Store(address), address)]
    return _built(_local_shards(store, shards), station, address)


_AnyPath = TypeVar("_AnyPath", bound=PurePath)


def _one_station(path: _AnyPath) -> tuple[_AnyPath, str]:
    """The place of shards a path is in, and the station it names; empty: all."""
    return (path.parent.parent, path.name) if path.parent.name == STATIONS else (path, "")


def _local_shards(store: Store, shards: dict[str, Remote]) -> Path:
    """A place's shards with the pictures that they name, as far as they are there."""
    known = store.view({path: remote for path, remote in shards.items() if path.endswith(".json")})
    wanted: set[str] = set()
    models: set[str] = set()
    for path in shards:
        if path.endswith(".json"):
            shard = shard_of((known / path).read_bytes(), f"{store.address}/{path}")
            wanted.update(shard.pictures)
            models.update(model_path(digest) for digest in shard.models)
    there = {**store.listing(f"{MODELS}/"), **store.listing(f"{IMAGES_FOLDER}/")}
    return store.view({**shards, **{path: there[path] for path in wanted | models if path in there}})


def _built(folder: Path, station: str, place: str) -> list[Path]:
    """Logs of one or all stations, put together in the cache; what was built once is found again."""
    need("pyarrow", purpose=f"reading the shards of {place}", install="'lineside[log]'")
    names = [station] if station else stations_in(folder)
    found = []
    for name in names:
        if not (folder / STATIONS / name).is_dir():
            raise StorageError(f"{place} holds no station {name}; there are {', '.join(stations_in(folder)) or 'none'}")
        try:
            content = hashlib.sha256(f"{folder}\n".encode())
            for shard in shards_in(folder, name):
                content.update(shard.to_bytes())
            found.append(build_log(folder, name, cache_root() / "logs" / content.hexdigest() / name))
        except OSError as error:
            raise StorageError(f"the shards of {place} cannot be put together: {error}; copy the place whole") from None
    return found


def _whole_log(store: Store, address: str) -> Path:
    """A log uploaded as it is: its database as of one moment, and the judged pictures that are there.

    The database comes first: a station uploads pictures before the database that names them, so all of them are there.
    A picture that is not is left to the log's reader, which accounts for it.
    """
    objects = store.listing(DATABASE_NAME)
    if DATABASE_NAME not in objects:
        raise StorageError(f"no mentoring log in {address}/: expected {DATABASE_NAME} there, or shards of one")
    ahead = objects.get(f"{DATABASE_NAME}-wal")
    if ahead is not None and ahead.size:
        raise StorageError(
            f"{address}/ holds {DATABASE_NAME}-wal, so its database was copied while a station wrote and may be torn;"
            f" upload a snapshot instead: sqlite3 {DATABASE_NAME} \"VACUUM INTO 'snapshot.sqlite'\""
        )
    needed: dict[str, Remote] = {DATABASE_NAME: objects[DATABASE_NAME]}
    wanted = _judged_pictures(store.fetch(objects[DATABASE_NAME]))
    pictures = store.listing(f"{IMAGES_FOLDER}/")
    needed |= {path: pictures[path] for path in wanted if path in pictures}
    return store.view(needed)


def _judged_pictures(database: Path) -> list[str]:
    """Paths below the log's folder; none where the database cannot be read, which the log's reader then tells."""
    # Immutable: the file is ours alone and nobody writes it, and SQLite must put no files beside a blob.
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        rows = connection.execute(
            "SELECT DISTINCT image_sha256, image_suffix FROM frames WHERE frame_id IN (SELECT frame_id FROM feedback)"
        )
        return [f"{IMAGES_FOLDER}/{sha[:2]}/{sha}.{suffix}" for sha, suffix in rows]
    except (sqlite3.Error, TypeError):
        return []
    finally:
        connection.close()
