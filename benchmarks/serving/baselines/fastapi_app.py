"""A plain FastAPI service: the picture is the body, the answer JSON. Needs fastapi and uvicorn."""

from __future__ import annotations

import uvicorn
from common import engine_of, parse
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool


def main() -> None:
    """Serves until it is ended."""
    options = parse()
    engine = engine_of(options)
    app = FastAPI()

    @app.post("/infer")
    async def infer(request: Request) -> dict[str, object]:
        return await run_in_threadpool(engine, await request.body())

    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    # `from __future__ import annotations` hides local types from FastAPI; Request is global here.
    main()
