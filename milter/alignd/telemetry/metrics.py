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

from alignd.config.option_types import EVENT_NAMES
from alignd.judgement.own_sender import AddressResult
from alignd.judgement.reasons import Failure, Limit, Reason
from alignd.judgement.return_reasons import ReturnReason
from alignd.mailauth.dns import RecordType
from alignd.resolver.resolver import QueryResult
from alignd.telemetry.counters import CounterRow, SharedCounters
from alignd.telemetry.words import (
    ArchiveState,
    BounceResult,
    ChildKind,
    Input,
    LedgerLoss,
    LedgerState,
    LookResult,
    LookupResult,
    Reload,
    ReplyKind,
    ReportOrigin,
    ReportResult,
    Task,
    TellingResult,
    WindowResult,
)

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
    (
        *((reason.action.value, reason.value) for reason in (*Reason, *ReturnReason)),
        _NOT_DECIDED,
    ),
)
_DRY_RUN = MetricFamily(
    "alignd_dry_run_messages_total",
    "Messages left unchanged only because of rules.dry_run.",
)
_RETURN_ADDRESSES = MetricFamily(
    "alignd_return_addresses_total",
    "Rewritten messages, by whether From has a return address, or why not.",
    ("result",),
    _values(AddressResult),
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
_START_FAILURES = MetricFamily(
    "alignd_process_start_failures_total",
    "Processes that could not be started, and are tried again.",
    ("process",),
    _values(ChildKind),
)
_INPUT_READS = MetricFamily(
    "alignd_input_reads_total",
    "Times that what the configuration depends on was read again, by result.",
    ("input", "result"),
    _values(Input, Reload),
)
_INPUT_LAST_READ = MetricFamily(
    "alignd_input_last_read_successful",
    "Whether the last reading succeeded; if not, what was read before stays in force.",
    ("input",),
    _values(Input),
    is_gauge=True,
)
_LINES_DROPPED = MetricFamily(
    "alignd_log_lines_dropped_total",
    "Log lines that nobody took in time, and that were dropped so that mail goes on.",
)
_TASK_FAILURES = MetricFamily(
    "alignd_background_failures_total",
    "Exceptions in the background that were survived: no mail is affected.",
    ("task",),
    _values(Task),
)
_SILENT_NAMESERVERS = MetricFamily(
    "alignd_dns_nameservers_failing",
    "Nameservers that did not answer when they were asked last, over all workers.",
    is_gauge=True,
)
_TROUBLED = MetricFamily(
    "alignd_dns_troubled",
    "Workers that answer known domains from memory because DNS fails or is slow.",
    is_gauge=True,
)
_ARCHIVE_STATE = MetricFamily(
    "alignd_dns_archive_state",
    "The state of the archive of DNS answers: 1 for the one it is in.",
    ("state",),
    _values(ArchiveState),
    is_gauge=True,
)
_ARCHIVE_ANSWERS = MetricFamily(
    "alignd_dns_archive_answers", "DNS answers in the archive.", is_gauge=True
)
_ARCHIVE_DROPPED = MetricFamily(
    "alignd_dns_archive_dropped_total",
    "DNS answers that were not archived: the archive is failing, or too slow.",
)
_CONNECTIONS = MetricFamily(
    "alignd_connections",
    "Open connections to the milter's socket, over all workers.",
    is_gauge=True,
)
_CUT = MetricFamily(
    "alignd_connections_cut_total",
    "Connections that said too little for too long, and were cut.",
)
_LOOKUPS = MetricFamily(
    "alignd_return_lookups_total",
    "Questions of Postfix whose a return address is, by result.",
    ("result",),
    _values(LookupResult),
)
_AT_RECIPIENT = (
    ReturnReason.NO_SUCH_ADDRESS,
    ReturnReason.KEYS_MISSING,
    ReturnReason.BOUNCE_ONLY,
)
_RECIPIENTS_REFUSED = MetricFamily(
    "alignd_return_recipients_refused_total",
    "Recipients that were refused or put off before their message came, by reason.",
    ("reason",),
    tuple((reason.value,) for reason in _AT_RECIPIENT),
)
_BOUNCES = MetricFamily(
    "alignd_return_bounces_total",
    "Bounces to return addresses, by what became of them.",
    ("result",),
    _values(BounceResult),
)
_MAP_MISSING = MetricFamily(
    "alignd_return_map_missing",
    "Whether the process that knows return addresses should run, and does not.",
    is_gauge=True,
)
_LEDGER_STATE = MetricFamily(
    "alignd_ledger_state",
    "The state of the ledger: 1 for the one it is in.",
    ("state",),
    _values(LedgerState),
    is_gauge=True,
)
_LEDGER_WRITTEN = MetricFamily(
    "alignd_ledger_messages_written_total", "Messages that are in the ledger's file."
)
_LEDGER_DROPPED = MetricFamily(
    "alignd_ledger_messages_dropped_total",
    "Messages that the ledger does not count, by cause.",
    ("cause",),
    _values(LedgerLoss),
)
_LEDGER_OTHER = MetricFamily(
    "alignd_ledger_messages_of_other_domains_total",
    "Messages counted under no domain of their own: there are too many new ones.",
)
_LEDGER_WAITING = MetricFamily(
    "alignd_ledger_messages_waiting",
    "Messages that wait to be written to the file, or to the database that relays share.",
    is_gauge=True,
)
_LEDGER_WAITS = MetricFamily(
    "alignd_ledger_oldest_waiting_seconds",
    "For how long the oldest batch has waited for the database that relays share.",
    is_gauge=True,
)
_LEDGER_LOOKS = MetricFamily(
    "alignd_ledger_looks_total",
    "Looks at the records of author domains, by result.",
    ("result",),
    _values(LookResult),
)
_LEDGER_LATE = MetricFamily(
    "alignd_ledger_looks_late_seconds",
    "For how long the domain that is due first has been due.",
    is_gauge=True,
)
_LEDGER_EVENTS = MetricFamily(
    "alignd_ledger_events_total",
    "Events of author domains and relays, by kind.",
    ("kind",),
    tuple((name,) for name in EVENT_NAMES),
)
_LEDGER_TOLD = MetricFamily(
    "alignd_ledger_notifications_total",
    "Attempts to tell somebody of an event, by result.",
    ("result",),
    _values(TellingResult),
)
_LEDGER_UNTOLD = MetricFamily(
    "alignd_ledger_notifications_waiting", "Events that wait to be told.", is_gauge=True
)
_LEDGER_ASKED = MetricFamily(
    "alignd_ledger_questions_total",
    "Connections of those who ask the ledger at its window, by result.",
    ("result",),
    _values(WindowResult),
)
_FEEDBACK = MetricFamily(
    "alignd_feedback_messages_total",
    "Messages that receivers refused as not authenticated, by what that is beside the prediction.",
    ("kind",),
    _values(ReplyKind),
)
_REPORTED = MetricFamily(
    "alignd_reported_messages_total",
    "Messages in DMARC aggregate reports of receivers, by where they are from and their result.",
    ("origin", "result"),
    tuple((origin.value, result.value) for origin in ReportOrigin for result in ReportResult),
)
_REPORTS = MetricFamily(
    "alignd_reports", "DMARC aggregate reports of receivers in the ledger.", is_gauge=True
)
_REPORTS_NEWEST = MetricFamily(
    "alignd_reports_newest_end_timestamp_seconds",
    "The Unix time at which the period of the newest report ends; 0 for none.",
    is_gauge=True,
)
_FAMILIES = (
    *(
        _MESSAGES,
        _DRY_RUN,
        _RETURN_ADDRESSES,
        _FALLBACKS,
        _QUERIES,
        _CACHE_HITS,
        _BREAKERS,
        _TROUBLED,
    ),
    *(_SILENT_NAMESERVERS, _ARCHIVE_STATE, _ARCHIVE_ANSWERS, _ARCHIVE_DROPPED),
    *(_RELOADS, _LAST_RELOAD, _INPUT_READS, _INPUT_LAST_READ),
    *(_WANTED, _READY, _RESTARTS, _START_FAILURES, _CONNECTIONS, _CUT),
    *(_LINES_DROPPED, _TASK_FAILURES, _LOOKUPS, _MAP_MISSING, _RECIPIENTS_REFUSED, _BOUNCES),
    *(_LEDGER_STATE, _LEDGER_WRITTEN, _LEDGER_DROPPED, _LEDGER_OTHER, _LEDGER_WAITING),
    *(_LEDGER_WAITS, _LEDGER_LOOKS, _LEDGER_LATE, _LEDGER_EVENTS, _LEDGER_TOLD, _LEDGER_UNTOLD),
    *(_LEDGER_ASKED, _FEEDBACK, _REPORTED, _REPORTS, _REPORTS_NEWEST),
)
_REPLY_KINDS = {each.value: each for each in ReplyKind}

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


_OTHER_ROWS = (None, ChildKind.MONITOR, ChildKind.ARCHIVE, ChildKind.MAP, ChildKind.LEDGER)
"""The processes besides the workers; None is the supervisor."""


def _column(family: MetricFamily, *values: str) -> int:
    """The column that counts the series with these values of its labels."""
    return _COLUMN[family.name, *values]


class ProcessMetrics:
    """The metrics that one process counts; safe for threads."""

    def __init__(self, row: CounterRow) -> None:
        self._row = row
        # Looked up once here, so that a message costs no more than the additions.
        self._queries = {
            (record_type, result): _column(_QUERIES, record_type.value, result.value)
            for record_type, result in product(RecordType, QueryResult)
        }
        self._cache_hits = _column(_CACHE_HITS)
        self._lookups = {each: _column(_LOOKUPS, each.value) for each in LookupResult}

    def column_of(self, reason: Reason | ReturnReason) -> int:
        """Where messages with this reason are counted, for `answered`."""
        return _column(_MESSAGES, reason.action.value, reason.value)

    def column_of_recipient(self, reason: ReturnReason) -> int:
        """Where recipients are counted that are refused for this reason."""
        return _column(_RECIPIENTS_REFUSED, reason.value)

    def column_of_bounce(self, result: BounceResult) -> int:
        """Where bounces are counted of which this became."""
        return _column(_BOUNCES, result.value)

    @property
    def dry_run_column(self) -> int:
        """Where a message is counted that is left unchanged only because of a dry run."""
        return _column(_DRY_RUN)

    def column_of_address(self, result: AddressResult) -> int:
        """Where rewritten messages with this result are counted."""
        return _column(_RETURN_ADDRESSES, result.value)

    def answered(self, column: int, seconds: float) -> None:
        """Count a message in *column* (see `column_of`), answered after *seconds*."""
        bucket = _FIRST_BUCKET + bisect_left(BUCKETS, seconds)
        self._row.add_sample(column, bucket, _SECONDS, seconds)

    def count(self, *columns: int) -> None:
        self._row.add(*columns)

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

    def refresh_failed(self) -> None:
        self.task_failed(Task.DNS_REFRESH)

    def probe_failed(self) -> None:
        self.task_failed(Task.DNS_PROBE)

    def set_breaker(self, *, is_open: bool) -> None:
        """Set the gauge of this worker's DNS circuit breaker."""
        self._row.set(_column(_BREAKERS), is_open)

    def set_troubled(self, *, is_troubled: bool) -> None:
        """Set whether this worker answers known domains from memory because DNS is bad."""
        self._row.set(_column(_TROUBLED), is_troubled)

    def set_failing_nameservers(self, number: int) -> None:
        self._row.set(_column(_SILENT_NAMESERVERS), number)

    def set_connections(self, number: int) -> None:
        """Set how many connections are open, from accept(2) on."""
        self._row.set(_column(_CONNECTIONS), number)

    def connection_cut(self) -> None:
        self._row.add(_column(_CUT))

    def line_dropped(self) -> None:
        """Count a log line that was dropped."""
        self._row.add(_column(_LINES_DROPPED))

    def task_failed(self, task: Task) -> None:
        """Count an exception of a thread in the background, which goes on."""
        self._row.add(_column(_TASK_FAILURES, task.value))

    def answer_not_archived(self) -> None:
        self._row.add(_column(_ARCHIVE_DROPPED))

    def set_archive(self, state: ArchiveState, answers: int) -> None:
        """Set the state of the archive and its number of answers, in the process that owns it."""
        for each in ArchiveState:
            self._row.set(_column(_ARCHIVE_STATE, each.value), each is state)
        self._row.set(_column(_ARCHIVE_ANSWERS), answers)

    def looked_up(self, result: LookupResult) -> None:
        """Count a question of Postfix, in the map."""
        self._row.add(self._lookups[result])

    def set_ledger(self, state: LedgerState) -> None:
        """Set the state of the ledger, in the process that owns it."""
        for each in LedgerState:
            self._row.set(_column(_LEDGER_STATE, each.value), each is state)

    def ledger_wrote(self, messages: int, of_other_domains: int) -> None:
        self._row.increase(_column(_LEDGER_WRITTEN), messages)
        self._row.increase(_column(_LEDGER_OTHER), of_other_domains)

    def ledger_lost(self, why: LedgerLoss, messages: int = 1) -> None:
        self._row.increase(_column(_LEDGER_DROPPED, why.value), messages)

    def set_ledger_waiting(self, messages: int, oldest_seconds: float) -> None:
        """Set what is not yet where it belongs, and for how long the oldest of it is not."""
        self._row.set(_column(_LEDGER_WAITING), messages)
        self._row.set(_column(_LEDGER_WAITS), oldest_seconds)

    def ledger_looked(self, result: LookResult) -> None:
        self._row.add(_column(_LEDGER_LOOKS, result.value))

    def set_ledger_late(self, seconds: float) -> None:
        self._row.set(_column(_LEDGER_LATE), seconds)

    def ledger_event(self, kind: str, events: int = 1) -> None:
        """Count events, by the word of their kind."""
        self._row.increase(_column(_LEDGER_EVENTS, kind), events)

    def ledger_told(self, result: TellingResult, events: int = 1) -> None:
        self._row.increase(_column(_LEDGER_TOLD, result.value), events)

    def ledger_asked(self, result: WindowResult) -> None:
        self._row.add(_column(_LEDGER_ASKED, result.value))

    def set_ledger_untold(self, events: int) -> None:
        self._row.set(_column(_LEDGER_UNTOLD), events)

    def receivers_replied(self, kind: str, messages: int) -> None:
        """Count messages that receivers refused, by the word of `alignd feedback`."""
        known = _REPLY_KINDS.get(kind, ReplyKind.UNKNOWN)
        self._row.increase(_column(_FEEDBACK, known.value), messages)

    def receivers_reported(self, origin: str, result: str, messages: int) -> None:
        """Count messages that are reported, by the words of `alignd reports`.

        Mail of others is not counted, nor what a later alignd has another word for.
        """
        if (origin, result) in _REPORTED.series:
            self._row.increase(_column(_REPORTED, origin, result), messages)

    def set_reports(self, reports: int, newest: float) -> None:
        """Set how many reports are in the ledger, and when the newest of them ends."""
        self._row.set(_column(_REPORTS), reports)
        self._row.set(_column(_REPORTS_NEWEST), newest)

    def reset_gauges(self) -> None:
        """Set what describes a process, and not what it has done, to 0: it has ended."""
        for family in _FAMILIES:
            for values in family.series if family.is_gauge else ():
                self._row.set(_column(family, *values), 0)

    def read_input(self, which: Input, result: Reload) -> None:
        """Count that *which* was read again, in the supervisor."""
        self._row.add(_column(_INPUT_READS, which.value, result.value))
        self._row.set(_column(_INPUT_LAST_READ, which.value), result is Reload.DONE)

    def start_failed(self, kind: ChildKind) -> None:
        """Count a process that could not be started, in the supervisor."""
        self._row.add(_column(_START_FAILURES, kind.value))


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of the service, as its supervisor writes it and the monitor reads it."""

    workers_wanted: int
    workers_ready: int
    is_ending: bool
    updated: float
    """The monotonic time at which the supervisor wrote it."""
    map_is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """What the metrics say of the service itself, since its start."""

    worker_restarts: int
    last_reload: Reload
    refused_inputs: tuple[Input, ...]
    """Those whose last reading was refused."""
    archive: ArchiveState
    archive_answers: int
    archive_dropped: int
    log_lines_dropped: int
    background_failures: int


class Metrics:
    """The metrics of all processes; made by the supervisor before it forks any."""

    def __init__(self, workers: int) -> None:
        self._counters = SharedCounters(workers + len(_OTHER_ROWS), _COLUMNS)
        self._others = {
            kind: self._counters.row(workers + number) for number, kind in enumerate(_OTHER_ROWS)
        }
        self._own = self._others[None]
        self._own.set(_column(_LAST_RELOAD), 1)
        for each in Input:
            self._own.set(_column(_INPUT_LAST_READ, each.value), 1)

    def of_worker(self, number: int) -> ProcessMetrics:
        """The metrics of worker *number*, from 0; its replacement continues them."""
        return ProcessMetrics(self._counters.row(number))

    def of_supervisor(self) -> ProcessMetrics:
        return ProcessMetrics(self._own)

    def of_monitor(self) -> ProcessMetrics:
        return ProcessMetrics(self._others[ChildKind.MONITOR])

    def of_archive(self) -> ProcessMetrics:
        """The metrics of the process that owns the archive."""
        return ProcessMetrics(self._others[ChildKind.ARCHIVE])

    def of_ledger(self) -> ProcessMetrics:
        """The metrics of the process that owns the ledger."""
        return ProcessMetrics(self._others[ChildKind.LEDGER])

    def of_map(self) -> ProcessMetrics:
        return ProcessMetrics(self._others[ChildKind.MAP])

    def reloaded(self, result: Reload) -> None:
        self._own.add(_column(_RELOADS, result.value))
        self._own.set(_column(_LAST_RELOAD), result is Reload.DONE)

    def worker_ended(self, number: int) -> None:
        """Reset the gauges of worker *number*; its counters stay."""
        self.of_worker(number).reset_gauges()

    def worker_replaced(self) -> None:
        self._own.add(_column(_RESTARTS))

    def write_state(self, state: ServiceState) -> None:
        self._own.set(_column(_WANTED), state.workers_wanted)
        self._own.set(_column(_READY), state.workers_ready)
        self._own.set(_ENDING, state.is_ending)
        self._own.set(_UPDATED, state.updated)
        self._own.set(_column(_MAP_MISSING), state.map_is_missing)

    def read_state(self) -> ServiceState:
        return ServiceState(
            int(self._counters.sum(_column(_WANTED))),
            int(self._counters.sum(_column(_READY))),
            bool(self._counters.sum(_ENDING)),
            self._counters.sum(_UPDATED),
            bool(self._sum(_MAP_MISSING)),
        )

    def health(self) -> Health:
        archive = {each: self._sum(_ARCHIVE_STATE, each.value) for each in ArchiveState}
        return Health(
            worker_restarts=self._sum(_RESTARTS),
            last_reload=_result(self._sum(_LAST_RELOAD)),
            refused_inputs=tuple(self.refused_inputs()),
            archive=next((each for each, is_so in archive.items() if is_so), ArchiveState.OPENING),
            archive_answers=self._sum(_ARCHIVE_ANSWERS),
            archive_dropped=self._sum(_ARCHIVE_DROPPED),
            log_lines_dropped=self._sum(_LINES_DROPPED),
            background_failures=sum(self._sum(_TASK_FAILURES, each.value) for each in Task),
        )

    def refused_inputs(self) -> list[Input]:
        """What was refused when it was read last, so that what was read before is in force."""
        columns = {each: _column(_INPUT_LAST_READ, each.value) for each in Input}
        return [each for each, column in columns.items() if not self._counters.sum(column)]

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

    def _sum(self, family: MetricFamily, *values: str) -> int:
        return int(self._counters.sum(_column(family, *values)))


def _result(is_successful: int) -> Reload:
    return Reload.DONE if is_successful else Reload.REFUSED
