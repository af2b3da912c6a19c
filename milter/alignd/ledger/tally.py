"""Adds up what workers say into batches, within bounds, each message once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from alignd.ledger.answer import NO_DOMAIN, OTHER, Answer, Finding
from alignd.ledger.batch import DAY, HOUR, Batch, CountKey, DomainKey, Seen
from alignd.ledger.ring import NO_QUEUE_ID, Record

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
_SEEN_SECONDS = 60.0
"""How often it is written of a domain that it was seen, while its messages find the same."""
_MOST_TOLD = 50_000  # domains of which it is remembered when that was
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

    def count(self, at: float) -> None:
        self.messages += 1
        if at > self.last:
            self.last = at
        elif at < self.first:
            self.first = at


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
    _told: dict[DomainKey, tuple[Finding, float]] = field(default_factory=dict)
    """What `take` said last of a domain, and when that was seen."""
    _recent: dict[int, tuple[str, float]] = field(default_factory=dict)
    """The author domain and the time of the last message with a queue id."""
    _earlier: dict[int, tuple[str, float]] = field(default_factory=dict)
    """Those before: to forget the oldest one by one would take longer than all else here."""
    _today: tuple[int, int] = (-1, 0)

    def add(self, source: str, record: Record) -> None:
        """Count the message of a *record* from the ring *source*, unless it was counted before."""
        last = self.numbers.get(source, 0)
        if record.number <= last:
            return  # in the file already: who wrote it was killed before it could say so
        self.gaps += record.number - last - 1
        self.numbers[source] = record.number
        hour = int(record.at) // HOUR * HOUR
        cell = self._cells.get((record.payload, hour))
        if cell is not None:
            if not self._is_retry(record, cell.key.domain):
                cell.count(record.at)
            return
        answer = self._decoded(record.payload)
        if answer is None:
            self.malformed += 1
        elif self._is_retry(record, answer.domain):
            return
        elif self.rows >= _HARD_LIMIT:
            self.overflowed += 1
        else:
            self._cell_for(answer, record, hour).count(record.at)

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
        batch = self._failed.merged(Batch(dict(counts), self._news(seen)))
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

    def _news(self, seen: Mapping[DomainKey, Seen]) -> dict[DomainKey, Seen]:
        """What no batch has said a moment ago: of most domains, each would say the same."""
        if len(self._told) + len(seen) > _MOST_TOLD:
            self._told.clear()
        news = {}
        for key, each in seen.items():
            finding, at = self._told.get(key, (None, 0.0))
            is_recent = at - _SEEN_SECONDS < each.first and each.last < at + _SEEN_SECONDS
            if finding != each.finding or not is_recent:
                news[key] = each
                self._told[key] = each.finding, each.last
        return news

    def _cell_for(self, answer: Answer, record: Record, hour: int) -> _Cell:
        finding, at = answer.finding, record.at
        domain = self._domain_of(answer, at)
        key = CountKey(hour, answer.tenant, domain, finding.action, finding.reason)
        if domain == OTHER:
            # Many domains, and so many that nothing may be remembered of each.
            return self._others.setdefault(key, _Cell(key, finding, at, at, has_state=False))
        has_state = domain != NO_DOMAIN and finding.action != _OUT_OF_SCOPE
        cell = _Cell(key, finding, at, at, has_state)
        self._cells[record.payload, hour] = cell
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

    def _is_retry(self, record: Record, domain: str) -> bool:
        if record.queue_id == NO_QUEUE_ID:
            return False
        before = self._recent.get(record.queue_id) or self._earlier.get(record.queue_id)
        if before and before[0] == domain and abs(record.at - before[1]) <= _RETRY_SECONDS:
            return True
        self._recent[record.queue_id] = domain, record.at
        if len(self._recent) >= _QUEUE_IDS:
            self._recent, self._earlier = {}, self._recent
        return False

    def _decoded(self, payload: bytes) -> Answer | None:
        try:
            return Answer.decode(payload)
        except ValueError:
            return None
