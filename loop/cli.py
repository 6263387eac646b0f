"""`lineside demo`: parses, runs the demo, prints what came out, and keeps the station until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from lineside.reasons import ContractError

if TYPE_CHECKING:
    from loop.run import Loop

DEFAULT_OUT = "lineside-demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; 0: it did its job, 2: it could not begin, 130: it was interrupted."""
    parsed = _parser().parse_args(arguments)
    # Ctrl-C as well: a shell that starts us in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _like_ctrl_c)
    try:
        return _demo(parsed)
    except (ContractError, FileExistsError, FileNotFoundError, ValueError) as error:
        print(f"lineside demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lineside demo: interrupted; the station has stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside demo",
        description="The whole loop on a synthetic line: inspect, change the light, click, learn, swap. Then the"
        " station keeps running with its panel until Ctrl-C.",
    )
    parser.add_argument("--exit", action="store_true", help="stop the station when the figures are there")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"empty folder for everything made (default: a new {DEFAULT_OUT})"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the line and of the training (default: %(default)s)")
    parser.add_argument("--panel-port", type=int, default=8080, metavar="PORT", help="default: %(default)s; 0: any")
    return parser


def _demo(parsed: argparse.Namespace) -> int:
    # Only now, so that --help needs neither PyTorch nor OpenCV.
    from loop.demo import DemoSettings, demo, report
    from loop.display import open_display
    from loop.station import StationFailedError

    if parsed.seed < 0:
        raise ValueError(f"--seed is {parsed.seed}, expected 0 or more")
    if not 0 <= parsed.panel_port <= 65535:
        raise ValueError(f"--panel-port is {parsed.panel_port}, expected 0 to 65535")
    settings = DemoSettings(
        out=parsed.out if parsed.out is not None else _new_folder(Path(DEFAULT_OUT)),
        seed=parsed.seed,
        panel_port=parsed.panel_port,
    )
    try:
        with contextlib.ExitStack() as running:
            with open_display() as display:
                loop, result = running.enter_context(demo(settings, display))
            print(f"\n{report(result.figures)}")
            print(f"\npicture   {result.picture_path}\nfigures   {result.json_path}\ntable     {result.table_path}")
            print(f"it took   {result.figures['seconds']:.0f} s", flush=True)
            return 0 if parsed.exit else _keep_running(loop, result.panel)
    except StationFailedError as error:
        print(f"lineside demo: {error}", file=sys.stderr)
        return 1


def _keep_running(loop: Loop, panel: str) -> int:
    """Until Ctrl-C, or until the station ends by itself."""
    from loop.demo import tell_clicks

    print(
        f"\nThe station keeps running. Judge a few detections yourself on http://{panel}\n"
        "and see each answer arrive here when it is on the station's disk. Ctrl-C ends the demo.",
        flush=True,
    )
    grpc = loop.station.addresses.grpc
    threading.Thread(target=tell_clicks, args=(grpc, lambda text: print(text, flush=True)), daemon=True).start()
    try:
        code = loop.station.wait()
    except KeyboardInterrupt:
        print("\nThe station is stopping ...", flush=True)
        return 0
    print(f"lineside demo: the station ended with exit code {code}:\n{loop.station.tail()}", file=sys.stderr)
    return 1


def _new_folder(wanted: Path) -> Path:
    """The name, or the first of NAME-2, NAME-3, ... that is free."""
    number, folder = 1, wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


def _like_ctrl_c(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
