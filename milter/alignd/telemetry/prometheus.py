"""Renders the metrics in the text format of Prometheus."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from math import inf

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from alignd.telemetry.metrics import Metrics

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition(metrics: Metrics, running: str) -> bytes:
    """The current values of *metrics*, and the versions that run: *running* is alignd's."""
    return generate_latest(_Snapshot(metrics, running))


class _Snapshot(Collector):
    def __init__(self, metrics: Metrics, running: str) -> None:
        self._metrics = metrics
        self._running = running

    def collect(self) -> Iterator[Metric]:
        for family, numbers in self._metrics.families():
            kind = GaugeMetricFamily if family.is_gauge else CounterMetricFamily
            metric = kind(family.name, family.help_text, labels=family.labels)
            for values, number in numbers.items():
                metric.add_metric(values, number)
            yield metric
        within, seconds = self._metrics.decision_time()
        yield HistogramMetricFamily(
            "alignd_decision_seconds",
            "Seconds from the end of a message to the answer: DNS, decision and changes.",
            buckets=[
                ("+Inf" if bound == inf else str(bound), number)
                for bound, number in within.items()
            ],
            sum_value=seconds,
        )
        build = GaugeMetricFamily(
            "alignd_build_info",
            "The version of alignd and of its Python.",
            labels=("version", "python"),
        )
        build.add_metric((self._running, platform.python_version()), 1)
        yield build
