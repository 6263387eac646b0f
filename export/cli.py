"""`lineside export package|show|diff|adopt|clicks|parity|quantise|keys|engine|replay|triton`: to the station."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from export.package_cli import add_diff, add_package, add_show, run_diff, run_package, run_show
from export.parity_cli import add_parity, run_parity
from lineside.reasons import ContractError

_PICTURES = (".bmp", ".jpg", ".jpeg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside export", description="From a checkpoint to a package, and what proves it."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    package = verbs.add_parser("package", help="checkpoint to package: exported, compared, signed")
    add_package(package)
    add_show(verbs.add_parser("show", help="what a package says of itself, and who signed it"))
    add_diff(verbs.add_parser("diff", help="what changed from one package to another"))
    parity = verbs.add_parser("parity", help="does ONNX Runtime repeat the network, on golden and on other frames")
    add_parity(parity)
    from export.quantise import cli as quantise

    quantise.add_arguments(verbs.add_parser("quantise", help=quantise.HELP))
    keys = verbs.add_parser("keys", help="make a P-256 key pair to sign packages with")
    keys.add_argument("folder", type=Path, help="where to write NAME.key and NAME.pub")
    keys.add_argument("--name", default="station", help="name of the pair (%(default)s)")
    verbs.add_parser("engine", help="build TensorRT engines for packages; list, inspect, verify, prune them")
    from export.adopt import cli as adopt

    adopt.add_arguments(verbs.add_parser("adopt", help=adopt.HELP))
    adopt.add_click_arguments(verbs.add_parser("clicks", help=adopt.CLICKS_HELP))
    replay = verbs.add_parser("replay", help="may it serve? a candidate answers for all that operators have said")
    from export.replay.cli import add_arguments as add_replay_arguments

    add_replay_arguments(replay)
    from export import triton

    triton.add_arguments(verbs.add_parser("triton", help=triton.HELP))
    return parser


def main(arguments: Sequence[str]) -> int:
    """Runs one verb; 0 done, 1 not equal or refused by the gate, 2 refused with one line that says why."""
    if list(arguments[:1]) == ["engine"]:  # has verbs of its own, and a package without a verb is built
        from export.engines.cli import main as engines

        return engines(arguments[1:], "lineside export engine")
    given = _parser().parse_args(list(arguments))
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {
        "package": _package,
        "show": run_show,
        "diff": run_diff,
        "parity": _parity,
        "quantise": _quantise,
        "keys": _keys,
        "replay": _replay,
        "adopt": _adopt,
        "clicks": _clicks,
        "triton": _triton,
    }
    try:
        return verbs[given.verb](given)
    except (ContractError, ValueError, OSError) as error:
        print(f"lineside export {given.verb}: {error}", file=sys.stderr)
        return 2


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder, in order of their names.

    Raises:
        FileNotFoundError: there is none.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in _PICTURES)
    if not files:
        raise FileNotFoundError(f"no pictures in {folder}; expected files ending in {', '.join(_PICTURES)}")
    return files


def _package(given: argparse.Namespace) -> int:
    return run_package(given, pictures_in(given.frames))


def _parity(given: argparse.Namespace) -> int:
    return run_parity(given, pictures_in)


def _quantise(given: argparse.Namespace) -> int:
    from export.quantise.cli import run

    return run(given, pictures_in)


def _keys(given: argparse.Namespace) -> int:
    from export.keys import make_key_pair

    files = make_key_pair(given.folder, given.name)
    print(f"{files.private}  keep it where packages are signed, and nowhere else")
    print(f"{files.public}  give it to the stations: models.trusted_keys in station.toml")
    return 0


def _clicks(given: argparse.Namespace) -> int:
    from export.adopt.cli import run_clicks

    return run_clicks(given)


def _adopt(given: argparse.Namespace) -> int:
    from export.adopt.cli import run

    return run(given)


def _replay(given: argparse.Namespace) -> int:
    from export.replay.cli import run

    return run(given)


def _triton(given: argparse.Namespace) -> int:
    from export.triton import run

    print(run(given))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
