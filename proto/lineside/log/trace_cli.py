"""`lineside trace ...`: parses, calls one function, prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0: it did its job, 2: it was called wrongly."""
    parser = argparse.ArgumentParser(prog="lineside trace", description="From a model to its clicks and back.")
    parser.parse_args(arguments)
    parser.print_help(sys.stderr)
    return 2
