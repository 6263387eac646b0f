"""Pictures to a station by gRPC, and an honest count: sent, answered, refused, lost, and by which model."""

from __future__ import annotations

import collections
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType

from lineside.client.inspection import InspectionClient, pixels_request
from lineside.decode import Found
from lineside.pixels import Pixels
from lineside.v1 import inspection_pb2
from loop.answers import same_answer

IN_FLIGHT = 4
"""Most pictures sent and not yet answered: as many as a station works on at once."""


@dataclasses.dataclass(slots=True)
class Count:
    """What became of the pictures sent. Every picture sent is answered, refused or lost."""

    sent: int = 0
    answered: int = 0
    """With a verdict, PASS or REJECT."""
    no_verdict: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Answered with NO_VERDICT, by reason."""
    refused: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Answered with an error, by reason."""
    digests: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Answers by the digest of the model that made them."""
    compared: int = 0
    """Answers that were compared with what the model of their digest says about that picture."""
    foreign: int = 0
    """Answers of them whose detections are not that model's."""
    went_back: int = 0
    """Answers by a model after one by its successor."""

    @property
    def lost(self) -> int:
        """Sent, and nothing came back."""
        return self.sent - self.answered - sum(self.no_verdict.values()) - sum(self.refused.values())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One picture to send."""

    part_id: str
    pixels: Pixels


def send(
    client: InspectionClient,
    parts: Iterable[Part],
    *,
    camera: str,
    count: Count,
    on_answer: Callable[[Part, inspection_pb2.InspectionResult], None] | None = None,
) -> None:
    """Sends parts down one stream and counts the answers, which come in their order.

    Args:
        client: of the station.
        parts: read as answers come back, at most IN_FLIGHT ahead.
        camera: the station is told they come from.
        count: is added to.
        on_answer: called with each part that got a verdict.
    """
    room = threading.Semaphore(IN_FLIGHT)
    waiting: collections.deque[Part] = collections.deque()

    def requests() -> Iterator[inspection_pb2.InspectRequest]:
        for part in parts:
            room.acquire()
            waiting.append(part)
            count.sent += 1
            yield pixels_request(part.pixels, camera=camera, part_id=part.part_id)

    try:
        for answer in client.stream(requests()):
            part = waiting.popleft()
            room.release()
            if answer.result is None:
                count.refused[answer.error.reason.value if answer.error else "nothing"] += 1
                continue
            result = answer.result
            if result.verdict == inspection_pb2.VERDICT_NO_VERDICT:
                count.no_verdict[result.verdict_reason] += 1
                continue
            count.answered += 1
            count.digests[result.model.digest] += 1
            if on_answer is not None:
                on_answer(part, result)
    finally:
        # Requests are made in a thread of gRPC's: it must not wait for room that nobody makes any more.
        for _ in range(IN_FLIGHT):
            room.release()


class BackgroundLoad:
    """Sends the same few parts over and over while something else happens; a context manager.

    Each reply must be exactly what the model whose digest it carries says about that picture.

    Args:
        grpc: HOST:PORT of the station.
        parts: sent in turn.
        expected: what each model says about each part, by digest, in the order of `parts`.
        order: digests in the order in which they are to serve.
        camera: the station is told they come from.
    """

    def __init__(
        self,
        grpc: str,
        parts: Sequence[Part],
        *,
        expected: Mapping[str, Sequence[Found]],
        order: Sequence[str],
        camera: str,
    ) -> None:
        self.count = Count()
        self._client = InspectionClient(grpc)
        self._parts = parts
        self._expected = {
            (digest, part.part_id): found
            for digest, answers in expected.items()
            for part, found in zip(parts, answers, strict=True)
        }
        self._order = {digest: place for place, digest in enumerate(order)}
        self._camera = camera
        self._latest = -1
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="background load", daemon=True)

    def __enter__(self) -> BackgroundLoad:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_for(self, digest: str, answers: int, timeout: float) -> None:
        """Waits until a model has answered so often.

        Raises:
            TimeoutError: it has not in this many seconds.
            RuntimeError: the stream broke.
        """
        with self._changed:
            reached = self._changed.wait_for(
                lambda: self._failure is not None or self.count.digests[digest] >= answers, timeout
            )
            if self._failure is not None:
                raise RuntimeError(f"the stream of pictures broke: {self._failure}") from self._failure
            if not reached:
                raise TimeoutError(f"{digest[:19]} answered {self.count.digests[digest]} pictures in {timeout:.0f} s")

    def stop(self) -> Count:
        """Sends no more, waits for the last answers; gives back the count.

        Raises:
            RuntimeError: the stream broke.
        """
        self._stopping.set()
        self._thread.join()
        self._client.close()
        if self._failure is not None:
            raise RuntimeError(f"the stream of pictures broke: {self._failure}") from self._failure
        return self.count

    def _run(self) -> None:
        try:
            send(self._client, self._endless(), camera=self._camera, count=self.count, on_answer=self._check)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _endless(self) -> Iterator[Part]:
        while True:
            for part in self._parts:
                if self._stopping.is_set():
                    return
                yield part

    def _check(self, part: Part, result: inspection_pb2.InspectionResult) -> None:
        digest = result.model.digest
        found = self._expected.get((digest, part.part_id))
        place = self._order.get(digest, len(self._order))
        with self._changed:
            if found is not None:
                self.count.compared += 1
                self.count.foreign += not same_answer(result, found)
            self.count.went_back += place < self._latest
            self._latest = max(self._latest, place)
            self._changed.notify_all()
