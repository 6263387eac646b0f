"""`lineside export quantise`: parses, reads pictures, shows the table. No more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.quantise.damage import JUDGED, MOST_LOSS

if TYPE_CHECKING:
    from lineside.pixels import Pixels
    from training.data.sample import Dataset

PicturesIn = Callable[[Path], Sequence[Path]]
HELP = "fewer bits: an int8 or fp16 package out of a float one, with what it costs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its own arguments."""
    parser.add_argument("package", type=Path, help="float package folder")
    parser.add_argument("out", type=Path, help="package folder to write")
    parser.add_argument("--precision", required=True, choices=("int8", "fp16"))
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        action="append",
        metavar="FOLDER",
        help="pictures of the line; repeat",
    )
    parser.add_argument("--count", type=int, default=64, help="pictures taken from each folder (%(default)s)")
    parser.add_argument("--method", choices=("minmax", "entropy", "percentile"), help="default: what changes least")
    parser.add_argument(
        "--form", choices=("portable", "cpu"), default="portable", help="cpu: faster there, and TensorRT refuses it"
    )
    parser.add_argument("--float-layers", type=int, default=0, help="most sensitive layers that stay in float")
    parser.add_argument("--data", metavar="KIND:PLACE", help="annotated pictures, as for `lineside train`")
    parser.add_argument("--new", metavar="KIND:PLACE", help="the new domain's set, where --data is a single set")
    parser.add_argument("--experiment", help="of the data's splits.json (default: the kind's usual one)")
    parser.add_argument("--most-loss", type=float, default=MOST_LOSS, help="of a class's figure (%(default)s)")
    parser.add_argument("--judge", nargs="+", choices=JUDGED, default=["ap"], help="which figures (default: ap)")
    parser.add_argument("--version", default="", help="default: the package's, its last number raised by one")
    parser.add_argument("--key", type=Path, help="private key that signs")
    parser.add_argument("--replace", action="store_true", help="take the place of a package of that name")


def run(given: argparse.Namespace, pictures_in: PicturesIn) -> int:
    """Makes the package; 0 done, 1 refused because a class lost too much."""
    from rich.console import Console

    from export.quantise.damage import table_of
    from export.quantise.package import TooMuchLostError, Wanted, quantise_package
    from lineside.package import read_package

    source = read_package(given.package)
    wanted = Wanted(
        precision=given.precision,
        version=given.version,
        method=given.method,
        form=given.form,
        float_layers=given.float_layers,
        most_loss=given.most_loss,
        judged=tuple(given.judge),
    )
    calibration = [frame for folder in given.calibration for frame in frames_of(pictures_in(folder), given.count)]
    try:
        with Console(stderr=True).status("starting") as status:
            made = quantise_package(
                source,
                given.out,
                wanted,
                calibration,
                domains=domains_of(given.data, given.experiment, given.new),
                private_key=given.key,
                replace=given.replace,
                on_step=status.update,
            )
    except TooMuchLostError as error:
        print(table_of(error.before, error.after))
        print(f"lineside export quantise: {error}", file=sys.stderr)
        return 1
    manifest = made.package.manifest
    if made.after:
        print(table_of(made.before, made.after))
    else:
        print("no --data given: what it costs was not measured")
    if made.choice is not None:
        print(f"calibration {made.choice.method}, {manifest.quantisation.pictures} pictures")
        for name, value in made.choice.by_method.items():
            print(f"  {name}: mAP {1 - value:.4f} against what the float graph finds on them")
        if made.choice.by_layer:
            print(f"in float: {', '.join(made.choice.float_nodes)}")
    signed = "signed" if given.key else "not signed"
    print(
        f"a runtime must repeat it within score {manifest.parity.score:g}, box {manifest.parity.box:g} model pixels\n"
        f"{given.out}: {manifest.name} {manifest.version}, {given.precision}, {signed}\n"
        f"{made.package.digest}"
    )
    return 0


def frames_of(paths: Sequence[Path], count: int) -> list[Pixels]:
    """So many of these pictures, spread evenly.

    Raises:
        ValueError: count is below 1.
    """
    from lineside.pixels import decode

    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    taken = min(count, len(paths))
    return [decode(paths[place * len(paths) // taken].read_bytes()) for place in range(taken)]


def domains_of(data: str | None, experiment: str | None, new: str | None) -> list[tuple[str, Dataset]]:
    """The evaluation sets of both domains; none where no data is named."""
    if data is None:
        return []
    from training.data.sources import load_experiment, parse_source

    loaded = load_experiment(parse_source(data), experiment, new=parse_source(new) if new else None)
    return [("original", loaded.eval_original), ("new", loaded.eval_new)]
