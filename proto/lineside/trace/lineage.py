"""Lineage: which answers a model learned from, and which models an answer taught. Reads only.

A package's manifest names the answers by station and log sequence, and its parent by digest; logs say what was said
under these numbers. Both are looked for where the caller says: packages in folders (a station's, a desk's), manifests
in the logs themselves, which keep that of every model whose detections they hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from lineside.log.rows import model_rows
from lineside.log.sequences import in_words, ranges_of
from lineside.mentoring_log import event_of, open_log
from lineside.package import MANIFEST_NAME, digest_of, parse_manifest
from lineside.reasons import ContractError
from lineside.records import FeedbackEvent
from lineside.v1 import model_pb2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """Answers of one station's log that a model learned from."""

    station: str
    """Empty: the manifest does not say; then any station's."""
    ranges: tuple[tuple[int, int], ...]
    """First and last log sequence of each."""
    exact: bool
    """Each number of the ranges was taught; else some between first and last were, and it is not known which."""
    answers: int
    """How many, as the manifest says; 0: it does not."""

    def holds(self, station: str, sequence: int) -> bool:
        """Whether an answer is one of them, or may be where they are not exact."""
        if self.station not in ("", station):
            return False
        return any(first <= sequence <= last for first, last in self.ranges)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model, as far as its lineage goes."""

    digest: str
    name: str
    version: str
    parent: str
    """Digest of the model it was trained from; empty: none that was served."""
    recipe: str
    taught: tuple[Taught, ...]
    quantised_from: str
    """Digest of the float package it was made from; its clicks are that one's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """One answer and where it was given."""

    station: str
    camera: str
    part_id: str
    model_digest: str
    """Of the model whose detections were judged."""
    log: Path
    event: FeedbackEvent


def model_of(digest: str, manifest: model_pb2.PackageManifest) -> Model:
    """A manifest's lineage.

    Raises:
        ValueError: its log sequences cannot be read.
    """
    return Model(
        digest=digest,
        name=manifest.name,
        version=manifest.version,
        parent=manifest.lineage.parent_digest,
        recipe=manifest.lineage.recipe,
        taught=tuple(
            Taught(
                station=entry.station,
                ranges=ranges_of(entry.sequences) or ((entry.first_sequence, entry.last_sequence),),
                exact=bool(entry.sequences),
                answers=entry.feedback_events,
            )
            for entry in manifest.lineage.logs
        ),
        quantised_from=manifest.quantisation.source_digest,
    )


def known_models(folders: Sequence[Path], logs: Sequence[Path]) -> dict[str, Model]:
    """Models by digest: of packages below the folders, and of manifests in the logs. What is no package is passed over.

    Raises:
        FileNotFoundError: a folder is not there, or holds no log.
        ContractError: a log cannot be read.
    """
    found: dict[str, Model] = {}
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; name a package, or a folder of packages")
        for path in sorted((folder / MANIFEST_NAME, *folder.rglob(f"*/{MANIFEST_NAME}"))):
            if path.is_file():
                _add(found, path.read_bytes())
    for log in logs:
        for row in model_rows(log):
            if row["digest"] not in found:
                _add(found, row["manifest"].encode(), digest=row["digest"])
    return found


def _add(found: dict[str, Model], raw: bytes, *, digest: str = "") -> None:
    with contextlib.suppress(ContractError, ValueError):
        name = digest or digest_of(raw)
        found[name] = model_of(name, parse_manifest(raw))


def choose(models: Mapping[str, Model], wanted: str) -> Model:
    """A model by its digest, the beginning of it, NAME or NAME-VERSION.

    Raises:
        ValueError: there is none, or there are several.
    """
    fitting = [
        model
        for digest, model in models.items()
        if digest.removeprefix("sha256:").startswith(wanted.removeprefix("sha256:"))
        or wanted in (model.name, f"{model.name}-{model.version}")
    ]
    if len(fitting) != 1:
        known = ", ".join(f"{model.name}-{model.version} ({digest[7:19]})" for digest, model in models.items())
        problem = "could be several models" if fitting else "is no model of these folders and logs"
        raise ValueError(f"{wanted[:80]!r} {problem}; there are {known or 'none'}")
    return fitting[0]


def ancestry(model: Model, models: Mapping[str, Model]) -> tuple[tuple[Model, ...], str]:
    """A model and those whose weights it began with, itself first; and the digest of one that is not known."""
    line = [model]
    while True:
        before = line[-1].quantised_from or line[-1].parent
        if not before:
            return tuple(line), ""
        if before not in models or any(before == known.digest for known in line):
            return tuple(line), before
        line.append(models[before])


def clicks_in(logs: Sequence[Path]) -> list[Click]:
    """Every answer of the logs, each key once, in the order in which a station acknowledged them.

    Raises:
        FileNotFoundError, ContractError: a log cannot be read.
    """
    found: dict[str, Click] = {}
    for root in logs:
        with contextlib.closing(open_log(root)) as connection:
            connection.row_factory = _row
            for row in connection.execute(
                "SELECT feedback.*, frames.station, frames.camera, frames.part_id, frames.model_digest"
                " FROM feedback JOIN frames ON frames.frame_id = feedback.frame_id"
            ):
                click = Click(
                    station=row["station"],
                    camera=row["camera"],
                    part_id=row["part_id"],
                    model_digest=row["model_digest"],
                    log=root,
                    event=event_of(row),
                )
                found.setdefault(click.event.key, click)
    return sorted(found.values(), key=lambda click: (click.station, click.event.log_sequence, click.event.key))


def _row(cursor: object, values: tuple[object, ...]) -> dict[str, object]:
    return {item[0]: value for item, value in zip(cursor.description, values, strict=True)}  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one model learned from by itself, without those before it."""

    model: Model
    clicks: tuple[Click, ...]
    """Of the logs that were looked at: those taught, or, where `exact` is false, those among which they are."""
    exact: bool
    elsewhere: Mapping[str, str]
    """By station: log sequences that were taught and are in none of these logs."""


def learned_by(model: Model, clicks: Sequence[Click]) -> Learned:
    """The model's own clicks among those of some logs."""
    own = tuple(
        click for click in clicks if any(item.holds(click.station, click.event.log_sequence) for item in model.taught)
    )
    elsewhere: dict[str, str] = {}
    for item in model.taught:
        there = {click.event.log_sequence for click in own if item.station in ("", click.station)}
        # Of a range that is not exact nobody knows how many are missing.
        gone = (
            [number for first, last in item.ranges for number in range(first, last + 1) if number not in there]
            if item.exact
            else []
        )
        if gone or not there:
            elsewhere[item.station] = in_words(gone) if item.exact else _span(item)
    return Learned(model=model, clicks=own, exact=all(item.exact for item in model.taught), elsewhere=elsewhere)


def _span(item: Taught) -> str:
    return ",".join(f"{first}-{last}" for first, last in item.ranges)


def find_click(clicks: Sequence[Click], wanted: str) -> Click:
    """An answer by its key, or by STATION:SEQUENCE.

    Raises:
        ValueError: there is none, or two stations' logs hold one.
    """
    station, colon, number = wanted.rpartition(":")
    found = [
        click
        for click in clicks
        if click.event.key == wanted
        or (colon and number.isdecimal() and click.station == station and click.event.log_sequence == int(number))
    ]
    if len(found) != 1:
        problem = "could be several answers" if found else "is no answer in these logs"
        raise ValueError(f"{wanted[:80]!r} {problem}; name it by its key, or as STATION:SEQUENCE")
    return found[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How a model came to know an answer."""

    model: Model
    through: Model
    """The model that was taught it: itself, or one whose weights it began with."""
    exact: bool
    """It was taught; else it may have been."""


def uses_of(click: Click, models: Mapping[str, Model]) -> list[Use]:
    """Every model that learned from an answer, by itself or through another, sorted by name and version."""
    found = []
    for model in models.values():
        for ancestor in ancestry(model, models)[0]:
            holding = [item for item in ancestor.taught if item.holds(click.station, click.event.log_sequence)]
            if holding:
                exact = any(item.exact for item in holding)
                found.append(Use(model=model, through=ancestor, exact=exact))
                break
    return sorted(found, key=lambda use: (use.model.name, _version(use.model.version), use.model.digest))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
