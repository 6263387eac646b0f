"""What the panel is made from, and who is speaking."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from starlette.requests import HTTPConnection

from edge.events import EventBus
from edge.mentoring.log import MentoringLog
from edge.models.slot import ModelSlot
from edge.panel.models import Models
from edge.panel.settings import PanelSettings
from edge.pictures import LatestPictures
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

Identify = Callable[[HTTPConnection, str], str]
"""The operator behind a connection, given the name the page claims. Raises ContractError (ROLE, UNAUTHENTICATED).
The one place where a login takes over: it looks at the session and ignores the claim."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanelParts:
    """Everything the panel uses of the station."""

    station: str
    settings: PanelSettings
    bus: EventBus
    log: MentoringLog
    pictures: LatestPictures
    slot: ModelSlot
    swaps: Callable[[], Sequence[model_pb2.ModelStatus]] = tuple
    """Every package as it stands now, quickly: whether one is on probation or in shadow is shown."""
    models: Models | None = None
    """For the page's models and the way back; None: the page shows none."""
    identify: Identify | None = None
    """None: the name chosen on the page is believed, as far as the settings allow it."""

    def operator_of(self, connection: HTTPConnection, claimed: str) -> str:
        """Who speaks on this connection.

        Raises:
            ContractError: ROLE, this name may not judge here.
        """
        if self.identify is not None:
            return self.identify(connection, claimed)
        return chosen_name(self.settings, claimed)


def chosen_name(settings: PanelSettings, claimed: str) -> str:
    """The operator's name as chosen on the page; the station's default where none was chosen.

    Raises:
        ContractError: ROLE, the station has a list of operators and this is none of them.
    """
    name = claimed or settings.operator
    if settings.operators and name not in (*settings.operators, settings.operator):
        raise ContractError(
            Reason.ROLE, f"{name[:80]!r} is not one of this station's operators: {', '.join(settings.operators)}"
        )
    return name
