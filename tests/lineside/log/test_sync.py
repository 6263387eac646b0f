"""Shards: whole or not there, sent once, put together again as the log they came from; many stations side by side."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from support.lessons import tiny
from support.objects import BUCKET, Objects
from support.told import add_frames, everything, make_log, numbered, picture, say

from lineside.log.cli import main
from lineside.log.new_log import NewLog
from lineside.log.place import FolderPlace, Place, PlaceError, open_place
from lineside.log.pseudonyms import is_pseudonym, plain, pseudonymiser
from lineside.log.shards import build_log, shards_in
from lineside.log.sync import Synced, Throttle, sync
from lineside.records import Gesture
from training.data.fetching import local_log, local_logs
from training.data.lessons import Wanted
from training.data.mentoring import read_log, read_logs
from training.data.storage import StorageError


@pytest.fixture(scope="module")
def server() -> Iterator[Objects]:
    started = Objects()
    yield started
    started.close()


@pytest.fixture
def objects(server: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINESIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def send(log: Path, place: Place, station: str = "line-1", rows: int = 2000) -> Synced:
    return sync(log, place, station, rename=plain, pseudonyms=False, rows=rows)


def append(log: Path, frames: range, *events: object) -> None:
    """What a station adds."""
    connection = sqlite3.connect(log / "log.sqlite")
    opened = NewLog.__new__(NewLog)
    opened.root, opened._connection = log, connection
    add_frames(opened, frames)
    last = connection.execute("SELECT coalesce(max(log_sequence), 0) FROM feedback").fetchone()[0]
    for sequence, event in enumerate(events, last + 1):
        opened.event(numbered(event, sequence))  # type: ignore[arg-type]
    opened.close()


def same(one: Path, other: Path) -> None:
    """Every row of two logs is the same."""
    for table in ("models", "frames", "detections", "feedback"):
        first, second = (
            sqlite3.connect(root / "log.sqlite").execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for root in (one, other)
        )
        assert first == second, table


def test_shards_are_the_log_again_and_a_second_run_sends_nothing(tmp_path: Path) -> None:
    log, place = make_log(tmp_path / "log"), FolderPlace(tmp_path / "place")
    done = send(log, place, rows=3)
    # Five frames and fourteen answers, three at a time; the shard that ends the frames begins the answers.
    assert (done.shards, done.frames, done.answers, done.pictures, done.missing) == (6, 5, 14, 4, 0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "place").rglob("*")}
    assert send(log, place, rows=3) == Synced()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "place").rglob("*")} == before
    back = build_log(tmp_path / "place", "line-1", tmp_path / "back")
    same(log, back)
    assert read_log(back, tiny()).digest == read_log(log, tiny()).digest
    assert local_log(tmp_path / "place").name == "line-1"


def test_what_a_log_gains_goes_into_new_shards_and_the_old_ones_stay(tmp_path: Path) -> None:
    log, place = make_log(tmp_path / "log"), FolderPlace(tmp_path / "place")
    send(log, place)
    before = {path: path.read_bytes() for path in (tmp_path / "place").rglob("*") if path.is_file()}
    # An answer about a frame that went out long ago, and a new frame that nobody judged.
    append(log, range(5, 6), say(4, 0, Gesture.REJECT))
    done = send(log, place)
    assert (done.shards, done.frames, done.answers, done.pictures) == (1, 1, 1, 1)
    assert all(path.read_bytes() == content for path, content in before.items())
    same(log, build_log(tmp_path / "place", "line-1", tmp_path / "back"))
    assert [shard.number for shard in shards_in(tmp_path / "place", "line-1")] == [1, 2]


def test_another_log_under_the_same_name_is_refused(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path / "place")
    send(make_log(tmp_path / "log"), place)
    said = [say(number % 5, 0, Gesture.REJECT, revision=number + 1) for number in range(20)]
    other = make_log(tmp_path / "other", said)
    with pytest.raises(ValueError, match="holds another log under station line-1"):
        send(other, place)
    with pytest.raises(ValueError, match="here it is none"):
        send(make_log(tmp_path / "older", everything()[:3]), place)
    with pytest.raises(ValueError, match="under names; go on the same way"):
        sync(tmp_path / "log", place, "line-1", rename=pseudonymiser(b"k"), pseudonyms=True)
    assert send(other, place, "line-2").answers == 20


def test_a_picture_that_is_gone_is_told_and_holds_up_nothing(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log")
    [gone] = (log / "images").rglob(f"*{sha256(picture(0)).hexdigest()}*")
    gone.write_bytes(b"torn")
    done = send(log, FolderPlace(tmp_path / "place"))
    assert (done.pictures, done.missing) == (3, 1)
    [shard] = shards_in(tmp_path / "place", "line-1")
    assert shard.missing == (f"images/{gone.parent.name}/{gone.name}",)


def test_the_rate_holds_from_one_object_to_the_next() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    throttle = Throttle(1000.0, clock=lambda: now[0], sleep=sleep)
    for size in (500, 2000, 100):
        throttle.wait(size)
    # The first goes at once; 500 bytes take half a second, 2000 two.
    assert slept == [0.5, 2.0]
    now[0] += 10.0
    throttle.wait(100)
    assert slept == [0.5, 2.0]
    with pytest.raises(ValueError, match="expected more than 0"):
        Throttle(0)


def test_two_stations_share_a_place_by_s3_and_training_reads_what_it_reads_from_their_folders(
    objects: Objects, tmp_path: Path
) -> None:
    address = f"s3://{BUCKET}/shards"
    logs = [make_log(tmp_path / "one"), tmp_path / "two"]
    said = [say(6, 0, Gesture.REJECT, operator="cyd"), say(7, None, Gesture.FRAME_HEALTHY, operator="cyd")]
    make_log(logs[1], (), frames=0, station="line-2")
    append(logs[1], range(5, 8), *said)
    for log, station in zip(logs, ("line-1", "line-2"), strict=True):
        key = ["--operators", "pseudonym", "--key", str(tmp_path / "key")]
        assert main(["sync", str(log), address, "--station", station, *key]) == 0
    together = read_logs(local_logs([address]), tiny(), Wanted())
    assert together.digest == read_logs(logs, tiny(), Wanted()).digest
    assert together.feedback_events == read_logs(logs, tiny(), Wanted()).feedback_events > 5
    assert all(is_pseudonym(name) for name in together.account.operators)
    # Only judged pictures came, each once, and again nothing.
    fetched = {key for key in objects.fetched if key.startswith("shards/images/")}
    assert len(fetched) == 6
    objects.fetched.clear()
    [one] = local_logs([f"{address}/stations/line-2"])
    assert read_log(one, tiny()).feedback_events == 2
    assert not [key for key in objects.fetched if key.startswith("shards/images/")]
    with pytest.raises(StorageError, match=r"shards of 2 stations, and this takes one log; name one of .*line-1"):
        local_log(address)
    # The station's own log beside its shards: each answer is one answer, though one of the two names the operator.
    both = read_logs([*local_logs([address]), *logs], tiny(), Wanted())
    assert both.digest == together.digest
    assert both.feedback_events == together.feedback_events
    assert set(both.account.operators) >= {"ada", "bob", "cyd"}
    assert list(both.account.answers.disputed.values()) == list(together.account.answers.disputed.values()) == [2]


SYNC = """
import sys
from lineside.log.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Dying(FolderPlace):
    """A folder whose writer dies at its n-th object: before it is there, or just after."""

    def __init__(self, root: Path, last: int, *, after: bool) -> None:
        super().__init__(root)
        self.left, self.after = last, after

    def put(self, path: str, data: bytes) -> bool:
        self.left -= 1
        if self.left < 0 and not self.after:
            raise KeyboardInterrupt
        done = super().put(path, data)
        if self.left < 0:
            raise KeyboardInterrupt
        return done


@pytest.mark.parametrize("after", [False, True])
def test_whatever_object_a_run_dies_at_the_next_one_goes_on_there(tmp_path: Path, after: bool) -> None:
    log = make_log(tmp_path / "log")
    deaths = 0
    while True:
        place = Dying(tmp_path / "place", 0, after=after) if after else Dying(tmp_path / "place", 1, after=after)
        try:
            sync(log, place, "line-1", rename=plain, pseudonyms=False, rows=5)
            break
        except KeyboardInterrupt:
            deaths += 1
    # Four pictures, a model, four tables of rows and three shards, of which each run brings one more.
    assert deaths >= 10
    same(log, build_log(tmp_path / "place", "line-1", tmp_path / "back"))
    assert len(list((tmp_path / "place" / "images").rglob("*.*"))) == 4


def test_a_killed_process_loses_nothing_doubles_nothing_and_tears_nothing(tmp_path: Path, objects: Objects) -> None:
    log = make_log(tmp_path / "log", (), frames=0)
    append(log, range(25), *(say(number, 0, Gesture.REJECT) for number in range(25)))
    command = ["sync", str(log), f"s3://{BUCKET}/killed", "--station", "line-1", "--operators", "plain"]

    def there() -> int:
        return int(objects.client.list_objects_v2(Bucket=BUCKET, Prefix="killed/images/")["KeyCount"])

    # Slow, so that the kill meets it in the middle.
    running = subprocess.Popen([sys.executable, "-c", SYNC, *command, "--kilobytes", "30"])
    deadline = time.monotonic() + 60
    while there() < 3 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert 3 <= there() < 25
    assert not objects.client.list_objects_v2(Bucket=BUCKET, Prefix="killed/stations/")["KeyCount"]
    assert main(command) == 0
    same(log, local_log(f"s3://{BUCKET}/killed"))
    assert there() == 25


def test_two_runs_at_once_do_each_other_no_harm(tmp_path: Path, objects: Objects) -> None:
    log = make_log(tmp_path / "log")
    address = f"s3://{BUCKET}/race"

    class Slow(Place):
        """Another run gets in before the shard of this one."""

        def __init__(self, inner: Place) -> None:
            super().__init__(inner.address)
            self.inner, self.raced = inner, 0

        def put(self, path: str, data: bytes) -> bool:
            if path.endswith("000000001.json") and not self.raced:
                self.raced += 1
                assert send(log, open_place(address), rows=4).answers == 14
            return self.inner.put(path, data)

        def get(self, path: str) -> bytes:
            return self.inner.get(path)

        def size(self, path: str) -> int | None:
            return self.inner.size(path)

        def names(self, folder: str) -> list[str]:
            return self.inner.names(folder)

    slow = Slow(open_place(address))
    assert send(log, slow).answers == 0
    assert slow.raced == 1
    same(log, local_log(address))


def test_a_place_that_cannot_be_reached_is_one_line(
    objects: Objects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = make_log(tmp_path / "log")
    command = ["sync", str(log), "s3://no-such-bucket/x", "--station", "line-1", "--operators", "plain"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "cannot be reached" in error
    assert "it goes on where it stopped" in error
    assert error.count("\n") == 1
    with pytest.raises(PlaceError):
        FolderPlace(Path(os.devnull)).put("x/y", b"")
    assert main(["sync", str(log), str(tmp_path / "p"), "--station", "../x", "--operators", "plain"]) == 2
    assert "expected 1 to 64 letters" in capsys.readouterr().err


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    send(make_log(tmp_path / "log"), FolderPlace(tmp_path / "place"), rows=3)
    (tmp_path / "place" / "stations" / "line-1" / "000000002.json").unlink()
    with pytest.raises(ValueError, match="has no shard 2 and later ones"):
        local_log(tmp_path / "place")


def test_other_tools_read_the_shards_as_the_document_says(tmp_path: Path) -> None:
    import duckdb

    for station, first in (("line-1", 1), ("line-2", 7)):
        log = make_log(tmp_path / station, [say(first % 5, 0, Gesture.REJECT), say(4, 1, Gesture.CONFIRM)])
        send(log, FolderPlace(tmp_path / "place"), station)
    document = (Path(__file__).resolve().parents[3] / "docs" / "log.md").read_text()
    [query] = [
        line.strip()
        for line in document.splitlines()
        if line.strip().startswith("SELECT gesture, count(*) FROM read_parquet")
    ]
    rows = duckdb.sql(query.replace("PLACE", str(tmp_path / "place"))).fetchall()
    assert sorted(rows) == [("CONFIRM", 2), ("REJECT", 2)]


def test_estimates_take_a_log_from_where_training_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from training.cli import main as train

    log = make_log(tmp_path / "log", [say(number, 0, Gesture.CONFIRM) for number in range(5)], frames=5)
    send(log, FolderPlace(tmp_path / "place"))
    for source in (log, tmp_path / "place", tmp_path / "place" / "stations" / "line-1"):
        figures = tmp_path / f"{len(str(source))}.json"
        assert train(["estimate", "--log", str(source), "--progress", "none", "--json", str(figures)]) == 0
    texts = {path.read_text() for path in tmp_path.glob("*.json")}
    assert len(texts) == 1
    capsys.readouterr()
    send(log, FolderPlace(tmp_path / "place"), "line-2")
    assert train(["estimate", "--log", str(tmp_path / "place"), "--progress", "none"]) == 2
    assert "shards of 2 stations, and this takes one log" in capsys.readouterr().err
