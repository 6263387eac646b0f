"""`lineside export package`, `show` and `diff`. Parses and calls, no more."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.use import Use

SAME, DIFFERENT = 0, 1


def add_package(parser: argparse.ArgumentParser) -> None:
    """Arguments of `package`."""
    parser.add_argument("checkpoint", type=Path, help="folder or file written by the training")
    parser.add_argument("out", type=Path, help="package folder to write")
    parser.add_argument("--name", required=True, help="model name, e.g. boards")
    parser.add_argument("--version", required=True, help="major.minor.patch")
    parser.add_argument(
        "--frames", type=Path, required=True, help="folder of pictures as the camera takes them: the golden frames"
    )
    parser.add_argument("--count", type=int, default=4, help="how many of them (%(default)s)")
    parser.add_argument("--threshold", type=float, help="for every class (default: the checkpoint's own, else 0.5)")
    parser.add_argument("--key", type=Path, help="private key that signs")
    parser.add_argument("--license", default="", help="SPDX expression for the weights")
    parser.add_argument("--replace", action="store_true", help="take the place of a package of that name")
    measured = parser.add_argument_group("measured for the model card (else: the figures the checkpoint knows)")
    measured.add_argument("--data", metavar="KIND:PLACE", help="as for `lineside train evaluate`; both domains")
    measured.add_argument("--new", metavar="KIND:PLACE", help="the new domain's set, where --data is a single set")
    measured.add_argument("--experiment", help="of the data's splits.json (default: the kind's usual one)")
    measured.add_argument("--level", choices=("mild", "medium", "strong"), help="of the simulated second camera")
    add_use(parser)


def add_use(parser: argparse.ArgumentParser) -> None:
    """Arguments that say what a package is for; `use_by` reads them."""
    use = parser.add_argument_group("what it is for")
    use.add_argument(
        "--purpose",
        choices=("release", "trial"),
        default="release",
        help="trial: is replayed and stands in shadow, and never serves (%(default)s)",
    )
    use.add_argument("--not-before", metavar="DATE", help="first day it may serve, e.g. 2026-12-01 (UTC), or a time")
    use.add_argument("--not-after", metavar="DATE", help="last day, whole, or a time")
    use.add_argument("--responsible", default="", help="who answers for it")
    use.add_argument("--intended-use", default="", help="what it is for, in words")
    use.add_argument("--limits", default="", help="what it is not for, in words")


def add_show(parser: argparse.ArgumentParser) -> None:
    """Arguments of `show`."""
    parser.add_argument("package", type=Path, help="package folder")
    parser.add_argument("--json", action="store_true", help="the manifest, with the digest and who signed")
    parser.add_argument(
        "--trusted-key", type=Path, action="append", default=[], metavar="FILE", help="public key; may be repeated"
    )


def add_diff(parser: argparse.ArgumentParser) -> None:
    """Arguments of `diff`."""
    parser.description = "What changed from A to B. Exit code 0: the same package, 1: another, 2: called wrongly."
    parser.add_argument("a", type=Path, metavar="A", help="package folder, the earlier one")
    parser.add_argument("b", type=Path, metavar="B", help="package folder, the later one")
    parser.add_argument("--json", action="store_true", help="for programs")


def use_by(given: argparse.Namespace) -> Use:
    """What the arguments of `add_use` say.

    Raises:
        ValueError: a date is none.
    """
    from export.use import Use, parse_date

    return Use(
        purpose=given.purpose,
        not_before=parse_date(given.not_before) if given.not_before else None,
        not_after=parse_date(given.not_after, end_of_day=True) if given.not_after else None,
        responsible=given.responsible,
        intended_use=given.intended_use,
        limits_of_use=given.limits,
    )


def run_package(given: argparse.Namespace, frames: Sequence[Path]) -> int:
    """Writes a package.

    Args:
        given: the arguments.
        frames: picture files of which the first are taken.
    """
    from rich.console import Console

    from export.package import export_package
    from lineside.pixels import decode
    from training.data.sources import load_experiment, parse_source

    if given.new and not given.data:
        raise ValueError("--new names a second set and goes with --data")
    use = use_by(given)
    experiment = None
    if given.data:
        new = parse_source(given.new) if given.new else None
        experiment = load_experiment(parse_source(given.data), given.experiment, level=given.level, new=new)
    pixels = [decode(path.read_bytes()) for path in frames[: given.count]]
    with Console(stderr=True).status("starting") as status:
        package = export_package(
            given.checkpoint,
            given.out,
            name=given.name,
            version=given.version,
            golden_frames=pixels,
            thresholds=given.threshold,
            experiment=experiment,
            private_key=given.key,
            use=use,
            spdx_license=given.license,
            replace=given.replace,
            on_step=status.update,
        )
    signed = "signed" if given.key else "not signed"
    print(f"{given.out}: {given.name} {given.version}, {signed}\n{package.digest}")  # noqa: T201
    return 0


def run_show(given: argparse.Namespace) -> int:
    """Prints what a package says of itself; with keys, a signature that is not theirs is refused."""
    from export.show import text_of
    from lineside.package import SIGNATURE_NAME, manifest_bytes, read_package
    from lineside.signing import verify

    signed_by = None
    if given.trusted_key:
        signed_by = verify(given.package, given.trusted_key).name
    package = read_package(given.package)
    there = (given.package / SIGNATURE_NAME).exists()
    signature = f"by {signed_by}" if signed_by else ("not checked: give --trusted-key" if there else "none")
    if given.json:
        manifest = json.loads(manifest_bytes(package.manifest))
        print(json.dumps({"digest": package.digest, "signed_by": signed_by, "manifest": manifest}, indent=1))  # noqa: T201
    else:
        print(text_of(package, signature))  # noqa: T201
    return 0


def run_diff(given: argparse.Namespace) -> int:
    """Prints what changed; 0 the same, 1 another."""
    from export.diff import compare
    from lineside.package import read_package

    difference = compare(read_package(given.a), read_package(given.b))
    print(json.dumps(difference.to_json(), indent=1) if given.json else difference.text)  # noqa: T201
    return SAME if difference.same else DIFFERENT
