"""Which stations there are: a TOML file with names, addresses, groups and tags."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ALL, TAG = "all", "tag:"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ADDRESS = re.compile(r"unix:.+|(?:\[[0-9A-Fa-f:.]+\]|[^:\s\[\]/]+):[0-9]{1,5}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files of an encrypted connection; all optional, the client's two only together."""

    ca: Path | None = None
    """Certificates that may vouch for the station; None: this machine's own list."""
    certificate: Path | None = None
    """The engineer's; its name is what the station's audit then says."""
    key: Path | None = None
    """The certificate's private key."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls: certificate and key belong together: name both files or neither")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One line of the inventory."""

    name: str
    """[station] name in the station's own configuration: one that answers under another name is not touched."""
    address: str
    """HOST:PORT of its gRPC, or unix:PATH."""
    group: str = ""
    tags: tuple[str, ...] = ()
    tls: Tls | None = None
    """None: the connection is not encrypted."""

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), *(("tag", tag) for tag in self.tags)):
            if not _NAME.fullmatch(text):
                raise ValueError(f"{what} is {text!r}, expected 1 to 64 letters, digits, '-', '_' or '.'")
        if self.group and not _NAME.fullmatch(self.group):
            raise ValueError(f"group is {self.group!r}, expected 1 to 64 letters, digits, '-', '_' or '.'")
        if not _ADDRESS.fullmatch(self.address):
            raise ValueError(f"address of {self.name} is {self.address!r}, expected HOST:PORT or unix:PATH")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All stations, in the order of the file."""

    stations: tuple[Station, ...]

    def __post_init__(self) -> None:
        for what, values in (
            ("name", [station.name for station in self.stations]),
            ("address", [station.address for station in self.stations]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is there twice; every station has its own")
        names = {station.name for station in self.stations}
        clash = sorted(names & ({station.group for station in self.stations} | {ALL}))
        if clash:
            raise ValueError(f"{clash[0]!r} names a station and a group; give one of them another name")

    @property
    def groups(self) -> tuple[str, ...]:
        """Each once, in the order of the file."""
        return tuple(dict.fromkeys(station.group for station in self.stations if station.group))

    def select(self, wanted: Sequence[str]) -> tuple[Station, ...]:
        """The stations somebody means, each once, in the order of the file.

        Args:
            wanted: names, groups, "tag:TAG", or "all".

        Raises:
            ValueError: a word fits nothing.
        """
        chosen: set[str] = set()
        for word in wanted:
            tag = word.removeprefix(TAG) if word.startswith(TAG) else None
            fits = {
                station.name
                for station in self.stations
                if (tag in station.tags if tag is not None else word in (station.name, station.group or None, ALL))
            }
            if not fits:
                tags = sorted({TAG + each for station in self.stations for each in station.tags})
                known = ", ".join([ALL, *self.groups, *(station.name for station in self.stations), *tags])
                raise ValueError(f"no station fits {word!r}; there are {known}")
            chosen |= fits
        return tuple(station for station in self.stations if station.name in chosen)


def load_inventory(path: Path) -> Inventory:
    """Reads an inventory; relative paths of key files are relative to its folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TOML, or a key or value is wrong; one line that names it.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no inventory at {path}; docs/fleet.md shows one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    try:
        return _inventory(document, path.absolute().parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _inventory(document: Mapping[str, Any], folder: Path) -> Inventory:
    _check_keys(document, ("stations", "tls"), "the file")
    tables = document.get("stations", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ValueError("there is no [[stations]] table; each station has one, with name and address")
    tls = _tls(document["tls"], folder) if "tls" in document else None
    return Inventory(stations=tuple(_station(table, number, folder, tls) for number, table in enumerate(tables, 1)))


def _station(table: Mapping[str, Any], number: int, folder: Path, tls: Tls | None) -> Station:
    place = f"station {number}"
    _check_keys(table, ("name", "address", "group", "tags", "tls"), place)
    for key in ("name", "address"):
        if key not in table:
            raise ValueError(f"{place}: {key} is missing")
    for key in ("name", "address", "group"):
        if not isinstance(table.get(key, ""), str):
            raise ValueError(f"{place}: {key} is {table[key]!r}, expected text")
    tags = table.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"{place}: tags is {tags!r}, expected a list of text")
    own = table.get("tls")
    try:
        return Station(
            name=table["name"],
            address=table["address"],
            group=table.get("group", ""),
            tags=tuple(tags),
            # `tls = false` on a station: plain, although the others are encrypted.
            tls=tls if own is None else None if own is False else _tls(own, folder),
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _tls(table: object, folder: Path) -> Tls:
    if not isinstance(table, dict):
        raise ValueError(f"tls is {table!r}, expected a table with ca, certificate, key")
    _check_keys(table, ("ca", "certificate", "key"), "tls")
    for name, value in table.items():
        if not isinstance(value, str):
            raise ValueError(f"tls: {name} is {value!r}, expected the path of a PEM file")
    return Tls(**{name: folder / value for name, value in table.items()})


def _check_keys(table: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"{place}: unknown key {unknown[0]}; possible here: {', '.join(known)}")
