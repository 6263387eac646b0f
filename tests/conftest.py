"""Shared by all tests: the support folder on the path, and where the real image sets are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real image sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("LINESIDE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "deeppcb").is_dir():
        pytest.skip("no real images here: set LINESIDE_DATA to the folder that holds deeppcb and magnetic_tile")
    return folder
