"""Exports: what is known and what is not, in four formats, and back again."""

from __future__ import annotations

import json
import xml.etree.ElementTree as Xml
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.told import BOXES, DRAWN, HEIGHT, WIDTH, frame_id, make_log, picture, say

from lineside.fold import fold
from lineside.log.cli import main
from lineside.log.export import Exported, export_log
from lineside.log.formats import FORMATS
from lineside.log.importing import import_log
from lineside.log.known import KNOWN, PARTLY, UNKNOWN, knowledge_of
from lineside.log.pseudonyms import is_pseudonym, plain
from lineside.log_snapshot import read_snapshot
from lineside.mentoring_log import MentoringLogReader
from lineside.pixels import decode
from lineside.records import Gesture
from training.data import coco as training_coco
from training.data import yolo as training_yolo

EVERY = pytest.mark.parametrize("kind", sorted(FORMATS))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_log(tmp_path_factory.mktemp("logs") / "log")


def known_mask(folder: Path, number: int) -> np.ndarray:
    return decode((folder / "known" / f"{frame_id(number)}.png").read_bytes())


def inside(box: tuple[float, ...]) -> tuple[slice, slice]:
    return slice(int(box[1]), int(np.ceil(box[3]))), slice(int(box[0]), int(np.ceil(box[2])))


@EVERY
def test_wholly_and_partly_known_frames_are_told_apart(log: Path, tmp_path: Path, kind: str) -> None:
    done = export_log(log, tmp_path / "out", kind, rename=plain)
    assert done == Exported(whole=2, partial=2, boxes=3 + 0 + 2 + 0, left_out=())
    marked = {item.name.partition(".")[0]: item for item in FORMATS[kind].read(tmp_path / "out")}
    assert {name: item.whole for name, item in marked.items()} == {
        frame_id(0): True,
        frame_id(1): True,
        frame_id(2): False,
        frame_id(3): False,
    }
    found = sorted((box.class_name, *(round(value, 3) for value in box.box)) for box in marked[frame_id(0)].boxes)
    assert found == sorted([("dent", *BOXES[0]), ("scratch", *BOXES[2]), ("scratch", *DRAWN)])
    assert [box.class_name for box in marked[frame_id(2)].boxes] == ["dent", "scratch"]
    assert marked[frame_id(1)].boxes == marked[frame_id(3)].boxes == ()


def test_masks_say_what_is_known_and_nothing_else(log: Path, tmp_path: Path) -> None:
    export_log(log, tmp_path / "out", "coco", rename=plain)
    # Complete and healthy, every class settled everywhere.
    assert (known_mask(tmp_path / "out", 0) == KNOWN).all()
    assert (known_mask(tmp_path / "out", 1) == KNOWN).all()
    # Frame 2: one confirmed, one of another class (the model's classes exclude each other), one unsure.
    expected = np.full((HEIGHT, WIDTH), UNKNOWN, np.uint8)
    expected[inside(BOXES[0])] = KNOWN
    expected[inside(BOXES[1])] = KNOWN
    assert (known_mask(tmp_path / "out", 2) == expected).all()
    # Frame 3: one rejected, one disputed, one taken back.
    expected = np.full((HEIGHT, WIDTH), UNKNOWN, np.uint8)
    expected[inside(BOXES[0])] = KNOWN
    assert (known_mask(tmp_path / "out", 3) == expected).all()


def test_where_classes_do_not_exclude_each_other_a_defects_place_is_known_in_part(log: Path) -> None:
    with MentoringLogReader(log) as reader:
        record = reader.record(frame_id(2))
    assert record is not None
    mask = knowledge_of(record, exclusive=False).mask()
    assert set(np.unique(mask[inside(BOXES[0])])) == {PARTLY}


def test_a_healthy_frame_with_a_confirmed_defect_settles_neither(tmp_path: Path) -> None:
    root = make_log(tmp_path / "log", [say(0, 0, Gesture.CONFIRM), say(0, None, Gesture.FRAME_HEALTHY)])
    export_log(root, tmp_path / "out", "coco", rename=plain)
    mask = known_mask(tmp_path / "out", 0)
    assert (mask[inside(BOXES[0])] == UNKNOWN).all()
    assert (mask == UNKNOWN).sum() == 10 * 8
    assert json.loads((tmp_path / "out" / "annotations.json").read_text())["images"] == []


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools with numpy 2
def test_coco_is_read_by_pycocotools_which_counts_nothing_where_nobody_looked(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_log(log, tmp_path / "out", "coco", rename=plain)
    whole, partial = (COCO(str(tmp_path / "out" / name)) for name in ("annotations.json", "partial.json"))
    assert [len(whole.loadAnns(whole.getAnnIds(imgIds=[number]))) for number in sorted(whole.getImgIds())] == [3, 0]
    # The crowds of a partly known frame are together exactly what its mask leaves open.
    first = min(partial.getImgIds())
    for category in (1, 2):
        crowds = partial.loadAnns(partial.getAnnIds(imgIds=[first], catIds=[category], iscrowd=True))
        union = np.any([partial.annToMask(crowd) for crowd in crowds], axis=0)
        assert (union == (known_mask(tmp_path / "out", 2) != KNOWN)).all()
    # A model that finds something there is neither right nor wrong; one that finds something where a false alarm was
    # rejected is wrong.
    nobody_looked, rejected = [2.0, 40.0, 6.0, 6.0], [4.0, 4.0, 10.0, 8.0]
    second = max(partial.getImgIds())
    for box, counted in ((nobody_looked, False), (rejected, True)):
        answer = partial.loadRes([{"image_id": second, "category_id": 1, "bbox": box, "score": 0.9}])
        evaluation = COCOeval(partial, answer, "bbox")
        evaluation.params.imgIds, evaluation.params.catIds = [second], [1]
        evaluation.evaluate()
        [found, *_] = [item for item in evaluation.evalImgs if item is not None]
        assert bool(found["dtIgnore"][0, 0]) is not counted
    capsys.readouterr()


def test_what_our_own_importers_take_from_an_export_is_wholly_known_or_refused(log: Path, tmp_path: Path) -> None:
    export_log(log, tmp_path / "coco", "coco", rename=plain)
    export_log(log, tmp_path / "yolo", "yolo", rename=plain)
    from_coco = training_coco.load(tmp_path / "coco" / "annotations.json")
    from_yolo = training_yolo.load(tmp_path / "yolo")
    for dataset in (from_coco, from_yolo):
        assert dataset.classes == ("dent", "scratch")
        assert [len(sample.boxes) for sample in dataset] == [3, 0]
    assert np.allclose(
        sorted(from_coco.samples[0].boxes.tolist()), sorted(from_yolo.samples[0].boxes.tolist()), atol=1e-4
    )
    with pytest.raises(ValueError, match="crowd"):
        training_coco.load(tmp_path / "coco" / "partial.json", tmp_path / "coco" / "images")


@EVERY
def test_an_export_comes_back_as_it_was(log: Path, tmp_path: Path, kind: str) -> None:
    export_log(log, tmp_path / "out", kind, rename=plain)
    done = import_log(tmp_path / "out", tmp_path / "back", kind, operator="eve")
    assert (done.frames, done.answers, done.new, done.left_out) == (4, 14, 0, ())
    before, after = read_snapshot(log), read_snapshot(tmp_path / "back")
    assert after.broken == ()
    assert after.frames == before.frames
    assert after.events == before.events
    assert after.heads == before.heads
    with MentoringLogReader(log) as first, MentoringLogReader(tmp_path / "back") as second:
        for one, other in zip(first.records(judged_only=True), second.records(), strict=True):
            assert [item.areas.tolist() for item in one.detections] == [
                item.areas.tolist() for item in other.detections
            ]
            assert one.judgements == other.judgements
            # The very bytes, also of a picture that went out as PNG because nobody else reads the raw one.
            assert first.image(one.frame) == second.image(other.frame) == picture(one.frame.camera_sequence)


def edit_coco(folder: Path) -> None:
    """Frame 2 is finished: the dent is none, the scratch is moved, a dent is drawn; and the frame is complete."""
    whole, partial = (json.loads((folder / name).read_text()) for name in ("annotations.json", "partial.json"))
    image = next(item for item in partial["images"] if item["file_name"].startswith(frame_id(2)))
    partial["images"].remove(image)
    own = [item for item in partial["annotations"] if item["image_id"] == image["id"] and not item["iscrowd"]]
    partial["annotations"] = [item for item in partial["annotations"] if item["image_id"] != image["id"]]
    [scratch] = [item for item in own if item["category_id"] == 2]
    scratch["bbox"] = [20.0, 4.0, 20.0, 16.0]
    dent = {"category_id": 1, "bbox": [50.0, 2.0, 8.0, 8.0], "iscrowd": 0}
    image["id"] = 77
    whole["images"].append(image)
    whole["annotations"] += [{**scratch, "image_id": 77, "id": 100}, {**dent, "image_id": 77, "id": 101}]
    (folder / "annotations.json").write_text(json.dumps(whole))
    (folder / "partial.json").write_text(json.dumps(partial))


def edit_yolo(folder: Path) -> None:
    name = frame_id(2)
    (folder / "partial" / "images" / f"{name}.png").rename(folder / "images" / "train" / f"{name}.png")
    (folder / "partial" / "labels" / f"{name}.txt").unlink()
    boxes = [(1, 20.0, 4.0, 40.0, 20.0), (0, 50.0, 2.0, 58.0, 10.0)]
    lines = [
        f"{kind} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}\n"
        for kind, x1, y1, x2, y2 in boxes
    ]
    (folder / "labels" / "train" / f"{name}.txt").write_text("".join(lines))


def edit_labelstudio(folder: Path) -> None:
    tasks = json.loads((folder / "partial.json").read_text())
    [task] = [task for task in tasks if task["data"]["name"].startswith(frame_id(2))]
    [prediction] = task["predictions"]
    _, scratch = prediction["result"]
    size = {"original_width": WIDTH, "original_height": HEIGHT, "type": "rectanglelabels"}
    scratch["value"] |= {"x": 20 / WIDTH * 100, "y": 4 / HEIGHT * 100, "width": 20 / WIDTH * 100}
    scratch["value"]["height"] = 16 / HEIGHT * 100
    value = {"x": 50 / WIDTH * 100, "y": 2 / HEIGHT * 100, "width": 8 / WIDTH * 100, "height": 8 / HEIGHT * 100}
    drawn = {"id": "x1", **size, "value": {**value, "rotation": 0, "rectanglelabels": ["dent"]}}
    task["annotations"] = [{"id": 9, "result": [scratch, drawn]}]
    (folder / "partial.json").write_text(json.dumps(tasks))


def edit_cvat(folder: Path) -> None:
    whole, partial = (Xml.parse(folder / name) for name in ("annotations.xml", "partial.xml"))
    [image] = [item for item in partial.getroot().iter("image") if item.get("name", "").startswith(frame_id(2))]
    partial.getroot().remove(image)
    dent, scratch = image.findall("box")
    image.remove(dent)
    for key, value in zip(("xtl", "ytl", "xbr", "ybr"), (20.0, 4.0, 40.0, 20.0), strict=True):
        scratch.set(key, str(value))
    Xml.SubElement(image, "box", {"label": "dent", "xtl": "50", "ytl": "2", "xbr": "58", "ybr": "10", "occluded": "0"})
    whole.getroot().append(image)
    whole.write(folder / "annotations.xml")
    partial.write(folder / "partial.xml")


EDITS = {"coco": edit_coco, "yolo": edit_yolo, "labelstudio": edit_labelstudio, "cvat": edit_cvat}


@EVERY
def test_what_was_changed_there_comes_back_as_answers_of_whoever_changed_it(
    log: Path, tmp_path: Path, kind: str
) -> None:
    export_log(log, tmp_path / "out", kind, rename=plain)
    EDITS[kind](tmp_path / "out")
    done = import_log(tmp_path / "out", tmp_path / "back", kind, operator="eve")
    events = [event for event in read_snapshot(tmp_path / "back").events if event.operator == "eve"]
    assert done.new == len(events)
    assert {event.frame_id for event in events} == {frame_id(2)}
    said = {(event.gesture, event.detection_id and event.detection_id[-1], event.class_name) for event in events}
    finished = {(Gesture.FRAME_COMPLETE, None, None), (Gesture.MISSED, None, "dent"), (Gesture.MISSED, None, "scratch")}
    deleted = {(Gesture.REJECT, "0", None)}
    # The scratch was told with "wrong class" and is where it was drawn now. YOLO has no references: the old box is
    # gone and another is there.
    moved = {(Gesture.REJECT, "1", None)} if kind == "yolo" else {(Gesture.POOR_BOX, "1", None)}
    assert said == finished | deleted | moved
    [drawn] = [event for event in events if event.gesture is Gesture.MISSED and event.class_name == "scratch"]
    assert drawn.box is not None
    assert np.allclose(drawn.box, (20, 4, 40, 20), atol=1e-4)
    # What ada confirmed and eve deleted is disputed: nobody is overwritten.
    record = fold(event for event in read_snapshot(tmp_path / "back").events if event.frame_id == frame_id(2))
    [disputed] = [item for item in record if item.detection_id == f"{frame_id(2)}/0"]
    assert disputed.outcome.value == "disputed"
    # The same once more is the same, key by key.
    import_log(tmp_path / "out", tmp_path / "again", kind, operator="eve")
    assert [event.key for event in read_snapshot(tmp_path / "again").events if event.operator == "eve"] == [
        event.key for event in events
    ]


@EVERY
def test_a_set_that_others_made_says_only_what_is_drawn_unless_told_that_it_is_complete(
    log: Path, tmp_path: Path, kind: str
) -> None:
    export_log(log, tmp_path / "out", kind, rename=plain, whole_only=True)
    (tmp_path / "out" / "lineside.json").unlink()
    done = import_log(tmp_path / "out", tmp_path / "drawn", kind, operator="eve")
    assert (done.frames, done.new) == (1, 3)
    assert "nobody says that it is healthy" in done.left_out[0]
    assert {event.gesture for event in read_snapshot(tmp_path / "drawn").events} == {Gesture.MISSED}
    done = import_log(tmp_path / "out", tmp_path / "complete", kind, operator="eve", complete=True)
    gestures = sorted(event.gesture.name for event in read_snapshot(tmp_path / "complete").events)
    assert gestures == ["FRAME_COMPLETE", "FRAME_HEALTHY", "MISSED", "MISSED", "MISSED"]


def operators(folder: Path) -> set[str]:
    frames = json.loads((folder / "lineside.json").read_text())["frames"]
    return {item["operator"] for frame in frames for item in frame["events"]}


def test_operators_leave_the_station_under_pseudonyms(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "operators.key"
    command = ["export", str(log), str(tmp_path / "out"), "--format", "coco", "--key", str(key)]
    assert main(command) == 0
    assert oct(key.stat().st_mode & 0o777) == "0o600"
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert not any(name in path.read_bytes() for name in (b'"ada"', b'"bob"', key.read_bytes().strip()))
    names = {
        item["operator"]
        for frame in json.loads((tmp_path / "out" / "lineside.json").read_text())["frames"]
        for item in frame["events"]
    }
    assert len(names) == 2
    assert all(is_pseudonym(name) for name in names)
    # The same key gives the same pseudonyms, another key others.
    for name, file in (("same", key), ("other", tmp_path / "other.key")):
        assert main([*command[:2], str(tmp_path / name), *command[3:-1], str(file)]) == 0
    same, other = operators(tmp_path / "same"), operators(tmp_path / "other")
    assert same == names
    assert not other & names
    assert main(["import", str(tmp_path / "out"), str(tmp_path / "back"), "--format", "coco", "--operator", "eve"]) == 0
    assert read_snapshot(tmp_path / "back").broken == ()
    assert "4 frames, 14 answers as before, 0 new of eve" in capsys.readouterr().out


def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    plain_names = ["--format", "coco", "--operators", "plain"]
    assert main(["export", str(log), str(tmp_path / "there"), *plain_names]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "there"), str(tmp_path / "out"), *plain_names]) == 2
    assert "no mentoring log" in capsys.readouterr().err
    nobody = make_log(tmp_path / "nobody", ())
    assert main(["export", str(nobody), str(tmp_path / "out"), *plain_names]) == 2
    assert "nobody has judged any" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "there" / "annotations.json").write_text('{"images": 3}')
    imported = ["import", str(tmp_path / "there"), str(tmp_path / "log"), "--format", "coco", "--operator", "eve"]
    assert main(imported) == 2
    assert "is not COCO" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()


def test_a_picture_that_was_changed_is_left_out_and_told(log: Path, tmp_path: Path) -> None:
    export_log(log, tmp_path / "out", "coco", rename=plain)
    name = tmp_path / "out" / "images" / f"{frame_id(0)}.png"
    name.write_bytes(picture(2))
    done = import_log(tmp_path / "out", tmp_path / "back", "coco", operator="eve")
    assert done.frames == 3
    assert "another one than was exported" in done.left_out[0]


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "../../secret.png"}],
        "categories": [{"id": 1, "name": "dent"}],
        "annotations": [],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="leads out of the folder"):
        import_log(tmp_path, tmp_path / "log", "coco", operator="eve", complete=True)
