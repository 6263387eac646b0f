"""The rules of the house that a machine can hold: size of files, words that do not belong, help for every command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lineside.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 450


def tracked(*patterns: str) -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_swells() -> None:
    sources = [path for path in tracked("*.py", "*.js", "*.css", "*.proto") if "_pb2" not in path.name]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_proto_is_a_source_root_and_not_a_package() -> None:
    assert not (ROOT / "proto" / "__init__.py").exists()


def test_no_file_names_a_package_registry_or_somebodys_machine() -> None:
    forbidden = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|download\.pytorch|/root/|/home/[a-z]|/work/")
    found = {}
    for path in tracked():
        if path == Path(__file__).resolve() or path.suffix in (".png", ".ico", ".woff2"):
            continue
        match = forbidden.search(path.read_text(errors="ignore"))
        if match:
            found[str(path.relative_to(ROOT))] = match.group()
    assert found == {}


def test_every_folder_of_code_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in tracked("*.py")
        if "_pb2" not in path.name
        and path.name != "__init__.py"
        and not path.read_text().removeprefix("#!/usr/bin/env python3\n").startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_and_is_documented(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lineside", command, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    texts = [path.read_text() for path in tracked("README.md", "docs/*.md", "deploy/*.md", "ARCHITECTURE.md")]
    assert any(f"lineside {command}" in text for text in texts)


def test_calling_it_wrongly_says_what_there_is() -> None:
    done = subprocess.run([sys.executable, "-m", "lineside", "fly"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no command 'fly'" in done.stderr
    assert "station" in done.stderr


def test_the_station_and_a_line_pc_never_load_torch() -> None:
    for module in ("edge.cli", "edge.daemon", "lineside.client"):
        code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'training' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0, module


def test_a_line_pc_needs_grpc_and_the_contract_alone() -> None:
    code = (
        "import sys, lineside.client\n"
        "heavy = {'cv2', 'onnxruntime', 'zmq', 'pydantic', 'starlette'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
