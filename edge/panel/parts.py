"""What the panel is made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.events import EventBus
from edge.mentoring.log import MentoringLog
from edge.models.slot import ModelSlot
from edge.panel.models import Models
from edge.panel.settings import PanelSettings
from edge.pictures import LatestPictures
from lineside.v1 import model_pb2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanelParts:
    """Everything the panel uses of the station."""

    station: str
    settings: PanelSettings
    bus: EventBus
    log: MentoringLog
    pictures: LatestPictures
    slot: ModelSlot
    folder: Path
    """For what the panel itself keeps: accounts, sessions, what it counted."""
    swaps: Callable[[], Sequence[model_pb2.ModelStatus]] = tuple
    """Every package as it stands now, quickly: whether one is on probation or in shadow is shown."""
    models: Models | None = None
    """For the page's models and the way back; None: the page shows none."""
