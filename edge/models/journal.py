"""The journal: the station's lineup as one small file, replaced as a whole so that a power cut leaves old or new."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.models.swap import Held, Lineup, State, version_key
from lineside.package import is_digest
from lineside.reasons import Reason

_LOGGER = logging.getLogger(__name__)

FORMAT_VERSION = 1


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Journal:
    """One JSON file holding a `Lineup`.

    Args:
        path: of the file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Lineup | None:
        """What was saved last; an empty lineup if nothing ever was; None if the file is damaged.

        A damaged file is put aside under another name, so that a person can look at it.
        """
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return Lineup()
        try:
            return parse_lineup(raw)
        except ValueError as error:
            aside = self._path.with_suffix(".damaged")
            _LOGGER.error("the model journal is damaged (%s); it is kept as %s", error, aside.name)
            self._path.replace(aside)
            return None

    def save(self, lineup: Lineup) -> None:
        """On return the lineup is on the disk, whole.

        Raises:
            OSError: it could not be written; the file on the disk is the one before.
        """
        temporary = self._path.with_suffix(".new")
        with open(temporary, "wb") as stream:
            stream.write(lineup_bytes(lineup))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._path)
        sync_folder(self._path.parent)


def lineup_bytes(lineup: Lineup) -> bytes:
    """The journal file of a lineup."""
    document = {
        "format_version": FORMAT_VERSION,
        "serving": lineup.serving,
        "trail": list(lineup.trail),
        "floors": dict(lineup.floors),
        "frozen": lineup.frozen,
        "held": [
            {
                "digest": item.digest,
                "name": item.name,
                "version": item.version,
                "state": item.state.name,
                "reason": item.reason.value if item.reason else None,
                "message": item.message,
                "was_confirmed": item.was_confirmed,
                "changed_unix_ns": item.changed_unix_ns,
            }
            for item in lineup.held
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def parse_lineup(raw: bytes) -> Lineup:
    """A lineup out of a journal file.

    Raises:
        ValueError: it is not one, with what is wrong.
    """
    try:
        document: Mapping[str, Any] = json.loads(raw)
        if document["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format_version is {document['format_version']}, this version reads {FORMAT_VERSION}")
        lineup = Lineup(
            held=tuple(_held(item) for item in document["held"]),
            serving=document["serving"],
            trail=tuple(document["trail"]),
            floors=tuple(sorted((str(name), str(version)) for name, version in document["floors"].items())),
            frozen=str(document.get("frozen", "")),
        )
        for _, version in lineup.floors:
            version_key(version)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a model journal: {error!r}") from None
    known = {item.digest for item in lineup.held}
    missing = {*lineup.trail, *([lineup.serving] if lineup.serving else [])} - known
    if missing or len(known) != len(lineup.held):
        raise ValueError("it names packages it does not hold, or one twice")
    return lineup


def _held(item: Mapping[str, Any]) -> Held:
    # A digest becomes a folder name: only the real form is let in.
    if not is_digest(item["digest"]):
        raise ValueError(f"{item['digest']!r} is no package digest")
    return Held(
        digest=item["digest"],
        name=str(item["name"]),
        version=str(item["version"]),
        state=State[item["state"]],
        reason=Reason[item["reason"]] if item["reason"] else None,
        message=str(item["message"]),
        was_confirmed=bool(item["was_confirmed"]),
        changed_unix_ns=int(item["changed_unix_ns"]),
    )
