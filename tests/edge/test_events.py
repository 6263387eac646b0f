"""Events are numbered without holes, slow readers hold up nobody, and what is gone is said to be gone."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.events import EventBus
from lineside.v1 import inspection_pb2


def about(camera: str) -> inspection_pb2.StationEvent:
    return inspection_pb2.StationEvent(inspection=inspection_pb2.InspectionResult(camera=camera))


def drained(bus: EventBus, **where: object) -> list[inspection_pb2.StationEvent]:
    with bus.subscribe(**where) as events:  # type: ignore[arg-type]
        found = []
        while (event := events.get(0)) is not None:
            found.append(event)
        return found


def test_events_are_numbered_from_one_and_carry_boot_and_time() -> None:
    bus = EventBus("b")
    assert [bus.publish(about("a")) for _ in range(3)] == [1, 2, 3]
    first = drained(bus, from_sequence=1)[0]
    assert (first.boot_id, first.sequence) == ("b", 1)
    assert first.unix_ns > 0


def test_without_a_number_a_reader_gets_only_what_happens_from_now_on() -> None:
    bus = EventBus("b")
    bus.publish(about("a"))
    with bus.subscribe() as events:
        bus.publish(about("b"))
        event = events.get(0)
        assert event is not None
        assert event.sequence == 2
        assert events.get(0) is None


@given(keep=st.integers(1, 10), published=st.integers(0, 30), wanted=st.integers(0, 40))
def test_a_reader_gets_every_kept_event_from_his_number_on_and_a_gap_for_the_rest(
    keep: int, published: int, wanted: int
) -> None:
    bus = EventBus("b", keep=keep)
    for _ in range(published):
        bus.publish(about("a"))
    found = drained(bus, from_sequence=wanted)
    oldest = max(1, published - keep + 1)
    if max(1, wanted) < oldest:
        assert found[0].gap.resumes_at == oldest
        found = found[1:]
    assert [event.sequence for event in found] == list(range(max(oldest, wanted), published + 1))


def test_after_a_restart_the_stream_begins_with_a_gap_and_the_oldest_event() -> None:
    bus = EventBus("new")
    bus.publish(about("a"))
    gap, event = drained(bus, boot_id="old", from_sequence=900)
    assert "anew" in gap.gap.cause
    assert gap.gap.resumes_at == event.sequence == 1


def test_a_reader_that_is_overtaken_is_told_so_and_goes_on() -> None:
    bus = EventBus("b", keep=4)
    with bus.subscribe() as events:
        for _ in range(10):
            bus.publish(about("a"))
        gap = events.get(0)
        assert gap is not None
        assert gap.gap.resumes_at == 7
        following = events.get(0)
        assert following is not None
        assert following.sequence == 7


def test_the_ring_is_bounded_in_bytes_as_well() -> None:
    bus = EventBus("b", keep_bytes=3000)
    for _ in range(10):
        bus.publish(about("x" * 1000))
    assert [event.sequence for event in drained(bus, boot_id="other") if not event.HasField("gap")] == [9, 10]


def test_a_reader_of_some_cameras_gets_theirs_and_what_is_about_the_station() -> None:
    bus = EventBus("b")
    bus.publish(about("a"))
    bus.publish(about("b"))
    bus.publish(inspection_pb2.StationEvent(camera=inspection_pb2.CameraEvent(camera="b")))
    bus.publish(inspection_pb2.StationEvent(camera=inspection_pb2.CameraEvent(camera="a")))
    bus.publish(inspection_pb2.StationEvent(model={}))
    assert [event.sequence for event in drained(bus, from_sequence=1, cameras=["a"])] == [1, 4, 5]


def test_a_gap_is_never_stored() -> None:
    with pytest.raises(ValueError, match="cannot be published"):
        EventBus("b").publish(inspection_pb2.StationEvent(gap=inspection_pb2.Gap()))


def test_a_waiting_reader_wakes_for_an_event_and_for_the_end() -> None:
    bus = EventBus("b")
    found: list[inspection_pb2.StationEvent | None] = []
    with bus.subscribe() as events:
        reader = threading.Thread(target=lambda: found.extend([events.get(), events.get()]))
        reader.start()
        bus.publish(about("a"))
        events.finish()
        reader.join(10)
    assert not reader.is_alive()
    assert found[0] is not None
    assert found[1] is None


def test_a_reader_that_finishes_still_gets_what_was_published_before() -> None:
    bus = EventBus("b")
    with bus.subscribe() as events:
        bus.publish(about("a"))
        events.finish()
        bus.publish(about("a"))
        event = events.get(0)
        assert event is not None
        assert event.sequence == 1
        assert events.get(None) is None


def test_many_publishers_leave_no_hole() -> None:
    bus = EventBus("b")
    with bus.subscribe() as events:
        threads = [threading.Thread(target=lambda: [bus.publish(about("a")) for _ in range(200)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        numbers = []
        while len(numbers) < 800 and (event := events.get(10)) is not None:
            numbers.append(event.sequence)
        for thread in threads:
            thread.join()
    assert numbers == list(range(1, 801))
