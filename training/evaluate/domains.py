"""`lineside train features`: do the domains lie apart in a network's features? Fig. 3 of the paper, and as a number.

The picture embeds defective areas by t-SNE, one panel a checkpoint. The number is the accuracy of a fresh linear probe
that is to tell the domains of frozen features apart, on defective and on background areas: DANN should bring it down
towards 0.5.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from training.data.sample import Experiment
    from training.evaluate.features import Features, OnPicture
    from training.evaluate.probe import Probe, Share

HELP = "t-SNE of defective areas by domain (Fig. 3 of the paper), and how well a probe tells the domains apart"
TEMPLATE = "features.html.j2"
SUFFIXES = (".html", ".png")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """One checkpoint's features and what the probes say of them."""

    name: str
    features: Features
    defective: Probe
    background: Probe
    by_class: dict[str, Share]
    change: Share | None
    """Of the defective areas' accuracy since the first checkpoint; None for the first."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""

        def plain(probe: Probe) -> dict[str, Any]:
            return {**probe.accuracy().to_json(), "areas": probe.areas, "pictures": probe.pictures}

        return {
            "name": self.name,
            "defective": plain(self.defective),
            "background": plain(self.background),
            "by_class": {name: share.to_json() for name, share in self.by_class.items()},
            "change": None if self.change is None else self.change.to_json(),
        }


def describe(parser: argparse.ArgumentParser) -> None:
    """Its own arguments."""
    parser.add_argument("checkpoint", type=Path, nargs="+", help="one or several, e.g. before and after DANN")
    parser.add_argument("--data", required=True, metavar="KIND:PLACE", help="as for `train`; with both domains")
    parser.add_argument("--new", metavar="KIND:PLACE", help="the new domain's set, where --data is a single set")
    parser.add_argument("--experiment", help="of the data's splits.json (default: the kind's usual one)")
    parser.add_argument("--level", choices=("mild", "medium", "strong"), help="of the simulated second camera")
    parser.add_argument("--out", type=Path, required=True, help="the picture: .html (with the table) or .png")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--points", type=int, default=1500, help="areas drawn in a panel at most (default: 1500)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one"
    )
    parser.add_argument("--seed", type=int, default=0, help="of drawn areas, folds and the embedding")


def run(options: argparse.Namespace) -> int:
    """Measures, draws, writes."""
    from training.cli import display, set_threads
    from training.data.sources import load_experiment, parse_source
    from training.device import choose_device

    set_threads(options.threads)
    if options.out.suffix not in SUFFIXES:
        raise ValueError(f"out is {options.out.name}, expected a name that ends in {' or '.join(SUFFIXES)}")
    if options.points < 8:
        raise ValueError(f"points is {options.points}, expected at least 8")
    new = parse_source(options.new) if options.new else None
    experiment = load_experiment(parse_source(options.data), options.experiment, level=options.level, new=new)
    with display(options.progress) as show:

        def on_picture(done: int, total: int) -> None:
            show("features", done, total, {"stage": "features"})

        compared = compare(
            options.checkpoint,
            experiment,
            seed=options.seed,
            on_picture=on_picture,
            device=choose_device(options.device),
        )
    values = {
        "data": experiment.name,
        "seed": options.seed,
        "pictures": [len(experiment.eval_original), len(experiment.eval_new)],
        "checkpoints": [entry.to_json() for entry in compared],
    }
    write(options.out, compared, experiment, points=options.points, seed=options.seed)
    if options.json:
        from training.checkpoint import write_atomically

        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.json, (json.dumps(values, indent=1) + "\n").encode())
    if options.progress == "json":
        print(json.dumps({"stage": "done", **values}), flush=True)  # noqa: T201
    else:
        print(text_of(compared))  # noqa: T201
    return 0


def compare(
    checkpoints: Sequence[Path],
    experiment: Experiment,
    *,
    seed: int = 0,
    on_picture: OnPicture | None = None,
    device: torch.device | None = None,
) -> tuple[Compared, ...]:
    """Collects features of each checkpoint and probes them.

    Raises:
        FileNotFoundError, ValueError: a checkpoint cannot be read, or the data has one domain or other classes.
    """
    from training.checkpoint import load
    from training.evaluate.features import collect
    from training.evaluate.probe import by_class, change, probe_domains

    pictures = len(experiment.eval_original) + len(experiment.eval_new)
    found: list[Compared] = []
    for number, path in enumerate(checkpoints):
        before = number * pictures

        def counted(done: int, _: int, before: int = before) -> None:
            if on_picture is not None:
                on_picture(before + done, pictures * len(checkpoints))

        checkpoint = load(path)
        if device is not None:
            checkpoint.detector.to(device)
        features = collect(checkpoint.detector, experiment, seed=seed, on_picture=counted)
        defective = probe_domains(features.defective, pictures=pictures, seed=seed)
        folder = path if path.is_dir() else path.parent
        found.append(
            Compared(
                name=f"{checkpoint.metadata.recipe} ({folder.name})",
                features=features,
                defective=defective,
                background=probe_domains(features.background, pictures=pictures, seed=seed),
                by_class=by_class(defective, experiment.eval_new.classes),
                change=change(found[0].defective, defective) if found else None,
            )
        )
    return tuple(found)


def write(path: Path, compared: Sequence[Compared], experiment: Experiment, *, points: int, seed: int) -> None:
    """The picture alone (.png), or with the table in one HTML file that needs no network."""
    import io

    import jinja2

    from training.checkpoint import write_atomically
    from training.evaluate.plots import data_uri
    from training.evaluate.tsne import choose, draw

    classes = experiment.eval_new.classes
    panels = []
    for entry in compared:
        title = f"{entry.name}\nprobe tells the domains apart: {_words(entry.defective.accuracy())}"
        panels.append((title, choose(entry.features.defective, points=points, seed=seed)))
    figure = draw(panels, classes, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
        write_atomically(path, buffer.getvalue())
        return
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    text = environment.get_template(TEMPLATE).render(
        title=f"Lineside: features by domain, {experiment.name}",
        picture=data_uri(figure, dpi=110),
        models=compared,
        classes=classes,
        words=_words,
        signed=_signed,
        seed=seed,
    )
    write_atomically(path, text.encode())


def text_of(compared: Sequence[Compared]) -> str:
    """A line for each checkpoint."""
    lines = ["probe accuracy between the domains (chance 0.5), 95 % interval"]
    for entry in compared:
        line = f"{entry.name}: defective areas {_words(entry.defective.accuracy())}"
        line += f", background {_words(entry.background.accuracy())}"
        lines.append(line if entry.change is None else f"{line}, defective since the first {_signed(entry.change)}")
    return "\n".join(lines)


def _words(share: Share) -> str:
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def _signed(share: Share) -> str:
    return f"{share.value:+.2f} ({share.low:+.2f} to {share.high:+.2f})"
