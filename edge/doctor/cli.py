"""`lineside doctor [station.toml]`: one page on what works here. Parses, calls, prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

DEFAULT_NAME = "station"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the station can run as configured, 1: it cannot, 2: called wrongly."""
    parser = argparse.ArgumentParser(
        prog="lineside doctor",
        description=(
            "Says which backends and cameras work on this machine, what would be used, and whether ports, keys, disk,"
            " clock and log are in order. Starts nothing and changes nothing; also beside a running station."
        ),
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="station.toml", help="default: every value's default")
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args(arguments)
    from edge.config import StationConfig, StationSettings, load_config
    from edge.doctor.examine import examine
    from edge.doctor.findings import Finding, State, as_document, as_page, is_healthy

    try:
        if given.file is None:
            config = StationConfig(station=StationSettings(name=DEFAULT_NAME))
            source = "no file given, so the defaults: they are right, with the data folder 'data' here"
        else:
            config, source = load_config(given.file), f"{given.file} is right"
    except (OSError, ValueError) as error:
        findings = [Finding(section="station", name="configuration", state=State.FAULT, text=str(error))]
    else:
        findings = examine(config, source)
    print(json.dumps(as_document(findings), indent=1) if given.json else as_page(findings))
    return 0 if is_healthy(findings) else 1


if __name__ == "__main__":
    sys.exit(main())
