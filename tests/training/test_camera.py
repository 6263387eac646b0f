"""A second camera is measured from pictures alone, and old pictures can be shown as it takes them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from lineside.boxes import as_boxes
from lineside.pixels import Pixels
from training.data.camera import Camera, fit_camera
from training.data.prepared import Annotated

SIDE = 96
TRUE = Camera(black=20, white=230, new_black=60, new_white=165, shade=0.0, blur=0.8, noise=6.0)


def board(number: int, *, density: float = 1.0) -> Pixels:
    """A picture with sharp tracks at any angle, 20 and 230 grey."""
    generator = np.random.default_rng(number)
    picture = np.full((SIDE, SIDE), 20, np.uint8)
    for _ in range(round(7 * density)):
        ends = generator.integers(-10, SIDE + 10, 4).tolist()
        cv2.line(picture, (ends[0], ends[1]), (ends[2], ends[3]), 230, int(generator.integers(2, 8)))
    return picture


def seen_by(camera: Camera, picture: Pixels, number: int) -> Pixels:
    """Blur, levels and noise by other means than the module's."""
    values = cv2.GaussianBlur(picture.astype(np.float64), (0, 0), camera.blur) if camera.blur else picture.astype(float)
    gain = (camera.new_white - camera.new_black) / (camera.white - camera.black)
    values = (values - camera.black) * gain + camera.new_black
    values += np.random.default_rng(number).normal(0, camera.noise, values.shape)
    return np.asarray(np.rint(values.clip(0, 255)), np.uint8)


def annotated(picture: Pixels) -> Annotated:
    return Annotated(
        pixels=picture[:, :, None], boxes=as_boxes([]), classes=np.zeros(0, np.int32), inside=(0, 0, SIDE, SIDE)
    )


def test_blur_noise_and_levels_are_found_on_parts_never_seen_before() -> None:
    old = [annotated(board(number)) for number in range(60)]
    new = [annotated(seen_by(TRUE, board(number, density=1.4), number)) for number in range(100, 160)]
    found = fit_camera(old, new)
    assert found.blur == pytest.approx(TRUE.blur, abs=0.2)
    assert found.noise == pytest.approx(TRUE.noise, abs=1.0)
    assert found.new_black == pytest.approx(TRUE.new_black, abs=8)
    assert found.new_white == pytest.approx(TRUE.new_white, abs=8)
    assert (found.black, found.white) == (20, 230)


def test_the_same_camera_is_found_to_change_nothing() -> None:
    old = [annotated(board(number)) for number in range(60)]
    new = [annotated(board(number, density=1.4)) for number in range(100, 160)]
    found = fit_camera(old, new)
    assert (found.new_black, found.new_white) == (found.black, found.white)
    assert found.blur <= 0.15
    assert found.noise <= 1.0
    assert found.shade <= 0.03


def test_without_jitter_blur_and_noise_a_picture_gets_the_new_levels_exactly() -> None:
    camera = Camera(black=20, white=230, new_black=60, new_white=165)
    pictures = torch.from_numpy(np.stack([board(1), board(2)])[:, None]).float()
    shown = camera.show(pictures, torch.tensor([True, True]), torch.Generator().manual_seed(1), jitter=0.0)
    span = shown.amax(dim=(1, 2, 3)) - shown.amin(dim=(1, 2, 3))
    assert span.tolist() == pytest.approx([105, 105], abs=1e-3)
    assert (shown.amin(dim=(1, 2, 3)) - 60).abs().max() <= 8


def test_a_shown_picture_has_the_blur_and_the_noise() -> None:
    camera = Camera(black=0, white=255, new_black=0, new_white=255, blur=1.0, noise=5.0)
    step = torch.zeros(1, 1, 64, 64)
    step[..., 32:] = 200.0
    step += 20
    shown = camera.show(step, torch.tensor([True]), torch.Generator().manual_seed(0), jitter=0.0)[0, 0]
    flat = shown[:, :24]
    assert float(flat.std()) == pytest.approx(5.0, rel=0.05)
    # A step blurred by a Gaussian of 1 pixel is at its normal distribution's value half a pixel beside the edge.
    edge = (float(shown[:, 32].mean()) - float(flat.mean())) / 200
    assert edge == pytest.approx(0.6915, abs=0.02)


def test_pictures_that_are_not_chosen_stay_and_draws_do_not_depend_on_the_choice() -> None:
    camera = Camera(black=20, white=230, new_black=60, new_white=165, shade=0.1, blur=0.8, noise=6.0)
    pictures = torch.from_numpy(np.stack([board(number) for number in range(4)])[:, None]).float()
    all_of_them = camera.show(pictures, torch.ones(4, dtype=torch.bool), torch.Generator().manual_seed(3))
    some = camera.show(pictures, torch.tensor([False, True, False, True]), torch.Generator().manual_seed(3))
    assert torch.equal(some[::2], pictures[::2])
    torch.testing.assert_close(some[1::2], all_of_them[1::2])
    half = camera.show(
        pictures[2:], torch.ones(2, dtype=torch.bool), torch.Generator().manual_seed(3), chosen=slice(2, 4), count=4
    )
    torch.testing.assert_close(half, all_of_them[2:])


def test_what_cannot_be_measured_is_said() -> None:
    blank = annotated(np.full((SIDE, SIDE), 90, np.uint8))
    with pytest.raises(ValueError, match="no contrast"):
        fit_camera([blank], [annotated(board(1))])
    with pytest.raises(ValueError, match="0 new ones"):
        fit_camera([blank], [])
    with pytest.raises(ValueError, match="white must be above black"):
        Camera(black=9, white=9, new_black=0, new_white=1)
