"""The OPC UA address space of one camera, in the words of OPC 40100-1 (Machine Vision, part 1).

States, methods, results and events have that specification's names, in a namespace of the station's own: its types are
not loaded, and no conformance is claimed. Written so that ResultValid is always the last to come and the first to go.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

from asyncua import Node, Server, ua
from asyncua.server.event_generator import EventGenerator

from edge.outputs.handshake import Counts
from edge.outputs.signals import Signals, Status, VerdictCode

NAMESPACE = "urn:lineside:station"

# OPC 40100-1, 8.2.6 and 8.3.5: state names and numbers.
HALTED = ("Halted", 2)
OPERATIONAL = ("Operational", 4)
INITIALIZED = ("Initialized", 5)
READY = ("Ready", 6)
SINGLE_EXECUTION = ("SingleExecution", 7)
CONTINUOUS_EXECUTION = ("ContinuousExecution", 8)

# OPC 40100-1, 12.19: ResultStateDataType.
COMPLETED = 1
FAILED = 4

_T = ua.VariantType
_WRITABLE: dict[str, Any] = {"TriggerSequence": _T.UInt16, "PartId": _T.String, "AckSequence": _T.UInt16}
_HANDSHAKE: dict[str, Any] = {
    "Online": _T.Boolean,
    "Ready": _T.Boolean,
    "WhyNotReady": _T.String,
    "Busy": _T.Boolean,
    "Following": _T.Boolean,
    "SequenceGap": _T.Boolean,
    "NextSequence": _T.UInt16,
    "AcceptedSequence": _T.UInt16,
    "Boot": _T.UInt16,
    "ResultSequence": _T.UInt16,
    "ResultValid": _T.Boolean,
}
_RESULT: dict[str, Any] = {
    "ResultId": _T.String,
    "JobId": _T.String,
    "PartId": _T.String,
    "IsPartial": _T.Boolean,
    "ResultState": _T.Int32,
    "CreationTime": _T.DateTime,
    "InternalRecipeId": _T.String,
    "Verdict": _T.UInt16,
    "VerdictText": _T.String,
    "Reason": _T.String,
    "ReasonCode": _T.UInt16,
    "Detections": _T.UInt32,
}
READY_EVENT_FIELDS: list[tuple[str, Any]] = [("Sequence", _T.UInt16), *_RESULT.items()]
JOB_EVENT_FIELDS: list[tuple[str, Any]] = [("Sequence", _T.UInt16), ("JobId", _T.String), ("PartId", _T.String)]


def node_id(text: str, namespace: int) -> ua.NodeId:
    """A node's id by text, which stays the same over starts of the station."""
    return ua.NodeId(ua.String(text), ua.Int16(namespace))


def job_id(signals: Signals) -> str:
    """Of the accepted number: unique over starts of the station as far as its boot number is."""
    return f"{signals.boot}-{signals.accepted_sequence}"


def result_of(signals: Signals) -> dict[str, Any]:
    """The fields of a result, by name; those of no result are empty."""
    shown = signals.result_valid
    state = {VerdictCode.NONE: 0, VerdictCode.NO_VERDICT: FAILED}.get(signals.verdict, COMPLETED)
    seconds = signals.judged_unix_ns / 1e9
    return {
        "ResultId": (signals.frame_id or job_id(signals)) if shown else "",
        "JobId": job_id(signals) if shown else "",
        "PartId": signals.part_id if shown else "",
        "IsPartial": False,
        "ResultState": state,
        "CreationTime": datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc).replace(tzinfo=None),
        "InternalRecipeId": signals.model_digest,
        "Verdict": int(signals.verdict),
        "VerdictText": "" if signals.verdict is VerdictCode.NONE else signals.verdict.name,
        "Reason": signals.reason,
        "ReasonCode": signals.reason_code,
        "Detections": signals.detections,
    }


def handshake_of(signals: Signals) -> dict[str, Any]:
    """The station's side of the handshake, by name, ResultValid last."""
    return {
        "Online": Status.ONLINE in signals.status,
        "Ready": signals.ready,
        "WhyNotReady": signals.why_not_ready,
        "Busy": signals.busy,
        "Following": Status.FOLLOWING in signals.status,
        "SequenceGap": Status.SEQUENCE_GAP in signals.status,
        "NextSequence": signals.next_sequence,
        "AcceptedSequence": signals.accepted_sequence,
        "Boot": signals.boot,
        "ResultSequence": signals.result_sequence,
        "ResultValid": signals.result_valid,
    }


def automatic_state(signals: Signals) -> tuple[str, int]:
    """The state of the AutomaticModeStateMachine: a job is over when it has its result."""
    if Status.FOLLOWING in signals.status:
        return CONTINUOUS_EXECUTION
    if signals.busy:
        return SINGLE_EXECUTION
    return INITIALIZED if signals.why_not_ready else READY


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Events:
    """What is fired, for all cameras."""

    job_started: Node
    result_ready: Node


async def make_event_types(server: Server, namespace: int) -> Events:
    """The event types, once a server."""
    base = ua.ObjectIds.BaseEventType
    return Events(
        job_started=await server.create_custom_event_type(namespace, "JobStartedEventType", base, JOB_EVENT_FIELDS),
        result_ready=await server.create_custom_event_type(namespace, "ResultReadyEventType", base, READY_EVENT_FIELDS),
    )


class CameraNodes:
    """The objects of one camera: VisionSystem, its state machines, ResultManagement and Handshake."""

    def __init__(self, namespace: int) -> None:
        self._namespace = namespace
        self._nodes: dict[tuple[str, str], Node] = {}
        self._types: dict[tuple[str, str], Any] = {}
        self._written: dict[tuple[str, str], Any] = {}
        self._job_started: EventGenerator
        self._result_ready: EventGenerator
        self._told: tuple[int, int] = (0, 0)

    async def make(self, server: Server, parent: Node, camera: str, events: Events) -> None:
        """Adds them below `parent`."""
        system = await parent.add_object(self._id(camera), self._name(camera))
        machine = await system.add_object(self._id(f"{camera}.VisionStateMachine"), self._name("VisionStateMachine"))
        automatic = await machine.add_object(
            self._id(f"{camera}.AutomaticModeStateMachine"), self._name("AutomaticModeStateMachine")
        )
        for name, node in (("VisionStateMachine", machine), ("AutomaticModeStateMachine", automatic)):
            await self._variables(camera, name, node, {"CurrentState": _T.LocalizedText, "Number": _T.UInt32})
        results = await system.add_object(self._id(f"{camera}.ResultManagement"), self._name("ResultManagement"))
        latest = await results.add_object(self._id(f"{camera}.Result"), self._name("Result"))
        await self._variables(camera, "Result", latest, _RESULT)
        handshake = await system.add_object(self._id(f"{camera}.Handshake"), self._name("Handshake"))
        await self._variables(camera, "Handshake", handshake, _WRITABLE | _HANDSHAKE)
        for name in _WRITABLE:
            await self._nodes["Handshake", name].set_writable()
        counts = await system.add_object(self._id(f"{camera}.Counts"), self._name("Counts"))
        names = {_camel(field.name): _T.UInt32 for field in dataclasses.fields(Counts)}
        await self._variables(camera, "Counts", counts, names)
        self._job_started = await server.get_event_generator(events.job_started, emitting_node=system.nodeid)
        self._result_ready = await server.get_event_generator(events.result_ready, emitting_node=system.nodeid)
        self.automatic, self.results, self.handshake = automatic, results, handshake

    async def add_method(
        self,
        parent: Node,
        camera: str,
        name: str,
        call: Callable[..., Any],
        inputs: list[tuple[str, Any]],
        outputs: list[tuple[str, Any]],
    ) -> None:
        """A method of the camera's objects."""
        await parent.add_method(
            self._id(f"{camera}.{name}"),
            self._name(name),
            call,
            [_argument(*item) for item in inputs],
            [_argument(*item) for item in outputs],
        )

    def writable(self, name: str) -> ua.NodeId:
        """The node of a value that the PLC writes."""
        return self._nodes["Handshake", name].nodeid

    async def show(self, signals: Signals) -> None:
        """Writes what has changed."""
        handshake = handshake_of(signals)
        key = (signals.result_sequence, signals.judged_unix_ns) if signals.result_valid else (0, 0)
        if key != self._told:  # the old result goes first, whatever follows
            await self._write("Handshake", "ResultValid", False)
        online = Status.ONLINE in signals.status
        for machine, (state, number) in (
            ("VisionStateMachine", OPERATIONAL if online else HALTED),
            ("AutomaticModeStateMachine", automatic_state(signals)),
        ):
            await self._write(machine, "CurrentState", ua.LocalizedText(state))
            await self._write(machine, "Number", number)
        started = self._written.get(("Handshake", "AcceptedSequence")) != signals.accepted_sequence
        result = result_of(signals)
        for name, value in result.items():
            await self._write("Result", name, value)
        for name, value in handshake.items():
            await self._write("Handshake", name, value)
        for field in dataclasses.fields(Counts):
            await self._write("Counts", _camel(field.name), getattr(signals.counts, field.name))
        if started and signals.busy:
            await self._fire(
                self._job_started,
                f"job {job_id(signals)} has begun",
                {"Sequence": signals.accepted_sequence, "JobId": job_id(signals), "PartId": signals.part_id},
            )
        if key not in (self._told, (0, 0)):
            await self._fire(
                self._result_ready,
                f"result {signals.result_sequence}: {signals.verdict.name}",
                {"Sequence": signals.result_sequence, **result},
            )
        self._told = key

    async def beat(self, count: int) -> None:
        """Shows that the station lives."""
        await self._write("Handshake", "Heartbeat", count % 0x10000)

    async def _write(self, place: str, name: str, value: Any) -> None:
        key = (place, name)
        if self._written.get(key) == value:
            return
        self._written[key] = value
        await self._nodes[key].write_value(ua.Variant(value, self._types[key]))

    async def _fire(self, generator: EventGenerator, message: str, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(generator.event, name, value)
        generator.event.Message = ua.LocalizedText(message)
        await generator.trigger()

    async def _variables(self, camera: str, place: str, parent: Node, names: dict[str, Any]) -> None:
        names = {**names, "Heartbeat": _T.UInt16} if place == "Handshake" else names
        for name, kind in names.items():
            node = await parent.add_variable(
                self._id(f"{camera}.{place}.{name}"), self._name(name), _EMPTY[kind], varianttype=kind
            )
            self._nodes[place, name], self._types[place, name] = node, kind

    def _id(self, text: str) -> ua.NodeId:
        return node_id(text, self._namespace)

    def _name(self, text: str) -> ua.QualifiedName:
        return ua.QualifiedName(text, self._namespace)


_EMPTY: dict[Any, Any] = {
    _T.Boolean: False,
    _T.UInt16: 0,
    _T.UInt32: 0,
    _T.Int32: 0,
    _T.String: "",
    _T.LocalizedText: ua.LocalizedText(""),
    _T.DateTime: datetime.datetime(1970, 1, 1),  # noqa: DTZ001 - the library wants UTC without saying so
}


def _argument(name: str, kind: Any) -> ua.Argument:
    argument = ua.Argument()
    argument.Name = name
    argument.DataType = ua.NodeId(kind.value)
    argument.ValueRank = -1
    return argument


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
