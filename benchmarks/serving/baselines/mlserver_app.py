"""An MLServer model at its gRPC port, by the Open Inference Protocol, started as its documents say. Needs mlserver."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

ARGUMENTS = "SERVING_BASELINE_ARGUMENTS"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    from common import parse

    options = parse()
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    (folder / "settings.json").write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "grpc_port": options.port,
                "http_port": _free_port(),
                "metrics_port": _free_port(),
                "grpc_max_message_length": 64 << 20,
            }
        )
    )
    (folder / "model-settings.json").write_text(json.dumps({"name": "model", "implementation": "mlserver_app.Picture"}))
    os.environ[ARGUMENTS] = json.dumps(sys.argv[1:])
    os.execv(sys.executable, [sys.executable, "-m", "mlserver.cli.main", "start", str(folder)])

import numpy as np  # noqa: E402
from mlserver import MLModel  # noqa: E402
from mlserver.codecs import NumpyCodec  # noqa: E402
from mlserver.types import InferenceRequest, InferenceResponse  # noqa: E402


class Picture(MLModel):
    """Decodes, runs, answers."""

    async def load(self) -> bool:
        """In the worker's process."""
        from common import engine_of, parse

        sys.argv[1:] = json.loads(os.environ[ARGUMENTS])
        self.engine = engine_of(parse())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The score."""
        data = NumpyCodec.decode_input(payload.inputs[0]).tobytes()
        score = np.array([self.engine.run(self.engine.pixels(data))], np.float32)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", score)])
