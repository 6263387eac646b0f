"""An estimate as plain values for JSON; what is not known is null. Pure."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

from training.estimate.report import Estimate


def document_of(estimate: Estimate) -> dict[str, Any]:
    """Plain values, finite or None."""
    values = _plain(dataclasses.asdict(estimate))
    assert isinstance(values, dict)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
