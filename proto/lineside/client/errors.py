"""From a status on the wire back to the contract's error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import grpc

from lineside.reasons import ContractError, Reason

REASON_TRAILER = "lineside-reason"


class StationUnreachableError(Exception):
    """There is no answer that came from a station: wrong address, no network, or the daemon is not running."""


def contract_error(error: grpc.RpcError) -> ContractError | None:
    """The refusal a station gave, or None where the status is not a station's.

    Args:
        error: raised by a stub.
    """
    call = cast("grpc.Call", error)  # what a stub raises is both, though the types do not say so
    metadata: Iterable[tuple[str, str | bytes]] = call.trailing_metadata() or ()
    word = next((str(value) for key, value in metadata if key == REASON_TRAILER), "")
    if word not in Reason.__members__:
        return _from_the_transport(call)
    return ContractError(Reason[word], (call.details() or "").removeprefix(f"{word}: "))


def _from_the_transport(call: grpc.Call) -> ContractError | None:
    """What gRPC itself refuses before the station's code sees it; it knows no trailer, only these words."""
    details = call.details() or ""
    if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return ContractError(Reason.MSG_TOO_LARGE, details)
    if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "oncurrent RPC limit" in details:
        return ContractError(Reason.QUEUE_FULL, "the station has more calls waiting than it takes; call again later")
    return None


@contextmanager
def station_errors(target: str) -> Iterator[None]:
    """Inside, a stub's errors leave as the contract's.

    Args:
        target: HOST:PORT, for the message.

    Raises:
        ContractError: the station refused.
        StationUnreachableError: nobody answered, or not a station.
    """
    try:
        yield
    except grpc.RpcError as error:
        refusal = contract_error(error)
        if refusal is not None:
            raise refusal from None
        call = cast("grpc.Call", error)
        if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise ContractError(Reason.DEADLINE, f"{target} did not answer in time") from None
        raise StationUnreachableError(
            f"no station answers at {target} ({call.code().name}: {call.details()});"
            " is the address right and the station running?"
        ) from None
