"""One suite for every camera: whatever gives pictures keeps these promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.station import write_pictures

from edge.cameras import make_camera
from edge.cameras.contract import BadPictureError, Camera
from edge.cameras.folder import FolderCameraSettings
from edge.cameras.synthetic import SyntheticCameraSettings
from lineside.pixels import decode
from lineside.reasons import Reason

Make = Callable[..., Camera]


def folder_camera(tmp_path: Path, **fields: object) -> Camera:
    generator = np.random.default_rng(1)
    write_pictures(
        tmp_path / "pictures",
        {f"part-{number}.png": generator.integers(0, 255, (128, 128), np.uint8) for number in range(3)},
    )
    return make_camera(
        FolderCameraSettings.model_validate(
            {"name": "top", "kind": "folder", "folder": tmp_path / "pictures", "loop": True, **fields}
        )
    )


def synthetic_camera(tmp_path: Path, **fields: object) -> Camera:
    return make_camera(
        SyntheticCameraSettings.model_validate({"name": "top", "kind": "synthetic", "size": 128, **fields})
    )


CAMERAS: dict[str, Make] = {"folder": folder_camera, "synthetic": synthetic_camera}


@pytest.fixture(params=sorted(CAMERAS))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Camera]:
    return lambda **fields: CAMERAS[request.param](tmp_path, **fields)


def test_it_gives_one_picture_after_another_with_its_part(make: Make) -> None:
    with make() as camera:
        pictures = [camera.grab() for _ in range(4)]
    for picture in pictures:
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.shape == (128, 128)
        assert picture.part_id
        assert (picture.source is None) == (picture.source_suffix == "")
    assert not np.array_equal(pictures[0].pixels, pictures[1].pixels)
    assert pictures[0].part_id != pictures[1].part_id


def test_a_picture_given_is_not_changed_by_the_next_one(make: Make) -> None:
    with make() as camera:
        first = camera.grab().pixels
        kept = first.copy()
        camera.grab()
    assert np.array_equal(first, kept)


def test_the_file_kept_is_the_picture_given(make: Make) -> None:
    with make() as camera:
        picture = camera.grab()
    if picture.source is not None:
        assert np.array_equal(decode(picture.source), picture.pixels)


def test_a_picture_of_another_size_than_the_settings_say_is_bad_and_the_camera_goes_on(make: Make) -> None:
    with make(width=127) as camera:
        for _ in range(2):
            with pytest.raises(BadPictureError, match="128x128, expected 127x128") as error:
                camera.grab()
            assert error.value.reason is Reason.IMAGE_SHAPE
            assert error.value.part_id


def test_it_gives_nothing_before_it_is_opened_and_after_it_is_closed(make: Make) -> None:
    camera = make()
    with pytest.raises(RuntimeError, match="not open"):
        camera.grab()
    with camera:
        camera.grab()
    camera.close()
    with pytest.raises(RuntimeError, match="not open"):
        camera.grab()


def test_it_can_be_opened_again(make: Make) -> None:
    camera = make()
    for _ in range(2):
        with camera:
            assert camera.grab().pixels.size
