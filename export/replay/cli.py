"""`lineside export replay PACKAGE --log FOLDER`: parses, runs, shows. Decides nothing."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from export.replay.run import Replay
    from lineside.replay.figures import Share

PASSED, REFUSED = 0, 1
JSON_NAME, HTML_NAME = "replay.json", "replay.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.description = (
        "Runs a candidate over everything operators have said. Exit code 0: passed, 1: refused, 2: called wrongly."
    )
    parser.add_argument("package", type=Path, help="the candidate's package folder")
    parser.add_argument("--log", type=Path, required=True, help="folder of the mentoring log")
    parser.add_argument("--policy", type=Path, help="TOML file with the gate's limits (default: docs/replay.md)")
    parser.add_argument("--out", type=Path, help=f"folder to write {HTML_NAME} and {JSON_NAME} into")
    parser.add_argument(
        "--thresholds",
        nargs="+",
        default=[],
        metavar="CLASS=SCORE",
        help="try these instead of the package's own; the package is not changed",
    )
    parser.add_argument(
        "--part-reference",
        default="",
        metavar="REGEX",
        help="finds the reference in a part id, by its first group or as a whole, for the table by reference",
    )
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime (%(default)s)")
    parser.add_argument("--pictures", type=int, default=200, help="most findings with a picture (%(default)s)")


def run(given: argparse.Namespace) -> int:
    """Runs the verb; 0 passed, 1 refused.

    Raises:
        ContractError, ValueError, OSError: called wrongly, or package or log cannot be read.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from export.replay.document import document_of
    from export.replay.html import page_of
    from export.replay.policy import load_policy, parse_thresholds
    from export.replay.run import replay
    from lineside.package import read_package
    from lineside.replay.policy import Policy
    from lineside.replay.references import by_reference

    if given.threads < 1:
        raise ValueError(f"--threads is {given.threads}, expected at least 1")
    policy = load_policy(given.policy) if given.policy else Policy()
    by_reference((), given.part_reference)  # a pattern that is none is said before the log is gone through
    package = read_package(given.package)
    thresholds = parse_thresholds(given.thresholds, package.class_names)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("judged records", total=None)
        result = replay(
            package,
            given.log,
            policy,
            thresholds=thresholds,
            threads=given.threads,
            on_progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    show(result, console, part_pattern=given.part_reference)
    if given.out:
        document = json.dumps(
            document_of(result, part_pattern=given.part_reference), indent=1, ensure_ascii=False, allow_nan=False
        )
        _write(
            given.out / HTML_NAME,
            page_of(result, given.log, most_pictures=max(0, given.pictures), part_pattern=given.part_reference),
        )
        _write(given.out / JSON_NAME, document + "\n")
        console.print(f"{given.out / HTML_NAME} and {JSON_NAME}")
    return PASSED if result.decision.passed else REFUSED


def show(result: Replay, console: Console, *, part_pattern: str = "") -> None:
    """One line per finding, escapes first, then the figures and the gate's word."""
    from lineside.replay.findings import findings_of
    from lineside.replay.references import by_reference

    def line(text: str, style: str = "") -> None:
        # A part id comes from a scanner: nothing in it may steer the terminal.
        console.print(
            "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text), style=style
        )

    for finding in findings_of(result.frames):
        line(f"{finding.group.value:<11}  {finding.frame.part}  {finding.text}")
    for unused in (*result.unanswered, *result.skipped):
        line(f"{'not used':<11}  {unused.part}  {unused.detail or unused.reason}")
    tally = result.tally
    line(f"records: {tally.records} judged, {tally.used} used{_counts(tally.skipped)}{_counts(tally.unanswered)}")
    line(f"judgements: {tally.judgements} given{_counts(tally.answered)}")
    if tally.set_aside:
        line(f"held against nobody{_counts(tally.set_aside)}")
    line(f"defects found: {_share(tally.found)}")
    for name, share in tally.found_by_class.items():
        line(f"  {name}: {_share(share)}")
    if tally.found_unseen.total:
        line(f"  judged after its training: {_share(tally.found_unseen)}")
    line(f"defects that escape: {_share(tally.escapes)}")
    line(f"rejected that still fire: {_share(tally.firing)}")
    line(f"sound frames with an alarm: {_share(tally.sound_firing)}")
    if tally.flips:
        line(f"verdicts that change{_counts(tally.flips)}")
    if result.changed:
        tried = ", ".join(f"{name} {score:g}" for name, score in result.changed.items())
        line(f"tried with other thresholds than the package's: {tried}")
    if result.effect is not None and result.own is not None:
        for words, findings in (("new", result.effect.new), ("gone", result.effect.gone)):
            for finding in findings:
                line(f"{words:<11}  {finding.group.value}: {finding.frame.part}  {finding.text}")
        for name, (new, gone) in result.effect.counts().items():
            line(f"  {name}: {new} new, {gone} gone")
        line(f"with the package's own thresholds: {'passed' if result.own.decision.passed else 'refused'}")
    if part_pattern:
        for item in by_reference(result.frames, part_pattern):
            line(
                f"  {item.reference}: {item.escapes} of {item.defects} defects escape, {item.other_class} of another"
                f" class; {item.still_fire} of {item.rejected} rejected still fire; {item.alarms} alarms;"
                f" {item.verdicts} verdicts change ({item.frames} frames)"
            )
    for refusal in result.decision.refusals:
        line(f"refused ({refusal.limit}): {refusal.text}", "bold")
    line("PASSED" if result.decision.passed else "REFUSED", "bold")


def _share(share: Share) -> str:
    if not share.total:
        return "none judged"
    return (
        f"{share.hits} of {share.total} = {share.raw:.1%} ({share.low:.1%} to {share.high:.1%}); on the line"
        f" {share.weighted:.1%} ({share.weighted_low:.1%} to {share.weighted_high:.1%}),"
        f" stands for {share.weighted_hits:.1f} ± {share.weighted_hits_error:.1f}"
    )


def _counts(counts: object) -> str:
    assert isinstance(counts, dict)
    return "".join(f", {count} {reason}" for reason, count in counts.items())


def _write(path: Path, text: str) -> None:
    """The file appears under its name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
