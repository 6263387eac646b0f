"""What changed from one package to another: classes, thresholds, figures, clicks, lineage, files. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lineside.package import Package, manifest_bytes
from lineside.v1 import model_pb2

Value = str | int | float | None
"""None: not there, not said, not measured."""
_FIGURES = (
    "map_33",
    "map_50",
    "precision",
    "recall",
    "false_alarms_per_healthy",
    "escapes",
    "images",
    "healthy_images",
)
_CLASS_FIGURES = ("defects", "ap_33", "ap_50", "precision", "recall")
_DIGITS = 6
"""Significant digits of a stored float32; further ones are noise of the conversion."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not as it was."""

    section: str
    what: str
    before: Value
    after: Value

    @property
    def difference(self) -> float | None:
        """after - before, where both are numbers."""
        if isinstance(self.before, str | None) or isinstance(self.after, str | None):
            return None
        return round(self.after - self.before, _DIGITS)

    @property
    def text(self) -> str:
        """In one line."""
        before, after = ("–" if value in (None, "") else str(value) for value in (self.before, self.after))
        moved = self.difference
        return f"{self.what}: {before} -> {after}" + (f" ({moved:+g})" if moved is not None else "")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "difference": self.difference}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """From package a to package b."""

    a: str
    b: str
    """Names and versions."""
    digests: tuple[str, str]
    relation: str
    """In words: whether the second was trained from the first."""
    changes: tuple[Change, ...]

    @property
    def same(self) -> bool:
        """Whether they are one and the same package; signatures are not part of it."""
        return self.digests[0] == self.digests[1]

    @property
    def text(self) -> str:
        """By section."""
        if self.same:
            return f"{self.a} and {self.b} are the same package\n{self.digests[0]}"
        lines = [f"{self.a}  {self.digests[0]}", f"{self.b}  {self.digests[1]}"]
        if self.relation:
            lines.append(self.relation)
        sections = list(dict.fromkeys(change.section for change in self.changes))
        for section in sections:
            lines += ["", section]
            lines += [f"  {change.text}" for change in self.changes if change.section == section]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "a": {"name": self.a, "digest": self.digests[0]},
            "b": {"name": self.b, "digest": self.digests[1]},
            "same": self.same,
            "relation": self.relation,
            "changes": [change.to_json() for change in self.changes],
        }


def compare(a: Package, b: Package) -> Difference:
    """What is not in `b` as it is in `a`."""
    before, after = a.manifest, b.manifest
    changes = [
        *_fields("what it is", _identity(before), _identity(after)),
        *_classes(before, after),
        *_fields("thresholds", _thresholds(before), _thresholds(after), both=True),
        *_fields("input, head and decoder", _contract(before), _contract(after)),
        *_figures(before, after),
        *_fields("clicks", _clicks(before.lineage), _clicks(after.lineage)),
        *_fields("lineage", _lineage(before.lineage), _lineage(after.lineage)),
        *_fields("training configuration", _configuration(before.lineage), _configuration(after.lineage)),
        *_files(before, after),
    ]
    return Difference(
        a=f"{before.name} {before.version}",
        b=f"{after.name} {after.version}",
        digests=(a.digest, b.digest),
        relation=_relation(a, b),
        changes=tuple(changes),
    )


def _relation(a: Package, b: Package) -> str:
    if b.manifest.lineage.parent_digest == a.digest:
        return f"{b.manifest.version} was trained from {a.manifest.version}"
    if a.manifest.lineage.parent_digest == b.digest:
        return f"{a.manifest.version} was trained from {b.manifest.version}: this is the way back"
    if a.manifest.lineage.parent_digest and a.manifest.lineage.parent_digest == b.manifest.lineage.parent_digest:
        return "both were trained from the same parent"
    return ""


def _fields(
    section: str, before: Mapping[str, Value], after: Mapping[str, Value], *, both: bool = False
) -> Iterator[Change]:
    """A change for each name whose value differs; with `both`, for names that are on both sides only."""
    for name in dict.fromkeys([*before, *after]):
        if both and not (name in before and name in after):
            continue
        if before.get(name) != after.get(name):
            yield Change(section=section, what=name, before=before.get(name), after=after.get(name))


def _identity(manifest: model_pb2.PackageManifest) -> dict[str, Value]:
    dates = {
        name: getattr(manifest, name).ToJsonString() if manifest.HasField(name) else None
        for name in ("not_before", "not_after")
    }
    trial = manifest.purpose == model_pb2.PURPOSE_TRIAL
    return {
        "name": manifest.name,
        "version": manifest.version,
        "purpose": "trial" if trial else "release",
        **dates,
        "licence": manifest.license,
        "responsible": manifest.responsible,
        "intended use": manifest.intended_use,
        "limits of use": manifest.limits_of_use,
    }


def _classes(before: model_pb2.PackageManifest, after: model_pb2.PackageManifest) -> Iterator[Change]:
    old, new = ([item.name for item in manifest.classes] for manifest in (before, after))
    for name in old:
        if name not in new:
            yield Change(section="classes", what=name, before="known", after=None)
    for name in new:
        if name not in old:
            yield Change(section="classes", what=name, before=None, after="known")
    kept = [name for name in old if name in new], [name for name in new if name in old]
    if kept[0] != kept[1]:
        yield Change(section="classes", what="order", before=", ".join(old), after=", ".join(new))


def _thresholds(manifest: model_pb2.PackageManifest) -> dict[str, Value]:
    return {item.name: _number(item.threshold) for item in manifest.classes}


def _contract(manifest: model_pb2.PackageManifest) -> dict[str, Value]:
    """Input, head, decoder and tolerances, flat."""
    parts: dict[str, Value] = {"head": manifest.WhichOneof("head")}
    document = json.loads(manifest_bytes(manifest))
    for part in ("input", "decode", "parity", "cells", "anchors", "adoption"):
        parts |= _flat(part, document.get(part, {}))
    return parts


def _figures(before: model_pb2.PackageManifest, after: model_pb2.PackageManifest) -> Iterator[Change]:
    old, new = ({entry.domain: entry for entry in manifest.evaluations} for manifest in (before, after))
    nothing = model_pb2.Evaluation()
    for domain in dict.fromkeys([*old, *new]):
        one, other = old.get(domain, nothing), new.get(domain, nothing)
        section = f"figures, {domain} domain"
        yield from _fields(section, _measured(one, _FIGURES), _measured(other, _FIGURES))
        kinds = ({kind.name: kind for kind in entry.classes} for entry in (one, other))
        first, second = kinds
        empty = model_pb2.ClassEvaluation()
        for name in dict.fromkeys([*first, *second]):
            values = [_measured(side.get(name, empty), _CLASS_FIGURES) for side in (first, second)]
            named = [{f"{name} {field}": value for field, value in side.items()} for side in values]
            yield from _fields(section, *named)
        yield from _fields(section, {"notes": one.notes}, {"notes": other.notes})


def _measured(entry: model_pb2.Evaluation | model_pb2.ClassEvaluation, fields: Sequence[str]) -> dict[str, Value]:
    """By name; what was not measured is None."""
    values: dict[str, Value] = {}
    for field in fields:
        optional = entry.DESCRIPTOR.fields_by_name[field].has_presence
        there = not optional or entry.HasField(field)  # type: ignore[arg-type]
        values[field] = _number(getattr(entry, field)) if there else None
    return values


def _clicks(lineage: model_pb2.Lineage) -> dict[str, Value]:
    clicks: dict[str, Value] = {
        "feedback events": lineage.feedback_events,
        "up to log number": lineage.last_log_sequence,
        "digest of the records": lineage.mentoring_digest,
    }
    for log in lineage.logs:
        of = f"log of {log.station or 'a station not named'}"
        clicks[f"{of}, numbers"] = f"{log.first_sequence} to {log.last_sequence}"
        clicks[f"{of}, answers"] = log.feedback_events
        clicks[f"{of}, frames"] = log.frames
    return clicks


def _lineage(lineage: model_pb2.Lineage) -> dict[str, Value]:
    return {
        "parent": lineage.parent_digest,
        "recipe": lineage.recipe,
        "data digest": lineage.data_digest,
        "seed": lineage.seed,
    }


def _configuration(lineage: model_pb2.Lineage) -> dict[str, Value]:
    try:
        return _flat("", json.loads(lineage.training_config_json or "{}"))
    except ValueError:
        return {"as text": lineage.training_config_json}


def _files(before: model_pb2.PackageManifest, after: model_pb2.PackageManifest) -> Iterator[Change]:
    old, new = ({item.name: item for item in manifest.files} for manifest in (before, after))
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name), new.get(name)
        if one is None or other is None or one.size != other.size:
            yield Change(
                section="files, bytes",
                what=name,
                before=None if one is None else one.size,
                after=None if other is None else other.size,
            )
        elif one.sha256 != other.sha256:
            yield Change(section="files, contents", what=name, before=one.sha256[:12], after=other.sha256[:12])


def _flat(prefix: str, value: Any) -> dict[str, Value]:
    """Leaves of a JSON document by their path."""
    if isinstance(value, Mapping):
        pairs = [(f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{prefix}[{number}]", item) for number, item in enumerate(value)]
    else:
        return {prefix: str(value).lower() if isinstance(value, bool) else value}
    found: dict[str, Value] = {}
    for path, item in pairs:
        found |= _flat(path, item)
    return found


def _number(value: float) -> Value:
    return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")
