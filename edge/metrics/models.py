"""What Prometheus sees of a station's models: deeds are counted as they happen, states are read when it asks.

A probation's and a shadow's figures are gauges: they belong to one model's trial and begin anew with the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.models.audit import DONE, STATION, Entry
from lineside.v1 import model_pb2, swap_pb2

_WHO = ("station", "person")
_MODEL_LABELS = ("name", "version", "digest")


class ModelCounters:
    """Counts what is done to the models, from the station's start on. Thread-safe.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = threading.Lock()
        self._serving = ""
        self._swaps = Counter("lineside_model_swaps", "Times another model began to serve.", registry=registry)
        self._rollbacks = Counter(
            "lineside_model_rollbacks", "Rollbacks done, by who asked for them.", ["by"], registry=registry
        )
        self._refusals = Counter(
            "lineside_model_refusals",
            "Deeds that were refused, by what was asked for and the contract's reason.",
            ["action", "reason"],
            registry=registry,
        )
        for who in _WHO:
            self._rollbacks.labels(who)

    def begins_with(self, serving: str) -> None:
        """Digest of the model that serves since the station's start; empty: none."""
        with self._lock:
            self._serving = serving

    def deed(self, entry: Entry) -> None:
        """A line of the audit."""
        if entry.outcome != DONE:
            self._refusals.labels(entry.action, entry.outcome).inc()
        elif entry.action == "rollback":
            self._rollbacks.labels("station" if entry.actor == STATION else "person").inc()

    def event(self, event: model_pb2.ModelEvent) -> None:
        """A change of a model's state."""
        digest = event.status.model.digest
        with self._lock:
            if not event.status.serving or digest == self._serving:
                return
            self._serving = digest
        self._swaps.inc()


class ModelGauges(Collector):
    """The models as they stand when Prometheus asks.

    Args:
        models: every package, the serving one first.
        frozen: why nothing may be activated; empty: it may.
        report: what the station says of itself.
    """

    def __init__(
        self,
        models: Callable[[], Sequence[model_pb2.ModelStatus]],
        frozen: Callable[[], str],
        report: Callable[[], swap_pb2.StationReport],
    ) -> None:
        self._models = models
        self._frozen = frozen
        self._report = report

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask the station while it is being put together."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Every family once."""
        models = self._models()
        yield from _station(self._report())
        frozen = GaugeMetricFamily("lineside_models_frozen", "1: nothing may be activated.")
        frozen.add_metric([], float(bool(self._frozen())))
        yield frozen
        yield _states(models)
        yield from _serving(models)
        yield from _reports(models)
        yield _disagreement(models)


def _station(report: swap_pb2.StationReport) -> Iterator[Metric]:
    about = InfoMetricFamily("lineside_station", "Which station this is.")
    about.add_metric([], {"station": report.name, "version": report.version, "boot_id": report.boot_id})
    yield about
    disk = (("free", report.disk_free_bytes), ("size", report.disk_total_bytes))
    for name, value in disk:
        yield _gauge(f"lineside_disk_{name}_bytes", "Of the disk that holds log and models.", value)
    alarm = report.last_alarm.unix_ns / 1e9 if report.HasField("last_alarm") else 0.0
    yield _gauge(
        "lineside_model_last_alarm_timestamp_seconds",
        "When the station last took a model back or refused one by itself; 0: never.",
        alarm,
    )


def _states(models: Sequence[model_pb2.ModelStatus]) -> Metric:
    family = GaugeMetricFamily("lineside_models", "Packages the station knows, by state.", labels=["state"])
    for name, value in model_pb2.ModelState.items():
        if value != model_pb2.MODEL_STATE_UNSPECIFIED:
            count = sum(status.state == value for status in models)
            family.add_metric([name.removeprefix("MODEL_STATE_").lower()], count)
    return family


def _serving(models: Sequence[model_pb2.ModelStatus]) -> Iterator[Metric]:
    about = InfoMetricFamily("lineside_serving_model", "The model whose answers leave the station.")
    since = GaugeMetricFamily(
        "lineside_serving_model_changed_timestamp_seconds", "When the serving model's state last changed."
    )
    confirmed = GaugeMetricFamily("lineside_serving_model_confirmed", "1: its probation is over.")
    for status in models:
        if status.serving:
            about.add_metric([], dict(zip(_MODEL_LABELS, _labels(status), strict=True)))
            since.add_metric([], status.changed_unix_ns / 1e9)
            confirmed.add_metric([], float(status.state == model_pb2.MODEL_STATE_CONFIRMED))
    yield from (about, since, confirmed)


_Row = tuple[str, str, str]
"""End of the family's name, words, and the message's field; one that ends in _us is shown in seconds."""
_PROBATION: tuple[_Row, ...] = (
    ("frames", "Frames the model on probation has answered.", "frames"),
    ("errors", "Frames it could not answer.", "errors"),
    ("alarms", "Frames it rejected.", "alarms"),
    ("baseline_frames", "Latest frames of the model before it.", "baseline_frames"),
    ("baseline_alarms", "Of those, rejected.", "baseline_alarms"),
    ("p99_seconds", "99th percentile of its latency; 0: not known.", "p99_us"),
    ("baseline_p99_seconds", "The same of the model before it.", "baseline_p99_us"),
    ("age_seconds", "How long it has been on probation.", "seconds"),
)
_SHADOW: tuple[_Row, ...] = (
    ("frames", "Live frames both models answered.", "frames"),
    ("wanted_frames", "Frames the station asks for; 0: none.", "wanted"),
    ("dropped_frames", "Live frames the candidate was too busy for.", "dropped"),
    ("failed_frames", "Frames on which it failed.", "failed"),
    ("pass_to_reject", "Verdicts that would become REJECT.", "pass_to_reject"),
    ("reject_to_pass", "Verdicts that would become PASS.", "reject_to_pass"),
)
_REPLAY: tuple[_Row, ...] = (
    ("done_records", "Judged records the candidate has answered for.", "done"),
    ("records", "Judged records there are.", "total"),
    ("escapes", "Known defects at whose place it says nothing.", "escapes"),
    ("defects", "Known defects.", "defects"),
)
_REPORTS = {"probation": _PROBATION, "shadow": _SHADOW, "replay": _REPLAY}


def _reports(models: Sequence[model_pb2.ModelStatus]) -> Iterator[Metric]:
    for report, rows in _REPORTS.items():
        for name, words, field in rows:
            family = GaugeMetricFamily(f"lineside_{report}_{name}", words, labels=_MODEL_LABELS)
            for status in models:
                if status.HasField(report):  # type: ignore[arg-type]  # the stub knows the three names as literals
                    value = getattr(getattr(status, report), field)
                    family.add_metric(_labels(status), value / 1e6 if field.endswith("_us") else value)
            yield family


def _disagreement(models: Sequence[model_pb2.ModelStatus]) -> Metric:
    found = GaugeMetricFamily(
        "lineside_shadow_detections",
        "Detections by class and by who raised them.",
        labels=(*_MODEL_LABELS, "class_name", "found_by"),
    )
    for status in models:
        for item in status.shadow.classes:
            counts = (("both", item.both), ("serving", item.only_serving), ("candidate", item.only_candidate))
            for who, count in counts:
                found.add_metric((*_labels(status), item.class_name, who), count)
    return found


def _labels(status: model_pb2.ModelStatus) -> tuple[str, str, str]:
    return status.model.name, status.model.version, status.model.digest


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words)
    family.add_metric([], value)
    return family
