"""What Prometheus is told of the models, over a real port, while a real manager swaps real packages."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from support import packages
from support.model_line import Line, wait_until
from support.pushes import ACTOR, push

from edge.backends import open_backend
from edge.metrics.models import ModelCounters, ModelGauges
from edge.metrics.server import MOST_SCRAPES, MetricsServer
from edge.metrics.settings import MetricsSettings
from edge.models.manager import ModelManager
from edge.models.settings import ModelsSettings
from edge.report import StationReporter
from lineside.package import Package
from lineside.reasons import ContractError
from lineside.v1 import model_pb2, swap_pb2

LOCAL = MetricsSettings(listen="127.0.0.1:0")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(address: str) -> Samples:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, /, **labels: str) -> float:
    """Of the one sample of that name with these labels among its own."""
    (found,) = [number for (key, has), number in samples.items() if key == name and set(labels.items()) <= has]
    return found


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def models(tmp_path: Path, registry: CollectorRegistry) -> Iterator[ModelManager]:
    counters = ModelCounters(registry)
    made = ModelManager(
        ModelsSettings(),
        tmp_path / "data",
        open_backend,
        counters.event,
        lambda _: None,
        on_deed=counters.deed,
    )
    reporter = StationReporter(name="line-1", boot_id="boot", data_dir=tmp_path, last_alarm=lambda: made.last_alarm)
    registry.register(ModelGauges(made.list, lambda: made.frozen, reporter))
    with made:
        yield made


@pytest.fixture
def address(registry: CollectorRegistry, models: ModelManager) -> Iterator[str]:
    with MetricsServer(LOCAL, registry) as server:
        yield server.address


def make(folder: Path, version: str, bias: float) -> Package:
    return packages.make_anchor_package(folder / version, version=version, bias=bias)


def test_swaps_rollbacks_and_refusals_are_counted_and_the_serving_model_is_named(
    tmp_path: Path, models: ModelManager, address: str
) -> None:
    one, two = make(tmp_path, "1.0.0", 0.0), make(tmp_path, "1.1.0", 0.1)
    before = scrape(address)
    assert value(before, "lineside_model_swaps_total") == 0
    assert value(before, "lineside_model_rollbacks_total", by="station") == 0
    assert [key for key in before if key[0] == "lineside_serving_model_info"] == []
    for package in (one, two):
        push(models, package.folder)
        models.activate(package.digest, ACTOR)
    models.activate(two.digest, ACTOR)  # it serves already: no swap
    models.rollback("worse", ACTOR)
    for _ in range(2):
        with pytest.raises(ContractError):
            models.rollback("again", ACTOR)
    models.freeze("audit week", ACTOR)
    with pytest.raises(ContractError):
        models.activate(two.digest, ACTOR)
    after = scrape(address)
    assert value(after, "lineside_model_swaps_total") == 3
    assert value(after, "lineside_model_rollbacks_total", by="person") == 1
    assert value(after, "lineside_model_refusals_total", action="rollback", reason="PKG_STATE") == 2
    assert value(after, "lineside_model_refusals_total", action="activate", reason="FROZEN") == 1
    assert value(after, "lineside_serving_model_info", version="1.0.0", digest=one.digest) == 1
    assert value(after, "lineside_serving_model_confirmed") == 0
    assert value(after, "lineside_models", state="active") == 1
    assert value(after, "lineside_models", state="retired") == 1
    assert value(after, "lineside_models_frozen") == 1
    assert value(after, "lineside_station_info", station="line-1", boot_id="boot") == 1
    assert 0 < value(after, "lineside_disk_free_bytes") <= value(after, "lineside_disk_size_bytes")


def test_a_probation_and_a_shadow_show_what_was_counted_and_the_stations_own_rollback_is_an_alarm(
    tmp_path: Path, models: ModelManager, address: str
) -> None:
    good, eager = make(tmp_path, "1.0.0", 0.0), make(tmp_path, "1.1.0", 0.3)
    push(models, good.folder)
    models.activate(good.digest, ACTOR)
    models.confirm(good.digest, ACTOR)
    push(models, eager.folder)
    models.prepare(eager.digest, ACTOR, shadow=True)
    line = Line(models)
    line.run(100, brightness=0.3)  # a sound part to the first model, and not to the second
    line.run_until(lambda: models.status(eager.digest).shadow.frames >= 3, brightness=0.3)
    shadow = scrape(address)
    frames = value(shadow, "lineside_shadow_frames", digest=eager.digest)
    assert frames >= 3
    assert value(shadow, "lineside_shadow_pass_to_reject", digest=eager.digest) == frames
    assert value(shadow, "lineside_shadow_detections", class_name="dent", found_by="candidate") == frames
    assert value(shadow, "lineside_shadow_detections", class_name="dent", found_by="both") == 0
    assert value(shadow, "lineside_model_last_alarm_timestamp_seconds") == 0
    models.activate(eager.digest, ACTOR)
    line.run(7, brightness=0.3)
    trial = scrape(address)
    assert value(trial, "lineside_probation_frames", version="1.1.0") == 7
    assert value(trial, "lineside_probation_alarms", version="1.1.0") == 7
    assert value(trial, "lineside_probation_baseline_alarms", version="1.1.0") == 0
    assert value(trial, "lineside_probation_baseline_frames", version="1.1.0") >= 100
    line.run_until(lambda: line.serving == "1.0.0", brightness=0.3)
    wait_until(lambda: models.last_alarm is not None)
    taken_back = scrape(address)
    assert value(taken_back, "lineside_model_rollbacks_total", by="station") == 1
    assert value(taken_back, "lineside_model_last_alarm_timestamp_seconds") > 1.7e9
    assert [key for key in taken_back if key[0] == "lineside_probation_frames"] == []


def test_a_model_that_served_before_the_start_is_no_swap() -> None:
    registry = CollectorRegistry()
    counters = ModelCounters(registry)
    counters.begins_with("sha256:one")
    reference = model_pb2.ModelRef(digest="sha256:one")
    counters.event(model_pb2.ModelEvent(status=model_pb2.ModelStatus(model=reference, serving=True)))
    assert registry.get_sample_value("lineside_model_swaps_total") == 0


def test_labels_that_others_chose_cannot_break_the_page() -> None:
    registry = CollectorRegistry()
    reference = model_pb2.ModelRef(name='tiles"} 1\n# EOF', version="1.0.0", digest="sha256:x")
    status = model_pb2.ModelStatus(model=reference, serving=True, state=model_pb2.MODEL_STATE_ACTIVE)
    registry.register(ModelGauges(lambda: [status], lambda: "", swap_pb2.StationReport))
    with MetricsServer(LOCAL, registry) as server:
        assert value(scrape(server.address), "lineside_serving_model_info", name=reference.name) == 1


def test_callers_who_dawdle_take_no_threads_from_the_station(registry: CollectorRegistry) -> None:
    with MetricsServer(LOCAL, registry) as server:
        host, _, port = server.address.rpartition(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(MOST_SCRAPES)]
        try:
            # One who is beyond the limit hears at once that he is; nobody waits for those who say nothing.
            late = socket.create_connection((host, int(port)))
            late.settimeout(20)
            with late:
                assert late.recv(1) == b""
        finally:
            for connection in silent:
                connection.close()
        wait_until(lambda: _answers(server.address))


def _answers(address: str) -> bool:
    try:
        scrape(address)
    except (OSError, urllib.error.URLError):
        return False
    return True


def test_a_taken_port_is_one_clear_error(registry: CollectorRegistry) -> None:
    with MetricsServer(LOCAL, registry) as server:
        taken = MetricsServer(MetricsSettings(listen=server.address), registry)
        with pytest.raises(OSError, match=r"\[metrics\] listen: 127\.0\.0\.1:\d+ cannot be had"):
            taken.__enter__()


@pytest.mark.parametrize("listen", ["9464", ":9464", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http"])
def test_a_wrong_address_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(ValueError, match="write HOST:PORT"):
        MetricsSettings(listen=listen)
