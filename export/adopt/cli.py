"""`lineside export adopt` and `lineside export clicks`: parses, calls, prints. Decides nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.adopt.families import COCO_ANCHORS, FAMILIES, parse_anchors
from export.package_cli import add_use, use_by

if TYPE_CHECKING:
    from export.adopt.adopt import Declared

CLICKS_HELP = "what operators said, as labels of a package's own head, to train that network elsewhere"
HELP = "a detector that others trained (YOLO, RT-DETR, ... as ONNX) to a package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("model", type=Path, help="the ONNX file")
    parser.add_argument("out", type=Path, nargs="?", help="package folder to write; not needed with --inspect")
    parser.add_argument("--inspect", action="store_true", help="say what the outputs are and which head fits; no more")
    parser.add_argument("--head", default="auto", choices=("auto", *FAMILIES), help="form of its outputs (%(default)s)")
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="a,b,c in the network's own order, or a file with one a line (default: the file's)",
    )
    parser.add_argument("--frames", type=Path, help="folder of pictures as the camera takes them: the golden frames")
    parser.add_argument("--count", type=int, default=4, help="how many of them (%(default)s)")
    parser.add_argument("--name", help="model name, e.g. boards")
    parser.add_argument("--version", default="1.0.0", help="major.minor.patch (%(default)s)")
    parser.add_argument("--threshold", type=float, default=0.5, help="for every class (%(default)s)")
    parser.add_argument("--key", type=Path, help="private key that signs")
    parser.add_argument("--license", default="", help="SPDX expression for the weights")
    parser.add_argument("--replace", action="store_true", help="take the place of a package of that name")
    add_use(parser)
    levels = parser.add_argument_group("what the network wants of a picture (default: the head's own)")
    levels.add_argument("--white", type=float, choices=(1.0, 255.0), help="what level 255 becomes")
    levels.add_argument("--order", choices=("rgb", "bgr"), help="of its colours")
    levels.add_argument("--mean", metavar="A,B,C", help="taken off each channel, on the scale of --white")
    levels.add_argument("--deviation", metavar="A,B,C", help="each channel is divided by")
    levels.add_argument("--padding", type=int, help="grey level of the letterbox border, 0 to 255")
    levels.add_argument("--size", metavar="WxH", help="input, where the file leaves it open")
    outputs = parser.add_argument_group("what its outputs are (default: the head's own)")
    outputs.add_argument("--strides", metavar="A,B,C", help="of its levels, finest first")
    outputs.add_argument("--anchors", metavar="SHAPES", help=f"YOLOv5's, in pixels, e.g. {COCO_ANCHORS!r}")
    outputs.add_argument("--tensors", metavar="NAMES", help="inner tensors to take: joint, or boxes,scores")
    outputs.add_argument("--box", choices=("centre", "corners", "cell"), help="form of a box")
    outputs.add_argument("--unit", choices=("pixels", "sides"), help="of a box: pixels, or parts of the input's sides")
    outputs.add_argument("--scores", choices=("probability", "logit"), help="whether the sigmoid is inside")
    outputs.add_argument("--top-k", type=int, default=300, help="candidates of the graph (%(default)s)")
    outputs.add_argument("--nms-iou", type=float, help="overlap from which one of two boxes is suppressed")
    outputs.add_argument(
        "--overlapping-classes", action="store_true", help="a place can be of several classes (default: of one only)"
    )


def run(given: argparse.Namespace) -> int:
    """Adopts or inspects; 0 done.

    Raises:
        ValueError, ContractError, OSError: as `export.adopt.adopt.adopt`.
    """
    from rich.console import Console

    from export.adopt.adopt import adopt
    from export.adopt.foreign import read_foreign
    from export.adopt.inspect import describe
    from export.cli import pictures_in
    from lineside.pixels import decode

    declared = declared_by(given)
    if not given.model.is_file():
        raise FileNotFoundError(f"no file {given.model}")
    data = given.model.read_bytes()
    paths = pictures_in(given.frames)[: given.count] if given.frames else []
    frames = [decode(path.read_bytes()) for path in paths]
    if given.inspect:
        print("\n".join(describe(read_foreign(data, size=declared.size), declared, frames)))
        return 0
    missing = [f"--{word}" for word in ("frames", "name") if not getattr(given, word)]
    if given.out is None or missing:
        raise ValueError(f"{', '.join(['OUT'] * (given.out is None) + missing)} is missing; --inspect needs none of it")
    console = Console(stderr=True)
    with console.status("starting") as status:
        adopted = adopt(
            data,
            given.out,
            declared,
            name=given.name,
            version=given.version,
            golden_frames=frames,
            threshold=given.threshold,
            top_k=given.top_k,
            spdx_license=given.license,
            use=use_by(given),
            private_key=given.key,
            replace=given.replace,
            on_step=status.update,
        )
    manifest, evidence = adopted.package.manifest, adopted.attempt.evidence
    assert evidence is not None
    signed = "signed" if given.key else "not signed"
    print(f"{given.out}: {given.name} {given.version}, {signed}\n{adopted.package.digest}")
    print(f"head {manifest.adoption.family}, {manifest.adoption.preprocessing}")
    print(f"areas are {manifest.adoption.areas}")
    print(f"{evidence.words}; highest score {evidence.top:.3f}")
    if adopted.blind:
        print(f"the golden frames would not notice {' or '.join(adopted.blind)}; frames with more in them would")
    print(f"not trainable here: {manifest.adoption.not_trainable}")
    return 0


def declared_by(given: argparse.Namespace) -> Declared:
    """The arguments as a value.

    Raises:
        ValueError: an argument is not of its form.
    """
    from export.adopt.adopt import Declared

    changes = {
        name: value
        for name, value in (
            ("white", given.white),
            ("order", given.order),
            ("mean", _numbers("--mean", given.mean)),
            ("deviation", _numbers("--deviation", given.deviation)),
        )
        if value is not None
    }
    strides = _numbers("--strides", given.strides)
    size = _numbers("--size", given.size.lower().replace("x", ",") if given.size else None)
    if size is not None and len(size) != 2:
        raise ValueError(f"--size is {given.size!r}, expected WIDTHxHEIGHT, e.g. 640x640")
    return Declared(
        head=given.head,
        classes=_classes(given.classes),
        size=(int(size[0]), int(size[1])) if size else None,
        strides=tuple(int(value) for value in strides) if strides else None,
        anchors=parse_anchors(given.anchors) if given.anchors else None,
        tensors=tuple(given.tensors.split(",")) if given.tensors else (),
        box=given.box,
        unit=given.unit,
        scores=given.scores,
        preprocessing=changes,
        padding=given.padding,
        nms_iou=given.nms_iou,
        exclusive=not given.overlapping_classes,
    )


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} is {text!r}, expected numbers with commas between them") from None


def _classes(text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    file = Path(text)
    names = file.read_text().splitlines() if "," not in text and file.is_file() else text.split(",")
    return tuple(name.strip() for name in names if name.strip())


def add_click_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `lineside export clicks`."""
    parser.add_argument("package", type=Path, help="package folder whose head is taught")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--log", type=Path, required=True, help="folder of a mentoring log")
    parser.add_argument("--replace", action="store_true", help="take the place of a folder of that name")


def run_clicks(given: argparse.Namespace) -> int:
    """Writes the labels; 0 done.

    Raises:
        ValueError, ContractError, OSError: as `export.adopt.clicks.write_clicks`.
    """
    from export.adopt.clicks import write_clicks
    from lineside.package import read_package

    written = write_clicks(read_package(given.package), given.log, given.out, replace=given.replace)
    print(f"{given.out}: {written.frames} frames, {written.present} present, {written.absent} absent by an answer")
    for why in written.skipped:
        print(f"teaches nothing: {why}")
    return 0
