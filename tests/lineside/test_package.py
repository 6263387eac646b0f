"""The package on disk: the same inputs give the same bytes, and whatever is odd is refused with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.areas import CellGrid, write_head
from lineside.package import (
    GRAPH_NAME,
    MANIFEST_NAME,
    is_digest,
    manifest_bytes,
    parse_manifest,
    read_package,
    write_package,
)
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

FILES = {GRAPH_NAME: b"graph" * 100, "golden.npz": b"golden"}


def manifest(version: str = "1.0.0") -> model_pb2.PackageManifest:
    made = model_pb2.PackageManifest(
        format_version=1,
        name="tiles",
        version=version,
        input=model_pb2.ModelInput(width=64, height=64, channels=1, padding=114),
        classes=[model_pb2.ModelClass(name="dent", threshold=0.5)],
        decode=model_pb2.DecodeParameters(
            nms_iou=0.45, area_iou=0.3, minimum_cells=1, maximum_detections=100, exclusive_classes=True
        ),
        parity=model_pb2.ParityTolerance(score=0.01, box=1.0),
    )
    write_head(CellGrid(rows=8, columns=8, stride=8), made)
    return made


def refused(reason: Reason, folder: Path) -> str:
    with pytest.raises(ContractError) as caught:
        read_package(folder)
    assert caught.value.reason is reason
    return caught.value.message


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    written = write_package(tmp_path / "a", manifest(), FILES)
    opened = read_package(tmp_path / "a")
    assert opened.digest == written.digest
    assert is_digest(opened.digest)
    assert opened.read(GRAPH_NAME) == FILES[GRAPH_NAME]
    assert (opened.class_names, opened.head.count) == (("dent",), 64)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    one = write_package(tmp_path / "a", manifest(), FILES)
    two = write_package(tmp_path / "b", manifest(), dict(reversed(FILES.items())))
    assert one.digest == two.digest
    for name in (MANIFEST_NAME, *FILES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_another_weight_gives_another_digest(tmp_path: Path) -> None:
    one = write_package(tmp_path / "a", manifest(), FILES)
    two = write_package(tmp_path / "b", manifest(), {**FILES, GRAPH_NAME: b"other"})
    assert one.digest != two.digest


@settings(max_examples=60)
@given(data=st.data())
def test_any_altered_byte_is_noticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("package") / "p"
    digest = write_package(folder, manifest(), FILES).digest
    path = folder / data.draw(st.sampled_from([MANIFEST_NAME, *sorted(FILES)]))
    raw = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    try:
        seen = read_package(folder).digest
    except ContractError as error:
        seen = error.reason.value
    # A manifest altered into another valid one is another package; anything else is refused.
    assert seen != digest
    assert seen.startswith(("sha256:", "PKG_"))


def test_a_truncated_file_is_refused_with_both_sizes(tmp_path: Path) -> None:
    write_package(tmp_path / "a", manifest(), FILES)
    (tmp_path / "a" / GRAPH_NAME).write_bytes(FILES[GRAPH_NAME][:-1])
    assert "499 bytes, the manifest says 500" in refused(Reason.PKG_HASH, tmp_path / "a")


def drop_graph(folder: Path) -> None:
    (folder / GRAPH_NAME).unlink()


def add_file(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"x")


def add_unlisted(folder: Path) -> None:
    (folder / "card.html").write_bytes(b"x")


def link(folder: Path) -> None:
    (folder / GRAPH_NAME).unlink()
    (folder / GRAPH_NAME).symlink_to("/etc/passwd")


def drop_manifest(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()


def garbage_manifest(folder: Path) -> None:
    (folder / MANIFEST_NAME).write_bytes(b"\xff{")


def unknown_key(folder: Path) -> None:
    document = json.loads((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).write_text(json.dumps({**document, "colour": "blue"}))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (drop_graph, "missing"),
        (add_file, "does not belong"),
        (add_unlisted, "not listed"),
        (link, "not a plain file"),
        (drop_manifest, "manifest.json is missing"),
        (garbage_manifest, "cannot be read"),
        (unknown_key, "colour"),
    ],
)
def test_a_folder_that_is_not_a_package_says_why(tmp_path: Path, change: Callable[[Path], None], word: str) -> None:
    write_package(tmp_path / "a", manifest(), FILES)
    change(tmp_path / "a")
    assert word in refused(Reason.PKG_MALFORMED, tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "reason", "word"),
    [
        (lambda m: setattr(m, "format_version", 9), Reason.PKG_MALFORMED, "format_version is 9"),
        (lambda m: setattr(m, "name", "../x"), Reason.PKG_MALFORMED, "name"),
        (lambda m: setattr(m, "version", "1.0"), Reason.PKG_MALFORMED, "major.minor.patch"),
        (lambda m: m.classes.add(name="dent", threshold=0.5), Reason.PKG_CLASSES, "no two the same"),
        (lambda m: m.classes.add(name="x", threshold=float("nan")), Reason.PKG_CLASSES, "threshold of class 'x'"),
        (lambda m: setattr(m.input, "channels", 4), Reason.PKG_INPUT, "channels"),
        (lambda m: setattr(m.cells, "rows", 9), Reason.PKG_INPUT, "do not cover"),
        (lambda m: m.ClearField("cells"), Reason.PKG_MALFORMED, "declares no head"),
        (lambda m: setattr(m.decode, "nms_iou", 0), Reason.PKG_MALFORMED, "nms_iou"),
        (lambda m: setattr(m.parity, "score", 0), Reason.PKG_MALFORMED, "parity"),
        (lambda m: m.files.add(name="../../evil"), Reason.PKG_MALFORMED, "evil"),
    ],
)
def test_an_impossible_manifest_is_refused_by_field(
    change: Callable[[model_pb2.PackageManifest], None], reason: Reason, word: str
) -> None:
    made = manifest()
    for name in FILES:
        made.files.add(name=name, size=1, sha256="0" * 64)
    parse_manifest(manifest_bytes(made))
    change(made)
    with pytest.raises(ContractError, match=word) as caught:
        parse_manifest(manifest_bytes(made))
    assert caught.value.reason is reason


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileExistsError):
        write_package(tmp_path / "a", manifest(), FILES)
    with pytest.raises(ContractError):
        write_package(tmp_path / "b", manifest("one"), FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert not list((tmp_path / "a").iterdir())


def test_replacing_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write_package(tmp_path / "a", manifest("1.0.0"), FILES)
    write_package(tmp_path / "a", manifest("1.1.0"), FILES, replace=True)
    assert read_package(tmp_path / "a").manifest.version == "1.1.0"
