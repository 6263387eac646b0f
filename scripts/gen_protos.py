"""Generates the stubs of proto/lineside in place, with types. Run after every change of a .proto file.

A test regenerates into a temporary folder and compares, so a forgotten run cannot land.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent / "proto"


def generate(destination: Path) -> None:
    """Writes *_pb2.py, *_pb2_grpc.py and their .pyi files under destination, in the folders of the .proto files.

    Raises:
        SystemExit: the compiler refused; it has said why on standard error.
    """
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("lineside/*/*.proto"))
    scripts = Path(sys.executable).parent
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT}",
            f"-I{resources.files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={destination}",
            f"--mypy_out={destination}",
            f"--grpc_python_out={destination}",
            f"--mypy_grpc_out={destination}",
            *files,
        ]
    )
    if code:
        raise SystemExit(code)
    for service_less in ("mentoring", "swap"):
        for path in (destination / "lineside/v1").glob(f"{service_less}_pb2_grpc.py*"):
            path.unlink()


if __name__ == "__main__":
    generate(ROOT)
