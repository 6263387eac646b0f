"""A process that keeps frames, takes feedback and prints what it has acknowledged, until it is killed.

    python power_cut_writer.py LOG_FOLDER SEED [database|pictures|folders]

The last word names an fsync to leave out, to show that the test would see it. Each acknowledged event is one line:
key, place in the log, frame id, SHA-256 of the picture.
"""

from __future__ import annotations

import random
import sys
from concurrent.futures import Future
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.mentoring import CHOSEN, feedback, frame, inspection, settings

from edge.mentoring import database, images
from edge.mentoring.database import Accepted
from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from lineside.pixels import encode_lossless


class Careless(database.LogDatabase):
    """As most programs open SQLite."""

    def _settle_schema(self) -> None:
        super()._settle_schema()
        self._connection.execute("PRAGMA synchronous = NORMAL")


def _say(line: str) -> None:
    # One system call: after a kill the line is there or not.
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    root, seed = Path(sys.argv[1]), int(sys.argv[2])
    left_out = sys.argv[3] if len(sys.argv) > 3 else ""
    if left_out == "database":
        from edge.mentoring import writer

        writer.LogDatabase = Careless  # type: ignore[misc]
    elif left_out == "pictures":
        images._write = lambda path, data: path.write_bytes(data) and None  # type: ignore[assignment]
    elif left_out == "folders":
        images.sync_folder = lambda folder: None
    chance = random.Random(seed)
    with MentoringLog(root, settings(), lambda event, sequence: None) as log:
        _say("open")
        number = seed << 20
        while True:
            waiting: list[tuple[str, str, str, Future[Accepted]]] = []
            for _ in range(chance.randint(1, 6)):
                number += 1
                shown = frame(seed=number, side=chance.choice((8, 48, 200)))
                log.keep(shown, inspection(shown), CHOSEN)
                message = feedback(shown.frame_id, 0)
                digest = sha256(encode_lossless(shown.pixels)).hexdigest()
                waiting.append((message.key, shown.frame_id, digest, log.submit(draft_of(message))))
            for key, frame_id, digest, future in waiting:
                _say(f"{key} {future.result().log_sequence} {frame_id} {digest}")


if __name__ == "__main__":
    main()
