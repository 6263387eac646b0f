"""Whether the steps a station asks for before a model may serve are taken, and over. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edge.models.disagreement import Standing
from edge.models.swap import Event, Lineup, Policy, State
from lineside.reasons import ContractError, Reason

ShadowStanding = tuple[Standing, Sequence[str]]
"""How a shadow stands, and what speaks against it."""


def check_gates(lineup: Lineup, policy: Policy, digest: str, shadow: ShadowStanding | None) -> None:
    """A package may be activated as far as replay and shadow go.

    Args:
        lineup: as it is now.
        policy: the station's.
        digest: of the package.
        shadow: of this package; None: it has none yet.

    Raises:
        ContractError: MODEL_UNKNOWN; PKG_STATE, a step is missing or not over; GATE_FAILED.
    """
    state, policy = lineup.get(digest).state, policy.for_lineup(lineup)
    step = policy.next_step(state)
    if step in (Event.VERIFIED, Event.BUILT, Event.WARMED):  # what activating does by itself
        step = policy.next_step(State.WARMED)
    if step in (Event.REPLAYED, Event.SHADOWED):
        raise ContractError(
            Reason.PKG_STATE,
            f"this station asks for {'a replay' if step is Event.REPLAYED else 'a shadow'} first, which begins with"
            " Prepare (lineside models prepare)",
        )
    if policy.shadow and state is State.SHADOW:
        standing, objections = shadow or (Standing.WAITING, ("it is just beginning",))
        if standing is not Standing.PASSED:
            raise ContractError(
                Reason.PKG_STATE if standing is Standing.WAITING else Reason.GATE_FAILED,
                f"its shadow is not over: {'; '.join(objections)}",
            )
