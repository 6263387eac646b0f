"""`python -m training estimate --log FOLDER`: parses, reads, shows. Decides nothing."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

HELP = "how good the serving model is, from a mentoring log"
AGREEMENT = "agreement"


def describe(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--log", type=Path, required=True, metavar="FOLDER", help="folder of the mentoring log, or s3://..."
    )
    parser.add_argument("--model", metavar="DIGEST", help="or its beginning (default: the newest frame's model)")
    parser.add_argument("--since", metavar="WHEN", help="feedback after this log sequence, or frames from this time on")
    parser.add_argument("--until", metavar="WHEN", help="feedback up to this log sequence, or frames before this time")
    parser.add_argument(
        "--part-ids",
        choices=("serial", "reference"),
        default="serial",
        help="what part ids name: single parts, or kinds of part (then each frame is a part; default: serial)",
    )
    parser.add_argument("--inspected", type=int, metavar="N", help="parts the line inspected, where it is known")
    parser.add_argument(
        "--answer-error",
        default="0",
        metavar="SHARE",
        help="of the clicks that are wrong; agreement: as two people's answers to the same detections show it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with pictures there")


def run(options: argparse.Namespace) -> int:
    """Runs the command; 0.

    Raises:
        ContractError, FileNotFoundError, ValueError: called wrongly, or the log cannot be read.
    """
    from training.cli import display
    from training.data.fetching import local_log
    from training.estimate.document import document_of
    from training.estimate.precision import agreement_of, error_from
    from training.estimate.reading import parse_span, read
    from training.estimate.report import estimate_of
    from training.estimate.text import text_of

    span = parse_span(options.since, options.until)
    error = _error(options.answer_error)
    with display(options.progress) as show:
        reading = read(
            local_log(options.log),
            model=options.model,
            span=span,
            serial=options.part_ids == "serial",
            on_record=lambda done, total: show("reading", done, total, {"stage": "reading"}),
        )
    if error is None:
        twice, disagreed = agreement_of(reading.frames)
        if not twice:
            raise ValueError(
                "--answer-error agreement needs detections that two or more people answered, and the log has none;"
                " give a number, or have some detections answered twice"
            )
        error = error_from(twice, disagreed)
    estimate = estimate_of(
        reading.frames,
        model=reading.model,
        name=reading.name,
        thresholds=reading.thresholds,
        skipped=reading.skipped,
        inspected=options.inspected,
        error=error,
    )
    document = document_of(estimate)
    if options.json:
        _write(options.json, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if options.html:
        from training.estimate.html import page_of

        _write(options.html, page_of(estimate))
    if options.progress == "json":
        print(json.dumps({"stage": "done", "estimate": document}, allow_nan=False), flush=True)
    else:
        print(text_of(estimate))
    return 0


def _write(path: Path, text: str) -> None:
    """The file appears under its name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _error(text: str) -> float | None:
    """The share, or None where agreement is to say it."""
    if text == AGREEMENT:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 0.5:
        raise ValueError(f"--answer-error is {text[:40]!r}, expected 0 to below 0.5, or {AGREEMENT}")
    return value
