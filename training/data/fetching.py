"""Which objects a kind of data needs, and its local folder once they are here. Local places are given back as they are.

A set with one annotation file fetches the pictures that it names and no others, a log those that somebody has judged:
the bucket beside them may be of any size.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path, PurePosixPath

from lineside.mentoring_log import DATABASE_NAME, IMAGES_FOLDER
from training.data.storage import Remote, StorageError, Store, address_of


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


def local_log(place: str | Path) -> Path:
    """The folder of a mentoring log: its database as of one moment, and the judged pictures that are there.

    The database comes first: a station uploads pictures before the database that names them, so all of them are there.
    A picture that is not is left to the log's reader, which accounts for it.

    Raises:
        StorageError: the place cannot be read, holds no log, or one that was copied while a station wrote.
        MissingExtraError: s3fs is not installed.
    """
    address = address_of(place)
    if address is None:
        return Path(place)
    store = Store(address)
    objects = store.listing(DATABASE_NAME)
    if DATABASE_NAME not in objects:
        raise StorageError(f"no mentoring log in {address}/: expected {DATABASE_NAME} there")
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
