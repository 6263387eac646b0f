"""What an engine has to prove against its package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import packages

from edge.backends import open_backend
from edge.models.checks import check_classes, check_engine, check_golden
from lineside.golden import unpack
from lineside.package import GOLDEN_NAME, GRAPH_NAME, Package
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2


@pytest.fixture(params=["anchors", "cells"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Package:
    make = packages.make_anchor_package if request.param == "anchors" else packages.make_cell_package
    return make(tmp_path / "package", channels=3)


def refused(action: Callable[[], object], reason: Reason, word: str) -> None:
    with pytest.raises(ContractError, match=word) as caught:
        action()
    assert caught.value.reason is reason


def test_a_sound_package_passes(package: Package) -> None:
    cases = unpack(package.read(GOLDEN_NAME), package.manifest)
    with open_backend("onnxruntime-cpu", package.read(GRAPH_NAME)) as backend:
        check_engine(package.manifest, backend)
        assert check_golden(package.manifest, cases, backend.infer).score <= 1e-5
    check_classes(package.manifest, ["scratch"])
    refused(lambda: check_classes(package.manifest, ["hole", "dent"]), Reason.PKG_CLASSES, "also need hole")


@pytest.mark.parametrize(
    ("change", "reason", "word"),
    [
        (lambda m: setattr(m.input, "channels", 1), Reason.PKG_INPUT, "manifest says"),
        (lambda m: setattr(m.input, "width", 128), Reason.PKG_INPUT, "128"),
    ],
)
def test_another_input_than_the_manifest_says_is_refused(
    package: Package, change: Callable[[model_pb2.PackageManifest], None], reason: Reason, word: str
) -> None:
    with open_backend("onnxruntime-cpu", package.read(GRAPH_NAME)) as backend:
        change(package.manifest)
        refused(lambda: check_engine(package.manifest, backend), reason, word)


def test_the_other_heads_outputs_are_missed(tmp_path: Path) -> None:
    cells = packages.graph_for(packages.cell_head())
    with open_backend("onnxruntime-cpu", cells) as backend:
        manifest = packages.manifest_for(packages.anchor_head())
        refused(lambda: check_engine(manifest, backend), Reason.PKG_MALFORMED, "no output boxes; it has heat")
        third = packages.manifest_for(packages.cell_head(), classes=("a", "b", "c"))
        refused(lambda: check_engine(third, backend), Reason.PKG_CLASSES, "2 classes, the manifest names 3")


def test_class_numbers_beyond_the_manifest_are_refused(tmp_path: Path) -> None:
    graph = packages.graph_for(packages.anchor_head(), classes=3)
    manifest = packages.manifest_for(packages.anchor_head(), classes=("a", "b"))
    package = packages.write(tmp_path / "p", manifest, graph)
    cases = unpack(package.read(GOLDEN_NAME), manifest)
    with open_backend("onnxruntime-cpu", graph) as backend:
        refused(lambda: check_golden(manifest, cases, backend.infer), Reason.PKG_CLASSES, "0 to 2, expected 0 to 1")


def test_what_makes_a_runtime_lie_is_caught_by_the_golden_cases(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three known ways: nothing answered, red and blue exchanged, squash instead of letterbox."""
    manifest = package.manifest
    cases = unpack(package.read(GOLDEN_NAME), manifest)
    with open_backend("onnxruntime-cpu", package.read(GRAPH_NAME)) as backend:

        def silent(images: np.ndarray) -> dict[str, np.ndarray]:
            return {name: np.zeros_like(values) for name, values in backend.infer(images).items()}

        refused(lambda: check_golden(manifest, cases, silent), Reason.PKG_PARITY, "golden case 0")

        def squash(frame: np.ndarray, size: model_pb2.ModelInput) -> tuple[np.ndarray, None]:
            return cv2.resize(frame, (size.width, size.height), interpolation=cv2.INTER_AREA)[None], None

        with monkeypatch.context() as patch:
            patch.setattr("edge.models.checks.preprocess", squash)
            refused(lambda: check_golden(manifest, cases, backend.infer), Reason.PKG_PARITY, "golden case 0")


def test_nan_has_its_own_reason(package: Package) -> None:
    cases = unpack(package.read(GOLDEN_NAME), package.manifest)

    def broken(images: np.ndarray) -> dict[str, np.ndarray]:
        name = "heat" if package.manifest.HasField("cells") else "scores"
        return {name: np.full((1, 2), np.nan, np.float32)}

    refused(lambda: check_golden(package.manifest, cases, broken), Reason.PKG_NAN, "NaN")
