"""Importers: the public layouts come in whole, and a folder that is not what it claims is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import coco, deeppcb, magnetic_tile, yolo
from training.data.sources import load_experiment, load_set, parse_source

PICTURE = np.full((40, 60), 128, np.uint8)


def write_picture(path: Path, pixels: np.ndarray = PICTURE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# DeepPCB


def deeppcb_folder(folder: Path, *, suffix: str = ".jpg", annotation: str = "5 6 15 26 1\n20 20 30 30 6\n") -> Path:
    root = folder / "PCBData"
    for number in ("00041000", "00041001"):
        write_picture(root / "group00041/00041" / f"{number}_test{suffix}")
        write_picture(root / "group00041/00041" / f"{number}_temp{suffix}")
        write_text(root / "group00041/00041_not" / f"{number}.txt", annotation)
    write_text(root / "trainval.txt", "group00041/00041/00041000.jpg group00041/00041_not/00041000.txt\n")
    return folder


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_deeppcb_lists_name_jpg_without_test_and_mean_the_file_on_disk(tmp_path: Path, suffix: str) -> None:
    dataset = deeppcb.load_list(deeppcb_folder(tmp_path, suffix=suffix), "trainval")
    assert [sample.name for sample in dataset] == ["00041000_test", "00041000_temp"]
    tested, template = dataset
    assert tested.boxes.tolist() == [[5, 6, 15, 26], [20, 20, 30, 30]]
    assert [dataset.classes[kind] for kind in tested.classes] == ["open", "pin-hole"]
    assert template.healthy
    assert tested.picture.read().shape == (40, 60)


def test_deeppcb_annotations_with_commas_are_read_too(tmp_path: Path) -> None:
    dataset = deeppcb.load_list(deeppcb_folder(tmp_path, annotation="5,6,15,26,3\n"), "trainval")
    assert dataset[0].classes.tolist() == [2]


def test_deeppcb_may_be_named_by_its_picture_folder(tmp_path: Path) -> None:
    assert len(deeppcb.load_list(deeppcb_folder(tmp_path) / "PCBData", "trainval")) == 2


@pytest.mark.parametrize(
    ("annotation", "message"),
    [("5 6 15 26\n", "expected `x1 y1 x2 y2 type`"), ("5 6 15 26 7\n", "expected 1 to 6"), ("5 6 5 26 1\n", "no area")],
)
def test_deeppcb_lines_that_make_no_sense_are_named(tmp_path: Path, annotation: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deeppcb.load_list(deeppcb_folder(tmp_path, annotation=annotation), "trainval")


def test_deeppcb_without_groups_pictures_or_lists_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a DeepPCB folder"):
        deeppcb.load_list(tmp_path, "trainval")
    folder = deeppcb_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no list other\.txt"):
        deeppcb.load_list(folder, "other")
    (folder / "PCBData/group00041/00041/00041000_temp.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="is the set complete"):
        deeppcb.load_list(folder, "trainval")
    with pytest.raises(FileNotFoundError, match=r"no splits\.json"):
        deeppcb.load_experiment(folder, "natural")


@pytest.mark.parametrize(
    ("experiment", "new_boxes"),
    [("same_parts_and_acquisition", (819, 831)), ("natural", (816, 834)), ("acquisition", (1024, 1017))],
)
def test_deeppcb_experiments_hold_what_the_readme_counts(
    data_folder: Path, experiment: str, new_boxes: tuple[int, int]
) -> None:
    loaded = deeppcb.load_experiment(data_folder / "deeppcb", experiment)
    counts = [
        (len(part.defective), len(part.healthy), sum(len(sample.boxes) for sample in part))
        for part in (loaded.train, loaded.eval_original)
    ]
    assert counts == [(432, 432, 3085), (137, 137, 946)]
    assert sum(len(sample.boxes) for sample in loaded.mentoring) == new_boxes[0]
    assert sum(len(sample.boxes) for sample in loaded.eval_new) == new_boxes[1]
    shifted = loaded.mentoring[0].picture.read()
    assert (len(np.unique(shifted)) > 2) == (experiment != "natural")


def test_the_public_experiment_is_the_public_lists_and_has_no_new_domain(data_folder: Path) -> None:
    loaded = deeppcb.load_experiment(data_folder / "deeppcb", "public")
    assert (len(loaded.train.defective), len(loaded.eval_original.defective)) == (1000, 500)
    assert not {sample.name for sample in loaded.train} & {sample.name for sample in loaded.eval_original}
    assert (len(loaded.mentoring), len(loaded.eval_new)) == (0, 0)


def test_deeppcb_roles_leave_the_spoilt_picture_out(data_folder: Path) -> None:
    from training.data.splits import read_splits

    splits = read_splits(data_folder / "deeppcb")
    assert not any("44000020" in file for role in splits.roles if role != "excluded" for file in splits.files(role))


def test_an_unknown_experiment_is_answered_with_the_possible_ones(data_folder: Path) -> None:
    with pytest.raises(ValueError, match="there are natural, acquisition"):
        deeppcb.load_experiment(data_folder / "deeppcb", "unnatural")


# Magnetic tiles


def test_boxes_drawn_from_masks_are_those_of_the_coco_file(data_folder: Path) -> None:
    folder = data_folder / "magnetic_tile"
    drawn = {sample.name: sample for sample in magnetic_tile.load(folder)}
    known = magnetic_tile.load_experiment(folder, "natural").train
    for sample in known:
        assert np.array_equal(np.sort(drawn[sample.name].boxes, axis=0), np.sort(sample.boxes, axis=0)), sample.name
        assert set(drawn[sample.name].classes) == set(sample.classes)


def test_magnetic_tile_experiments_hold_what_the_readme_counts(data_folder: Path) -> None:
    loaded = magnetic_tile.load_experiment(data_folder / "magnetic_tile", "natural_and_acquisition")
    parts = (loaded.train, loaded.eval_original, loaded.mentoring, loaded.eval_new)
    assert [len(part) for part in parts] == [116, 58, 72, 77]
    assert [len(part.healthy) for part in parts] == [49, 27, 34, 38]
    assert [sum(len(sample.boxes) for sample in part) for part in parts] == [75, 34, 41, 45]
    assert loaded.train[0].part_id.startswith("tile-")
    assert not {sample.part_id for sample in loaded.train} & {sample.part_id for sample in loaded.eval_original}


def test_a_folder_of_other_things_is_no_magnetic_tile_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no MT_Blowhole/Imgs in it"):
        magnetic_tile.load(tmp_path)


def test_specks_are_dropped_and_near_parts_are_one_defect() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[10:15, 10:20] = mask[10:15, 24:30] = 255
    mask[40:42, 40:42] = 255
    mask[50:56, 5:10] = 255
    assert sorted(magnetic_tile.boxes_of_mask(mask).tolist()) == [[5, 50, 10, 56], [10, 10, 30, 15]]


# COCO


def coco_document() -> dict[str, list[dict[str, object]]]:
    return {
        "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}],
        "categories": [{"id": 5, "name": "scratch"}, {"id": 2, "name": "dent"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 5, "bbox": [10, 5, 20, 8]}],
    }


def coco_folder(folder: Path, change: Callable[[dict[str, list[dict[str, object]]]], object] | None = None) -> Path:
    document = coco_document()
    if change is not None:
        change(document)
    write_picture(folder / "a.png")
    write_picture(folder / "images" / "b.png")
    write_text(folder / "labels.json", json.dumps(document))
    return folder


def test_coco_boxes_are_corner_and_size_and_classes_go_by_category_id(tmp_path: Path) -> None:
    dataset = load_set(parse_source(f"coco:{coco_folder(tmp_path)}"))
    assert dataset.classes == ("dent", "scratch")
    assert dataset[0].boxes.tolist() == [[10, 5, 30, 13]]
    assert dataset[0].classes.tolist() == [1]
    assert dataset[1].healthy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("categories"), "no list 'categories'"),
        (lambda d: d["annotations"][0].update(category_id=99), "do not both exist"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 0, 4]), "positive sizes"),
        (lambda d: d["annotations"][0].pop("bbox"), "is not a COCO file"),
        (lambda d: d["annotations"][0].update(iscrowd=1), "crowd"),
        (lambda d: d["images"].append({"id": 10, "file_name": "a.png"}), "names a picture twice"),
    ],
)
def test_what_is_no_coco_file_is_refused(
    tmp_path: Path, change: Callable[[dict[str, list[dict[str, object]]]], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        coco.load(coco_folder(tmp_path, change))


def test_coco_without_pictures_or_json_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds 0 JSON files"):
        coco.load(tmp_path)
    coco_folder(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"no picture a\.png"):
        coco.load(tmp_path / "labels.json")
    write_text(tmp_path / "broken.json", "{")
    with pytest.raises(ValueError, match="is not JSON"):
        coco.load(tmp_path / "broken.json")


# YOLO


def yolo_folder(folder: Path, *, names: str = "names: [scratch, dent]\n", text: str = "1 0.5 0.5 0.5 0.25\n") -> Path:
    write_picture(folder / "images/train/a.png")
    write_picture(folder / "images/train/b.jpg")
    write_text(folder / "labels/train/a.txt", text)
    write_text(folder / "data.yaml", "path: .\ntrain: images/train\n" + names + "nc: 2\n")
    return folder


def test_yolo_boxes_are_middle_and_size_in_shares(tmp_path: Path) -> None:
    dataset = load_set(parse_source(f"yolo:{yolo_folder(tmp_path)}"))
    assert dataset.classes == ("scratch", "dent")
    assert dataset[0].boxes.tolist() == [[15, 15, 45, 25]]
    assert dataset[0].classes.tolist() == [1]
    assert dataset[1].healthy


@pytest.mark.parametrize(
    "names",
    [
        "names: [scratch, 'dent']\n",
        "names:\n  0: scratch\n  1: dent  # deep\n",
        'names:\n- scratch\n- "dent"\n',
        "names: {1: dent, 0: scratch}\n",
        "names: [\n  scratch,\n  dent\n]\n",
    ],
)
def test_yolo_class_names_in_every_form_in_use(tmp_path: Path, names: str) -> None:
    assert yolo.class_names(yolo_folder(tmp_path, names=names)) == ("scratch", "dent")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0.5 0.5 0.5\n", "expected `class cx cy width height`"),
        ("2 0.5 0.5 0.5 0.5\n", "expected 0 to 1"),
        ("1 50 50 20 20\n", "expected shares"),
        ("1 0.5 0.5 0 0.5\n", "expected shares"),
        ("1 nan 0.5 0.5 0.5\n", "expected shares"),
    ],
)
def test_yolo_lines_that_make_no_sense_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        yolo.load(yolo_folder(tmp_path, text=text))


def test_yolo_without_its_folders_or_names_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected images/ in it"):
        yolo.load(tmp_path)
    folder = yolo_folder(tmp_path)
    (folder / "data.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="has no class names"):
        yolo.load(folder)


@given(x=st.floats(0.2, 0.8), y=st.floats(0.2, 0.8), width=st.floats(0.01, 0.3), height=st.floats(0.01, 0.3))
def test_yolo_boxes_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, width: float, height: float
) -> None:
    folder = yolo_folder(tmp_path_factory.mktemp("yolo"), text=f"0 {x} {y} {width} {height}\n")
    (box,) = yolo.load(folder, "train")[0].boxes
    assert (box[0] + box[2]) / 2 / 60 == pytest.approx(x, abs=1e-5)
    assert (box[3] - box[1]) / 40 == pytest.approx(height, abs=1e-5)


# Sources


@pytest.mark.parametrize("text", ["", "voc:/data", "coco", "yolo:"])
def test_data_of_an_unknown_kind_or_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_source(text)


def test_two_sets_make_two_domains(tmp_path: Path) -> None:
    first, second = parse_source(f"coco:{coco_folder(tmp_path)}"), parse_source(f"yolo:{yolo_folder(tmp_path / 'new')}")
    alone = load_experiment(first)
    assert [domain for domain, _ in alone.evaluation] == ["original"]
    assert len(alone.mentoring) == 0
    with pytest.raises(ValueError, match="the new domain's classes"):
        load_experiment(first, new=second)
    yolo_folder(tmp_path / "new", names="names: [dent, scratch]\n")
    both = load_experiment(first, new=second)
    assert [(domain, len(dataset)) for domain, dataset in both.evaluation] == [("original", 2), ("new", 2)]


def test_a_set_has_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is one set"):
        load_experiment(parse_source(f"coco:{tmp_path}"), "natural")
    with pytest.raises(ValueError, match="has its own new domain"):
        load_experiment(parse_source("synthetic"), new=parse_source(f"coco:{tmp_path}"))
    with pytest.raises(ValueError, match="has several sets"):
        load_set(parse_source("synthetic"))
    with pytest.raises(ValueError, match="a number from 0"):
        load_experiment(parse_source("synthetic:x"))
