"""`lineside feedback missed ...`: what is known of a part after it left the station, by its serial number."""

from __future__ import annotations

import argparse
import getpass
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from lineside.client.curve import CurveKeys
from lineside.client.errors import StationUnreachableError
from lineside.client.feedback import FeedbackClient
from lineside.reasons import ContractError
from lineside.records import BoxTuple
from lineside.v1 import mentoring_pb2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineside feedback",
        description="What an end-of-line test or a customer's return says about a part the station has seen.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--station", default="tcp://127.0.0.1:5557", metavar="ENDPOINT", help="its feedback socket (%(default)s)"
    )
    common.add_argument("--part", required=True, metavar="SERIAL", help="part id, as the line gave it to the station")
    common.add_argument("--by", default=f"downstream {_user()}"[:64], metavar="NAME", help="who says it (%(default)s)")
    common.add_argument("--key", default="", help="of an earlier try, so that it is not said twice")
    common.add_argument("--own-key", type=Path, metavar="FILE", help="secret key file, for a station with [curve]")
    common.add_argument("--station-key", type=Path, metavar="FILE", help="the station's public key file")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    missed = verbs.add_parser("missed", parents=[common], help="the part has a defect that the station did not raise")
    missed.add_argument("--class", dest="class_name", required=True, metavar="NAME", help="of the defect")
    missed.add_argument(
        "--box", required=True, metavar="X1,Y1,X2,Y2", type=_box, help="where, in pixels of the frame (on the panel)"
    )
    verbs.add_parser("healthy", parents=[common], help="the part was tested and has no defect")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Sends one event; 0 it is on the station's disk, 2 refused or not reached, with one line that says why."""
    given = _parser().parse_args(list(arguments))
    key = given.key or str(uuid.uuid4())
    missed = given.verb == "missed"
    feedback = mentoring_pb2.Feedback(
        key=key,
        part_id=given.part,
        gesture=mentoring_pb2.GESTURE_MISSED if missed else mentoring_pb2.GESTURE_FRAME_HEALTHY,
        operator=given.by,
    )
    if missed:
        feedback.class_name = given.class_name
        x1, y1, x2, y2 = given.box
        feedback.box.CopyFrom(mentoring_pb2.Box(x1=x1, y1=y1, x2=x2, y2=y2))
    try:
        with FeedbackClient(given.station, curve=_curve(given)) as client:
            ack = client.send(feedback)
    except (ContractError, StationUnreachableError, OSError, ValueError) as error:
        print(f"lineside feedback: {error} (key {key})", file=sys.stderr)  # noqa: T201
        return 2
    print(f"recorded as {ack.log_sequence}{', said before' if ack.duplicate else ''} (key {key})")  # noqa: T201
    return 0


def _curve(given: argparse.Namespace) -> CurveKeys | None:
    if not given.own_key and not given.station_key:
        return None
    if not (given.own_key and given.station_key):
        raise ValueError("--own-key and --station-key go together")
    return CurveKeys.from_files(own=given.own_key, server=given.station_key)


def _box(text: str) -> BoxTuple:
    try:
        x1, y1, x2, y2 = (float(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no box; expected X1,Y1,X2,Y2 in pixels") from None
    return x1, y1, x2, y2


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
