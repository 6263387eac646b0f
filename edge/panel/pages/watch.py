"""One camera under one model: the first pictures and answers as reference, the latest beside them. Pure."""

from __future__ import annotations

import base64
import collections
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from edge.panel.pages.drift import Alarms, answer_findings, picture_findings
from edge.panel.pages.sight import FEATURES, Look, Looks, together
from edge.panel.wire import Json
from lineside.v1 import inspection_pb2

REFERENCE_LOOKS = 40
LATEST_LOOKS = 20
REFERENCE_PARTS = 200
LATEST_PARTS = 100


class Watch:
    """Belongs to one thread.

    Args:
        model: digest of the model that serves.
        since: seconds since the epoch.
        taught: lowest and highest brightness of the package's golden frames.
    """

    def __init__(self, model: str, since: float, taught: tuple[float, float] | None) -> None:
        self.model = model
        self.since = since
        self._taught = taught
        self._first: list[Look] = []
        self._reference: Looks | None = None
        self._latest: collections.deque[Look] = collections.deque(maxlen=LATEST_LOOKS)
        self._before = Alarms()
        self._parts: collections.deque[tuple[bool, tuple[float, ...]]] = collections.deque(maxlen=LATEST_PARTS)

    @property
    def reference(self) -> Looks | None:
        """The first pictures, once there are enough."""
        return self._reference

    def look(self, look: Look) -> bool:
        """Takes a picture in; whether the reference was completed by it."""
        self._latest.append(look)
        if self._reference is not None:
            return False
        self._first.append(look)
        if len(self._first) < REFERENCE_LOOKS:
            return False
        self._reference = together(self._first)
        self._first.clear()
        return True

    def part(self, result: inspection_pb2.InspectionResult) -> None:
        """Takes an answer in."""
        rejected = result.verdict == inspection_pb2.VERDICT_REJECT
        scores = tuple(found.score for found in result.detections)
        if self._before.parts < REFERENCE_PARTS:
            self._before = _add(self._before, rejected, scores)
        else:
            self._parts.append((rejected, scores))

    def to_json(self) -> Json:
        """What the page shows: state "learning" until there is something to compare with, "same" or "changed"."""
        now = Alarms()
        for rejected, scores in self._parts:
            now = _add(now, rejected, scores)
        findings = answer_findings(self._before, now) if len(self._parts) == LATEST_PARTS else []
        latest = together(list(self._latest)) if self._latest else None
        if self._reference is not None and latest is not None and len(self._latest) == LATEST_LOOKS:
            findings = picture_findings(self._reference, latest, self._taught) + findings
        state = "learning" if self._reference is None else "changed" if findings else "same"
        return {
            "state": state,
            "since_ms": round(self.since * 1000),
            "model": self.model,
            "progress": 1.0 if self._reference else round(len(self._first) / REFERENCE_LOOKS, 2),
            "findings": [
                {"kind": item.kind, "before": round(item.before, 4), "now": round(item.now, 4)} for item in findings
            ],
            "features": [
                {"name": name, "before": round(self._reference.mean[name], 4), "now": round(latest.mean[name], 4)}
                for name in FEATURES
                if self._reference is not None and latest is not None
            ],
        }

    def kept(self) -> Json:
        """What survives a restart: the reference, small."""
        looks = self._reference
        assert looks is not None
        small = np.clip(looks.small * 255, 0, 255).astype(np.uint8)
        return {
            "model": self.model,
            "since": self.since,
            "count": looks.count,
            "mean": looks.mean,
            "spread": looks.spread,
            "small": base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode(),
        }

    def restore(self, document: Mapping[str, Any]) -> bool:
        """Takes a kept reference up again; False: it is of another model, or none."""
        try:
            if document["model"] != self.model:
                return False
            small: Any = cv2.imdecode(
                np.frombuffer(base64.b64decode(document["small"]), np.uint8), cv2.IMREAD_GRAYSCALE
            )
            self._reference = Looks(
                count=int(document["count"]),
                mean={name: float(document["mean"][name]) for name in FEATURES},
                spread={name: float(document["spread"][name]) for name in FEATURES},
                small=small.astype(np.float32) / 255,
            )
            self.since = float(document["since"])
        except (KeyError, TypeError, ValueError, AttributeError, cv2.error):
            return False
        return True


def _add(sums: Alarms, rejected: bool, scores: tuple[float, ...]) -> Alarms:
    return Alarms(
        parts=sums.parts + 1,
        rejected=sums.rejected + rejected,
        scores=sums.scores + len(scores),
        score_sum=sums.score_sum + sum(scores),
        score_squares=sums.score_squares + sum(score * score for score in scores),
    )
