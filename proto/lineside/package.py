"""The model package on disk: a flat folder of known file names, bound together by its manifest.

    manifest.json         PackageManifest in protobuf's JSON mapping; names, sizes and SHA-256 of the rest
    model.onnx            the deployed graph, one file, no external data
    golden.npz            golden cases (lineside.golden)
    weights.safetensors   the same weights for further training; optional
    card.html             model card, for people; optional
    sbom.json             bill of materials (CycloneDX); optional
    model.sig             detached signature over all of the above (OpenSSF Model Signing); optional on disk, asked for
                          by a station that has keys to check it with

The package's digest is the SHA-256 of manifest.json, which holds the SHA-256 of every other file. The same inputs give
the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import json_format

from lineside.areas import CellGrid, Head, head_of
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "model.sig"
GRAPH_NAME = "model.onnx"
GOLDEN_NAME = "golden.npz"
WEIGHTS_NAME = "weights.safetensors"
REQUIRED_NAMES = (GRAPH_NAME, GOLDEN_NAME)
CARD_NAME = "card.html"
SBOM_NAME = "sbom.json"
CONTENT_NAMES = (*REQUIRED_NAMES, WEIGHTS_NAME, CARD_NAME, SBOM_NAME)
FILE_NAMES = (MANIFEST_NAME, *CONTENT_NAMES, SIGNATURE_NAME)
MAXIMUM_FILE_BYTES = 2 << 30
MAXIMUM_MANIFEST_BYTES = 4 << 20
_MAXIMUM_BYTES = {
    MANIFEST_NAME: MAXIMUM_MANIFEST_BYTES,
    SIGNATURE_NAME: 1 << 20,
    CARD_NAME: 64 << 20,
    SBOM_NAME: 16 << 20,
}
CLASSES_KEY = "lineside.classes"
"""Metadata of the graph: a JSON list of the class names in the order of its class axis. Optional: what it says must be
what the manifest says, or a manifest with exchanged names would give every detection a wrong one."""
MAXIMUM_SCORE_TOLERANCE = 0.5
"""Of golden cases; with more they would tell nothing."""

_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Package:
    """A package whose files are what its manifest says."""

    folder: Path
    manifest: model_pb2.PackageManifest
    digest: str
    """"sha256:" and 64 hexadecimal digits."""

    @property
    def head(self) -> Head:
        """The areas of its head."""
        return head_of(self.manifest)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the head's class axis."""
        return tuple(item.name for item in self.manifest.classes)

    @property
    def reference(self) -> model_pb2.ModelRef:
        """Name, version and digest, as replies carry them."""
        return model_pb2.ModelRef(name=self.manifest.name, version=self.manifest.version, digest=self.digest)

    def read(self, name: str) -> bytes:
        """A file's bytes, checked against the manifest once more: what is parsed is what was verified.

        Raises:
            ContractError: PKG_HASH, the file changed since the package was read.
        """
        entry = next((item for item in self.manifest.files if item.name == name), None)
        if entry is None:
            raise ContractError(Reason.PKG_MALFORMED, f"the package holds no {name}")
        data = (self.folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ContractError(Reason.PKG_HASH, f"{name} is not what the manifest says; export the package again")
        return data


def maximum_bytes(name: str) -> int:
    """Most bytes a package's file of this name may have."""
    return _MAXIMUM_BYTES.get(name, MAXIMUM_FILE_BYTES)


def is_digest(text: str) -> bool:
    """Whether the text has the form of a package digest."""
    return _DIGEST.fullmatch(text) is not None


def digest_of(manifest_json: bytes) -> str:
    """The digest of the package with this manifest file."""
    return "sha256:" + hashlib.sha256(manifest_json).hexdigest()


def manifest_bytes(manifest: model_pb2.PackageManifest) -> bytes:
    """manifest.json: sorted keys, names as in the proto file, one line feed at the end."""
    document = json_format.MessageToDict(manifest, preserving_proto_field_name=True)
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def parse_manifest(data: bytes) -> model_pb2.PackageManifest:
    """Reads and checks manifest.json.

    Raises:
        ContractError: PKG_MALFORMED with what is wrong; PKG_CLASSES, PKG_INPUT for impossible classes or input.
    """
    if len(data) > MAXIMUM_MANIFEST_BYTES:
        raise _malformed(f"{MANIFEST_NAME} has {len(data)} bytes, at most {MAXIMUM_MANIFEST_BYTES} are read")
    try:
        manifest = json_format.Parse(data.decode(), model_pb2.PackageManifest())
    except (UnicodeDecodeError, json_format.ParseError, RecursionError) as error:
        raise _malformed(f"{MANIFEST_NAME} cannot be read: {error}") from None
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: model_pb2.PackageManifest) -> None:
    """Checks everything that can be known from the manifest alone.

    Raises:
        ContractError: as `parse_manifest`.
    """
    if manifest.format_version != FORMAT_VERSION:
        raise _malformed(f"format_version is {manifest.format_version}, this version reads {FORMAT_VERSION}")
    if not _NAME.fullmatch(manifest.name):
        raise _malformed(f"name is {manifest.name!r}, expected 1 to 64 letters, digits, '.', '_' or '-'")
    if not _VERSION.fullmatch(manifest.version):
        raise _malformed(f"version is {manifest.version!r}, expected major.minor.patch")
    _check_classes(manifest)
    _check_input_and_head(manifest)
    decode = manifest.decode
    if not (0 < decode.nms_iou <= 1 and 0 < decode.area_iou <= 1):
        raise _malformed(f"decode.nms_iou {decode.nms_iou} and decode.area_iou {decode.area_iou} must be in (0, 1]")
    if decode.minimum_cells < 1 or decode.maximum_detections < 1:
        raise _malformed("decode.minimum_cells and decode.maximum_detections must be at least 1")
    parity = manifest.parity
    if not (_is_positive(parity.score) and parity.score <= MAXIMUM_SCORE_TOLERANCE and _is_positive(parity.box)):
        raise _malformed(
            f"parity.score is {parity.score:g}, parity.box {parity.box:g}; expected above 0, the score at most"
            f" {MAXIMUM_SCORE_TOLERANCE:g}"
        )
    _check_use(manifest)
    names = [item.name for item in manifest.files]
    if len(set(names)) != len(names) or not set(names) <= set(CONTENT_NAMES):
        raise _malformed(f"files are {names}, expected each at most once out of {', '.join(CONTENT_NAMES)}")
    missing = [name for name in REQUIRED_NAMES if name not in names]
    if missing:
        raise _malformed(
            f"{', '.join(missing)} is not among the files; every package holds {', '.join(REQUIRED_NAMES)}"
        )


def _check_use(manifest: model_pb2.PackageManifest) -> None:
    if manifest.purpose not in model_pb2.Purpose.values():
        raise _malformed(f"purpose is {manifest.purpose}, expected one of {', '.join(model_pb2.Purpose.keys())}")
    if manifest.HasField("not_before") and manifest.HasField("not_after"):
        first, last = manifest.not_before, manifest.not_after
        if (last.seconds, last.nanos) < (first.seconds, first.nanos):
            raise _malformed(f"not_after {last.ToJsonString()} is before not_before {first.ToJsonString()}")
    figures = ("map_33", "map_50", "precision", "recall", "false_alarms_per_healthy", "escapes")
    for entry in manifest.evaluations:
        odd = [name for name in figures if entry.HasField(name) and not math.isfinite(getattr(entry, name))]  # type: ignore[arg-type]
        if odd:
            raise _malformed(f"evaluation {entry.domain!r}: {odd[0]} is no number; leave out what was not measured")


def _check_classes(manifest: model_pb2.PackageManifest) -> None:
    names = [item.name for item in manifest.classes]
    if not names or len(set(names)) != len(names) or any(not 1 <= len(name) <= 64 for name in names):
        raise ContractError(
            Reason.PKG_CLASSES,
            f"classes are {names}, expected at least one, each of 1 to 64 characters, no two the same",
        )
    for item in manifest.classes:
        if not (_is_positive(item.threshold) and item.threshold <= 1):
            raise ContractError(
                Reason.PKG_CLASSES, f"threshold of class {item.name!r} is {item.threshold}, expected above 0, at most 1"
            )


def _check_input_and_head(manifest: model_pb2.PackageManifest) -> None:
    size = manifest.input
    if size.channels not in (1, 3) or not (8 <= size.width <= 8192 and 8 <= size.height <= 8192) or size.padding > 255:
        raise ContractError(
            Reason.PKG_INPUT,
            f"input is {size.width}x{size.height}, {size.channels} channels, padding {size.padding};"
            " expected sides of 8 to 8192, 1 or 3 channels, padding 0 to 255",
        )
    try:
        head = head_of(manifest)
    except ValueError as error:
        raise _malformed(str(error)) from None
    grids = [head] if isinstance(head, CellGrid) else list(head.levels)
    for grid in grids:
        if (grid.columns * grid.stride, grid.rows * grid.stride) != (size.width, size.height):
            raise ContractError(
                Reason.PKG_INPUT,
                f"{grid.rows} rows and {grid.columns} columns of stride {grid.stride}"
                f" do not cover an input of {size.width}x{size.height}",
            )
    if not isinstance(head, CellGrid) and not 1 <= manifest.anchors.top_k <= head.count * len(manifest.classes):
        raise _malformed(f"anchors.top_k is {manifest.anchors.top_k}, expected 1 to areas times classes")


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _malformed(message: str) -> ContractError:
    return ContractError(Reason.PKG_MALFORMED, message)


def read_package(folder: Path) -> Package:
    """Opens a package folder and checks every file against the manifest. Checks no signature.

    Raises:
        ContractError: PKG_MALFORMED (missing, extra or odd files, unreadable manifest), PKG_HASH (a file is not what
            the manifest says), PKG_CLASSES, PKG_INPUT.
    """
    if not folder.is_dir():
        raise _malformed(f"{folder.name} is not a package folder")
    present = {path.name: path for path in folder.iterdir()}
    for name, path in sorted(present.items()):
        if name not in FILE_NAMES:
            raise _malformed(f"{name} does not belong into a package; expected only {', '.join(FILE_NAMES)}")
        if path.is_symlink() or not path.is_file():
            raise _malformed(f"{name} is not a plain file")
    if MANIFEST_NAME not in present:
        raise _malformed(f"{MANIFEST_NAME} is missing")
    for name, path in sorted(present.items()):
        if path.stat().st_size > maximum_bytes(name):
            raise _malformed(f"{name} has {path.stat().st_size} bytes, at most {maximum_bytes(name)} are read")
    raw = present[MANIFEST_NAME].read_bytes()
    manifest = parse_manifest(raw)
    listed = {item.name for item in manifest.files}
    unlisted = sorted(set(present) - listed - {MANIFEST_NAME, SIGNATURE_NAME})
    if unlisted:
        raise _malformed(f"{', '.join(unlisted)} is not listed in the manifest")
    for item in manifest.files:
        if item.name not in present:
            raise _malformed(f"{item.name} is listed in the manifest and missing")
        size = present[item.name].stat().st_size
        if size != item.size:
            raise ContractError(
                Reason.PKG_HASH, f"{item.name} has {size} bytes, the manifest says {item.size}; was the copy cut off?"
            )
        if _file_sha256(present[item.name]) != item.sha256:
            raise ContractError(Reason.PKG_HASH, f"{item.name} does not have the SHA-256 the manifest says")
    return Package(folder=folder, manifest=manifest, digest=digest_of(raw))


def write_package(
    folder: Path, manifest: model_pb2.PackageManifest, files: Mapping[str, bytes], *, replace: bool = False
) -> Package:
    """Writes a package folder, whole or not at all: it appears under its name when all bytes are on disk.

    Args:
        folder: where; must not exist unless `replace`.
        manifest: without `files`, which is filled in here.
        files: contents by name, out of CONTENT_NAMES.
        replace: take the place of a package of that name.

    Raises:
        ContractError: as `parse_manifest`.
        FileExistsError: the folder exists.
    """
    if folder.exists() and not replace:
        raise FileExistsError(f"{folder} exists; choose another name or ask to replace it")
    complete = model_pb2.PackageManifest()
    complete.CopyFrom(manifest)
    del complete.files[:]
    for name in sorted(files):
        data = files[name]
        complete.files.add(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    check_manifest(complete)
    raw = manifest_bytes(complete)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in [*sorted(files.items()), (MANIFEST_NAME, raw)]:
            with open(staging / name, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        if folder.exists():
            shutil.rmtree(folder)
        staging.chmod(0o755)
        staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return Package(folder=folder, manifest=complete, digest=digest_of(raw))


def _file_sha256(path: Path) -> str:
    state = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            state.update(block)
    return state.hexdigest()
