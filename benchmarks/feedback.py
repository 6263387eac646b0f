"""How fast operators' answers become durable: the feedback socket and the log against the bare disk.

    python -m benchmarks.feedback --json FILE

The station's side (log and socket) is a process of its own; this one speaks to it over real sockets. On the same disk,
one after another:

    disk_commits_per_s   SQLite alone, no station: a row of the log's own size, WAL, synchronous=FULL, a commit each
    serial_acks_per_s    one operator who waits for each acknowledgement before the next answer
    acks_per_s           operators who do not wait: what waits together is committed together
    p50_ack_ms, p99_ack_ms   answer to acknowledgement, at `offered` answers a second for `seconds`, evenly
    sustained            1: as fast as it was offered; 0.5: in twice the time

The bare rate is the limit for whoever commits each answer by itself; a ratio above 1 is what committing in groups
gains. Absolute rates are the disk's and the machine's, busy or not; the ratios are ours.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import multiprocessing
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import zmq

from edge.frame import Frame
from edge.inspection import Detection, Inspection, ModelIdentity, Timings, Verdict
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from edge.mentoring.selection import Selection
from edge.mentoring.settings import MentoringSettings
from edge.stream.feedback import FeedbackRouter
from lineside.ids import detection_id, new_frame_id
from lineside.mentoring_log import SCHEMA
from lineside.reasons import Reason
from lineside.v1 import mentoring_pb2
from loop.figures import machine, write_json

FRAMES, DETECTIONS = 200, 20
OPERATORS = 4
WINDOW = 64
"""Answers of one operator on their way at once."""
PATIENCE_MS = 60_000
PAUSE_SECONDS = 0.1
"""Before an answer is sent again, as `lineside.client.feedback` does."""


def station_side(root: Path, pipe: Connection) -> None:
    """Log and socket, until the pipe says stop. Tells the endpoint and the frames."""
    settings = MentoringSettings(keep_free_mb=0, reserve_mb=1)
    with MentoringLog(root, settings, lambda *_: None) as log, FeedbackRouter("tcp://127.0.0.1:0", log) as router:
        frames = [_keep(log, number) for number in range(FRAMES)]
        log.flush(PATIENCE_MS / 1000)
        pipe.send((router.endpoint, frames))
        pipe.recv()


def _keep(log: MentoringLog, number: int) -> str:
    frame = Frame(
        frame_id=new_frame_id(),
        camera="top",
        part_id=f"part-{number}",
        camera_sequence=number,
        captured_unix_ns=time.time_ns(),
        captured_monotonic_ns=time.monotonic_ns(),
        pixels=np.full((8, 8), number % 256, np.uint8),
    )
    inspection = Inspection(
        frame_id=frame.frame_id,
        station="bench",
        camera="top",
        part_id=frame.part_id,
        verdict=Verdict.REJECT,
        verdict_reason="found",
        detections=tuple(
            Detection(
                detection_id=detection_id(frame.frame_id, place),
                class_index=0,
                class_name="dent",
                score=0.9,
                box=(0.0, 0.0, 4.0, 4.0),
                areas=np.array([place], np.int32),
            )
            for place in range(DETECTIONS)
        ),
        model=ModelIdentity(name="bench", version="1", digest="sha256:" + "0" * 64),
        timings=Timings(),
        width=8,
        height=8,
        captured_unix_ns=frame.captured_unix_ns,
        captured_monotonic_ns=frame.captured_monotonic_ns,
        camera_sequence=number,
        mentored=True,
    )
    if not log.keep(frame, inspection, Selection(because="any_detection", probability=1.0)):
        raise RuntimeError("the log does not take a frame; is the disk full?")
    return frame.frame_id


def disk_commits_per_s(folder: Path, commits: int, frame_id: str) -> float:
    """Rows a second that SQLite alone makes durable, a commit each, on this disk."""
    with contextlib.closing(sqlite3.connect(folder / "bare.sqlite", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.executescript(SCHEMA)
        answers = itertools.islice(_answers([frame_id]), commits)
        begun = time.perf_counter()
        for message in answers:
            draft = draft_of(message)
            bare.execute("BEGIN IMMEDIATE")
            bare.execute(
                "INSERT INTO feedback (key, payload_sha256, frame_id, detection_id, gesture, missed_index, revision,"
                " operator, seconds, client_unix_ns, received_unix_ns) VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, 0, 0)",
                (
                    draft.key,
                    draft.payload_sha256,
                    draft.frame_id,
                    draft.detection_id,
                    draft.gesture.name,
                    draft.revision,
                    draft.operator,
                    draft.seconds,
                ),
            )
            bare.execute("COMMIT")
        return commits / (time.perf_counter() - begun)


def _answers(frames: list[str]) -> Iterator[mentoring_pb2.Feedback]:
    """Answers without end, each about another target than the last thousands."""
    for revision in itertools.count(1):
        for place in range(DETECTIONS):
            for frame_id in frames:
                yield mentoring_pb2.Feedback(
                    key=str(uuid.uuid4()),
                    frame_id=frame_id,
                    detection_id=detection_id(frame_id, place),
                    gesture=mentoring_pb2.GESTURE_REJECT,
                    revision=revision,
                    operator="bench",
                    seconds=1.5,
                )


class Operators:
    """Several connections to the socket, served by one thread.

    Args:
        endpoint: of the socket.
        frames: to speak about.
    """

    def __init__(self, endpoint: str, frames: list[str]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._sockets = [self._context.socket(zmq.DEALER) for _ in range(OPERATORS)]
        for connection in self._sockets:
            connection.linger = 0
            connection.connect(endpoint)
            self._poller.register(connection, zmq.POLLIN)
        self._answers = _answers(frames)
        self._sent: dict[str, float] = {}
        self._requests: dict[str, bytes] = {}
        self._again: collections.deque[tuple[float, zmq.Socket[bytes], bytes]] = collections.deque()
        self.refused = 0
        """Answers sent again because too many waited."""
        self.latencies: list[float] = []
        """Seconds, one an acknowledgement."""

    def close(self) -> None:
        """Closes the connections."""
        for connection in self._sockets:
            connection.close()
        self._context.term()

    def run(self, count: int, *, window: int, due: Callable[[int], float] | None = None) -> float:
        """Sends so many answers, and gives back the seconds until the last acknowledgement.

        Args:
            count: of answers.
            window: most on their way at once.
            due: seconds after the beginning at which an answer is given; None: as soon as the window allows.
        """
        self.latencies = []
        begun = time.perf_counter()
        sent = 0
        while len(self.latencies) < count:
            now = time.perf_counter()
            while sent < count and len(self._sent) < window and (due is None or begun + due(sent) <= now):
                message = next(self._answers)
                # Counted from when it was due: an operator kept waiting is kept waiting, also by our own lateness.
                self._sent[message.key] = time.perf_counter() if due is None else begun + due(sent)
                request = mentoring_pb2.FeedbackRequest(feedback=message).SerializeToString()
                self._requests[message.key] = request
                self._sockets[sent % OPERATORS].send(request)
                sent += 1
            while self._again and self._again[0][0] <= now:
                _, connection, request = self._again.popleft()
                connection.send(request)
            wait = PATIENCE_MS if not self._again else max(1, round((self._again[0][0] - now) * 1000))
            if due is not None and sent < count:
                wait = min(wait, max(0, int((begun + due(sent) - time.perf_counter()) * 1000)))
            ready = self._poller.poll(wait)
            if not ready and wait == PATIENCE_MS:
                raise RuntimeError(f"{len(self._sent)} answers were not acknowledged in {PATIENCE_MS / 1000:.0f} s")
            for connection, _ in ready:
                self._take(connection)
        return time.perf_counter() - begun

    def _take(self, connection: zmq.Socket[bytes]) -> None:
        with contextlib.suppress(zmq.Again):
            while True:
                ack = mentoring_pb2.FeedbackAck.FromString(connection.recv(zmq.NOBLOCK))
                if ack.reason == Reason.QUEUE_FULL.value:
                    # As any client does: the same again. Its latency goes on from when it was due.
                    self.refused += 1
                    self._again.append((time.perf_counter() + PAUSE_SECONDS, connection, self._requests[ack.key]))
                    continue
                if ack.code or ack.duplicate:
                    raise RuntimeError(f"answer {ack.key} was not taken as a new one: {ack.reason} {ack.message}")
                del self._requests[ack.key]
                self.latencies.append(time.perf_counter() - self._sent.pop(ack.key))


def run(folder: Path, *, answers: int, serial: int, offered: int, seconds: float) -> dict[str, float]:
    """All figures, on the disk of this folder."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    station = multiprocessing.get_context("spawn").Process(target=station_side, args=(folder / "log", theirs))
    station.start()
    try:
        endpoint, frames = ours.recv()
        operators = Operators(endpoint, frames)
        try:
            operators.run(min(serial, 50), window=1)
            # The bare disk before and after: a busy machine's disk has no one speed.
            bare = [disk_commits_per_s(folder, serial, frames[0])]
            alone = serial / operators.run(serial, window=1)
            together = answers / operators.run(answers, window=WINDOW * OPERATORS)
            (folder / "bare.sqlite").unlink()
            bare.append(disk_commits_per_s(folder, serial, frames[0]))
            count = round(offered * seconds)
            took = operators.run(count, window=count, due=lambda number: number / offered)
            latencies = np.array(operators.latencies) * 1000
        finally:
            operators.close()
        ours.send("stop")
        station.join(60)
    finally:
        station.kill()
    disk = float(np.mean(bare))
    return {
        "disk_commits_per_s": disk,
        "serial_acks_per_s": alone,
        "serial_of_disk": alone / disk,
        "acks_per_s": together,
        "acks_of_disk": together / disk,
        "offered_per_s": float(offered),
        "sustained": min(1.0, seconds / took),
        "p50_ack_ms": float(np.quantile(latencies, 0.5)),
        "p99_ack_ms": float(np.quantile(latencies, 0.99)),
        "sent_again": float(operators.refused),
    }


def main() -> int:
    """Prints the figures, and writes them as JSON where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--folder", type=Path, help="on the disk that is measured (default: the temporary folder's)")
    parser.add_argument("--answers", type=int, default=5000, help="of operators who do not wait")
    parser.add_argument("--serial", type=int, default=400, help="of one who waits, and commits of the bare disk")
    parser.add_argument("--offered", type=int, default=1000, help="answers a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        figures = run(
            Path(folder),
            answers=given.answers,
            serial=given.serial,
            offered=given.offered,
            seconds=given.seconds,
        )
    for name, value in figures.items():
        print(f"{name:<20} {value:.2f}")
    if given.json is not None:
        command = (
            f"python -m benchmarks.feedback --answers {given.answers} --serial {given.serial}"
            f" --offered {given.offered} --seconds {given.seconds:g}"
        )
        write_json(given.json, {"command": command, "machine": machine(), **figures})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
