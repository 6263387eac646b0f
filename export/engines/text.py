"""Engines in words: for people and for grep. Values in, text out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from lineside.engines.layers import share_of_precisions
from lineside.engines.store import Entry, Record


def list_text(entries: Sequence[Entry], folder: Path) -> str:
    """A line for each engine, and how much they are together."""
    head = ("ENGINE", "MODEL", "BUILDER", "TARGET", "PRECISION", "BATCH", "MB", "BUILT", "USED")
    total = sum(entry.size for entry in entries) / 1e6
    return table([head, *map(_row, entries)]) + f"\n{len(entries)} engines, {total:.1f} MB in {folder}"


def _row(entry: Entry) -> tuple[str, ...]:
    name, size, used = entry.name[:12], f"{entry.size / 1e6:.1f}", _when(entry.used_at)
    if entry.record is None:
        return (name, "no readable record", "", "", "", "", size, "", used)
    key, model = entry.record.key, entry.record.origin.model
    batches = " ".join(
        ":".join(shape.split("x")[0] for shape in profile.split()) for profile in key.profiles.split("; ")
    )
    built = _when(entry.record.built_at)
    return (name, model, key.builder, key.target, key.precision, batches, size, built, used)


def entry_json(entry: Entry) -> dict[str, object]:
    """The same for programs."""
    record = entry.record
    return {
        "name": entry.name,
        "bytes": entry.size,
        "used_at": entry.used_at,
        "key": None if record is None else dataclasses.asdict(record.key),
        "origin": None if record is None else dataclasses.asdict(record.origin),
        "built_at": None if record is None else record.built_at,
    }


def inspect_text(path: Path, record: Record) -> str:
    """All that is known of an engine, and a line for each of its layers."""
    key, origin = record.key, record.origin
    shares = sorted(share_of_precisions(record.layers).items())
    facts = [
        ("engine", str(path)),
        ("model", f"{origin.model}, package {origin.package_digest[:19]}, graph {key.graph_sha256[:12]}"),
        ("conversion", origin.conversion or "none"),
        ("builder", f"{key.builder} for {key.target}; GPU {key.gpu}, driver {key.driver}; {key.options}"),
        ("inputs", key.profiles),
        ("built", f"{_when(record.built_at)} in {record.build_seconds:.1f} s"),
        ("size", f"{record.size / 1e6:.2f} MB"),
        *((name, f"{count / 1e6:.2f} MB") for name, count in sorted(record.figures.items())),
        ("precision", key.precision + "".join(f", {kind}: {count} layers" for kind, count in shares)),
        *(("warning", line) for line in record.warnings),
    ]
    if not record.layers:
        return table(facts) + "\nthe builder lists no layers of it"
    rows = [("LAYER", "KIND", "IN", "OUT", "CONSTANTS", "NODES")]
    rows += [
        (layer.name, layer.kind, layer.inputs, layer.outputs, _kb(layer.constant_bytes), " ".join(layer.nodes))
        for layer in record.layers
    ]
    return f"{table(facts)}\n\n{len(record.layers)} layers, from the {record.layers_from}\n{table(rows)}"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns, as wide as they need to be."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _kb(count: int) -> str:
    return f"{count / 1e3:.1f} kB" if count else ""
