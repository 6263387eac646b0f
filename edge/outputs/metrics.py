"""What Prometheus sees of the outputs: read from the handshakes when it asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.outputs.contract import OutputState
from edge.outputs.handshake import Counts
from edge.outputs.thread import OutputThread

_LABELS = ("output", "camera")
_WORDS = {
    "triggers": "Triggers taken from PLCs.",
    "passed": "Results that were shown as PASS.",
    "rejected": "Results that were shown as REJECT.",
    "no_verdict": "Results that were shown as NO_VERDICT.",
    "late": "Verdicts that came too late to be shown.",
    "refused": "Triggers while the station was at work on another part.",
    "skipped": "Sequence numbers that were left out: triggers or results that were lost.",
    "unacknowledged": "Results that were replaced or withdrawn without an acknowledgement.",
}


class OutputMetrics(Collector):
    """The outputs as they stand.

    Args:
        threads: of the outputs.
    """

    def __init__(self, threads: Sequence[OutputThread]) -> None:
        self._threads = threads

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask while it is being put together."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Every family once."""
        connected = GaugeMetricFamily(
            "lineside_output_connected", "1: the PLC or the broker is there.", labels=["output"]
        )
        for thread in self._threads:
            connected.add_metric([thread.name], float(thread.state is OutputState.CONNECTED))
        yield connected
        for field in dataclasses.fields(Counts):
            family = CounterMetricFamily(f"lineside_output_{field.name}", _WORDS[field.name], labels=_LABELS)
            for thread in self._threads:
                for channel in thread.channels:
                    family.add_metric([thread.name, channel.camera], getattr(channel.state.counts, field.name))
            yield family
