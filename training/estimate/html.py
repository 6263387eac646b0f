"""An estimate as one HTML file with pictures; it needs no network and runs no script."""

from __future__ import annotations

from pathlib import Path

import jinja2

from training.estimate import plots, text
from training.estimate.report import Estimate
from training.estimate.thresholds import TARGETS

TEMPLATE = "report.html.j2"


def page_of(estimate: Estimate) -> str:
    """The page. Names from the log are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(TEMPLATE).render(
        estimate=estimate,
        text=text,
        targets=TARGETS,
        by_class=plots.by_class(estimate),
        pictures={
            item.name: (plots.scores(item), plots.thresholds(item)) for item in estimate.classes if item.advice.steps
        },
    )
