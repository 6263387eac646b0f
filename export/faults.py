"""Mistakes in preparing a picture that no runtime reports, each as a function: the controls of every parity.

Keys are those of `lineside.golden.FAULTS`. Each is a bug that stations of this world have had: training letterboxes
and the station squashes, OpenCV's BGR goes where RGB is meant, a client normalises what the graph normalises again, a
server's type conversion turns every byte into 255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from lineside.letterbox import Letterbox
from lineside.pixels import Pixels, letterboxed, with_channels
from lineside.v1 import model_pb2

Images = NDArray[np.uint8]
Prepare = Callable[[Pixels, model_pb2.ModelInput], Images]


def letterbox_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(1, H, W, C): a frame as the station puts it into the model."""
    height, width = frame.shape[:2]
    geometry = Letterbox(frame_width=width, frame_height=height, model_width=size.width, model_height=size.height)
    return letterboxed(frame, geometry, channels=size.channels, padding=size.padding)[None]


def squashed_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(1, H, W, C): the frame stretched to the model's input; a fault that gives no error and less confidence."""
    picture = with_channels(frame, size.channels)
    stretched = cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA)
    return np.asarray(stretched, np.uint8).reshape(1, size.height, size.width, size.channels)


def exchanged_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(1, H, W, C): letterboxed, with red and blue exchanged."""
    other = np.ascontiguousarray(frame[:, :, ::-1]) if frame.ndim == 3 else frame
    return letterbox_input(other, size)


def unit_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """Divided by 255, as most networks of the world want it; as bytes that is 0 and 1."""
    return np.asarray(letterbox_input(frame, size) // 255, np.uint8)


def signed_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """128 away: bytes that were read, or quantised, with a sign."""
    return np.asarray(letterbox_input(frame, size) ^ np.uint8(0x80), np.uint8)


def standard_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """(x - 128) / 64 as a careful client normalises; as bytes the lower half is gone and 0 to 2 is left."""
    values = (letterbox_input(frame, size).astype(np.float32) - 128) / 64
    return np.clip(values, 0, 255).astype(np.uint8)


def white_input(frame: Pixels, size: model_pb2.ModelInput) -> Images:
    """255 everywhere."""
    return np.full_like(letterbox_input(frame, size), 255)


PREPARATIONS: Mapping[str, Prepare] = {
    "squash": squashed_input,
    "colours": exchanged_input,
    "unit": unit_input,
    "signed": signed_input,
    "standard": standard_input,
    "white": white_input,
}


def possible_faults(size: model_pb2.ModelInput) -> tuple[str, ...]:
    """Those of PREPARATIONS that a model of this input can suffer: one channel has no order of colours."""
    return tuple(name for name in PREPARATIONS if name != "colours" or size.channels == 3)
