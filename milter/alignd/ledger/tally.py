"""Adds up what workers say into batches, within bounds, each message once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from alignd.ledger.answer import NO_DOMAIN, OTHER, Answer, Finding
from alignd.ledger.batch import DAY, HOUR, Batch, CountKey, DomainKey, Seen
from alignd.ledger.ring import NO_QUEUE_ID, Record, Records

NEW_DOMAINS_A_DAY = 5_000
"""Domains that get rows of their own in a day; what comes beyond is counted as OTHER."""
MAX_DOMAINS = 200_000
"""Domains that have rows of their own at a time: those of two years, if need be."""
MAX_ROWS = 50_000
"""Of what waits to be written; what comes beyond is counted as OTHER, and then not at all."""
_HARD_LIMIT = 2 * MAX_ROWS
_QUEUE_IDS = 25_000  # at least so many of the last messages are not counted again
_RETRY_SECONDS = 60.0
"""Postfix gives a queue id again to a file with the inode and the microsecond of an earlier one:
among 50,000 of one inode, each message would meet its like with a probability of 5 %."""
_OUT_OF_SCOPE = "skip"  # Action.SKIP: no helpdesk's, and so no domain of a customer


@dataclass(slots=True)
class _Cell:
    """Messages of one hour that are alike."""

    key: CountKey
    finding: Finding
    first: float
    last: float
    has_state: bool
    messages: int = 0

    def count(self, messages: int, first: float, last: float) -> None:
        self.messages += messages
        self.first, self.last = min(self.first, first), max(self.last, last)


@dataclass(slots=True)
class Tally:
    """What waits to be written; its owner calls it from one thread at a time."""

    admitted: dict[str, int]
    """The domains that have rows of their own, and the day on which each got them."""
    numbers: dict[str, int]
    """The number of the last message of each ring that was counted."""
    gaps: int = 0
    """Messages that were lost before they were counted."""
    malformed: int = 0
    overflowed: int = 0
    """Messages that are not counted because too much waits already."""
    _cells: dict[tuple[bytes, int], _Cell] = field(default_factory=dict)
    """By what was said and the hour: most messages are like one before, and are not decoded."""
    _others: dict[CountKey, _Cell] = field(default_factory=dict)
    """Those of domains without rows of their own."""
    _failed: Batch = field(default_factory=Batch)
    """What could not be written."""
    _newly_admitted: dict[str, int] = field(default_factory=dict)
    _recent: dict[int, tuple[bytes, float]] = field(default_factory=dict)
    """The payload and the time of the last message with a queue id."""
    _earlier: dict[int, tuple[bytes, float]] = field(default_factory=dict)
    """Those before: to forget the oldest one by one would take longer than all else here."""
    _today: tuple[int, int] = (-1, 0)

    def add(self, source: str, records: Records) -> None:
        """Count the messages of the ring *source* that were not counted before."""
        if self._is_plain(source, records):
            self._note_numbers(source, records.numbers[0], records.numbers[-1])
            self._add_all(records)
            return
        for record in records:
            if record.number <= self.numbers.get(source, 0):
                continue  # in the file already: who wrote it was killed before it could say so
            self._note_numbers(source, record.number, record.number)
            if not self._is_retry(record):
                self._count(record.payload, 1, record.at, record.at)

    def _is_plain(self, source: str, records: Records) -> bool:
        """Whether none of *records* is missing, was counted, or may be a retry, as nearly always.

        Then they can be counted together, each payload once.
        """
        if not records:
            return False
        numbers, queue_ids, times = records.numbers, set(records.queue_ids), records.times
        return (
            numbers[0] > self.numbers.get(source, 0)
            and numbers[-1] - numbers[0] + 1 == len(numbers)
            and len(queue_ids) == len(numbers)
            and NO_QUEUE_ID not in queue_ids
            and queue_ids.isdisjoint(self._recent)
            and queue_ids.isdisjoint(self._earlier)
            and _hour_of(min(times)) == _hour_of(max(times))
        )

    def _note_numbers(self, source: str, first: int, last: int) -> None:
        self.gaps += first - self.numbers.get(source, 0) - 1
        self.numbers[source] = last

    def _add_all(self, records: Records) -> None:
        payloads, times = records.payloads, records.times
        first = dict(zip(reversed(payloads), reversed(times), strict=True))
        last = dict(zip(payloads, times, strict=True))
        for payload, messages in Counter(payloads).items():
            self._count(payload, messages, first[payload], last[payload])
        self._recent.update(zip(records.queue_ids, zip(payloads, times, strict=True), strict=True))
        self._forget_early_ones()

    def _count(self, payload: bytes, messages: int, first: float, last: float) -> None:
        hour = _hour_of(last)
        cell = self._cells.get((payload, hour))
        if cell is None:
            answer = self._decoded(payload)
            if answer is None:
                self.malformed += messages
                return
            if self.rows >= _HARD_LIMIT:
                self.overflowed += messages
                return
            cell = self._cell_for(answer, payload, first, hour)
        cell.count(messages, first, last)

    @property
    def rows(self) -> int:
        """How much waits, at most."""
        return self._failed.rows + 2 * len(self._cells) + len(self._others)

    @property
    def messages(self) -> int:
        cells = (*self._cells.values(), *self._others.values())
        return self._failed.messages + sum(cell.messages for cell in cells)

    def take(self) -> tuple[Batch, Mapping[str, int]]:
        """What waits, and the domains that have got rows since the last call."""
        counts: Counter[CountKey] = Counter()
        seen: dict[DomainKey, Seen] = {}
        cells = (*self._cells.values(), *self._others.values())
        for cell in sorted(cells, key=lambda each: each.last):
            counts[cell.key] += cell.messages
            if cell.has_state:
                key = DomainKey(cell.key.tenant, cell.key.domain)
                first = min(cell.first, seen[key].first) if key in seen else cell.first
                seen[key] = Seen(cell.finding, first, cell.last)
        batch = self._failed.merged(Batch(dict(counts), seen))
        admitted = self._newly_admitted
        self._cells, self._others, self._failed, self._newly_admitted = {}, {}, Batch(), {}
        return batch, admitted

    def put_back(self, batch: Batch, admitted: Mapping[str, int]) -> None:
        """Have what could not be written wait again, before what came since."""
        self._failed = batch.merged(self._failed)
        self._newly_admitted = {**admitted, **self._newly_admitted}

    def admit_again(self, known: Mapping[str, int]) -> None:
        """Have those that are not *known* to the file, which may be another one now, written."""
        missing = {name: day for name, day in self.admitted.items() if name not in known}
        self._newly_admitted.update(missing)

    def _cell_for(self, answer: Answer, payload: bytes, at: float, hour: int) -> _Cell:
        finding = answer.finding
        domain = self._domain_of(answer, at)
        key = CountKey(hour, answer.tenant, domain, finding.action, finding.reason)
        if domain == OTHER:
            # Many domains, and so many that nothing may be remembered of each.
            return self._others.setdefault(key, _Cell(key, finding, at, at, has_state=False))
        has_state = domain != NO_DOMAIN and finding.action != _OUT_OF_SCOPE
        cell = _Cell(key, finding, at, at, has_state)
        self._cells[payload, hour] = cell
        return cell

    def _domain_of(self, answer: Answer, at: float) -> str:
        domain = answer.domain
        if domain == NO_DOMAIN:
            return domain
        if self.rows >= MAX_ROWS:
            return OTHER
        if domain in self.admitted:
            return domain
        today = int(at) // DAY * DAY
        if len(self.admitted) >= MAX_DOMAINS or self._admitted_on(today) >= NEW_DOMAINS_A_DAY:
            return OTHER
        self.admitted[domain] = self._newly_admitted[domain] = today
        self._today = (today, self._admitted_on(today) + 1)
        return domain

    def _admitted_on(self, day: int) -> int:
        if self._today[0] != day:
            self._today = (day, sum(each == day for each in self.admitted.values()))
        return self._today[1]

    def _is_retry(self, record: Record) -> bool:
        if record.queue_id == NO_QUEUE_ID:
            return False
        before = self._recent.get(record.queue_id) or self._earlier.get(record.queue_id)
        if before is not None and abs(record.at - before[1]) <= _RETRY_SECONDS:
            answers = self._decoded(before[0]), self._decoded(record.payload)
            domains = {answer and answer.domain for answer in answers}
            if len(domains) == 1:
                return True
        self._recent[record.queue_id] = record.payload, record.at
        self._forget_early_ones()
        return False

    def _forget_early_ones(self) -> None:
        if len(self._recent) >= _QUEUE_IDS:
            self._recent, self._earlier = {}, self._recent

    def _decoded(self, payload: bytes) -> Answer | None:
        try:
            return Answer.decode(payload)
        except ValueError:
            return None


def _hour_of(at: float) -> int:
    return int(at) // HOUR * HOUR
