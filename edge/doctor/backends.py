"""From what each backend said of itself to findings: which works, which would serve, which engines there are."""

from __future__ import annotations

from collections.abc import Mapping

from edge.backends.engine_choice import choose
from edge.backends.opening import AUTO, AUTO_ORDER, BACKENDS, STAND_INS
from edge.doctor.apart import Seen
from edge.doctor.findings import Finding, State
from lineside.engines.gpu import Gpu
from lineside.engines.store import Entry

SECTION = "backends"


def findings(asked: str, seen: Mapping[str, Seen]) -> list[Finding]:
    """A line for each backend, and one for what would serve.

    Args:
        asked: `backend` in section [models].
        seen: by the backend's name.
    """
    found = []
    for name in BACKENDS:
        works, text = seen[name]
        state = State.OK if works else (State.FAULT if name == asked else State.OFF)
        found.append(Finding(section=SECTION, name=name, state=state, text=text.removeprefix(f"{name}: ")))
    return [*found, _used(asked, {name for name in BACKENDS if seen[name].works})]


def _used(asked: str, working: set[str]) -> Finding:
    order = AUTO_ORDER if asked == AUTO else (asked,)
    used = next((name for name in order if name in working), None)
    if used is None:
        there_is = next((name for name in AUTO_ORDER if name in working), None)
        todo = f'set backend = "{there_is}" in [models], or install what {asked} lacks' if there_is else ""
        return Finding(
            section=SECTION, name="would be used", state=State.FAULT, text=f"none: {asked} does not work", todo=todo
        )
    text = used if asked == used else f"{used} ({asked})"
    if used == "tensorrt":
        meanwhile = next((name for name in STAND_INS if name in working), "nothing")
        text += f"; {meanwhile} while a model has no engine"
    return Finding(section=SECTION, name="would be used", state=State.OK, text=text)


def engine_finding(
    asked: str, entries: tuple[Entry, ...], model: str, graph_sha256: str, runtime: str, gpu: Gpu
) -> Finding:
    """Whether the serving model's engine is there.

    Args:
        asked: `backend` in section [models].
        entries: of the store.
        model: name and version of the serving model.
        graph_sha256: of its graph.
        runtime: the TensorRT that is installed.
        gpu: of this machine.
    """
    choice = choose(entries, graph_sha256=graph_sha256, runtime=runtime, gpu=gpu)
    if not choice.why_none:
        return Finding(section=SECTION, name="engine", state=State.OK, text=f"{model} has one that fits this machine")
    state = State.WARNING if asked in ("tensorrt", AUTO) else State.OFF
    return Finding(
        section=SECTION,
        name="engine",
        state=state,
        text=f"{model} has none: {choice.why_none}",
        todo="the running station builds it beside serving (build_engines); or: lineside export engine PACKAGE",
    )
