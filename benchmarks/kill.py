"""Kills a working station again and again with SIGKILL, and looks after each start whether anything is missing.

    python -m benchmarks.kill --kills 200 --json FILE

A real station process, real sockets. Two line PCs send pictures by gRPC, two operators answer by the feedback socket,
pipelined, and repeat some of what they said. `acknowledged` counts feedback events whose acknowledgement reached an
operator. `lost` counts those of them that are afterwards not in the log as they were said, or whose frame or picture is
not; `duplicated` counts events that are in the log more than once. Both have to be 0. (A kill shows no missing fsync;
tests/story/test_power_cut.py does.)
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lineside.client.errors import StationUnreachableError
from lineside.client.feedback import FeedbackClient
from lineside.client.inspection import InspectionClient
from lineside.client.models import ModelsClient
from lineside.mentoring_log import DATABASE_NAME, MentoringLogReader
from lineside.pixels import encode_png
from lineside.reasons import ContractError
from lineside.records import FeedbackEvent, Gesture
from lineside.v1 import inspection_pb2, mentoring_pb2
from loop.ports import steady_address
from loop.station import Addresses, StationProcess

LOGGER = logging.getLogger(__name__)

LINE_PCS = 2
OPERATORS = 2
REPEATED_SHARE = 0.3
"""Of an operator's messages, those that were acknowledged before and are sent again."""
REPEATABLE = 500
"""Of an operator's latest acknowledged messages, so many may be sent again."""
LONGEST_LIFE_SECONDS = 0.8
"""Of a station from ready to killed; uniform from 0."""
SIDE = 64


@dataclasses.dataclass(slots=True)
class KillReport:
    """What a run of kills has shown."""

    kills: int = 0
    frames_sent: int = 0
    """Also those that met a dead station."""
    frames_answered: int = 0
    acknowledged: int = 0
    repeated: int = 0
    """Messages sent again after their acknowledgement; each was acknowledged with the same place in the log."""
    lost: int = 0
    duplicated: int = 0
    seed: int = 0
    troubles: list[str] = dataclasses.field(default_factory=list)
    """One line for each thing that is not as promised."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A feedback event whose acknowledgement reached the operator."""

    message: mentoring_pb2.Feedback
    log_sequence: int


class Crowd:
    """Line PCs and operators, each a thread; goes on over kills and starts.

    Args:
        addresses: of the station; the same after each start.
        seed: of pictures and gestures.
    """

    def __init__(self, addresses: Addresses, seed: int) -> None:
        self._addresses = addresses
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pictures: dict[str, str] = {}
        self._open: list[inspection_pb2.InspectionResult] = []
        self._said: dict[str, Said] = {}
        self._latest: dict[str, collections.deque[Said]] = {}
        self._report = KillReport(seed=seed)
        works: list[tuple[str, Callable[[random.Random], None]]] = [
            *((f"line-pc-{number}", self._send_pictures) for number in range(LINE_PCS)),
            *((f"operator-{number}", self._answer) for number in range(OPERATORS)),
        ]
        self._threads = [
            threading.Thread(target=self._work, args=(work, random.Random(f"{seed}/{name}")), name=name)
            for name, work in works
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def said(self) -> list[Said]:
        """What was acknowledged up to now."""
        with self._lock:
            return list(self._said.values())

    def picture_of(self, frame_id: str) -> str:
        """SHA-256 of the picture that was sent for a frame."""
        with self._lock:
            return self._pictures[frame_id]

    def report(self) -> KillReport:
        """Counts up to now."""
        with self._lock:
            return dataclasses.replace(self._report, acknowledged=len(self._said), troubles=list(self._report.troubles))

    def _work(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        while not self._stop.is_set() and self._live(work, chance):
            # The station is dead just now, or will not take this: what was not acknowledged was not promised.
            self._stop.wait(0.02)

    def _live(self, work: Callable[[random.Random], None], chance: random.Random) -> bool:
        """Works until the station dies; False: something is wrong that is not the station's death."""
        try:
            work(chance)
        except (ContractError, StationUnreachableError):
            return True
        except Exception as error:
            LOGGER.exception("a client failed")
            self._complain(f"a client failed: {error}")
            return False
        return True

    def _send_pictures(self, chance: random.Random) -> None:
        generator = np.random.default_rng(chance.getrandbits(32))
        with InspectionClient(self._addresses.grpc) as client:
            while not self._stop.is_set():
                pixels = generator.integers(0, 256, (SIDE, SIDE), np.uint8)
                data = encode_png(pixels)
                with self._lock:
                    self._report.frames_sent += 1
                result = client.inspect_file(data, part_id=f"part-{chance.getrandbits(32)}")
                with self._lock:
                    self._report.frames_answered += 1
                    if result.mentored:
                        self._pictures[result.frame_id] = hashlib.sha256(data).hexdigest()
                        self._open.append(result)

    def _answer(self, chance: random.Random) -> None:
        name = f"operator-{chance.getrandbits(24):06x}"
        with FeedbackClient(self._addresses.feedback, operator=name, timeout=0.5, tries=60) as client:
            while not self._stop.is_set():
                messages, before = self._messages(chance, name)
                if not messages:
                    self._stop.wait(0.01)
                    continue
                for message, ack in zip(messages, client.send_many(messages), strict=True):
                    self._note(message, ack, before.get(message.key))

    def _messages(self, chance: random.Random, name: str) -> tuple[list[mentoring_pb2.Feedback], dict[str, Said]]:
        with self._lock:
            taken, self._open = self._open[-8:], self._open[:-8]
            known = list(self._latest.get(name, ()))
        new = [message for result in taken for message in _gestures(result, chance, name)]
        repeats = chance.sample(known, min(len(known), round(len(new) * REPEATED_SHARE / (1 - REPEATED_SHARE))))
        messages = [*new, *(one.message for one in repeats)]
        chance.shuffle(messages)
        return messages, {one.message.key: one for one in repeats}

    def _note(self, message: mentoring_pb2.Feedback, ack: mentoring_pb2.FeedbackAck, before: Said | None) -> None:
        if ack.code:
            if before is not None:
                self._lose(f"{message.key} was acknowledged as {before.log_sequence}, then refused: {ack.reason}")
            return
        with self._lock:
            self._report.repeated += before is not None
            if before is None:
                said = self._said[message.key] = Said(message=message, log_sequence=ack.log_sequence)
                self._latest.setdefault(message.operator, collections.deque(maxlen=REPEATABLE)).append(said)
        if before is not None and (ack.log_sequence != before.log_sequence or not ack.duplicate):
            self._lose(f"{message.key} was acknowledged as {before.log_sequence}, then as {ack.log_sequence}")

    def _lose(self, trouble: str) -> None:
        with self._lock:
            self._report.lost += 1
        self._complain(trouble)

    def _complain(self, trouble: str) -> None:
        with self._lock:
            self._report.troubles.append(trouble)


def run(
    folder: Path,
    *,
    kills: int,
    seed: int = 0,
    package: Path | None = None,
    on_kill: Callable[[KillReport], None] = lambda _: None,
) -> KillReport:
    """Starts a station, lets it work, kills it, starts it again and looks; `kills` times.

    Args:
        folder: for the station; empty.
        kills: how often.
        seed: of moments, pictures and gestures.
        package: a model, so that there are detections to judge; None: only frames are judged.
        on_kill: told after each.
    """
    chance = random.Random(seed)
    sections = {
        "station": {"name": "line-1"},
        # The same addresses in every life: the clients live longer than the station.
        "grpc": {"listen": steady_address()},
        "stream": {"listen": f"tcp://{steady_address()}"},
        "feedback": {"listen": f"tcp://{steady_address()}"},
        "panel": {"enabled": False},
        "mentoring": {"reserve_mb": 1, "policies": [{"kind": "audit", "share": 1.0}]},
    }
    if package is not None:
        with StationProcess(folder, sections) as station, ModelsClient(station.addresses.grpc) as models:
            models.activate(models.push(package).model.digest)
    station = StationProcess(folder, sections)
    with contextlib.ExitStack() as stack:
        stack.callback(station.stop)
        crowd = stack.enter_context(Crowd(station.start(), seed))
        waiter = threading.Event()
        damage = KillReport()
        missing: dict[str, str] = {}
        looked_at = 0
        for _ in range(kills):
            waiter.wait(chance.uniform(0, LONGEST_LIFE_SECONDS))
            os.kill(station.addresses.pid, signal.SIGKILL)
            station.stop()  # collects the dead process
            promised = crowd.said()
            station.start()
            damage.kills += 1
            # What was said since the last look; everything is looked at once more at the end. A whole look each time
            # would take longer and longer, and the station would live as long.
            missing |= check(station.log_folder, promised[looked_at:], crowd.picture_of, damage)
            looked_at = len(promised)
            on_kill(_sum(crowd.report(), damage, missing))
    missing |= check(station.log_folder, crowd.said(), crowd.picture_of, damage)
    return _sum(crowd.report(), damage, missing)


def check(root: Path, promised: Sequence[Said], picture_of: Callable[[str], str], damage: KillReport) -> dict[str, str]:
    """Compares a log with what was acknowledged.

    Args:
        root: the log's folder; its station may be at work.
        promised: the events to look for.
        picture_of: SHA-256 of the picture that was sent for a frame.
        damage: is told of a log that is not sound as a whole.

    Returns:
        What is not as it was acknowledged: trouble by key.
    """
    with contextlib.closing(sqlite3.connect(f"file:{root / DATABASE_NAME}?mode=ro", uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
        strays = connection.execute("PRAGMA foreign_key_check").fetchall()
        (damage.duplicated,) = connection.execute(
            "SELECT COUNT(*) - (SELECT COUNT(*) FROM (SELECT DISTINCT frame_id, detection_id, missed_index, operator,"
            " revision FROM feedback)) FROM feedback"
        ).fetchone()
    if verdict != "ok" or strays:
        damage.troubles.append(f"the database is not sound: {verdict}, {len(strays)} rows without their frame")
    with MentoringLogReader(root) as reader:
        first = min((said.log_sequence for said in promised), default=1)
        events = {event.key: event for event in reader.feedback(after=first - 1)}
        looked = {
            said.message.key: _event_trouble(said, events.get(said.message.key))
            or _frame_trouble(said.message.frame_id, reader, picture_of)
            for said in promised
        }
    return {key: trouble for key, trouble in looked.items() if trouble}


def _event_trouble(said: Said, event: FeedbackEvent | None) -> str:
    """What is not as it was acknowledged; empty: all is."""
    if event is None:
        return "not in the log"
    message = said.message
    found = (event.log_sequence, event.frame_id, event.detection_id or "", event.gesture, event.operator)
    told = (
        said.log_sequence,
        message.frame_id,
        message.detection_id,
        Gesture(message.gesture),
        message.operator,
    )
    return "" if found == told else f"in the log as {found}, said as {told}"


def _frame_trouble(frame_id: str, reader: MentoringLogReader, picture_of: Callable[[str], str]) -> str:
    """What is not as it was sent; empty: all is."""
    record = reader.record(frame_id)
    if record is None:
        return "its frame is not in the log"
    try:
        data = reader.image(record.frame)
    except ContractError as error:
        return str(error)
    return "" if hashlib.sha256(data).hexdigest() == picture_of(frame_id) else "its picture is not the one sent"


def _gestures(
    result: inspection_pb2.InspectionResult, chance: random.Random, name: str
) -> list[mentoring_pb2.Feedback]:
    """An answer to each detection of a frame, and one about the frame, each with its own key."""
    targets = [
        (item.detection_id, chance.choice((mentoring_pb2.GESTURE_CONFIRM, mentoring_pb2.GESTURE_REJECT)))
        for item in result.detections[:4]
    ]
    targets.append(("", mentoring_pb2.GESTURE_FRAME_COMPLETE))
    return [
        mentoring_pb2.Feedback(
            key=str(uuid.UUID(int=chance.getrandbits(128))),
            frame_id=result.frame_id,
            detection_id=target,
            gesture=gesture,
            revision=1,
            operator=name,
            seconds=1.5,
        )
        for target, gesture in targets
    ]


def _sum(report: KillReport, damage: KillReport, missing: Mapping[str, str]) -> KillReport:
    return dataclasses.replace(
        report,
        kills=damage.kills,
        lost=report.lost + len(missing),
        duplicated=damage.duplicated,
        troubles=[*report.troubles, *damage.troubles, *(f"{key}: {trouble}" for key, trouble in missing.items())],
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="how often the station is killed (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of moments, pictures and gestures (default 0)")
    parser.add_argument(
        "--package", type=Path, help="a model package, so that detections are judged and not only frames"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)

    def show(report: KillReport) -> None:
        line = f"kill {report.kills}/{options.kills}: {report.acknowledged} acknowledged, {report.lost} lost"
        print(f"\r{line}", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="lineside-kill-") as folder:
        report = run(Path(folder), kills=options.kills, seed=options.seed, package=options.package, on_kill=show)
    print(file=sys.stderr)
    for trouble in report.troubles[:20]:
        print(trouble, file=sys.stderr)
    figures = dataclasses.asdict(report)
    print(json.dumps({name: value for name, value in figures.items() if name != "troubles"}))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if report.lost or report.duplicated or report.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
