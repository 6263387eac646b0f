"""From what a caller asks to a verdict, whichever protocol he speaks: checked, decoded, numbered, judged."""

from __future__ import annotations

import collections
import itertools
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import grpc

from edge.frame import LONGEST_PART_ID, Frame, is_camera_name
from edge.gate import Gate
from edge.inspection import Inspection, Verdict
from edge.pipeline import Pipeline
from edge.service.guard import caller_of
from edge.service.images import ReadImage
from edge.service.recipes import read_recipe
from edge.verdict import RecipeSettings
from lineside.ids import is_frame_id, new_frame_id
from lineside.reasons import ContractError, Reason
from lineside.v1 import inspection_pb2

CAMERA_OF_CALLERS = "grpc"
"""Where a request names no camera."""
REMEMBERED_FRAME_IDS = 65536
"""So many of the callers' latest frame ids are known again."""
_FOR_EVER_SECONDS = 86400.0


class Asked(NamedTuple):
    """What a request says about its picture; fields as in InspectRequest of inspection.proto."""

    camera: str = ""
    part_id: str = ""
    frame_id: str = ""
    captured_unix_ns: int = 0
    rules: RecipeSettings | None = None
    """None: the first of the station's recipes that fits."""


class FrameIds:
    """The callers' latest frame ids, so that none is used twice. Thread-safe."""

    def __init__(self, keep: int = REMEMBERED_FRAME_IDS) -> None:
        self._lock = threading.Lock()
        self._order: collections.deque[str] = collections.deque()
        self._known: set[str] = set()
        self._keep = keep

    def claim(self, frame_id: str) -> None:
        """Marks an id as used.

        Raises:
            ContractError: FRAME_REUSED.
        """
        with self._lock:
            if frame_id in self._known:
                raise ContractError(
                    Reason.FRAME_REUSED, f"frame_id {frame_id} has been used before; a frame id is for one picture only"
                )
            self._known.add(frame_id)
            self._order.append(frame_id)
            if len(self._order) > self._keep:
                self._known.discard(self._order.popleft())


class Judge:
    """One for a server, for all of its services: numbers and frame ids are the station's. Any thread.

    Args:
        pipeline: judges.
        request_recipes: whether a request may bring its own rules.
        in_work: pictures of callers in work at a time.
    """

    def __init__(self, pipeline: Pipeline, *, request_recipes: bool = True, in_work: int = 4) -> None:
        self._pipeline = pipeline
        self._request_recipes = request_recipes
        self._numbers = itertools.count(1)
        self._frame_ids = FrameIds()
        self.gate = Gate(in_work)

    def next_number(self) -> int:
        """Of the next request, from 1."""
        return next(self._numbers)

    def rules_of(self, request: inspection_pb2.InspectRequest | inspection_pb2.TriggerRequest) -> RecipeSettings | None:
        """The rules a request names or brings; None: it does neither.

        Raises:
            ContractError: RECIPE_UNKNOWN, no recipe of that name; ROLE, this station takes no rules from requests;
                REQUEST_MALFORMED, impossible rules, or a class the model does not have.
        """
        kind = request.WhichOneof("rules")
        if kind == "recipe_name":
            return self.rules_named(request.recipe_name)
        if kind is None:
            return None
        if not self._request_recipes:
            raise ContractError(
                Reason.ROLE, "this station takes no rules from requests; name one of its own with recipe_name"
            )
        return read_recipe(request.recipe, self._pipeline.class_names)

    def rules_named(self, name: str) -> RecipeSettings:
        """One of the station's recipes.

        Raises:
            ContractError: RECIPE_UNKNOWN.
        """
        return self._pipeline.recipe_named(name)

    def under(self, rules: RecipeSettings) -> Callable[[Frame, int | None], Inspection]:
        """Judges a camera's frame before a deadline (`time.monotonic_ns`; None: no limit), by these rules."""
        return lambda frame, deadline_ns: self._pipeline.inspect(frame, deadline_monotonic_ns=deadline_ns, recipe=rules)

    def __call__(
        self,
        asked: Asked,
        read: Callable[[], ReadImage],
        number: int,
        arrived_ns: int,
        context: grpc.ServicerContext,
        *,
        deadline_ns: int | None = None,
    ) -> Inspection:
        """Judges one picture.

        Args:
            asked: what the request says about it.
            read: decodes the picture, or takes its pixels.
            number: of the request.
            arrived_ns: when it came, `time.monotonic_ns`.
            context: of its call.
            deadline_ns: on the same clock, where the request itself has one; the call's own counts as well.

        Raises:
            ContractError: REQUEST_MALFORMED, FRAME_REUSED, QUEUE_FULL, DEADLINE; what `read` raises.
        """
        deadline_ns = earlier(deadline_of(context), deadline_ns)
        camera = asked.camera or CAMERA_OF_CALLERS
        _check(asked, camera)
        with self.gate.turn(caller_of(context), deadline_monotonic_ns=deadline_ns):
            inspection = self._judged(asked, camera, read, number, arrived_ns, context, deadline_ns)
        refuse_if_late(inspection)
        return inspection

    def _judged(
        self,
        asked: Asked,
        camera: str,
        read: Callable[[], ReadImage],
        number: int,
        arrived_ns: int,
        context: grpc.ServicerContext,
        deadline_ns: int | None,
    ) -> Inspection:
        started_ns = time.monotonic_ns()
        if not context.is_active() or (deadline_ns is not None and started_ns >= deadline_ns):
            raise ContractError(Reason.DEADLINE, "the caller's time was over before it was his turn; allow more time")
        image = read()
        decoded_ns = time.monotonic_ns()
        if asked.frame_id:
            self._frame_ids.claim(asked.frame_id)
        frame = Frame(
            frame_id=asked.frame_id or new_frame_id(),
            camera=camera,
            part_id=asked.part_id,
            camera_sequence=number,
            captured_unix_ns=asked.captured_unix_ns or time.time_ns() - (decoded_ns - arrived_ns),
            captured_monotonic_ns=arrived_ns,
            pixels=image.pixels,
            source=image.source,
            source_suffix=image.source_suffix,
        )
        return self._pipeline.inspect(
            frame,
            queue_us=max(0, started_ns - arrived_ns) // 1000,
            decode_us=(decoded_ns - started_ns) // 1000,
            deadline_monotonic_ns=deadline_ns,
            recipe=asked.rules,
        )


def check_part_id(part_id: str) -> None:
    """Raises ContractError: REQUEST_MALFORMED."""
    if len(part_id) > LONGEST_PART_ID:
        raise ContractError(
            Reason.REQUEST_MALFORMED, f"part_id has {len(part_id)} characters, expected at most {LONGEST_PART_ID}"
        )


def deadline_of(context: grpc.ServicerContext) -> int | None:
    """On the monotonic clock in nanoseconds; None: the caller waits for ever, which gRPC says with some 290 years."""
    left = context.time_remaining()
    if left is None or left > _FOR_EVER_SECONDS:
        return None
    return time.monotonic_ns() + int(left * 1e9)


def earlier(one: int | None, other: int | None) -> int | None:
    """The earlier of two deadlines; None: there is none."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def refuse_if_late(inspection: Inspection) -> None:
    """Raises ContractError: DEADLINE, where that is why there is no verdict."""
    if inspection.verdict is Verdict.NO_VERDICT and inspection.verdict_reason == Reason.DEADLINE.value:
        raise ContractError(Reason.DEADLINE, "the caller's time was over before there was a verdict; allow more time")


def _check(asked: Asked, camera: str) -> None:
    if not is_camera_name(camera):
        raise ContractError(
            Reason.REQUEST_MALFORMED,
            f"camera is {camera[:80]!r}, expected 1 to 64 letters, digits, '-', '_' or '.'",
        )
    check_part_id(asked.part_id)
    if asked.frame_id and not is_frame_id(asked.frame_id):
        raise ContractError(
            Reason.REQUEST_MALFORMED,
            f"frame_id is {asked.frame_id[:80]!r}, expected a UUIDv7 in lower case, or none",
        )
    if asked.captured_unix_ns < 0:
        raise ContractError(
            Reason.REQUEST_MALFORMED, f"captured_unix_ns is {asked.captured_unix_ns}, expected 0 or later"
        )
