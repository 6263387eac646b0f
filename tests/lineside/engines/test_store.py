"""The store gives out exactly what was stored, or says why not."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineside.engines.key import ANY, EngineKey
from lineside.engines.layers import Layer
from lineside.engines.store import EngineRefusedError, EngineStore, Origin, Record, new_record

KEY = EngineKey(
    graph_sha256="0" * 64, builder="b 1", target="SM89", gpu=ANY, driver=ANY, precision="fp32", profiles="1x8x8x1"
)
ORIGIN = Origin(model="boards 1.0.0", package_digest="sha256:" + "1" * 64, source_graph_sha256="2" * 64)
ENGINE = bytes(range(256)) * 4
LAYER = Layer(name="a", kind="conv", inputs="uint8", outputs="fp32 -1x4", constant_bytes=8, nodes=("n", "m"))


def record(key: EngineKey = KEY, engine: bytes = ENGINE) -> Record:
    return new_record(engine, key, ORIGIN, build_seconds=1.5, built_at=1000.0, layers=(LAYER,), warnings=("w",))


def test_what_was_stored_comes_back_with_its_record(tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines")
    assert store.read(KEY) is None
    written = record()
    path = store.write(ENGINE, written)
    found = store.read(KEY)
    assert found is not None
    assert found[0] == ENGINE
    assert dataclasses.asdict(found[1]) == dataclasses.asdict(written)
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineKey)])
def test_another_key_finds_nothing(tmp_path: Path, field: str) -> None:
    store = EngineStore(tmp_path)
    store.write(ENGINE, record())
    assert store.read(dataclasses.replace(KEY, **{field: "another"})) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_byte_is_damaged_the_engine_comes_back_as_stored_or_not_at_all(
    tmp_path: Path, data: st.DataObject
) -> None:
    store = EngineStore(tmp_path)
    path = store.write(ENGINE, record())
    victim = data.draw(st.sampled_from([path, path.with_suffix(".json")]))
    raw = bytearray(victim.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[place] ^= data.draw(st.integers(1, 255))
    else:
        del raw[place:]
    victim.write_bytes(raw)
    try:
        found = store.read(KEY)
    except EngineRefusedError:
        return
    assert found is not None
    assert victim != path
    assert found[0] == ENGINE
    assert found[1].key == KEY


def foreign(store: EngineStore) -> None:
    """An engine of another model under our name, with its own record."""
    other = store.write(ENGINE, record(dataclasses.replace(KEY, graph_sha256="f" * 64)))
    for suffix in (".engine", ".json"):
        other.with_suffix(suffix).replace(store.path(KEY).with_suffix(suffix))


def lost_record(store: EngineStore) -> None:
    store.path(KEY).with_suffix(".json").unlink()


def broken_record(store: EngineStore) -> None:
    store.path(KEY).with_suffix(".json").write_text("[]")


def older_record(store: EngineStore) -> None:
    beside = store.path(KEY).with_suffix(".json")
    beside.write_text(beside.read_text().replace('"format_version": 2', '"format_version": 1'))


def link(store: EngineStore) -> None:
    path = store.path(KEY)
    elsewhere = store.folder / "elsewhere"
    path.replace(elsewhere)
    path.symlink_to(elsewhere)


def writable_by_all(store: EngineStore) -> None:
    store.path(KEY).chmod(0o666)


def folder_writable_by_all(store: EngineStore) -> None:
    store.folder.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (foreign, "foreign"),
        (lost_record, "json is missing"),
        (broken_record, "damaged"),
        (older_record, "format 1, this version reads 2"),
        (link, "is a link"),
        (writable_by_all, "everybody may write"),
        (folder_writable_by_all, "everybody may write"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_must_not_be_loaded_is_refused_with_the_reason(
    tmp_path: Path, spoil: Callable[[EngineStore], None], reason: str
) -> None:
    store = EngineStore(tmp_path / "engines")
    store.write(ENGINE, record())
    spoil(store)
    with pytest.raises(EngineRefusedError, match=reason):
        store.read(KEY)
    store.folder.chmod(0o700)
    store.write(ENGINE, record())
    assert store.read(KEY) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_engine_that_somebody_else_put_there_is_refused(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    path = store.write(ENGINE, record())
    os.chown(path, 12345, -1)
    with pytest.raises(EngineRefusedError, match="user 12345"):
        store.read(KEY)


def test_a_record_of_another_engine_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not of this engine"):
        EngineStore(tmp_path).write(ENGINE, record(engine=b"other"))


KILLED = """
import os, signal, sys
from pathlib import Path
from lineside.engines.store import EngineStore, Record
folder, engine, record = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]).read_bytes()
steps = int(sys.argv[4])
def count(event, arguments):
    global steps
    if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
EngineStore(folder).write(engine, Record.of_json(record))
"""


def test_a_writer_killed_at_any_step_leaves_nothing_half(tmp_path: Path) -> None:
    """The audit hook kills it before each of its deeds on files in turn, until one run gets through."""
    new = ENGINE[::-1] + ENGINE
    (tmp_path / "new").write_bytes(new)
    (tmp_path / "record").write_bytes(record(engine=new).to_json())
    for steps in range(12):
        store = EngineStore(tmp_path / str(steps))
        store.write(ENGINE, record())
        words = [str(store.folder), str(tmp_path / "new"), str(tmp_path / "record"), str(steps)]
        done = subprocess.run([sys.executable, "-c", KILLED, *words], check=False)
        try:
            found = store.read(KEY)
        except EngineRefusedError:
            found = None
        if done.returncode == 0:
            assert found is not None
            assert found[0] == new
            break
        assert done.returncode == -signal.SIGKILL
        assert found is None or found[0] in (ENGINE, new)
        store.write(ENGINE, record())
        assert {path.suffix for path in store.folder.iterdir()} == {".engine", ".json"}
    else:
        pytest.fail("it was killed every time; the hook sees more deeds than expected")
    assert steps >= 4


def test_kernels_beside_an_engine_are_given_out_as_stored_or_not_at_all(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    path = store.write(ENGINE, record(), b"kernels")
    found = store.read(KEY)
    assert found is not None
    assert store.read_runtime(found[1]) == b"kernels"
    path.with_suffix(".runtime").write_bytes(b"others")
    assert store.read_runtime(found[1]) == b""
    store.write(ENGINE, record())
    again = store.read(KEY)
    assert again is not None
    assert store.read_runtime(again[1]) == b""
    store.write(ENGINE, record(), b"kernels")
    store.remove(path)
    assert list(tmp_path.iterdir()) == []


def test_entries_come_by_time_of_use_and_name_what_has_no_record(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    other = dataclasses.replace(KEY, target="SM120")
    for key, used in ((KEY, 100.0), (other, 200.0)):
        os.utime(store.write(ENGINE, record(key)), (used, used))
    assert [entry.name for entry in store.entries()] == [other.name, KEY.name]
    assert store.read(KEY) is not None  # now it was used
    store.path(other).with_suffix(".json").unlink()
    first, second = store.entries()
    assert first.name == KEY.name
    assert first.record is not None
    assert first.size > len(ENGINE)
    assert second.record is None


def test_an_engine_is_found_by_the_beginning_of_its_name_or_its_file(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    path = store.write(ENGINE, record())
    assert store.find(KEY.name[:6]) == store.find(str(path)) == path
    with pytest.raises(ValueError, match=f"0 engines begin with 'zz'.*there are: {KEY.name[:12]}"):
        store.find("zz")


def test_leftovers_are_old_halves_lost_records_and_free_locks(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    store.write(ENGINE, record())
    half, lost, free = tmp_path / ".a.1.engine.new", tmp_path / "b.json", tmp_path / "c.lock"
    for path in (half, lost, free):
        path.write_bytes(b"")
    assert set(store.leftovers(time.time())) == {lost, free}
    assert set(store.leftovers(time.time() + 7200)) == {half, lost, free}
