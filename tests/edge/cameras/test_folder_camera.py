"""A folder of pictures as a camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.station import png, write_pictures

from edge.cameras.contract import BadPictureError, CameraEndedError, CameraLostError
from edge.cameras.folder import FolderCamera, FolderCameraSettings
from lineside.reasons import Reason


def camera(folder: Path, **fields: object) -> FolderCamera:
    return FolderCamera(FolderCameraSettings(name="top", kind="folder", folder=folder, **fields))  # type: ignore[arg-type]


def grey(level: int) -> np.ndarray:
    return np.full((4, 5), level + 64, np.uint8)


def test_files_come_by_name_with_their_bytes_and_others_are_not_looked_at(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"b.PNG": grey(2), "a.png": grey(1), "notes.txt": b"x", "README": b"x"})
    (tmp_path / "c.png").mkdir()
    with camera(tmp_path) as folder:
        first, second = folder.grab(), folder.grab()
        assert (first.part_id, first.pixels[0, 0], second.part_id, second.pixels[0, 0]) == ("a", 65, "b", 66)
        assert first.source == png(grey(1))
        assert first.source_suffix == "png"
        with pytest.raises(CameraEndedError):
            folder.grab()


def test_the_suffix_kept_is_what_the_bytes_are_not_what_the_name_says(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"a.jpg": grey(1)})
    with camera(tmp_path) as folder:
        assert folder.grab().source_suffix == "png"


def test_a_file_that_cannot_be_decoded_is_told_and_left_behind(tmp_path: Path) -> None:
    whole = png(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8))
    write_pictures(tmp_path, {"a.png": whole[: len(whole) // 2], "b.png": b"", "c.png": b"text", "d.png": grey(9)})
    with camera(tmp_path) as folder:
        for name in ("a", "b", "c"):
            with pytest.raises(BadPictureError, match=f"{name}.png") as error:
                folder.grab()
            assert (error.value.reason, error.value.part_id) == (Reason.IMAGE_DECODE, name)
        assert folder.grab().part_id == "d"


def test_a_file_that_went_away_is_told_and_left_behind(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"a.png": grey(1), "b.png": grey(2)})
    with camera(tmp_path) as folder:
        (tmp_path / "a.png").unlink()
        with pytest.raises(BadPictureError, match="No such file"):
            folder.grab()
        assert folder.grab().part_id == "b"


def test_a_loop_begins_again_with_the_files_there_are_then(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"b.png": grey(2)})
    with camera(tmp_path, loop=True) as folder:
        assert folder.grab().part_id == "b"
        write_pictures(tmp_path, {"a.png": grey(1)})
        assert [folder.grab().part_id for _ in range(3)] == ["a", "b", "a"]


def test_no_folder_or_no_picture_in_it_is_a_lost_camera(tmp_path: Path) -> None:
    with pytest.raises(CameraLostError, match="cannot be read"):
        camera(tmp_path / "missing").open()
    with pytest.raises(CameraLostError, match="holds no picture; expected"):
        camera(tmp_path).open()
