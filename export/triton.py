"""A package as a model of a Triton model repository: the same graph, the same tensors, the same name.

    REPOSITORY/NAME/config.pbtxt           as the station describes the model, plus batching of Triton's own
    REPOSITORY/NAME/VERSION/model.onnx     the deployed graph, byte for byte
    REPOSITORY/NAME/VERSION/manifest.json  of the package: what the version is, and the graph's SHA-256

Triton takes version folders that are whole numbers and serves the highest one, so the next package of a name becomes
the next number and takes over. Folders appear under their names when they are whole: a server that polls the
repository never sees half of one.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

from google.protobuf import text_format

from lineside.open_inference import inference_pb2
from lineside.open_inference.models import ModelSpec, graph_spec
from lineside.package import GRAPH_NAME, MANIFEST_NAME, Package, read_package

CONFIG_NAME = "config.pbtxt"
DEFAULT_BATCH = 8
HELP = "a package as a model of a Triton model repository"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TritonModel:
    """What was written."""

    folder: Path
    """Of the version."""
    version: int
    config: inference_pb2.ModelConfig


def export_triton(
    package: Package,
    repository: Path,
    *,
    version: int | None = None,
    max_batch_size: int = DEFAULT_BATCH,
    replace: bool = False,
) -> TritonModel:
    """Writes a version of a model, and the model's configuration.

    Args:
        package: whole; its graph is checked against the manifest once more.
        repository: folder of the models; made if it is not there.
        version: Triton's number of it; None: one more than the highest there is.
        max_batch_size: pictures in one request; a graph that takes one picture at a time has no batch axis.
        replace: take the place of a version that is there.

    Raises:
        ContractError: PKG_HASH, the package changed since it was read.
        ValueError: an impossible number, or the repository's model of that name has other tensors.
        FileExistsError: the version is there.
    """
    if max_batch_size < 1 or (version is not None and version < 1):
        raise ValueError(f"version is {version}, max_batch_size {max_batch_size}; expected 1 or more")
    graph = package.read(GRAPH_NAME)
    config = triton_config(package, graph, max_batch_size=max_batch_size)
    model = repository / package.manifest.name
    _check_same_tensors(model, config)
    chosen = version or 1 + max((int(path.name) for path in model.glob("*") if path.name.isdigit()), default=0)
    destination = model / str(chosen)
    if destination.exists() and not replace:
        raise FileExistsError(f"{destination} exists; give another --version, or --replace")
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".lineside-", dir=repository) as scratch:
        made = Path(scratch) / model.name
        folder = made / str(chosen)
        folder.mkdir(parents=True)
        (folder / GRAPH_NAME).write_bytes(graph)
        (folder / MANIFEST_NAME).write_bytes((package.folder / MANIFEST_NAME).read_bytes())
        (made / CONFIG_NAME).write_text(_text(config, package), encoding="utf-8")
        if not model.exists():
            made.rename(model)
        else:
            if destination.exists():
                destination.rename(Path(scratch) / "before")
            folder.rename(destination)
            (made / CONFIG_NAME).replace(model / CONFIG_NAME)
    return TritonModel(folder=destination, version=chosen, config=config)


def triton_config(package: Package, graph: bytes, *, max_batch_size: int) -> inference_pb2.ModelConfig:
    """The configuration of a package's graph.

    Raises:
        ValueError: the graph takes some other fixed number of pictures than one.
    """
    import onnx  # not with the command line's --help

    sides = onnx.load_model_from_string(graph).graph.input[0].type.tensor_type.shape.dim
    fixed = sides[0].dim_value
    spec = graph_spec(package.manifest, package.digest, max_batch_size=max_batch_size)
    if fixed == 0:
        config = spec.config()
        # Requests that wait anyway are run together; nobody is made to wait for company.
        config.dynamic_batching.SetInParent()
        return config
    if fixed != 1:
        raise ValueError(f"the graph takes exactly {fixed} pictures at a time, expected one or any number")
    return _with_batch_of_one(spec).config()


def read_config(text: str) -> inference_pb2.ModelConfig:
    """Parses a config.pbtxt as far as a package's goes.

    Raises:
        ValueError: it is none, or says something this version does not know.
    """
    try:
        return text_format.Parse(text, inference_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"{CONFIG_NAME} cannot be read: {error}") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `lineside export triton`."""
    parser.add_argument("package", type=Path, help="package folder")
    parser.add_argument("repository", type=Path, help="folder of the models, as tritonserver --model-repository has it")
    parser.add_argument("--version", type=int, help="Triton's number of it (default: one more than there is)")
    parser.add_argument(
        "--max-batch", type=int, default=DEFAULT_BATCH, help="pictures in one request (default: %(default)s)"
    )
    parser.add_argument("--replace", action="store_true", help="take the place of a version that is there")


def run(given: argparse.Namespace) -> str:
    """Carries the command out; what it has to say."""
    package = read_package(given.package)
    made = export_triton(
        package, given.repository, version=given.version, max_batch_size=given.max_batch, replace=given.replace
    )
    shapes = [f"{item.name} {list(item.dims)}" for items in (made.config.input, made.config.output) for item in items]
    batch = f", up to {made.config.max_batch_size} at a time" if made.config.max_batch_size else ""
    manifest = package.manifest
    return f"{made.folder}: {manifest.name} {manifest.version}, {'; '.join(shapes)}{batch}\n{package.digest}"


def _check_same_tensors(model: Path, config: inference_pb2.ModelConfig) -> None:
    """Triton has one configuration for all versions of a model."""
    try:
        text = (model / CONFIG_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    there = read_config(text)
    if list(there.input) != list(config.input) or list(there.output) != list(config.output):
        raise ValueError(
            f"{model} holds versions with other tensors than this package's, and a model has one {CONFIG_NAME} for all"
            " versions; use another repository, or remove that folder"
        )


def _with_batch_of_one(spec: ModelSpec) -> ModelSpec:
    def full(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (1, *shape)

    return dataclasses.replace(
        spec,
        max_batch_size=0,
        inputs=tuple(dataclasses.replace(item, shape=full(item.shape)) for item in spec.inputs),
        outputs=tuple(dataclasses.replace(item, shape=full(item.shape)) for item in spec.outputs),
    )


def _text(config: inference_pb2.ModelConfig, package: Package) -> str:
    manifest = package.manifest
    head = f"# {manifest.name} {manifest.version}, {package.digest}\n"
    return head + "# Written by lineside export triton.\n" + text_format.MessageToString(config)
