"""The bill of materials of a package: the model, what it was trained from, and the software that made it (CycloneDX).

Written by the OWASP CycloneDX library. The same model made by the same software gives the same bytes: no time of day is
in it, and its serial number is derived from its contents.
"""

from __future__ import annotations

import functools
import json
import platform
import re
import uuid
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.contact import OrganizationalContact
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lineside.package import CARD_NAME, GRAPH_NAME
from lineside.v1 import model_pb2

ROOT, EXTRAS = "lineside", ("export", "training")
"""The software that makes a package: this distribution with these extras, and all they need."""
_NAMESPACE = uuid.UUID("5d0a1e0c-6d0e-5c41-9d5e-7a3f2b1c8e90")
"""Of serial numbers; an arbitrary constant."""
_LONGEST_LICENCE = 100
"""A longer text is the licence itself instead of its name."""


def bill_of_materials(manifest: model_pb2.PackageManifest, hashes: Mapping[str, str]) -> bytes:
    """sbom.json.

    Args:
        manifest: without its files.
        hashes: SHA-256 (64 hexadecimal digits) by name of the package's files that are known: graph, golden, weights.

    Raises:
        ValueError: Lineside is not installed, so that nobody knows what it needs.
    """
    software = _software()
    model = _model(manifest, hashes)
    origin = _origin(manifest)
    bom = Bom(
        components=[*origin, *(component for component, _ in software.values())],
        metadata=BomMetaData(
            component=model,
            tools=[],
            authors=[OrganizationalContact(name=manifest.responsible)] if manifest.responsible else None,
            properties=[
                Property(name="lineside:python", value=platform.python_version()),
                Property(name="lineside:machine", value=f"{platform.system()} {platform.machine()}"),
            ],
        ),
        dependencies=[
            Dependency(model.bom_ref, [Dependency(item.bom_ref) for item in (*origin, software[ROOT][0])]),
            *(
                Dependency(component.bom_ref, [Dependency(software[name][0].bom_ref) for name in sorted(needs)])
                for component, needs in software.values()
            ),
        ],
    )
    document = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    del document["metadata"]["timestamp"], document["serialNumber"]
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(document, sort_keys=True))}"
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def software_of(sbom: bytes) -> dict[str, str]:
    """Version by name of the software a bill of materials lists."""
    document: dict[str, Any] = json.loads(sbom)
    return {item["name"]: item["version"] for item in document["components"] if item["type"] == "library"}


def _model(manifest: model_pb2.PackageManifest, hashes: Mapping[str, str]) -> Component:
    name, version = manifest.name, manifest.version
    parent = manifest.lineage.parent_digest
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=name,
        version=version,
        bom_ref=f"model:{name}@{version}",
        hashes=[_sha256(hashes[GRAPH_NAME])] if GRAPH_NAME in hashes else None,
        licenses=[_licence(manifest.license)] if manifest.license else None,
        description=manifest.intended_use or None,
        pedigree=Pedigree(ancestors=[_ancestor(name, parent)]) if parent else None,
        external_references=[ExternalReference(type=ExternalReferenceType.MODEL_CARD, url=XsUri(CARD_NAME))],
        components=[
            Component(type=ComponentType.FILE, name=file, bom_ref=f"file:{file}", hashes=[_sha256(digest)])
            for file, digest in sorted(hashes.items())
        ],
        properties=[Property(name="lineside:recipe", value=manifest.lineage.recipe)],
    )


def _ancestor(name: str, digest: str) -> Component:
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=name,
        bom_ref="model:parent",
        properties=[Property(name="lineside:package_digest", value=digest)],
    )


def _origin(manifest: model_pb2.PackageManifest) -> list[Component]:
    """The data a model learned from. Their digests are Lineside's own, over contents, and not those of a file."""
    lineage = manifest.lineage
    found = []
    if lineage.data_digest:
        found.append(_data("training data", lineage.data_digest, {}))
    if lineage.mentoring_digest:
        more = {"lineside:feedback_events": str(lineage.feedback_events)}
        for log in lineage.logs:
            more[f"lineside:log:{log.station}"] = f"{log.first_sequence} to {log.last_sequence}"
        found.append(_data("mentoring records", lineage.mentoring_digest, more))
    return found


def _data(name: str, digest: str, more: Mapping[str, str]) -> Component:
    return Component(
        type=ComponentType.DATA,
        name=name,
        bom_ref=f"data:{digest}",
        properties=[Property(name=key, value=value) for key, value in {"lineside:digest": digest, **more}.items()],
    )


@functools.lru_cache(maxsize=1)
def _software() -> dict[str, tuple[Component, frozenset[str]]]:
    """Component and direct needs of every distribution that is installed and needed, by canonical name."""
    found: dict[str, tuple[Component, frozenset[str]]] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(ROOT, frozenset(EXTRAS))]
    asked: dict[str, frozenset[str]] = {}
    while waiting:
        name, extras = waiting.pop()
        extras |= asked.get(name, frozenset())
        if asked.get(name) == extras:
            continue
        asked[name] = extras
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # not needed here: of another platform, or of an extra that nobody installed
        needs = dict(_needs(distribution, extras))
        waiting += sorted(needs.items())
        found[name] = (_library(distribution), frozenset(needs))
    if ROOT not in found:
        raise ValueError("Lineside is not installed, so what it needs is not known; install it with: pip install -e .")
    return {name: (component, frozenset(needs & found.keys())) for name, (component, needs) in sorted(found.items())}


def _needs(distribution: metadata.Distribution, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    needs = []
    for text in distribution.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras))):
            needs.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return [(name, frozenset().union(*(more for other, more in needs if other == name))) for name, _ in needs]


def _library(distribution: metadata.Distribution) -> Component:
    name = canonicalize_name(distribution.metadata["Name"])
    url = PackageURL(type="pypi", name=name, version=distribution.version)
    said = _licence_of(distribution)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=distribution.version,
        bom_ref=url.to_string(),
        purl=url,
        licenses=[_licence(said)] if said else None,
    )


def _licence_of(distribution: metadata.Distribution) -> str:
    """What a distribution says of its licence, shortest form first; empty: nothing that is a name."""
    said = distribution.metadata
    (expression, *_), (named, *_) = (said.get_all(field) or [""] for field in ("License-Expression", "License"))
    classifiers = [
        line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or () if line.startswith("License :: ")
    ]
    for candidate in (expression, named, " AND ".join(classifiers)):
        text = re.sub(r"\s+", " ", candidate).strip()
        if text and text.upper() != "UNKNOWN" and len(text) <= _LONGEST_LICENCE:
            return text
    return ""


def _licence(text: str) -> License:
    return LicenseFactory().make_from_string(text)


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
