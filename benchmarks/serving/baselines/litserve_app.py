"""A LitServe service: the picture as base64 in JSON, as its documents show it. Needs litserve."""

from __future__ import annotations

import base64

import litserve
from common import engine_of, parse


class Service(litserve.LitAPI):
    """Decodes, runs, answers."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """In the worker's process."""
        self.engine = engine_of(parse())

    def decode_request(self, request):
        """The pixels."""
        return self.engine.pixels(base64.b64decode(request["picture"]))

    def predict(self, x):
        """The score."""
        return self.engine.run(x)

    def encode_response(self, output):
        """The verdict."""
        return {"score": output, "verdict": "REJECT" if output >= 0.5 else "PASS"}


if __name__ == "__main__":
    server = litserve.LitServer(Service(), accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=parse().port, generate_client_file=False, log_level="warning")
