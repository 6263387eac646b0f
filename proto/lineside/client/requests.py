"""Requests about one picture, as messages and as bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lineside.v1 import inspection_pb2

Rules = inspection_pb2.Recipe | str | None
"""Rules of a request's own, or the name of one of the station's recipes; None: the station's first that fits."""


def with_fields(
    request: inspection_pb2.InspectRequest,
    *,
    camera: str = "",
    part_id: str = "",
    frame_id: str = "",
    captured_unix_ns: int = 0,
    recipe: Rules = None,
) -> inspection_pb2.InspectRequest:
    """The same request, with what is said about its picture; fields as in InspectRequest of inspection.proto."""
    request.camera = camera
    request.part_id = part_id
    request.frame_id = frame_id
    request.captured_unix_ns = captured_unix_ns
    if isinstance(recipe, str):
        request.recipe_name = recipe
    elif recipe is not None:
        request.recipe.CopyFrom(recipe)
    return request


def file_request(
    data: bytes,
    *,
    camera: str = "",
    part_id: str = "",
    frame_id: str = "",
    captured_unix_ns: int = 0,
    recipe: Rules = None,
) -> inspection_pb2.InspectRequest:
    """A request with a whole picture file; fields as in InspectRequest of inspection.proto."""
    request = inspection_pb2.InspectRequest()
    request.image.encoded = data
    return with_fields(
        request, camera=camera, part_id=part_id, frame_id=frame_id, captured_unix_ns=captured_unix_ns, recipe=recipe
    )


def pixels_request(
    pixels: NDArray[np.uint8],
    *,
    camera: str = "",
    part_id: str = "",
    frame_id: str = "",
    captured_unix_ns: int = 0,
    recipe: Rules = None,
) -> inspection_pb2.InspectRequest:
    """A request with raw pixels.

    Args:
        pixels: uint8 (h, w) mono or (h, w, 3) RGB.

    Raises:
        ValueError: they are something else.
    """
    request = inspection_pb2.InspectRequest()
    describe(pixels, request.image.raw)
    request.image.raw.pixels = pixels.tobytes()
    return with_fields(
        request, camera=camera, part_id=part_id, frame_id=frame_id, captured_unix_ns=captured_unix_ns, recipe=recipe
    )


def describe(pixels: NDArray[np.uint8], raw: inspection_pb2.RawImage) -> None:
    """Fills in size and format.

    Raises:
        ValueError: they are no uint8 (h, w) or (h, w, 3).
    """
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (h, w) or (h, w, 3)")
    raw.height, raw.width = pixels.shape[:2]
    raw.format = inspection_pb2.PIXEL_FORMAT_MONO8 if pixels.ndim == 2 else inspection_pb2.PIXEL_FORMAT_RGB8
