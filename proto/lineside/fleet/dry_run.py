"""What a roll-out would do, from what the stations say now. Asks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lineside.client.errors import StationUnreachableError
from lineside.client.push import announcement
from lineside.fleet.asking import ask, open_client
from lineside.fleet.inventory import Station
from lineside.fleet.page import printable
from lineside.fleet.plan import Plan
from lineside.fleet.standing import serving_of
from lineside.fleet.verdict import Word, before_serving, status_of
from lineside.reasons import ContractError
from lineside.v1 import model_pb2

_ASK_SECONDS = 10.0
_NOT_THERE = (model_pb2.MODEL_STATE_RECEIVED, model_pb2.MODEL_STATE_REFUSED)


def dry_run(stations: Sequence[Station], plan: Plan, folder: Path) -> Iterator[str]:
    """Lines for a person, stage by stage.

    Raises:
        FileNotFoundError: the folder is no package.
    """
    begin = announcement(folder)
    known = {station.name: station for station in stations}
    for number, stage in enumerate(plan.stages):
        yield f"wave {number}:" if number or not plan.canaries else "canaries:"
        for name in stage:
            yield printable(f"  {name}  {_one(known[name], plan, begin)}")
    limits = plan.limits
    yield (
        f"each stage has to answer {limits.frames} frames in {limits.seconds:g} s or more at every station before the"
        " next begins; then it is " + ("confirmed" if plan.confirm else "left on probation")
    )
    yield "nothing was changed"


def _one(station: Station, plan: Plan, begin: model_pb2.PushBegin) -> str:
    try:
        with open_client(station, actor="", timeout=_ASK_SECONDS) as client:
            answer = ask(station, client)
            if answer.said is None or answer.trouble:
                return f"does not answer: {answer.trouble}" if answer.said is None else answer.trouble
            held = client.received(plan.digest)
    except (ContractError, StationUnreachableError, ValueError) as error:
        return f"does not answer: {error}"
    return "; ".join(_steps(answer.said, plan, begin, sum(held.values())))


def _steps(said: model_pb2.ListResponse, plan: Plan, begin: model_pb2.PushBegin, held: int) -> Iterator[str]:
    status, serving = status_of(said, plan.digest), serving_of(said)
    if status is not None and status.serving:
        yield "serves it already; would be watched"
        return
    if said.frozen:
        yield f"would refuse: frozen {said.frozen}"
    total = sum(item.size for item in begin.files)
    if status is None or status.state in _NOT_THERE:
        yield f"push {(total - held) / 1e6:.1f} of {total / 1e6:.1f} MB"
    else:
        name = model_pb2.ModelState.Name(status.state).removeprefix("MODEL_STATE_")
        yield f"holds it ({name})"
        if before_serving(said, plan.digest, plan.limits).word is Word.WAIT:
            yield "prepare"
    before = "nothing" if serving is None else f"{serving.model.name} {serving.model.version}"
    yield f"activate in place of {before}"
