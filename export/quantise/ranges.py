"""Calibration: between which values the tensors of a graph lie, seen on real frames.

ONNX Runtime's own calibrators measure (minimum and maximum, percentile, entropy); here they get one picture at a time,
because they keep every picture's tensors until they are asked to count them.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph import INPUT_NAME
from export.quantise.trunk import HEAVY

METHODS = ("minmax", "percentile", "entropy")
PERCENTILE = 99.99
"""Of the values seen; the rest is clipped."""

Images = NDArray[np.uint8]
Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value by name of tensor."""


def calibrate(graph: bytes, pictures: Sequence[Images], method: str = "minmax") -> Ranges:
    """Runs the graph on the pictures and looks at what goes into and out of its products and sums.

    Args:
        graph: model.onnx with a float trunk.
        pictures: model inputs (1, H, W, C) as the station makes them; some dozens, of the line that is to be served.
        method: "minmax" (nothing seen is clipped), "percentile" or "entropy" (rare extremes are).

    Raises:
        ValueError: no picture, no such method.
    """
    if not pictures:
        raise ValueError("no calibration picture; give some dozens, taken by the camera that is to be served")
    if method not in METHODS:
        raise ValueError(f"calibration method is {method!r}, expected one of {', '.join(METHODS)}")
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """One picture."""

        def __init__(self, picture: Images) -> None:
            self._waiting: Images | None = picture

        def get_next(self) -> dict[str, Images] | None:
            picture, self._waiting = self._waiting, None
            return None if picture is None else {INPUT_NAME: picture}

    kinds = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    options: dict[str, Any] = {"percentile": PERCENTILE} if method == "percentile" else {}
    with tempfile.TemporaryDirectory(prefix="lineside-calibration-") as folder, _silent():
        path = Path(folder) / "model.onnx"
        onnx.save(onnx.load_from_string(graph), path)
        calibrator = create_calibrator(
            path,
            [*sorted(HEAVY), "Add", "Relu"],
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=kinds[method],
            extra_options=options,
        )
        for picture in pictures:
            calibrator.collect_data(Reader(picture))
        seen = calibrator.compute_data()
    return {name: _pair(data.range_value) for name, data in seen.data.items()}


def _pair(values: tuple[Any, Any]) -> tuple[float, float]:
    low, high = (float(np.asarray(value).reshape(())) for value in values)
    return low, high


@contextlib.contextmanager
def _silent() -> Any:
    """The calibrators print what they do."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
