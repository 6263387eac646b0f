"""What of a station's state a person should look at, as text, JSON and one self-contained page."""

from __future__ import annotations

import json
import re

import pytest

from lineside.fleet.asking import Answer, ask_all
from lineside.fleet.inventory import Station
from lineside.fleet.page import html_page, text_lines
from lineside.fleet.standing import attention, document_of
from lineside.v1 import model_pb2, swap_pb2

NOW = 1_800_000_000.0
HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J"


def said(digest: str = "sha256:" + "a" * 64, **report: object) -> model_pb2.ListResponse:
    trial = swap_pb2.ProbationReport(frames=40, alarms=4, baseline_frames=1000, baseline_alarms=50, p99_us=12_300)
    serving = model_pb2.ModelStatus(
        model=model_pb2.ModelRef(name="tiles", version="1.0.0", digest=digest),
        state=model_pb2.MODEL_STATE_ACTIVE,
        serving=True,
        changed_unix_ns=int((NOW - 60) * 1e9),
        probation=trial,
    )
    beside = model_pb2.ModelStatus(
        model=model_pb2.ModelRef(name="tiles", version="1.1.0", digest="sha256:b"),
        state=model_pb2.MODEL_STATE_SHADOW,
        shadow=swap_pb2.ShadowReport(frames=3, wanted=200, pass_to_reject=1),
    )
    station = swap_pb2.StationReport(
        name="line-1", disk_free_bytes=50_000_000_000, disk_total_bytes=100_000_000_000, unix_ns=int(NOW * 1e9)
    )
    station.MergeFrom(swap_pb2.StationReport(**report))  # type: ignore[arg-type]
    return model_pb2.ListResponse(models=[serving, beside], way_back="sha256:b", station=station)


def answer(response: model_pb2.ListResponse | None, *, name: str = "line-1", **named: object) -> Answer:
    station = Station(name=name, address=f"h:{name[-1]}", group="hall")
    return Answer(station=station, said=response, **named)  # type: ignore[arg-type]


def looked_at(one: Answer, *others: Answer) -> str:
    return "; ".join(attention(one, [one, *others], now=NOW))


def test_a_station_that_is_well_wants_nothing() -> None:
    assert looked_at(answer(said(), skew_seconds=0.4, trip_seconds=0.02)) == ""


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (answer(None, trouble="no station answers"), "does not answer: no station answers"),
        (answer(model_pb2.ListResponse()), "no model serves"),
        (answer(said(), skew_seconds=1.3, trip_seconds=0.1), "clock 1.3 s ahead"),
        (answer(said(), skew_seconds=-5.0), "clock 5.0 s behind"),
        (answer(said(disk_free_bytes=4_900_000_000)), "disk 4.9% free"),
        (answer(said(), trouble="answers as 'x'"), "answers as 'x'"),
    ],
)
def test_what_is_wrong_is_said(one: Answer, text: str) -> None:
    assert text in looked_at(one)


def test_a_clock_that_may_be_right_is_not_called_wrong() -> None:
    # The answer took a second: the skew is known to half a second only.
    assert looked_at(answer(said(), skew_seconds=1.4, trip_seconds=1.0)) == ""


def test_an_alarm_is_news_for_a_day() -> None:
    def alarmed(ago: float) -> str:
        entry = swap_pb2.AuditEntry(
            unix_ns=int((NOW - ago) * 1e9), action="rollback", name="tiles", version="1.1.0", message="worse"
        )
        return looked_at(answer(said(last_alarm=entry)))

    assert alarmed(7200) == "alarm 2 h ago: tiles 1.1.0 taken back: worse"
    assert alarmed(25 * 3600) == ""


def test_one_that_serves_another_model_than_most_of_its_group_is_told_from_them() -> None:
    others = [answer(said(), name=f"line-{number}") for number in (2, 3)]
    odd = answer(said("sha256:" + "c" * 64))
    assert looked_at(odd, *others) == "most of its group serve tiles 1.0.0"
    assert looked_at(others[0], others[1], odd) == ""
    assert looked_at(odd, others[0]) == ""  # of two nobody is most


def test_the_page_needs_nothing_else_and_quotes_what_others_named() -> None:
    hostile = said(last_alarm=swap_pb2.AuditEntry(unix_ns=int(NOW * 1e9), action="rollback", message=HOSTILE))
    answers = [answer(hostile, skew_seconds=0.1), answer(None, name="line-2", trouble=HOSTILE)]
    document = document_of(answers, now=NOW)
    page = html_page(document, every=30)
    assert "<img" not in page
    assert "<script" not in page
    assert re.findall(r"""<[^>]*(?:src|href)=|https?://|url\(""", page) == []
    assert "default-src 'none'" in page
    assert '<meta http-equiv="refresh" content="30">' in page
    assert "refresh" not in html_page(document)
    for text in ("line-1", "no answer", "tiles 1.0.0", "a" * 64, "4 rejected (before: 50 of 1000)", "3 of 200 frames"):
        assert text in page
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    shown = "\n".join(text_lines(document))
    assert "\x1b" not in shown
    assert "1 of 2 stations answer" in shown


def test_stations_that_are_not_there_hold_up_nobody() -> None:
    stations = [Station(name=f"line-{number}", address=f"127.0.0.1:{number}") for number in (1, 2, 3)]
    answers = ask_all(stations, timeout=2)
    assert [item.station.name for item in answers] == ["line-1", "line-2", "line-3"]
    assert all(item.said is None and "no station answers at 127.0.0.1" in item.trouble for item in answers)
    assert ask_all([]) == ()
