"""Two packages that answer differently, and a manager that is running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import packages
from support.pushes import Told, manager

from edge.models.manager import ModelManager
from lineside.package import Package


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def one(tmp_path: Path) -> Package:
    return packages.make_anchor_package(tmp_path / "one")


@pytest.fixture
def two(tmp_path: Path) -> Package:
    return packages.make_anchor_package(tmp_path / "two", version="1.1.0", bias=0.1)


@pytest.fixture
def models(tmp_path: Path, told: Told) -> Iterator[ModelManager]:
    with manager(tmp_path / "data", told) as made:
        yield made
