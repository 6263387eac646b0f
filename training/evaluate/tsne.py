"""Fig. 3 of the paper: t-SNE of defective areas, a panel a checkpoint; colour is the class, marker the domain.

Colours are those of Okabe and Ito, which the common kinds of colour blindness tell apart. Distances within a panel mean
neighbourhood and nothing more; panels are embedded each on its own and share no axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from training.evaluate.features import Features, balanced
from training.extras import need

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
MARKERS = {False: "o", True: "^"}
"""By whether it is of the new domain."""
PERPLEXITY = 30.0


def choose(features: Features, *, points: int, seed: int) -> Features:
    """Areas for a panel: of each class as many from either domain, `points` at most; of at most eight classes, those
    with most areas."""
    kinds, counts = np.unique(features.classes, return_counts=True)
    shown = kinds[np.argsort(-counts, kind="stable")][: len(COLOURS)]
    mine = features.only(np.isin(features.classes, shown))
    most = max(1, points // max(1, 2 * len(shown)))
    return mine.only(balanced(mine, np.random.default_rng(seed), most=most))


def embed(vectors: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """(n, 2) for (n, F): the same for the same seed and number of threads.

    Raises:
        ValueError: there are fewer than 4 areas.
        MissingExtraError: scikit-learn is not installed.
    """
    need("sklearn", purpose="t-SNE", install="'lineside[training]'")
    from sklearn.manifold import TSNE

    if len(vectors) < 4:
        raise ValueError(f"there are {len(vectors)} areas to draw, expected at least 4")
    made = TSNE(
        perplexity=min(PERPLEXITY, (len(vectors) - 1) / 3),
        init="pca",
        learning_rate="auto",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(made.fit_transform(vectors), np.float32)


def draw(panels: Sequence[tuple[str, Features]], classes: Sequence[str], *, seed: int) -> Figure:
    """The picture.

    Args:
        panels: title and areas of each.
        classes: names of all classes.
        seed: of the embedding.
    """
    kinds = sorted({int(kind) for _, features in panels for kind in features.classes})
    colours = {kind: COLOURS[number % len(COLOURS)] for number, kind in enumerate(kinds)}
    figure = Figure(figsize=(5.2 * len(panels) + 1.6, 5.4), layout="constrained")
    for axes, (title, features) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        places = embed(features.vectors, seed=seed)
        for kind in kinds:
            for new, marker in MARKERS.items():
                mine = (features.classes == kind) & (features.new == new)
                if mine.any():
                    # The new domain's markers are hollow as well: shape and shade both tell it.
                    axes.scatter(
                        places[mine, 0],
                        places[mine, 1],
                        s=22,
                        marker=marker,
                        facecolors="none" if new else colours[kind],
                        edgecolors=colours[kind],
                        linewidths=0.9,
                        alpha=0.85,
                    )
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
    marks = [Line2D([], [], linestyle="", marker="s", color=colours[kind], label=classes[kind]) for kind in kinds]
    for new, label in ((False, "original"), (True, "new")):
        face = "none" if new else "#555555"
        marks.append(
            Line2D(
                [], [], linestyle="", marker=MARKERS[new], markerfacecolor=face, markeredgecolor="#555555", label=label
            )
        )
    figure.legend(handles=marks, loc="outside right upper", frameon=False)
    return figure
