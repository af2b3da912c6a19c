"""The metrics of the service, summed over all its processes.

Every value of every label is known in advance: none names a domain or an address.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, product
from math import inf

from alignd.judgement.reasons import Failure, Limit, Reason
from alignd.mailauth.dns import RecordType
from alignd.resolver.resolver import QueryResult
from alignd.telemetry.counters import CounterRow, SharedCounters

BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0),
)
"""Upper bounds of the decision time in seconds: 1 ms with DNS cached, at worst dns.timeout."""


class Degraded(Enum):
    """Degraded handling that has no word in the log."""

    LAST_KNOWN_ANSWER = "last-known-answer"
    """DNS failed, and the last known answer was used."""
    MAX_CONNECTIONS = "max_connections"
    """A connection was refused."""


Cause = Degraded | Failure | Limit | Reason
"""What degraded handling is counted by."""
CAUSES: tuple[Cause, ...] = (
    Degraded.LAST_KNOWN_ANSWER,
    Reason.INTERNAL_ERROR,
    Failure.TEMPFAIL,
    Degraded.MAX_CONNECTIONS,
    *Limit,
)


class Reload(Enum):
    """The result of a reload."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric: one series for each combination of the values of its labels."""

    name: str
    help_text: str
    labels: tuple[str, ...] = ()
    series: tuple[tuple[str, ...], ...] = ((),)
    is_gauge: bool = False


def _values(*sets: type[Enum]) -> tuple[tuple[str, ...], ...]:
    return tuple(product(*([each.value for each in members] for members in sets)))


_NOT_DECIDED = (Failure.TEMPFAIL.value, Reason.INTERNAL_ERROR.value)
_MESSAGES = MetricFamily(
    "alignd_messages_total",
    "Messages, by action and reason, in the words of the log.",
    ("action", "reason"),
    (*((reason.action.value, reason.value) for reason in Reason), _NOT_DECIDED),
)
_DRY_RUN = MetricFamily(
    "alignd_dry_run_messages_total",
    "Messages left unchanged only because of rules.dry_run.",
)
_FALLBACKS = MetricFamily(
    "alignd_fallbacks_total",
    "Degraded handling, by cause.",
    ("cause",),
    tuple((cause.value,) for cause in CAUSES),
)
_QUERIES = MetricFamily(
    "alignd_dns_queries_total",
    "DNS queries to the nameservers, by record type and result.",
    ("type", "result"),
    _values(RecordType, QueryResult),
)
_CACHE_HITS = MetricFamily(
    "alignd_dns_cache_hits_total", "DNS questions answered from the cache, without a query."
)
_BREAKERS = MetricFamily(
    "alignd_dns_breakers_open",
    "Workers whose DNS circuit breaker is open.",
    is_gauge=True,
)
_RELOADS = MetricFamily(
    "alignd_configuration_reloads_total",
    "Reloads of the configuration, by result.",
    ("result",),
    _values(Reload),
)
_LAST_RELOAD = MetricFamily(
    "alignd_configuration_last_reload_successful",
    "Whether the last reload succeeded; if not, the old configuration stays in force.",
    is_gauge=True,
)
_WANTED = MetricFamily("alignd_workers_wanted", "Workers that should be ready.", is_gauge=True)
_READY = MetricFamily("alignd_workers_ready", "Workers that are ready for mail.", is_gauge=True)
_RESTARTS = MetricFamily(
    "alignd_worker_restarts_total", "Workers started to replace one that ended."
)
_FAMILIES = (
    *(_MESSAGES, _DRY_RUN, _FALLBACKS, _QUERIES, _CACHE_HITS, _BREAKERS),
    *(_RELOADS, _LAST_RELOAD, _WANTED, _READY, _RESTARTS),
)

_COLUMN = {
    key: column
    for column, key in enumerate(
        (family.name, *values) for family in _FAMILIES for values in family.series
    )
}
_FIRST_BUCKET = len(_COLUMN)
_SECONDS = _FIRST_BUCKET + len(BUCKETS) + 1  # after the bucket without an upper bound
_UPDATED = _SECONDS + 1
_ENDING = _UPDATED + 1
_COLUMNS = _ENDING + 1


def _column(family: MetricFamily, *values: str) -> int:
    """The column that counts the series with these values of its labels."""
    return _COLUMN[family.name, *values]


class WorkerMetrics:
    """The metrics that one worker counts; safe for threads."""

    def __init__(self, row: CounterRow) -> None:
        self._row = row
        # Looked up once here, so that a message costs no more than the additions.
        self._queries = {
            (record_type, result): _column(_QUERIES, record_type.value, result.value)
            for record_type, result in product(RecordType, QueryResult)
        }
        self._cache_hits = _column(_CACHE_HITS)

    def column_of(self, reason: Reason) -> int:
        """Where messages with this reason are counted, for `answered`."""
        return _column(_MESSAGES, reason.action.value, reason.value)

    def answered(self, column: int, seconds: float) -> None:
        """Count a message in *column* (see `column_of`), answered after *seconds*."""
        bucket = _FIRST_BUCKET + bisect_left(BUCKETS, seconds)
        self._row.add_sample(column, bucket, _SECONDS, seconds)

    def left_alone(self) -> None:
        """Count a message left unchanged only because of a dry run."""
        self._row.add(_column(_DRY_RUN))

    def failed(self) -> None:
        """Count a message that was refused with a temporary failure because of a bug."""
        self._row.add(_column(_MESSAGES, *_NOT_DECIDED))
        self.degraded(Failure.TEMPFAIL)

    def degraded(self, cause: Cause) -> None:
        self._row.add(_column(_FALLBACKS, cause.value))

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        self._row.add(self._queries[record_type, result])

    def hit_cache(self) -> None:
        self._row.add(self._cache_hits)

    def used_last_known(self) -> None:
        self.degraded(Degraded.LAST_KNOWN_ANSWER)

    def set_breaker(self, *, is_open: bool) -> None:
        """Set the gauge of this worker's DNS circuit breaker."""
        self._row.set(_column(_BREAKERS), is_open)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of the service, as its supervisor writes it and the monitor reads it."""

    workers_wanted: int
    workers_ready: int
    is_ending: bool
    updated: float
    """The monotonic time at which the supervisor wrote it."""


class Metrics:
    """The metrics of all processes; made by the supervisor before it forks any."""

    def __init__(self, workers: int) -> None:
        self._counters = SharedCounters(workers + 1, _COLUMNS)
        self._own = self._counters.row(workers)
        self._own.set(_column(_LAST_RELOAD), 1)

    def of_worker(self, number: int) -> WorkerMetrics:
        """The metrics of worker *number*, from 0; its replacement continues them."""
        return WorkerMetrics(self._counters.row(number))

    def reloaded(self, result: Reload) -> None:
        self._own.add(_column(_RELOADS, result.value))
        self._own.set(_column(_LAST_RELOAD), result is Reload.DONE)

    def worker_ended(self, number: int) -> None:
        """Reset the gauges of worker *number*; its counters stay."""
        self._counters.row(number).set(_column(_BREAKERS), False)

    def worker_replaced(self) -> None:
        self._own.add(_column(_RESTARTS))

    def write_state(self, state: ServiceState) -> None:
        self._own.set(_column(_WANTED), state.workers_wanted)
        self._own.set(_column(_READY), state.workers_ready)
        self._own.set(_ENDING, state.is_ending)
        self._own.set(_UPDATED, state.updated)

    def read_state(self) -> ServiceState:
        return ServiceState(
            int(self._counters.sum(_column(_WANTED))),
            int(self._counters.sum(_column(_READY))),
            bool(self._counters.sum(_ENDING)),
            self._counters.sum(_UPDATED),
        )

    def families(self) -> Iterator[tuple[MetricFamily, dict[tuple[str, ...], float]]]:
        """Every family, with the value of each series by the values of its labels.

        A series begins at 0, before its first event, so that rate() and increase() see that one.
        """
        for family in _FAMILIES:
            yield (
                family,
                {values: self._counters.sum(_column(family, *values)) for values in family.series},
            )

    def decision_time(self) -> tuple[dict[float, float], float]:
        """How many messages took at most each of BUCKETS and infinity, and the sum of seconds."""
        bounds = (*BUCKETS, inf)
        numbers = (self._counters.sum(_FIRST_BUCKET + place) for place in range(len(bounds)))
        within = dict(zip(bounds, accumulate(numbers), strict=True))
        return within, self._counters.sum(_SECONDS)
