"""Packages that must not come in, each with the reason a station has to give. See benchmarks/swap.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from benchmarks import tiles
from lineside.golden import unpack
from lineside.reasons import Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A package folder and why it has to be refused."""

    what: str
    folder: Path
    reason: Reason


def bad_packages(folder: Path, key: Path) -> list[Bad]:
    """One of each kind.

    Args:
        folder: a new one, for the packages.
        key: private key the station trusts.
    """
    stranger, _ = tiles.make_key(folder, "stranger")

    def made(name: str, signer: Path | None = key, **options: Any) -> Path:
        return tiles.make_anchor_package(folder / name, version="3.0.0", sign_key=signer, **options).folder

    altered = made("altered")
    graph = bytearray((altered / "model.onnx").read_bytes())
    graph[100] ^= 1
    (altered / "model.onnx").write_bytes(graph)
    truncated = made("truncated", bias=0.02)
    (truncated / "golden.npz").write_bytes((truncated / "golden.npz").read_bytes()[:-1])
    # A sound graph with the golden answers of another one.
    other = tiles.make_anchor_package(folder / "other", version="3.1.0", bias=0.03)
    lying = tiles.write(
        folder / "lying",
        tiles.manifest_for(tiles.anchor_head(), version="3.1.0"),
        tiles.graph_for(tiles.anchor_head()),
        cases=unpack(other.read("golden.npz"), other.manifest),
        key=key,
    ).folder
    nan = tiles.write(
        folder / "nan",
        tiles.manifest_for(tiles.anchor_head(), version="3.2.0"),
        tiles.graph_for(tiles.anchor_head(), bias=float("nan")),
        cases=unpack(other.read("golden.npz"), other.manifest),
        key=key,
    ).folder
    return [
        Bad(what="a byte of the graph altered", folder=altered, reason=Reason.PKG_SIGNATURE),
        Bad(what="golden answers of another model", folder=lying, reason=Reason.PKG_PARITY),
        Bad(what="signed by a stranger", folder=made("strange", stranger, bias=0.05), reason=Reason.PKG_SIGNATURE),
        Bad(
            what="a class the station needs is missing",
            folder=made("classes", classes=("hole",)),
            reason=Reason.PKG_CLASSES,
        ),
        Bad(what="weights that are no numbers", folder=nan, reason=Reason.PKG_NAN),
        Bad(what="cut short", folder=truncated, reason=Reason.PKG_SIGNATURE),
        Bad(what="not signed", folder=made("unsigned", None, bias=0.04), reason=Reason.PKG_SIGNATURE),
    ]
