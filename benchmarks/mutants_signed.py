"""Mutants that a trusted key signed, in error or malice: manifests, graphs and golden cases. See `mutants.py`.

A station may parse them, and has to find their fault.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import tiles
from benchmarks.mutants import PICKLE, Manifest, Mutant, Touch, Workshop, entries_of, sent
from lineside import golden
from lineside.package import CLASSES_KEY, GOLDEN_NAME, GRAPH_NAME, MANIFEST_NAME, WEIGHTS_NAME
from lineside.reasons import Reason

R = Reason


def manifest_field(shop: Workshop, _: random.Random, number: int) -> Mutant:
    """A manifest that says what cannot be."""
    what, reason, edit = MANIFEST_EDITS[number % len(MANIFEST_EDITS)]
    return sent("manifest field", what, reason, shop.edited(edit), vouched=True)


def manifest_text(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """A manifest that is no JSON of this kind."""
    sound = shop.sound[MANIFEST_NAME]
    variants: list[tuple[str, bytes]] = [
        ("empty", b""),
        ("a pickle", pickle.dumps(Touch())),
        ("not UTF-8", sound.replace(b"tiles", b"t\xff\xfe\xfds")),
        ("a list", b"[]"),
        ("a field twice", sound.replace(b'"name": "tiles"', b'"name": "tiles", "name": "other"')),
        ("nested without end", b'{"lineage":' * 5000),
        ("cut off", sound[: chance.randrange(1, len(sound) - 2)]),
        ("more behind it", sound + b"{}"),
        ("noise", chance.randbytes(300)),
        ("a number too large", sound.replace(b'"format_version": 1', b'"format_version": 1' + b"0" * 400)),
    ]
    what, raw = variants[number % len(variants)]
    return sent("manifest text", what, R.PKG_MALFORMED, shop.signed(shop.contents, {}, raw=raw), vouched=True)


def file_list(shop: Workshop, chance: random.Random, number: int) -> Mutant:
    """The manifest's list is not what lies beside it."""
    listed = entries_of(shop.contents)
    entry = chance.choice(listed)
    variants: list[tuple[str, Reason, list[Manifest]]] = [
        ("another SHA-256", R.PKG_HASH, [{**item, "sha256": "0" * 64} if item is entry else item for item in listed]),
        ("another size", R.PKG_HASH, [{**item, "size": "1"} if item is entry else item for item in listed]),
        ("a path", R.PKG_MALFORMED, [*listed, {"name": "../../escaped", "size": "1", "sha256": "0" * 64}]),
        ("a file twice", R.PKG_MALFORMED, [*listed, entry]),
        ("the manifest itself", R.PKG_MALFORMED, [*listed, {"name": MANIFEST_NAME, "size": "1", "sha256": "0" * 64}]),
        ("one not listed", R.PKG_MALFORMED, [item for item in listed if item["name"] != WEIGHTS_NAME]),
        ("no graph", R.PKG_MALFORMED, [item for item in listed if item["name"] != GRAPH_NAME]),
        ("none", R.PKG_MALFORMED, []),
    ]
    what, reason, entries = variants[number % len(variants)]
    files = shop.signed(shop.contents, shop.manifest, listed=entries)
    return sent("file list", what, reason, files, vouched=True)


def graph(shop: Workshop, _: random.Random, number: int) -> Mutant:
    """A graph that must not be run, or is another than the manifest says."""
    what, reason, make = GRAPHS[number % len(GRAPHS)]
    files = shop.signed({**shop.contents, GRAPH_NAME: make()}, shop.manifest)
    return sent("graph", what, reason, files, vouched=True)


def classes(shop: Workshop, _: random.Random, number: int) -> Mutant:
    """The manifest's names are not those of the graph."""
    contents = {**shop.contents, GRAPH_NAME: _named(("dent", "scratch"))}
    order = [("scratch", "dent"), ("dent", "hole")][number % 2]
    manifest = {**shop.manifest, "classes": [{"name": name, "threshold": 0.5} for name in order]}
    return sent("classes", ", ".join(order), R.PKG_CLASSES, shop.signed(contents, manifest), vouched=True)


def golden_cases(shop: Workshop, _: random.Random, number: int) -> Mutant:
    """Golden cases that cannot be read, or are another model's."""
    what, reason, make, process = GOLDENS[number % len(GOLDENS)]
    files = shop.signed({**shop.contents, GOLDEN_NAME: make()}, shop.manifest)
    return sent("golden cases", what, reason, files, vouched=True, process=process)


def _set(path: str, value: object) -> Callable[[Manifest], None]:
    """Sets one field of a manifest, e.g. "classes.0.threshold"."""

    def edit(manifest: Manifest) -> None:
        *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = manifest
        for part in way:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return edit


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def _backwards(manifest: Manifest) -> None:
    manifest.update(not_before="2031-01-01T00:00:00Z", not_after="2030-01-01T00:00:00Z")


MANIFEST_EDITS: tuple[tuple[str, Reason, Callable[[Manifest], None]], ...] = (
    ("older than what was confirmed", R.PKG_ROLLBACK, _set("version", "1.9.9")),
    ("expired an hour ago", R.PKG_VALIDITY, lambda manifest: manifest.update(not_after=_stamp(-3600))),
    ("expired in 1990", R.PKG_VALIDITY, _set("not_after", "1990-01-01T00:00:00Z")),
    ("ends before it begins", R.PKG_MALFORMED, _backwards),
    ("no date", R.PKG_MALFORMED, _set("not_after", "tomorrow")),
    ("a purpose nobody knows", R.PKG_MALFORMED, _set("purpose", "PURPOSE_EVERYTHING")),
    ("a purpose by number", R.PKG_MALFORMED, _set("purpose", 7)),
    ("an unknown field", R.PKG_MALFORMED, _set("run_this", "rm -rf")),
    ("another format", R.PKG_MALFORMED, _set("format_version", 2)),
    ("a path as name", R.PKG_MALFORMED, _set("name", "../escaped")),
    ("a long name", R.PKG_MALFORMED, _set("name", "t" * 65)),
    ("no version", R.PKG_MALFORMED, _set("version", None)),
    ("two numbers as version", R.PKG_MALFORMED, _set("version", "3.0")),
    ("a version with zeros in front", R.PKG_MALFORMED, _set("version", "03.0.0")),
    ("digits of another script", R.PKG_MALFORMED, _set("version", "\u0663.0.0")),
    ("no class", R.PKG_CLASSES, _set("classes", [])),
    ("a class twice", R.PKG_CLASSES, _set("classes.1.name", "dent")),
    ("a class without a name", R.PKG_CLASSES, _set("classes.1.name", "")),
    ("a long class", R.PKG_CLASSES, _set("classes.1.name", "s" * 65)),
    ("a class the station needs is missing", R.PKG_CLASSES, _set("classes.0.name", "hole")),
    ("threshold NaN", R.PKG_CLASSES, _set("classes.0.threshold", "NaN")),
    ("threshold infinite", R.PKG_CLASSES, _set("classes.0.threshold", "Infinity")),
    ("threshold 0", R.PKG_CLASSES, _set("classes.0.threshold", None)),
    ("threshold below 0", R.PKG_CLASSES, _set("classes.0.threshold", -0.5)),
    ("threshold above 1", R.PKG_CLASSES, _set("classes.0.threshold", 1.5)),
    ("a word as threshold", R.PKG_MALFORMED, _set("classes.0.threshold", "low")),
    ("no width", R.PKG_INPUT, _set("input.width", 0)),
    ("an enormous input", R.PKG_INPUT, _set("input.height", 1 << 20)),
    ("two channels", R.PKG_INPUT, _set("input.channels", 2)),
    ("padding beyond a byte", R.PKG_INPUT, _set("input.padding", 256)),
    ("a negative side", R.PKG_MALFORMED, _set("input.width", -64)),
    ("no head", R.PKG_MALFORMED, _set("anchors", None)),
    ("two heads", R.PKG_MALFORMED, _set("cells", {"rows": 4, "columns": 4, "stride": 16})),
    ("a head that does not cover", R.PKG_INPUT, _set("anchors.levels.0.rows", 5)),
    ("an anchor of no size", R.PKG_MALFORMED, _set("anchors.levels.0.shapes.0.width", "NaN")),
    ("more candidates than areas", R.PKG_MALFORMED, _set("anchors.top_k", 1 << 30)),
    ("suppression NaN", R.PKG_MALFORMED, _set("decode.nms_iou", "NaN")),
    ("suppression 2", R.PKG_MALFORMED, _set("decode.nms_iou", 2.0)),
    ("no detection allowed", R.PKG_MALFORMED, _set("decode.maximum_detections", None)),
    ("any score is near enough", R.PKG_MALFORMED, _set("parity.score", 1e9)),
    ("a tolerance NaN", R.PKG_MALFORMED, _set("parity.box", "NaN")),
    ("figures NaN", R.PKG_MALFORMED, _set("evaluations", [{"domain": "new", "map_33": "NaN"}])),
)


def _onnx(edit: Callable[[onnx.ModelProto], object], **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        model = onnx.load_from_string(tiles.graph_for(tiles.anchor_head(), **options))
        edit(model)
        return bytes(model.SerializeToString())

    return make


def _outside() -> TensorProto:
    made = TensorProto(name="extra", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value="../../../../etc/passwd")
    return made


def _branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Constant", [], ["inner"], value=_outside())], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["yes"], ["never"], then_branch=inner, else_branch=inner))


def _named(names: tuple[str, ...]) -> bytes:
    def name(model: onnx.ModelProto) -> None:
        model.metadata_props.add(key=CLASSES_KEY, value=json.dumps(names))

    return _onnx(name)()


def _spoil(model: onnx.ModelProto) -> None:
    """NaN in a weight that is there and used by nobody."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, np.nan], np.float32), "spare"))


GRAPHS: tuple[tuple[str, Reason, Callable[[], bytes]], ...] = (
    ("weights in another file", R.PKG_MALFORMED, _onnx(lambda model: model.graph.initializer.append(_outside()))),
    ("a constant in another file", R.PKG_MALFORMED, _onnx(
        lambda model: model.graph.node.append(helper.make_node("Constant", [], ["never"], value=_outside())))),
    ("a branch's constant in another file", R.PKG_MALFORMED, _onnx(_branch)),
    ("an engine made elsewhere", R.PKG_MALFORMED, _onnx(
        lambda model: model.graph.node.append(helper.make_node("EPContext", [], ["never"], domain="com.microsoft")))),
    ("an operation nobody has", R.PKG_MALFORMED, _onnx(
        lambda model: model.graph.node.append(helper.make_node("Escape", ["image"], ["never"], domain="evil")))),
    ("a pickle", R.PKG_MALFORMED, lambda: pickle.dumps(Touch())),
    ("a zip with a pickle, as PyTorch saves", R.PKG_MALFORMED, lambda: _zip({"archive/data.pkl": PICKLE})),
    ("empty", R.PKG_MALFORMED, lambda: b""),
    ("cut off", R.PKG_MALFORMED, lambda: tiles.graph_for(tiles.anchor_head())[:-40]),
    ("noise", R.PKG_MALFORMED, lambda: random.Random(5).randbytes(4000)),
    ("outputs of a cell head", R.PKG_MALFORMED, lambda: tiles.graph_for(tiles.cell_head())),
    ("three channels", R.PKG_INPUT, lambda: tiles.graph_for(tiles.anchor_head(), channels=3)),
    ("NaN in what answers", R.PKG_NAN, lambda: tiles.graph_for(tiles.anchor_head(), bias=float("nan"))),
    ("NaN in a weight nobody uses", R.PKG_NAN, _onnx(_spoil)),
    ("other weights", R.PKG_PARITY, lambda: tiles.graph_for(tiles.anchor_head(), bias=0.05)),
)  # fmt: skip


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _arrays(**changed: Any) -> bytes:
    """golden.npz of one case, with some arrays changed or, where None, left out."""
    graph = tiles.graph_for(tiles.anchor_head())
    frame = tiles.golden_frames()[0]
    outputs = tiles.run_graph(graph, frame, tiles.manifest_for(tiles.anchor_head()))
    arrays = {"frame": frame, **outputs} | changed
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f"000.{name}": values for name, values in arrays.items() if values is not None})
    return buffer.getvalue()


def _enormous() -> bytes:
    """An array that claims to have 64 TB and brings 10 bytes."""
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (1 << 23, 1 << 23)}
    np.lib.format.write_array_header_1_0(header, shape)
    return _zip({"000.frame.npy": header.getvalue() + bytes(10)})


def _of_another() -> bytes:
    graph, manifest = tiles.graph_for(tiles.anchor_head(), bias=0.05), tiles.manifest_for(tiles.anchor_head())
    frames = tiles.golden_frames()
    return golden.pack(
        [golden.GoldenCase(frame=item, outputs=tiles.run_graph(graph, item, manifest)) for item in frames]
    )


GOLDENS: tuple[tuple[str, Reason, Callable[[], bytes], bool], ...] = (
    ("a pickled array", R.PKG_MALFORMED, lambda: _arrays(frame=np.array([Touch()], object)), False),
    ("a pickle", R.PKG_MALFORMED, lambda: pickle.dumps(Touch()), False),
    ("no case", R.PKG_MALFORMED, lambda: _zip({}), False),
    ("members that are no arrays", R.PKG_MALFORMED, lambda: _zip({"000.frame.npy": b"\x93NUMPY"}), False),
    ("an array that claims to be enormous", R.PKG_MALFORMED, _enormous, True),
    ("frames of floats", R.PKG_MALFORMED, lambda: _arrays(frame=np.zeros((8, 8), np.float32)), False),
    ("scores left out", R.PKG_MALFORMED, lambda: _arrays(scores=None), False),
    ("answers of other weights", R.PKG_PARITY, _of_another, False),
    ("fewer answers", R.PKG_PARITY, lambda: _arrays(scores=np.zeros(3, np.float32)), False),
)
