"""What a package says of itself, in a page of text."""

from __future__ import annotations

from lineside.package import Package
from lineside.v1 import model_pb2

_FIGURES = (
    ("mAP@0.33", "map_33"),
    ("mAP@0.5", "map_50"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("false alarms/healthy", "false_alarms_per_healthy"),
    ("escapes", "escapes"),
)


def text_of(package: Package, signature: str) -> str:
    """The page.

    Args:
        package: the package.
        signature: what is known of it, in words.
    """
    manifest, lineage = package.manifest, package.manifest.lineage
    purpose = "trial" if manifest.purpose == model_pb2.PURPOSE_TRIAL else "release"
    first = manifest.not_before.ToJsonString() if manifest.HasField("not_before") else "the start"
    last = manifest.not_after.ToJsonString() if manifest.HasField("not_after") else "without end"
    size = manifest.input
    rows = [
        ("digest", package.digest),
        ("signature", signature),
        ("purpose", f"{purpose}; valid from {first}, {last if last == 'without end' else f'until {last}'}"),
        ("responsible", manifest.responsible),
        ("intended use", manifest.intended_use),
        ("limits of use", manifest.limits_of_use),
        ("licence", manifest.license),
        ("input", f"{size.width} x {size.height}, {'mono' if size.channels == 1 else 'RGB'}"),
        ("areas", f"{package.head.count}, {manifest.WhichOneof('head')}"),
        ("classes", ", ".join(f"{item.name} from {item.threshold:.3g}" for item in manifest.classes)),
        ("parent", lineage.parent_digest),
        ("recipe", lineage.recipe),
        ("original data", lineage.data_digest),
        ("mentoring records", lineage.mentoring_digest),
        ("clicks", _clicks(lineage)),
        ("bits", _bits(manifest)),
        ("trained by others", _adoption(manifest)),
        ("must repeat", f"scores within {manifest.parity.score:.3g}, boxes within {manifest.parity.box:.3g} px"),
        *((f"{entry.domain} domain", _figures(entry)) for entry in manifest.evaluations),
        ("files", ", ".join(f"{item.name} {item.size}" for item in manifest.files)),
    ]
    lines = [f"{manifest.name} {manifest.version}"]
    lines += [f"  {name:<18} {value or 'not said'}" for name, value in rows]
    if not manifest.evaluations:
        lines.append(f"  {'figures':<18} none: nothing was measured")
    return "\n".join(lines)


def _clicks(lineage: model_pb2.Lineage) -> str:
    if not lineage.feedback_events:
        return "none"
    ranges = [f"{log.station or 'not named'} {log.first_sequence} to {log.last_sequence}" for log in lineage.logs]
    return f"{lineage.feedback_events} events" + (f" ({', '.join(ranges)})" if ranges else "")


def _adoption(manifest: model_pb2.PackageManifest) -> str:
    if not manifest.HasField("adoption"):
        return "no"
    return f"{manifest.adoption.family}; {manifest.adoption.not_trainable or 'its training can go on here'}"


def _bits(manifest: model_pb2.PackageManifest) -> str:
    if not manifest.HasField("quantisation"):
        return "float32"
    made = manifest.quantisation
    kept = f", {len(made.float_layers)} layers in float" if made.float_layers else ""
    how = f"; {made.calibration}, {made.pictures} pictures" if made.calibration else ""
    return f"{made.precision}{kept}, from {made.source_digest}{how}"


def _figures(entry: model_pb2.Evaluation) -> str:
    known = [f"{word} {getattr(entry, field):.3f}" for word, field in _FIGURES if entry.HasField(field)]  # type: ignore[arg-type]
    note = f"; {entry.notes}" if entry.notes else ""
    return f"{', '.join(known)} on {entry.images} + {entry.healthy_images} healthy pictures{note}"
