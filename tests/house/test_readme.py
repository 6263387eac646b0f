"""What the README says is so: figures are the reports', commands and options exist, links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_figures_are_those_of_the_committed_report() -> None:
    report = json.loads((ROOT / "docs" / "reports" / "deeppcb.json").read_text())
    rows = re.findall(r"^\| (baseline|after \d+ clicks|everything)[^|]*\|(.*)\|$", README, flags=re.MULTILINE)
    assert [name.split()[0] for name, _ in rows] == ["baseline", "after", "everything"]
    for (_, cells), key in zip(rows, ("baseline", "candidate", "full"), strict=True):
        figures = report[key]
        names = ("original_map", "new_map", "precision", "recall", "false_alarms_per_healthy")
        assert [cell.strip() for cell in cells.split("|")] == [f"{figures[name]:.2f}" for name in names]
    assert f"after {report['clicks']:.0f} clicks ({report['operator_seconds'] / 60:.0f} minutes" in README
    assert report["frames_lost"] == 0
    kills = json.loads((ROOT / "docs" / "reports" / "kill.json").read_text())
    assert f"killed {kills['kills']} times lost none of {kills['acknowledged']:,} acknowledged" in README
    assert kills["lost"] == kills["duplicated"] == 0
    swaps = json.loads((ROOT / "docs" / "reports" / "swap.json").read_text())
    assert f"Of {swaps['swaps']} swaps under load none failed any of {swaps['requests']:,} requests" in README
    assert f"the {swaps['refused']} with bad packages were refused" in README
    assert swaps["failed"] == swaps["mixed"] == 0
    assert swaps["p99_ratio"] <= 2
    assert swaps["rss_growth_mb"] <= 10
    assert swaps["rollback_ms"] < 1000


COMMANDS = sorted(set(re.findall(r"^(?:lineside|python export/build_engine\.py) .*?(?= +#|$)", README, re.MULTILINE)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_exists_with_its_options(command: str) -> None:
    words = command.split()
    if words[0] == "python":
        start, rest = [sys.executable, str(ROOT / words[1])], words[2:]
    else:
        # COMMAND VERB, both in lower case; what follows are its own arguments.
        start, rest = [sys.executable, "-m", "lineside", *words[1:3]], words[3:]
    done = subprocess.run([*start, "--help"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for option in (word for word in rest if word.startswith("--")):
        assert option in done.stdout


def test_every_link_leads_to_a_file() -> None:
    for document in (ROOT / "README.md", ROOT / "docs" / "reports" / "README.md", ROOT / "deploy" / "README.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
