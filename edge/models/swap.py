"""The hot swap as a table of states. Decides only: no file, no clock, no thread, no engine.

    RECEIVED -> VERIFIED -> BUILT -> WARMED -> [REPLAYED] -> [SHADOW] -> ACTIVE -> CONFIRMED
                                                                          |            |
                                                                          +-> RETIRED <+      and REFUSED from anywhere

REPLAYED and SHADOW are steps a station's policy may ask for. `Lineup` is everything a station knows about its models;
each function here takes one and gives back the next, and the journal writes exactly that value.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Set
from types import MappingProxyType

from lineside.package import is_digest
from lineside.reasons import ContractError, Reason

MAXIMUM_TRAIL = 8
"""How many models back a station can go."""
MAXIMUM_REFUSALS = 32
"""How many refused packages are remembered, the newest."""
FROZEN_BY_OWNER = "models.frozen in station.toml"


class State(enum.IntEnum):
    """Where a package stands; the numbers are those of `lineside.v1.ModelState`."""

    RECEIVED = 1
    VERIFIED = 2
    BUILT = 3
    WARMED = 4
    REPLAYED = 5
    SHADOW = 6
    ACTIVE = 7
    CONFIRMED = 8
    RETIRED = 9
    REFUSED = 10


class Event(enum.Enum):
    """What can happen to a package."""

    VERIFIED = "its signature and digests are right"
    BUILT = "its engine could be made and answered in a process of its own"
    WARMED = "it is loaded and met its golden cases in the runtime that will serve"
    REPLAYED = "it answered for what operators already said"
    SHADOWED = "it runs beside the serving model"
    ACTIVATED = "it took over"
    CONFIRMED = "its probation ended well"
    STEPPED_DOWN = "another model has taken its place for good, or it was rolled back"
    RETURNED = "it serves again after a rollback, still on probation"
    REINSTATED = "it serves again after a rollback, its probation long over"
    UNLOADED = "it left the memory without having served"
    REFUSED = "it must not serve"


_WAITING = (State.WARMED, State.REPLAYED, State.SHADOW)
_STEPS: dict[tuple[State, Event], State] = {
    (State.RECEIVED, Event.VERIFIED): State.VERIFIED,
    (State.VERIFIED, Event.BUILT): State.BUILT,
    (State.BUILT, Event.WARMED): State.WARMED,
    (State.WARMED, Event.REPLAYED): State.REPLAYED,
    (State.WARMED, Event.SHADOWED): State.SHADOW,
    (State.REPLAYED, Event.SHADOWED): State.SHADOW,
    (State.ACTIVE, Event.CONFIRMED): State.CONFIRMED,
    (State.ACTIVE, Event.STEPPED_DOWN): State.RETIRED,
    (State.CONFIRMED, Event.STEPPED_DOWN): State.RETIRED,
    (State.CONFIRMED, Event.REINSTATED): State.CONFIRMED,
    (State.CONFIRMED, Event.ACTIVATED): State.ACTIVE,
    (State.RETIRED, Event.RETURNED): State.ACTIVE,
    (State.RETIRED, Event.REINSTATED): State.CONFIRMED,
    (State.RETIRED, Event.ACTIVATED): State.ACTIVE,
}
_STEPS |= {(state, Event.ACTIVATED): State.ACTIVE for state in _WAITING}
_STEPS |= {(state, Event.UNLOADED): State.BUILT for state in _WAITING}
_STEPS |= {(state, Event.REFUSED): State.REFUSED for state in State if state is not State.REFUSED}
TABLE: Mapping[tuple[State, Event], State] = MappingProxyType(_STEPS)


def next_state(state: State, event: Event) -> State:
    """The state after an event.

    Raises:
        ContractError: PKG_STATE, the event cannot happen in this state.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise ContractError(Reason.PKG_STATE, f"a package that is {state.name} cannot become {event.name}") from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which optional steps a station asks for before a model may serve, and whether any may be activated at all."""

    replay: bool = False
    shadow: bool = False
    frozen: bool = False

    def for_lineup(self, lineup: Lineup) -> Policy:
        """What is asked for now. Without a serving model there is nothing to compare with, and a line that stands
        still: the first model, or the one after a disaster, needs neither replay nor shadow."""
        if lineup.serving is None:
            return dataclasses.replace(self, replay=False, shadow=False)
        return self

    def next_step(self, state: State) -> Event:
        """What has to happen next so that a package in this state comes to serve.

        Raises:
            ContractError: PKG_STATE, nothing can: it is refused or already serves.
        """
        steps = {State.RECEIVED: Event.VERIFIED, State.VERIFIED: Event.BUILT, State.BUILT: Event.WARMED}
        if state in steps:
            return steps[state]
        if state is State.WARMED and self.replay:
            return Event.REPLAYED
        if state in (State.WARMED, State.REPLAYED) and self.shadow:
            return Event.SHADOWED
        if (state, Event.ACTIVATED) in TABLE:
            return Event.ACTIVATED
        raise ContractError(Reason.PKG_STATE, f"a package that is {state.name} cannot be activated")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One package the station knows of."""

    digest: str
    name: str = ""
    """Empty until its manifest has been verified; so is `version`."""
    version: str = ""
    state: State = State.RECEIVED
    reason: Reason | None = None
    """Why it was refused; None unless REFUSED."""
    message: str = ""
    """Words to `reason`; also why the station itself took it back, where it did."""
    was_confirmed: bool = False
    """It has ended a probation once; a rollback to it needs no new one."""
    changed_unix_ns: int

    def after(self, event: Event, now: int) -> Held:
        """This package after an event; raises as `next_state`."""
        state = next_state(self.state, event)
        if state is self.state:
            return self
        was_confirmed = self.was_confirmed or state is State.CONFIRMED
        return dataclasses.replace(self, state=state, was_confirmed=was_confirmed, message="", changed_unix_ns=now)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """All packages of a station and who serves.

    `trail` names the models that served before the serving one, the latest last: where a rollback goes.
    `floors` is the highest version ever confirmed of each model name: below it nothing is activated.
    `frozen` says why somebody wants nothing activated; empty: nobody does.
    """

    held: tuple[Held, ...] = ()
    serving: str | None = None
    trail: tuple[str, ...] = ()
    floors: tuple[tuple[str, str], ...] = ()
    frozen: str = ""

    def find(self, digest: str) -> Held | None:
        """The package of this digest, if the station knows it."""
        return next((item for item in self.held if item.digest == digest), None)

    def get(self, digest: str) -> Held:
        """The package of this digest.

        Raises:
            ContractError: MODEL_UNKNOWN.
        """
        item = self.find(digest)
        if item is None:
            # What is no digest may be anything, line breaks included.
            shown = digest if is_digest(digest) else repr(digest[:80])
            raise ContractError(Reason.MODEL_UNKNOWN, f"this station holds no package {shown}")
        return item

    def _with(self, *items: Held) -> Lineup:
        changed = {item.digest: item for item in items}
        return dataclasses.replace(self, held=tuple(changed.get(item.digest, item) for item in self.held))


def version_key(version: str) -> tuple[int, ...]:
    """Orders versions: "major.minor.patch" as three numbers."""
    return tuple(int(part) for part in version.split("."))


def check_version(lineup: Lineup, name: str, version: str) -> None:
    """Refuses a version below the highest one confirmed under this name.

    Raises:
        ContractError: PKG_ROLLBACK.
    """
    floor = dict(lineup.floors).get(name)
    if floor is not None and version_key(version) < version_key(floor):
        raise ContractError(
            Reason.PKG_ROLLBACK,
            f"version {version} of {name} is older than {floor}, which was confirmed here; export it with a version of"
            f" at least {floor}, or roll back if an earlier model is to serve again",
        )


def received(lineup: Lineup, digest: str, now: int) -> Lineup:
    """A package's bytes are on the disk. A refused one that comes again gets a new trial."""
    known = lineup.find(digest)
    if known is not None and known.state is not State.REFUSED:
        return lineup
    others = tuple(item for item in lineup.held if item.digest != digest)
    return dataclasses.replace(lineup, held=(*others, Held(digest=digest, changed_unix_ns=now)))


def verified(lineup: Lineup, digest: str, name: str, version: str, now: int) -> Lineup:
    """Signature and digests are right, and this is the model's name.

    Raises:
        ContractError: MODEL_UNKNOWN, PKG_STATE, PKG_ROLLBACK.
    """
    check_version(lineup, name, version)
    item = lineup.get(digest).after(Event.VERIFIED, now)
    return lineup._with(dataclasses.replace(item, name=name, version=version))


def advanced(lineup: Lineup, digest: str, event: Event, now: int) -> Lineup:
    """One of the steps that concern this package alone: BUILT, WARMED, REPLAYED, SHADOWED, UNLOADED.

    Raises:
        ContractError: MODEL_UNKNOWN, PKG_STATE.
    """
    if event not in (Event.BUILT, Event.WARMED, Event.REPLAYED, Event.SHADOWED, Event.UNLOADED):
        raise ValueError(f"{event.name} concerns more than one package; it has a function of its own")
    return lineup._with(lineup.get(digest).after(event, now))


def refused(lineup: Lineup, digest: str, reason: Reason, message: str, now: int) -> Lineup:
    """A package must not serve. If it did, nobody serves: call `rolled_back` first where that can be helped."""
    item = lineup.get(digest)
    if item.state is State.REFUSED:
        return lineup
    item = dataclasses.replace(item.after(Event.REFUSED, now), reason=reason, message=message)
    lineup = dataclasses.replace(
        lineup._with(item),
        serving=None if lineup.serving == digest else lineup.serving,
        trail=tuple(other for other in lineup.trail if other != digest),
    )
    refusals = [other.digest for other in lineup.held if other.state is State.REFUSED]
    return without(lineup, frozenset(refusals[:-MAXIMUM_REFUSALS]))


def activated(lineup: Lineup, digest: str, policy: Policy, now: int) -> Lineup:
    """A package takes over. The one it replaces is where a rollback goes.

    A confirmed model that is replaced stays CONFIRMED until its successor is; one on probation steps down.

    Raises:
        ContractError: MODEL_UNKNOWN, FROZEN, PKG_STATE (a step is missing), PKG_ROLLBACK.
    """
    item = lineup.get(digest)
    if lineup.serving == digest:
        return lineup
    check_thawed(lineup, policy)
    step = policy.for_lineup(lineup).next_step(item.state)
    if step is not Event.ACTIVATED:
        raise ContractError(Reason.PKG_STATE, f"the package is {item.state.name}; {step.name} has to come first")
    check_version(lineup, item.name, item.version)
    changed = [item.after(Event.ACTIVATED, now)]
    trail = tuple(other for other in lineup.trail if other != digest)
    if lineup.serving is not None:
        trail = (*trail, lineup.serving)[-MAXIMUM_TRAIL:]
        before = lineup.get(lineup.serving)
        if before.state is State.ACTIVE:
            changed.append(before.after(Event.STEPPED_DOWN, now))
    return dataclasses.replace(lineup._with(*changed), serving=digest, trail=trail)


def confirmed(lineup: Lineup, digest: str, now: int) -> Lineup:
    """The serving model's probation ends; whoever was confirmed before it steps down.

    Raises:
        ContractError: MODEL_UNKNOWN, PKG_STATE (it does not serve).
    """
    item = lineup.get(digest)
    if lineup.serving != digest:
        raise ContractError(
            Reason.PKG_STATE, f"the package is {item.state.name} and does not serve; only the serving one is confirmed"
        )
    if item.state is State.CONFIRMED:
        return lineup
    changed = [item.after(Event.CONFIRMED, now)]
    changed += [
        other.after(Event.STEPPED_DOWN, now)
        for other in lineup.held
        if other.state is State.CONFIRMED and other.digest != digest
    ]
    floors = dict(lineup.floors)
    floor = floors.get(item.name)
    if floor is None or version_key(floor) < version_key(item.version):
        floors[item.name] = item.version
    return dataclasses.replace(lineup._with(*changed), floors=tuple(sorted(floors.items())))


def freeze_of(lineup: Lineup, policy: Policy) -> str:
    """Why nothing may be activated; empty: it may."""
    return FROZEN_BY_OWNER if policy.frozen else lineup.frozen


def check_thawed(lineup: Lineup, policy: Policy) -> None:
    """Another model may take over.

    Raises:
        ContractError: FROZEN.
    """
    why = freeze_of(lineup, policy)
    if why:
        raise ContractError(
            Reason.FROZEN, f"the models of this station are frozen ({why}); pushes, shadows and rollbacks go on"
        )


def frozen(lineup: Lineup, why: str) -> Lineup:
    """From now on nothing is activated, for a reason that must not be empty."""
    if not why:
        raise ValueError("a freeze needs a reason")
    return dataclasses.replace(lineup, frozen=why)


def thawed(lineup: Lineup, policy: Policy) -> Lineup:
    """Models may be activated again.

    Raises:
        ContractError: FROZEN, the station's configuration says otherwise.
    """
    if policy.frozen:
        raise ContractError(Reason.FROZEN, f"only the station's owner can lift this: {FROZEN_BY_OWNER}")
    return dataclasses.replace(lineup, frozen="")


def rolled_back(lineup: Lineup, now: int, message: str = "") -> Lineup:
    """The model before the serving one serves again. `message` stays with the one that steps down.

    Raises:
        ContractError: PKG_STATE, there is none.
    """
    if not lineup.trail:
        raise ContractError(Reason.PKG_STATE, "there is no earlier model on this station to go back to")
    digest = lineup.trail[-1]
    item = lineup.get(digest)
    changed = [item.after(Event.REINSTATED if item.was_confirmed else Event.RETURNED, now)]
    if lineup.serving is not None:
        down = lineup.get(lineup.serving).after(Event.STEPPED_DOWN, now)
        changed.append(dataclasses.replace(down, message=message))
    return dataclasses.replace(lineup._with(*changed), serving=digest, trail=lineup.trail[:-1])


def stood_down(lineup: Lineup, now: int) -> Lineup:
    """The serving model cannot serve just now, for no fault of its own: nobody serves."""
    if lineup.serving is None:
        return lineup
    item = lineup.get(lineup.serving).after(Event.STEPPED_DOWN, now)
    return dataclasses.replace(lineup._with(item), serving=None)


def restarted(lineup: Lineup, present: Set[str], now: int) -> Lineup:
    """After a start: nothing is loaded, and of what was being received only whole packages are left.

    Who served still serves: a trial that was running goes on. `present` are the digests whose files are on the disk.
    """
    gone = {item.digest for item in lineup.held if item.digest not in present and item.state is not State.REFUSED}
    # Unverified bytes are not trusted across a start: they are dropped with their folder, and pushed again.
    gone |= {item.digest for item in lineup.held if item.state is State.RECEIVED}
    lineup = without(lineup, gone)
    waiting = [item.after(Event.UNLOADED, now) for item in lineup.held if item.state in _WAITING]
    return lineup._with(*waiting)


def without(lineup: Lineup, digests: Set[str]) -> Lineup:
    """Forgets packages."""
    return dataclasses.replace(
        lineup,
        held=tuple(item for item in lineup.held if item.digest not in digests),
        serving=None if lineup.serving in digests else lineup.serving,
        trail=tuple(digest for digest in lineup.trail if digest not in digests),
    )


def superfluous(lineup: Lineup, keep: int) -> tuple[str, ...]:
    """Digests whose files may go so that at most `keep` packages stay.

    Never the serving one nor one of the trail, nor one that is at its replay or shadow.
    """
    stored = [item for item in lineup.held if item.state is not State.REFUSED]
    needed = {lineup.serving, *lineup.trail}
    needed |= {item.digest for item in stored if item.state in (State.REPLAYED, State.SHADOW)}
    spare = sorted((item for item in stored if item.digest not in needed), key=lambda item: item.changed_unix_ns)
    return tuple(item.digest for item in spare[: max(0, len(stored) - keep)])
