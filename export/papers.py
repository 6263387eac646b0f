"""The papers of a package: model card and bill of materials, made of what is already in it.

Whoever writes a package (from a checkpoint, quantised, adopted from others) asks for them the same way and adds them to
its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from export.card import Facts, card_of
from export.evidence import Evidence
from export.sbom import bill_of_materials, software_of
from lineside import golden
from lineside.package import CARD_NAME, GOLDEN_NAME, GRAPH_NAME, SBOM_NAME, WEIGHTS_NAME
from lineside.v1 import model_pb2

_SHOWN = ("lineside", "torch", "onnx", "onnxruntime", "numpy")
"""Software named on the card; the bill of materials has the rest."""


def papers(
    manifest: model_pb2.PackageManifest,
    files: Mapping[str, bytes],
    *,
    evidence: Sequence[Evidence] = (),
    made_by: Facts = (),
    account: Mapping[str, Any] | None = None,
    blind: Sequence[str] = (),
) -> dict[str, bytes]:
    """card.html and sbom.json, by name; the same package gives the same bytes.

    Args:
        manifest: complete but for its files.
        files: contents by name: graph, golden cases, and weights where they travel along.
        evidence, made_by, account, blind: as `export.card.card_of` takes them.

    Raises:
        ContractError: PKG_MALFORMED, the golden cases cannot be read.
    """
    hashes = {
        name: hashlib.sha256(files[name]).hexdigest()
        for name in (GRAPH_NAME, GOLDEN_NAME, WEIGHTS_NAME)
        if name in files
    }
    sbom = bill_of_materials(manifest, hashes)
    software = software_of(sbom)
    with_versions = ", ".join(f"{name} {software[name]}" for name in _SHOWN if name in software)
    card = card_of(
        manifest,
        golden.unpack(files[GOLDEN_NAME], manifest),
        files={name: (len(files[name]), digest) for name, digest in hashes.items()},
        evidence=evidence,
        made_by=[*made_by, ("packaged with", with_versions)],
        account=account,
        blind=blind,
    )
    return {CARD_NAME: card, SBOM_NAME: sbom}
