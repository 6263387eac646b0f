"""`lineside export parity`: what each runtime of this machine makes of a package's golden cases. Parses and prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

RUNTIMES = ("cpu", "cuda", "tensorrt", "tensorrt-rtx")
_GPUS = (("CUDA", {"cuda"}), ("TensorRT", {"tensorrt", "tensorrt-rtx"}))


def add_parity(parser: argparse.ArgumentParser) -> None:
    """Its own arguments."""
    parser.add_argument("package", type=Path, help="package folder")
    parser.add_argument("--frames", type=Path, help="folder of further pictures")
    parser.add_argument(
        "--runtime", nargs="+", choices=RUNTIMES, default=["cpu"], help="of ONNX Runtime; all but cpu need a GPU"
    )


def run_parity(given: argparse.Namespace, pictures_in: Callable[[Path], Sequence[Path]]) -> int:
    """Compares; 0 all within the tolerance, 1 not."""
    from export.graph import DeployedGraph
    from export.parity import blind_spots, compare_all, explained, golden_cases, in_onnxruntime, in_torch
    from lineside import golden
    from lineside.package import GOLDEN_NAME, GRAPH_NAME, WEIGHTS_NAME, read_package
    from lineside.pixels import decode
    from training.checkpoint import load

    package = read_package(given.package)
    manifest = package.manifest
    graph = package.read(GRAPH_NAME)
    cases = golden.unpack(package.read(GOLDEN_NAME), manifest)
    infers = {name: in_onnxruntime(graph, provider=name) for name in given.runtime}
    reduced = manifest.quantisation.precision
    rows = [
        (f"golden cases, ONNX Runtime{'' if name == 'cpu' else ' ' + name}", len(cases), infer, cases)
        for name, infer in infers.items()
    ]
    if (given.package / WEIGHTS_NAME).exists():
        package.read(WEIGHTS_NAME)
        network = in_torch(
            DeployedGraph(load(given.package / WEIGHTS_NAME).detector, top_k=manifest.anchors.top_k or 1)
        )
        if not reduced:
            rows.append(("golden cases, PyTorch", len(cases), network, cases))
        if given.frames:
            frames = [decode(path.read_bytes()) for path in pictures_in(given.frames)]
            # Fewer bits are compared with themselves one operation after another, not with the network they came from.
            source = in_onnxruntime(graph, optimised=False) if reduced else network
            name = f"the {reduced} graph unfused" if reduced else "PyTorch"
            more = golden_cases(source, frames, manifest)
            rows.extend(
                (
                    f"further frames, ONNX Runtime{'' if runtime == 'cpu' else ' ' + runtime} against {name}",
                    len(more),
                    infer,
                    more,
                )
                for runtime, infer in infers.items()
            )
    elif given.frames:
        raise ValueError(f"the package holds no {WEIGHTS_NAME}, so there is no network to compare further frames with")
    idle = "".join(f"; {title} not run here" for title, names in _GPUS if not names & infers.keys())
    print(f"allowed: score {manifest.parity.score:g}, box {manifest.parity.box:g} model pixels{idle}")  # noqa: T201
    sound = True
    for name, count, infer, expected in rows:
        seen = compare_all(expected, infer, manifest)
        sound &= seen.fault is None
        verdict = "equal within tolerance" if seen.fault is None else explained(expected, infer, manifest) or seen.fault
        print(f"{name}: {count} frames, score {seen.score:.2g}, box {seen.box:.2g}: {verdict}")  # noqa: T201
    blind = blind_spots(cases, infers[given.runtime[0]], manifest)
    print(f"faults these golden cases would not notice: {', '.join(blind) or 'none'}")  # noqa: T201
    return 0 if sound else 1
