"""What every baseline has in common: its engine, its way to read a picture, and how it says where it listens.

Written as somebody would who needs the graph served by tomorrow: decode, run, answer; one picture after another,
because the engine takes one at a time. Needs numpy, OpenCV and ONNX Runtime.
"""

from __future__ import annotations

import argparse
import threading
import time

import cv2
import numpy as np


class Engine:
    """The graph on one thread, or the wait that stands for a device.

    Args:
        graph: path of the ONNX file.
        wait: seconds a call takes without using the processor; 0: the graph is run.
        size: side of the pictures, pixels.
    """

    def __init__(self, graph: str, wait: float, size: int) -> None:
        self._wait = wait
        self._size = size
        self._lock = threading.Lock()
        if not wait:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def pixels(self, data: bytes) -> np.ndarray:
        """(size, size, 3) RGB of a JPEG file, or of raw pixels."""
        if data[:3] == b"\xff\xd8\xff":
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return np.frombuffer(data, np.uint8).reshape(self._size, self._size, 3)

    def run(self, pixels: np.ndarray) -> float:
        """The highest score in the picture."""
        with self._lock:
            if self._wait:
                time.sleep(self._wait)
                return 0.0
            (heat,) = self._session.run(None, {"image": pixels[None]})
            return float(heat.max())

    def __call__(self, data: bytes) -> dict[str, object]:
        """The answer for a picture, as it came."""
        score = self.run(self.pixels(data))
        return {"score": score, "verdict": "REJECT" if score >= 0.5 else "PASS"}


def parse() -> argparse.Namespace:
    """The arguments all of them take."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--graph", required=True)
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    return parser.parse_args()


def engine_of(options: argparse.Namespace) -> Engine:
    """The engine they name."""
    cv2.setNumThreads(1)
    return Engine(options.graph, options.wait, options.size)
