"""Object storage: the same data as from a folder, fetched once, and every trouble told with the object's name."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.lessons import squares, tiny
from support.mentoring import CHOSEN, feedback, frame, inspection, settings
from support.objects import BUCKET, Objects, Spoil

from edge.mentoring.feedback import draft_of
from edge.mentoring.log import MentoringLog
from lineside.ids import new_frame_id
from lineside.pixels import encode_png
from lineside.records import Gesture
from training.checkpoint import load_metadata
from training.cli import main
from training.data import storage
from training.data.fetching import local_coco, local_log, local_tree
from training.data.mentoring import read_log
from training.data.sample import FilePicture
from training.data.sources import load_set, parse_source
from training.data.storage import StorageError, address_of, cache_root, in_words
from training.extras import MissingExtraError


@pytest.fixture(scope="module")
def server() -> Iterator[Objects]:
    started = Objects()
    yield started
    started.close()


@pytest.fixture
def objects(server: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """The server behind the usual environment, with an empty cache here."""
    for name, value in {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "LINESIDE_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(storage, "PAUSE", 0.0)
    server.fetched.clear()
    server.spoilt.clear()
    server.refused.clear()
    server.checksums = True
    return server


def coco_folder(folder: Path, *, count: int = 4) -> Path:
    """Pictures in `images`, their boxes in annotations.json."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, sample in enumerate(squares(count)):
        (folder / "images" / f"{number}.png").write_bytes(encode_png(sample.picture.read()))
        images.append({"id": number, "file_name": f"{number}.png"})
        for (x1, y1, x2, y2), kind in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
            entry = {
                "id": len(annotations),
                "image_id": number,
                "category_id": kind,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            annotations.append(entry)
    categories = [{"id": 0, "name": "dark"}, {"id": 1, "name": "bright"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def yolo_folder(folder: Path, *, count: int = 3) -> Path:
    for name in ("images", "labels"):
        (folder / name / "train").mkdir(parents=True)
    (folder / "classes.txt").write_text("dark\nbright\n")
    for number, sample in enumerate(squares(count)):
        (folder / "images" / "train" / f"{number}.png").write_bytes(encode_png(sample.picture.read()))
        (folder / "labels" / "train" / f"{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.25 0.25\n")
    return folder


def digest(text: str) -> str:
    return load_set(parse_source(text)).digest()


def test_a_coco_set_is_the_one_of_the_folder_and_is_fetched_once(objects: Objects, tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "here")
    place = objects.upload(folder, "coco-once")
    objects.put("coco-once/images/nobody-names-me.png", b"x" * 100)
    expected = digest(f"coco:{folder / 'annotations.json'}")
    assert digest(f"coco:{place}/annotations.json") == expected
    pictures = {f"coco-once/images/{number}.png": 1 for number in range(4)}
    assert objects.fetched == {"coco-once/annotations.json": 1, **pictures}
    # Again, and named by its folder: nothing more is asked for but listings.
    assert digest(f"coco:{place}") == expected
    assert sum(objects.fetched.values()) == 5


def test_a_yolo_set_follows_its_place_and_what_was_begun_stays(objects: Objects, tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path / "here")
    place = objects.upload(folder, "yolo-follows")
    first = load_set(parse_source(f"yolo:{place}"))
    assert first.digest() == digest(f"yolo:{folder}")
    before = first.digest()
    other = encode_png(np.full((64, 64), 7, np.uint8))
    (folder / "images" / "train" / "1.png").write_bytes(other)
    objects.put("yolo-follows/images/train/1.png", other)
    for name in ("images/train/2.png", "labels/train/2.txt"):
        (folder / name).unlink()
        objects.delete(f"yolo-follows/{name}")
    objects.fetched.clear()
    assert digest(f"yolo:{place}") == digest(f"yolo:{folder}") != before
    # Only what is new was fetched, and a training that had begun goes on with what it began with.
    assert objects.fetched == {"yolo-follows/images/train/1.png": 1}
    assert first.digest() == before


def test_training_from_object_storage_learns_the_same_data(objects: Objects, tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "here")
    place = objects.upload(folder, "coco-training")
    small = ["--size", "64", "--steps", "2", "--batch", "2", "--progress", "none"]
    for name, data in (("local", folder / "annotations.json"), ("remote", f"{place}/annotations.json")):
        assert main(["train", "--data", f"coco:{data}", "--out", str(tmp_path / name), *small]) == 0
    local, remote = load_metadata(tmp_path / "local"), load_metadata(tmp_path / "remote")
    assert local.lineage.data_digest == remote.lineage.data_digest != ""
    assert local.config == remote.config


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The folder of a station's log with two judged frames and one that nobody judged, after the station has ended."""
    with MentoringLog(tmp_path / "station", settings(), lambda event, sequence: None) as opened:
        for number in range(3):
            shown = frame(frame_id=new_frame_id(), seed=number, side=64)
            assert opened.keep(shown, inspection(shown, class_name="dark"), CHOSEN)
            if number < 2:
                opened.submit(draft_of(feedback(shown.frame_id, 0, Gesture.REJECT))).result(30)
        return opened.root


def test_a_log_teaches_what_it_teaches_locally_and_brings_judged_pictures_alone(objects: Objects, log: Path) -> None:
    place = objects.upload(log, "log")
    for left in [key for key in ("log/log.sqlite-wal", "log/log.sqlite-shm") if not (log / key[4:]).is_file()]:
        objects.delete(left)
    here, there = read_log(log, tiny()), read_log(local_log(place), tiny())
    assert there.digest == here.digest
    assert (there.judged, there.feedback_events) == (2, 2)
    assert sum(key.startswith("log/images/") for key in objects.fetched) == 2
    # A path of the command line has lost a slash; it means the same place, and nothing is fetched again.
    objects.fetched.clear()
    assert read_log(local_log(Path(place)), tiny()).digest == here.digest
    assert not objects.fetched


def test_a_picture_that_was_not_uploaded_is_accounted_for(objects: Objects, log: Path) -> None:
    place = objects.upload(log, "log-gap")
    whole = read_log(local_log(place), tiny())
    [key, *_] = [key for key in objects.fetched if key.startswith("log-gap/images/")]
    objects.delete(key)
    said = read_log(local_log(place), tiny())
    assert len(said.frames) == len(whole.frames) - 1
    assert len(said.skipped) == len(whole.skipped) + 1


def test_a_database_copied_while_the_station_wrote_is_refused(objects: Objects, log: Path) -> None:
    place = objects.upload(log, "log-torn")
    objects.put("log-torn/log.sqlite-wal", b"frames that are not in the database yet")
    with pytest.raises(StorageError, match="may be torn; upload a snapshot"):
        local_log(place)
    # An empty one is what a station leaves that has brought everything into its database.
    objects.put("log-torn/log.sqlite-wal", b"")
    assert (local_log(place) / "log.sqlite").is_file()


def test_a_snapshot_made_as_the_message_says_can_be_read(objects: Objects, log: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(log / "log.sqlite")
    connection.execute("VACUUM INTO ?", (str(tmp_path / "snapshot.sqlite"),))
    connection.close()
    objects.upload(log / "images", "log-snapshot/images")
    objects.put("log-snapshot/log.sqlite", (tmp_path / "snapshot.sqlite").read_bytes())
    assert read_log(local_log(f"s3://{BUCKET}/log-snapshot"), tiny()).digest == read_log(log, tiny()).digest


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_shortened_download_is_tried_again_until_it_is_whole(objects: Objects, tmp_path: Path) -> None:
    place = objects.upload(yolo_folder(tmp_path / "here"), "yolo-short")
    objects.spoil("yolo-short/images/train/0.png", half, storage.ATTEMPTS - 1)
    assert digest(f"yolo:{place}") == digest(f"yolo:{tmp_path / 'here'}")
    assert objects.fetched["yolo-short/images/train/0.png"] == storage.ATTEMPTS


@pytest.mark.parametrize(
    ("how", "checksums", "message"),
    [
        (half, False, "bytes came, .* were listed"),
        (flipped, False, "its MD5 is .*, the store lists"),
        (flipped, True, "Expected checksum"),
    ],
)
def test_a_download_that_never_is_right_is_named_and_leaves_nothing(
    objects: Objects, tmp_path: Path, how: Spoil, checksums: bool, message: str
) -> None:
    objects.checksums = checksums
    prefix = f"yolo-{how.__name__}-{checksums}"
    key = f"{prefix}/labels/train/1.txt"
    place = objects.upload(yolo_folder(tmp_path / "here"), prefix)
    objects.spoil(key, how, 20)
    with pytest.raises(StorageError, match=f"s3://{BUCKET}/{key} could not be read whole.*{message}"):
        local_tree(place)
    assert not [path for path in (cache_root() / "views").iterdir() if path.is_dir()]
    assert not [path for path in (cache_root() / "blobs").iterdir() if path.name.startswith(".")]
    # The connection is mended: what had come stays, the rest is fetched.
    objects.spoilt.clear()
    objects.fetched.clear()
    assert digest(f"yolo:{place}") == digest(f"yolo:{tmp_path / 'here'}")
    assert objects.fetched[key] == 1


def test_a_cached_file_that_was_cut_is_fetched_again(objects: Objects, tmp_path: Path) -> None:
    place = objects.upload(yolo_folder(tmp_path / "here"), "yolo-cut")
    expected = digest(f"yolo:{place}")
    victim = local_tree(place) / "images" / "train" / "2.png"
    victim.chmod(0o644)
    victim.write_bytes(b"")
    assert digest(f"yolo:{place}") == expected
    assert objects.fetched["yolo-cut/images/train/2.png"] == 2


def test_an_object_that_is_no_picture_is_named_as_an_object(objects: Objects, tmp_path: Path) -> None:
    place = objects.upload(yolo_folder(tmp_path / "here"), "yolo-broken")
    objects.put("yolo-broken/images/train/1.png", b"no picture")
    with pytest.raises(ValueError, match=f"s3://{BUCKET}/yolo-broken/images/train/1.png: "):
        load_set(parse_source(f"yolo:{place}"))
    picture = FilePicture(path=local_tree(place) / "images" / "train" / "1.png")
    with pytest.raises(ValueError, match=f"^s3://{BUCKET}/yolo-broken/images/train/1.png: "):
        picture.read()


def test_an_annotation_file_that_is_none_is_named_as_an_object(objects: Objects) -> None:
    objects.put("coco-broken/annotations.json", b"{")
    with pytest.raises(ValueError, match=f"s3://{BUCKET}/coco-broken/annotations.json is not JSON"):
        load_set(parse_source(f"coco:s3://{BUCKET}/coco-broken/annotations.json"))


def test_a_picture_that_is_not_there_is_named_with_where_it_was_looked_for(objects: Objects, tmp_path: Path) -> None:
    place = objects.upload(coco_folder(tmp_path / "here"), "coco-gap")
    objects.delete("coco-gap/images/2.png")
    with pytest.raises(
        StorageError, match=f"names 2.png, which is not there and not in s3://{BUCKET}/coco-gap/images/"
    ):
        local_coco(f"{place}/annotations.json")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("yolo:s3://no-such-bucket-here/parts", "there is no bucket for s3://no-such-bucket-here/parts"),
        (f"yolo:s3://{BUCKET}/nothing-here", f"there is nothing below s3://{BUCKET}/nothing-here/"),
        (f"coco:s3://{BUCKET}/nothing-here/a.json", f"there is no s3://{BUCKET}/nothing-here/a.json"),
        (f"coco:s3://{BUCKET}/nothing-here", "holds 0 JSON files, expected one COCO file"),
        ("coco:s3://labels.json", "names a bucket, expected s3://BUCKET/.../NAME"),
    ],
)
def test_a_place_that_is_not_there_is_one_line_and_exit_code_2(
    objects: Objects, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, message: str
) -> None:
    assert main(["train", "--data", place, "--out", str(tmp_path / "out"), "--progress", "none"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_log_that_is_not_there_says_so(objects: Objects) -> None:
    with pytest.raises(StorageError, match=r"no mentoring log in s3://.*: expected log.sqlite there"):
        local_log(f"s3://{BUCKET}/nothing-here")


def test_an_object_that_must_not_be_read_is_named(objects: Objects, tmp_path: Path) -> None:
    place = objects.upload(yolo_folder(tmp_path / "here"), "yolo-secret")
    objects.refused.add("yolo-secret/images/train/0.png")
    with pytest.raises(StorageError, match=r"yolo-secret/images/train/0.png must not be read with the credentials"):
        local_tree(place)
    assert objects.fetched["yolo-secret/images/train/0.png"] == 1


def test_without_credentials_the_variables_to_set_are_named(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match=r"no credentials to read s3://.*set AWS_PROFILE"):
        local_tree(f"s3://{BUCKET}/anything")


def test_a_server_that_does_not_answer_is_told_apart(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match=r"cannot be reached.*AWS_ENDPOINT_URL"):
        local_tree(f"s3://{BUCKET}/anything")


def test_a_key_that_would_lead_out_of_the_cache_is_refused(objects: Objects) -> None:
    objects.put("traps/images/../../../outside.txt", b"x")
    with pytest.raises(StorageError, match="has no name that a folder could hold"):
        local_tree(f"s3://{BUCKET}/traps")


def test_without_s3fs_the_answer_is_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"the place s3://parts/x needs s3fs.*pip install 'lineside\[s3\]'"):
        local_tree("s3://parts/x")


def test_a_local_place_needs_no_library_and_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    for local in (local_tree, local_coco, local_log):
        assert local("data/parts") == local(Path("data/parts")) == Path("data/parts")


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        (Path("s3://bucket/a"), "s3://bucket/a"),
        ("s3://bucket", "s3://bucket"),
        ("s3://", None),
        ("data/s3", None),
        ("/s3:/x", None),
    ],
)
def test_addresses_are_told_from_local_places(place: str | Path, address: str | None) -> None:
    assert address_of(place) == address


def test_only_files_of_the_cache_are_renamed_in_messages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINESIDE_CACHE", str(tmp_path))
    assert in_words(f"{tmp_path}/views/{'a' * 64}/bucket/x.png: bad") == "s3://bucket/x.png: bad"
    assert in_words(f"{tmp_path}/x.png: bad") == f"{tmp_path}/x.png: bad"
