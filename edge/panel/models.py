"""What the page shows of the station's models. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge.panel.wire import Json
from lineside.v1 import model_pb2

WHY = "at the panel"
"""Stands in the audit beside the operator's name."""


class Models(Protocol):
    """The station's models as far as the panel goes (edge.models.manager.ModelManager)."""

    @property
    def way_back(self) -> str:
        """Digest of the model a rollback would let serve; empty: there is none."""

    @property
    def frozen(self) -> str:
        """Why nothing may be activated; empty: it may."""

    def list(self) -> Sequence[model_pb2.ModelStatus]:
        """Every package, the serving one first. Quick."""

    def activate(self, digest: str, actor: str) -> model_pb2.ModelStatus:
        """Lets a package serve from the next frame on."""

    def rollback(self, why: str, actor: str, *, only_from: str | None = None) -> model_pb2.ModelStatus:
        """Lets the model before serve again, where `only_from` serves."""


def models_json(models: Models, *, may_roll_back: bool, may_activate: bool) -> Json:
    """Everything about the models; `way_back` is None where there is none."""
    shown = [_model(status) for status in models.list()]
    return {
        "models": shown,
        "way_back": next((item for item in shown if item["digest"] == models.way_back), None),
        "frozen": models.frozen,
        "may_roll_back": may_roll_back,
        "may_activate": may_activate,
    }


def _model(status: model_pb2.ModelStatus) -> Json:
    shadow, replay, trial = status.shadow, status.replay, status.probation
    return {
        "name": status.model.name,
        "version": status.model.version,
        "digest": status.model.digest,
        "state": model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_"),
        "serving": status.serving,
        "since_unix_ms": status.changed_unix_ns // 1_000_000,
        "reason": status.reason,
        "message": status.message,
        "probation": None
        if not status.HasField("probation")
        else {
            "frames": trial.frames,
            "alarms": trial.alarms,
            "errors": trial.errors,
            "baseline_frames": trial.baseline_frames,
            "baseline_alarms": trial.baseline_alarms,
        },
        "shadow": None
        if not status.HasField("shadow")
        else {
            "frames": shadow.frames,
            "wanted": shadow.wanted,
            "pass_to_reject": shadow.pass_to_reject,
            "reject_to_pass": shadow.reject_to_pass,
        },
        "replay": None
        if not status.HasField("replay")
        else {
            "done": replay.done,
            "total": replay.total,
            "finished": replay.finished,
            "escapes": replay.escapes,
            "defects": replay.defects,
        },
    }
