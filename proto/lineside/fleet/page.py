"""The state of every station as text or as one HTML file that needs no network and runs no script."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lineside.fleet.standing import Json

TEMPLATE = "status.html.j2"


def text_lines(document: Json) -> Iterator[str]:
    """A line for each station, and below it what should be looked at.

    Args:
        document: as `standing.document_of` makes it.
    """
    stations = document["stations"]
    width = max((len(item["name"]) for item in stations), default=0)
    for item in stations:
        mark = "!" if item["attention"] else " "
        group = f"  [{item['group']}]" if item["group"] else ""
        yield printable(f"{mark} {item['name']:<{width}}  {summary(item)}{group}")
        for text in item["attention"]:
            yield printable(f"      {text}")
        for model in [item.get("serving"), *item.get("candidates", ())]:
            for text in figures(model) if model else ():
                yield printable(f"      {text}")
    yield f"{document['reachable']} of {len(stations)} stations answer"


def summary(item: Json) -> str:
    """What a station serves, in one line."""
    if not item["reachable"]:
        return "no answer"
    model = item["serving"]
    if model is None:
        return "no model"
    return f"{model['name']} {model['version']}  {model['digest'][7:19]}  {model['state']}"


def figures(model: Json) -> Iterator[str]:
    """A model's replay, shadow and probation, a line each."""
    name = f"{model['name']} {model['version']}"
    if replay := model["replay"]:
        if replay["finished"]:
            yield f"{name} replay: {replay['escapes']} of {replay['defects']} known defects escape"
        else:
            yield f"{name} replay: {replay['done']} of {replay['total']} records"
    if shadow := model["shadow"]:
        wanted = f" of {shadow['wanted']}" if shadow["wanted"] else ""
        yield (
            f"{name} shadow: {shadow['frames']}{wanted} frames, {shadow['failed']} failed;"
            f" {shadow['reject_to_pass']} REJECT to PASS, {shadow['pass_to_reject']} PASS to REJECT"
        )
        yield from (f"{name} not yet: {text}" for text in shadow["objections"])
    if trial := model["probation"]:
        yield (
            f"{name} probation: {trial['frames']} frames, {trial['errors']} errors, {trial['alarms']} rejected"
            f" (before: {trial['baseline_alarms']} of {trial['baseline_frames']}), p99 {trial['p99_ms']:.1f} ms"
            f" (before: {trial['baseline_p99_ms']:.1f} ms)"
        )


def html_page(document: Json, *, every: float = 0.0) -> str:
    """The page.

    Args:
        document: as `standing.document_of` makes it.
        every: seconds after which a browser loads the file anew; 0: never.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figures"] = lambda model: list(figures(model))
    environment.filters["gigabytes"] = lambda count: f"{count / 1e9:.1f} GB"
    return environment.get_template(TEMPLATE).render(fleet=document, every=every)


def write_whole(path: Path, text: str) -> None:
    """The file appears under its name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def printable(text: str) -> str:
    """Names come from stations and packages: nothing in them may steer the terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
