"""A plain grpc.aio server: bytes in, JSON out, the work in one thread beside the loop. Needs grpcio."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import grpc
from common import engine_of, parse


async def main() -> None:
    """Serves until it is ended."""
    options = parse()
    engine = engine_of(options)
    worker = ThreadPoolExecutor(1)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])

    async def infer(request: object, _context: grpc.aio.ServicerContext) -> bytes:
        answer = await asyncio.get_running_loop().run_in_executor(worker, engine, request.value)
        return json.dumps(answer).encode()

    from google.protobuf.wrappers_pb2 import BytesValue

    handler = grpc.unary_unary_rpc_method_handler(infer, request_deserializer=BytesValue.FromString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("plain.Plain", {"Infer": handler}),))
    server.add_insecure_port(f"127.0.0.1:{options.port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
