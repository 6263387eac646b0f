"""From a builder's own log lines to plain words for what to do. Text in, text out."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SHOWN = 8

# The first that matches is told. Patterns are the builders' own words, in lower case.
_RULES: tuple[tuple[str, str], ...] = (
    (
        r"nonzero|nonmaxsuppression|data.dependent",
        "An output's size depends on the picture. Keep suppression outside the graph; fixed-size outputs only.",
    ),
    (
        r"no importer registered|unsupported|plugin not found|was not found in plugin registry",
        (
            "The builder does not know an operation of the graph. Export the network without it (the line above names"
            " it), or use a newer builder."
        ),
    ),
    (
        r"zero.?point|asymmetric|quantiz|q/dq|qdq",
        (
            "The quantisation is of a form that this builder refuses. Both take symmetric signed 8-bit activations and"
            " weights without quantised biases: build from the fp32 package with --precision int8 --frames FOLDER."
        ),
    ),
    (
        r"workspace limit|insufficient workspace|no tactics|could not find any implementation|sufficient memory",
        "No kernel fits into the memory allowed. Give more --workspace-mb, or a smaller largest --batch.",
    ),
    (
        r"out ?of ?memory|cannot allocate|bad_alloc",
        "Memory ran out. Give less --workspace-mb and a smaller largest --batch, or build on another machine.",
    ),
    (
        r"same (input )?types?|type mismatch|types? must match",
        "Two tensors of different types meet. Convert the whole graph to fp16 or leave it fp32; no half of it.",
    ),
    (
        r"in profile \d|and profile \d|optimization profile",
        "The sizes do not fit the graph. Look at --batch; the package's input must be its graph's.",
    ),
    # Last: a machine without a GPU logs this beside every other fault.
    (
        r"driver version is insufficient|cuda initialization failure|no cuda-capable",
        (
            "There is no GPU driver here, or an old one. Build on the station, or with --builder tensorrt_rtx for a"
            " named capability."
        ),
    ),
)
_GENERAL = "What helps most often: another version of the builder, a smaller largest --batch, more --workspace-mb."


def advice(lines: Sequence[str]) -> str:
    """One or two sentences for what a builder said."""
    said = "\n".join(lines).lower()
    return next((words for pattern, words in _RULES if re.search(pattern, said)), _GENERAL)


def failure(builder: str, what: str, lines: Sequence[str]) -> str:
    """The whole message: what failed, the builder's own words, what to do."""
    words = "\n".join(f"  {line}" for line in lines[-_SHOWN:]) or "  (it said nothing)"
    return f"{builder} {what}. Its own words:\n{words}\n{advice(lines)}\nThe package serves on ONNX Runtime meanwhile."
