"""One suite for every camera: whatever gives pictures keeps these promises."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.camera_line import SECONDS, Line
from support.cameras import KINDS, SIZE, Kind, camera_for

from edge.cameras.contract import BadPictureError, Camera, CameraLostError, CameraState, NoPictureError, Pace, Picture
from edge.frame import Frame
from lineside.pixels import decode
from lineside.reasons import ContractError, Reason

Make = Callable[..., Camera]


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name.split("-")[0])) for name in sorted(KINDS)]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def make(kind: Kind, tmp_path: Path) -> Iterator[Make]:
    with contextlib.contextmanager(kind.make)(tmp_path) as fields:

        def made(**more: object) -> Camera:
            checks = {**fields.get("checks", {}), **more.pop("checks", {})}  # type: ignore[dict-item]
            return camera_for({**fields, **more, "checks": checks})

        yield made


def grab(camera: Camera) -> Picture:
    """The next picture that came whole, however long the camera's own pace makes one wait."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            return camera.grab()
        except NoPictureError:  # noqa: PERF203
            continue
        except BadPictureError as error:
            if error.reason is not Reason.IMAGE_HALF or getattr(camera.settings, "kind", "") != "aravis":
                raise
    raise AssertionError("no picture came")


def test_it_gives_one_picture_after_another_with_its_part(make: Make, kind: Kind) -> None:
    with make() as camera:
        pictures = [grab(camera) for _ in range(4)]
    for picture in pictures:
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.ndim == 2 or picture.pixels.shape[2] == 3
        assert bool(picture.part_id) is kind.names_parts
        assert (picture.source is None) == (picture.source_suffix == "")
    assert not np.array_equal(pictures[0].pixels, pictures[1].pixels)
    if kind.names_parts:
        assert pictures[0].part_id != pictures[1].part_id


def test_a_picture_given_is_not_changed_by_the_next_ones(make: Make) -> None:
    with make() as camera:
        first = grab(camera).pixels
        kept = first.copy()
        for _ in range(10):  # as many as a driver has buffers
            grab(camera)
    assert np.array_equal(first, kept)


def test_the_file_kept_is_the_picture_given(make: Make) -> None:
    with make() as camera:
        picture = grab(camera)
    if picture.source is not None:
        assert np.array_equal(decode(picture.source), picture.pixels)


def test_a_picture_of_another_size_than_the_settings_say_is_bad_and_the_camera_goes_on(make: Make, kind: Kind) -> None:
    if kind.sizes_pictures:
        with make(width=160, height=112) as camera:  # then it is asked of the camera
            assert grab(camera).pixels.shape[:2] == (112, 160)
        return
    with make(width=127) as camera:
        for _ in range(2):
            with pytest.raises(BadPictureError, match=f"{SIZE}x{SIZE}, expected 127x{SIZE}") as error:
                grab(camera)
            assert error.value.reason is Reason.IMAGE_SHAPE
            assert bool(error.value.part_id) is kind.names_parts


@pytest.mark.parametrize(
    ("checks", "reason"),
    [
        ({"black_level": 255}, Reason.IMAGE_BLACK),
        ({"saturated_level": 0, "saturated_share": 0.5}, Reason.IMAGE_SATURATED),
    ],
)
def test_a_picture_that_fails_a_check_is_never_given(make: Make, checks: dict[str, object], reason: Reason) -> None:
    with make(checks=checks) as camera, pytest.raises(BadPictureError) as error:
        grab(camera)
    assert error.value.reason is reason


def test_it_gives_nothing_before_it_is_opened_and_after_it_is_closed(make: Make) -> None:
    camera = make()
    with pytest.raises(RuntimeError, match="not open"):
        camera.grab()
    with camera:
        grab(camera)
    camera.close()
    with pytest.raises(RuntimeError, match="not open"):
        camera.grab()


def test_it_can_be_opened_again(make: Make) -> None:
    camera = make()
    for _ in range(2):
        with camera:
            assert grab(camera).pixels.size


def test_one_that_is_not_there_is_lost_in_its_time_and_may_be_tried_again(kind: Kind, tmp_path: Path) -> None:
    camera = camera_for(kind.absent(tmp_path))
    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(CameraLostError) as error:
            camera.open()
        assert str(error.value)
    assert time.monotonic() - begun < 2 * camera.settings.open_seconds
    with pytest.raises(RuntimeError, match="not open"):
        camera.grab()


def test_what_the_station_triggers_is_taken_then_and_not_before(make: Make, kind: Kind) -> None:
    with make() as camera:
        if camera.pace is not Pace.STATION:
            pytest.skip("it sends by itself")
        numbers = []
        for _ in range(3):
            picture = grab(camera)
            numbers.append(picture.number)
            assert picture.missing == 0
            time.sleep(0.15)  # long enough for a camera that runs by itself to take some
    if kind.numbers:
        first = numbers[0]
        assert first is not None
        assert numbers == [first, first + 1, first + 2] or (kind.loses_packets and numbers == sorted(set(numbers)))


def test_of_what_it_sends_by_itself_the_newest_is_given(make: Make) -> None:
    with make() as camera:
        if camera.pace is Pace.STATION:
            pytest.skip("the station triggers it")
        first = grab(camera)
        time.sleep(1.0)
        second = grab(camera)
        third = grab(camera)
    assert None not in (first.number, second.number, third.number)
    # Everything the camera numbered meanwhile was left out, save what it takes while the station asks.
    assert second.missing > 8
    assert third.number is not None
    assert second.number is not None
    assert third.number - second.number < second.missing


def test_at_work_it_answers_its_triggers_or_says_that_it_cannot_be_triggered(make: Make, kind: Kind) -> None:
    line = Line(make)
    with line.thread:
        assert line.state() == (CameraState.RUNNING, "")
        if line.thread.pace is Pace.STATION:
            answers = [line.thread.trigger(f"P-{number}") for number in (1, 2, 3)]
            assert [answer.part_id for answer in answers] == ["P-1", "P-2", "P-3"]
        else:
            with pytest.raises(ContractError, match="CAMERA_MODE"):
                line.thread.trigger()
        frames = [line.next() for _ in range(3)]
        assert kind.loses_packets or all(isinstance(frame, Frame) for frame in frames)
        assert [frame.camera_sequence for frame in frames] == [1, 2, 3]
    counts = line.thread.counts
    assert counts.frames == counts.judged + sum(counts.bad.values())
    assert set(counts.bad) <= ({"IMAGE_HALF"} if kind.loses_packets else set())
    assert (counts.opened, counts.failed) == (1, 0)


def test_it_works_beside_others_of_its_kind(make: Make, kind: Kind, tmp_path: Path) -> None:
    """Two cameras at once, each in its own thread; where there is but one device, one camera beside itself opened."""
    fields = {"basler": "0815-0001", "genicam": "2"}
    first = make()
    other = fields.get(getattr(first.settings, "kind", ""))
    if getattr(first.settings, "kind", "") in ("aravis", "v4l2"):
        pytest.skip("there is one device")
    second = make(serial=other) if other is not None else make()
    seen: dict[int, list[Picture]] = {}

    def work(place: int, camera: Camera) -> None:
        with camera:
            seen[place] = [grab(camera) for _ in range(5)]

    threads = [threading.Thread(target=work, args=item) for item in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert [len(seen[place]) for place in (0, 1)] == [5, 5]
