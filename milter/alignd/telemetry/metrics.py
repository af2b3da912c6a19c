"""What the service counts and measures, over all its processes.

All values of all labels are known beforehand: none names a domain or an address.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, product
from math import inf

from alignd.judgement.decision import Decision
from alignd.judgement.reasons import ENTRIES, Action, Failure, Limit, Reason, Rule
from alignd.mailauth.dns import RecordType
from alignd.resolver.resolver import QueryResult
from alignd.telemetry.counters import CounterRow, SharedCounters

BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0),
)
"""Upper bounds of the decision time in seconds: with DNS in memory 1 ms, at worst dns.timeout."""


class Fallback(Enum):
    """What was done in place of the ordinary; the values are the words of the log."""

    LAST_KNOWN_ANSWER = "last-known-answer"
    """DNS failed, and a question was answered as the last time."""
    INTERNAL_ERROR = Reason.INTERNAL_ERROR.value
    """A message could not be judged, and was rewritten."""
    TEMPFAIL = Failure.TEMPFAIL.value
    """A message got a temporary failure: whoever sent it has to try again."""
    MAX_CONNECTIONS = "max_connections"
    """A session was refused."""
    MAX_HEADER_BYTES = Limit.HEADER.value
    """A header was kept in part."""
    MAX_BODY_BYTES = Limit.BODY.value
    """A body was not kept, so signatures on it count for nothing."""


class Reload(Enum):
    """What became of a reload."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Family:
    """The series of one name: one for each combination of the values of its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    series: tuple[tuple[str, ...], ...] = ((),)
    is_gauge: bool = False


def _values(*sets: type[Enum]) -> tuple[tuple[str, ...], ...]:
    return tuple(product(*([each.value for each in members] for members in sets)))


_NOT_DECIDED = (Failure.TEMPFAIL.value, Reason.INTERNAL_ERROR.value)
_MESSAGES = Family(
    "alignd_messages_total",
    "Messages by what was done and why, in the words of the log.",
    ("action", "reason"),
    (*_values(Action, Reason), _NOT_DECIDED),
)
_DRY_RUN = Family(
    "alignd_dry_run_messages_total",
    "Messages that would have been changed, and were not because of rules.dry_run.",
)
_FALLBACKS = Family(
    "alignd_fallbacks_total",
    "Departures from the ordinary, by cause.",
    ("cause",),
    _values(Fallback),
)
_QUERIES = Family(
    "alignd_dns_queries_total",
    "Questions to nameservers, by record type and by what came of them.",
    ("type", "result"),
    _values(RecordType, QueryResult),
)
_CACHE_HITS = Family(
    "alignd_dns_cache_hits_total", "Questions answered from memory, which asked no nameserver."
)
_BREAKERS = Family(
    "alignd_dns_breakers_open",
    "Workers that hold DNS for down, and ask it nothing but whether it is back.",
    is_gauge=True,
)
_RELOADS = Family(
    "alignd_configuration_reloads_total",
    "Reloads of the configuration, by what became of them.",
    ("result",),
    _values(Reload),
)
_LAST_RELOAD = Family(
    "alignd_configuration_last_reload_successful",
    "Whether the configuration in force is the file as it was at the last reload.",
    is_gauge=True,
)
_WANTED = Family("alignd_workers_wanted", "Workers that should run.", is_gauge=True)
_READY = Family("alignd_workers_ready", "Workers that serve.", is_gauge=True)
_RESTARTS = Family(
    "alignd_worker_restarts_total", "Workers that were started in place of one that ended."
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
_SECONDS = _FIRST_BUCKET + len(BUCKETS) + 1  # behind the bucket of what takes longer
_LAST_SIGN = _SECONDS + 1
_ENDING = _LAST_SIGN + 1
_COLUMNS = _ENDING + 1


def _column(family: Family, *values: str) -> int:
    """Where the series with these values of its labels is counted."""
    return _COLUMN[family.name, *values]


class WorkerMetrics:
    """What one worker counts, on the way of each message; safe for threads."""

    def __init__(self, row: CounterRow) -> None:
        self._row = row
        # Looked up here once: a message takes no other time than that of the additions.
        self._queries = {
            (record_type, result): _column(_QUERIES, record_type.value, result.value)
            for record_type, result in product(RecordType, QueryResult)
        }
        self._cache_hits = _column(_CACHE_HITS)

    def column_of(self, decision: Decision) -> int:
        """Where messages with this decision are counted, for `answered`."""
        return _column(_MESSAGES, decision.action.value, decision.reason.value)

    def answered(self, column: int, seconds: float) -> None:
        """Count a message in *column*, which was decided on and answered within *seconds*."""
        bucket = _FIRST_BUCKET + bisect_left(BUCKETS, seconds)
        self._row.add_sample(column, bucket, _SECONDS, seconds)

    def left_alone(self) -> None:
        """Count a message that would have been changed, but for a dry run."""
        self._row.add(_column(_DRY_RUN))

    def failed(self) -> None:
        """Count a message that got a temporary failure for an error of ours."""
        self._row.add(_column(_MESSAGES, *_NOT_DECIDED))
        self.fell_back(Fallback.TEMPFAIL)

    def fell_back(self, cause: Fallback) -> None:
        """Count a departure from the ordinary."""
        self._row.add(_column(_FALLBACKS, cause.value))

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        self._row.add(self._queries[record_type, result])

    def hit_cache(self) -> None:
        self._row.add(self._cache_hits)

    def used_last_known(self) -> None:
        self.fell_back(Fallback.LAST_KNOWN_ANSWER)

    def dns_is_down(self, is_down: bool) -> None:
        """Say whether this worker holds DNS for down."""
        self._row.set(_column(_BREAKERS), is_down)


@dataclass(frozen=True, slots=True)
class Life:
    """How the service is, as its supervisor sees it."""

    workers_wanted: int
    workers_ready: int
    is_ending: bool
    last_sign: float
    """The monotonic time at which the supervisor said so."""


class Metrics:
    """The numbers of all processes; made by the supervisor before it forks any."""

    def __init__(self, workers: int) -> None:
        self._counters = SharedCounters(workers + 1, _COLUMNS)
        self._own = self._counters.row(workers)
        self._own.set(_column(_LAST_RELOAD), 1)

    def of_worker(self, number: int) -> WorkerMetrics:
        """What the worker in that place counts, 0 is the first; it goes on where another ended."""
        return WorkerMetrics(self._counters.row(number))

    def reloaded(self, result: Reload) -> None:
        """Count a reload."""
        self._own.add(_column(_RELOADS, result.value))
        self._own.set(_column(_LAST_RELOAD), result is Reload.DONE)

    def worker_ended(self, number: int) -> None:
        """Forget what the worker in that place held for true; what it counted stays."""
        self._counters.row(number).set(_column(_BREAKERS), False)

    def worker_replaced(self) -> None:
        """Count a worker that was started in place of another."""
        self._own.add(_column(_RESTARTS))

    def show_life(self, life: Life) -> None:
        """Show how the service is."""
        self._own.set(_column(_WANTED), life.workers_wanted)
        self._own.set(_column(_READY), life.workers_ready)
        self._own.set(_ENDING, life.is_ending)
        self._own.set(_LAST_SIGN, life.last_sign)

    def life(self) -> Life:
        """How the service was when it was shown last."""
        return Life(
            int(self._counters.sum(_column(_WANTED))),
            int(self._counters.sum(_column(_READY))),
            bool(self._counters.sum(_ENDING)),
            self._counters.sum(_LAST_SIGN),
        )

    def families(self) -> Iterator[tuple[Family, dict[tuple[str, ...], float]]]:
        """Every family, with the number of each series by the values of its labels.

        A series is there before it counts, so that a rate sees its first step.
        """
        for family in _FAMILIES:
            numbers = {
                values: self._counters.sum(_column(family, *values)) for values in family.series
            }
            if family is _MESSAGES:
                numbers = {
                    pair: number for pair, number in numbers.items() if number or pair in _POSSIBLE
                }
            yield family, numbers

    def decision_time(self) -> tuple[dict[float, float], float]:
        """How many messages took at most each of BUCKETS, and infinity; and all their seconds."""
        bounds = (*BUCKETS, inf)
        numbers = (self._counters.sum(_FIRST_BUCKET + place) for place in range(len(bounds)))
        within = dict(zip(bounds, accumulate(numbers), strict=True))
        return within, self._counters.sum(_SECONDS)


_ACTIONS = {
    Rule.SCOPE: Action.SKIP,
    Rule.EXEMPT: Action.PASS,
    Rule.ALIGNED: Action.PASS,
    Rule.OURS: Action.PASS,
    Rule.OTHERWISE: Action.PASS,
    Rule.ENVELOPE: Action.ENVELOPE,
}
"""What the rules do; all others rewrite."""


def _action_of(reason: Reason) -> Action:
    rule = ENTRIES[reason].rule
    return _ACTIONS.get(rule, Action.REWRITE) if rule else Action.REWRITE


_POSSIBLE = {(_action_of(reason).value, reason.value) for reason in Reason} | {_NOT_DECIDED}
"""The actions and reasons that go together; another pair is shown once it counts."""
