"""The gate's limits from a small TOML file, and thresholds from a command line."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

from lineside.replay.policy import Policy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_policy(path: Path) -> Policy:
    """Reads a policy file; what it leaves out keeps its default.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not TOML, names a limit that does not exist, or a value is impossible.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no policy file at {path}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    known = [field.name for field in dataclasses.fields(Policy)]
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise ValueError(f"{path} names {', '.join(unknown)}; the limits are {', '.join(known)}")
    try:
        return Policy(**document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_thresholds(texts: list[str], classes: tuple[str, ...]) -> dict[str, float]:
    """`class=score` words as scores by class name.

    Raises:
        ValueError: a word has another form, names no class of the package, or its score is impossible.
    """
    thresholds = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if not equals:
            raise ValueError(f"threshold {text!r} is not of the form class=score, e.g. {classes[0]}=0.6")
        if name not in classes:
            raise ValueError(f"threshold {text!r} names no class of the package; they are {', '.join(classes)}")
        try:
            score = float(number)
        except ValueError:
            score = math.nan
        if not 0 < score <= 1:
            raise ValueError(f"threshold {text!r} needs a score above 0, at most 1")
        thresholds[name] = score
    return thresholds
