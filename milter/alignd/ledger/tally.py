"""Adds up what workers say into batches, within bounds, each message once."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from alignd.ledger.answer import NO_DOMAIN, OTHER, Answer
from alignd.ledger.batch import DAY, HOUR, Batch, CountKey, DomainKey, Seen
from alignd.ledger.ring import NO_QUEUE_ID, Record

NEW_DOMAINS_A_DAY = 5_000
"""Domains that get rows of their own in a day; what comes beyond is counted as OTHER."""
MAX_DOMAINS = 200_000
"""Domains that have rows of their own at a time: those of two years, if need be."""
MAX_ROWS = 50_000
"""Of what waits to be written; what comes beyond is counted as OTHER, and then not at all."""
_HARD_LIMIT = 2 * MAX_ROWS
_QUEUE_IDS = 50_000  # of the last messages, which are not counted again
_RETRY_SECONDS = 60.0
"""Postfix gives a queue id again to a file with the inode and the microsecond of an earlier one:
among 50,000 of one inode, each message would meet its like with a probability of 5 %."""
_OUT_OF_SCOPE = "skip"  # Action.SKIP: no helpdesk's, and so no domain of a customer


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
    _counts: Counter[CountKey] = field(default_factory=Counter)
    _seen: dict[DomainKey, Seen] = field(default_factory=dict)
    _newly_admitted: dict[str, int] = field(default_factory=dict)
    _recent: OrderedDict[int, tuple[str, float]] = field(default_factory=OrderedDict)
    """The author domain and the time of the last message with a queue id."""
    _today: tuple[int, int] = (-1, 0)

    def add(self, source: str, record: Record) -> None:
        """Count the message of a *record* from the ring *source*, unless it was counted before."""
        last = self.numbers.get(source, 0)
        if record.number <= last:
            return  # in the file already: who wrote it was killed before it could say so
        self.gaps += record.number - last - 1
        self.numbers[source] = record.number
        answer = self._decoded(record.payload)
        if answer is None:
            self.malformed += 1
        elif self._is_retry(record, answer.domain):
            return
        elif self.rows >= _HARD_LIMIT:
            self.overflowed += 1
        else:
            self._count(answer, record.at)

    @property
    def rows(self) -> int:
        return len(self._counts) + len(self._seen)

    @property
    def messages(self) -> int:
        return self._counts.total()

    def take(self) -> tuple[Batch, Mapping[str, int]]:
        """What waits, and the domains that have got rows since the last call."""
        batch = Batch(dict(self._counts), dict(self._seen))
        admitted = dict(self._newly_admitted)
        self._counts, self._seen, self._newly_admitted = Counter(), {}, {}
        return batch, admitted

    def put_back(self, batch: Batch, admitted: Mapping[str, int]) -> None:
        """Have what could not be written wait again, before what came since."""
        merged = batch.merged(Batch(dict(self._counts), dict(self._seen)))
        self._counts, self._seen = Counter(merged.counts), dict(merged.seen)
        self._newly_admitted = {**admitted, **self._newly_admitted}

    def admit_again(self, known: Mapping[str, int]) -> None:
        """Have those that are not *known* to the file, which may be another one now, written."""
        missing = {name: day for name, day in self.admitted.items() if name not in known}
        self._newly_admitted.update(missing)

    def _count(self, answer: Answer, at: float) -> None:
        domain = self._domain_of(answer, at)
        finding = answer.finding
        hour = int(at) // HOUR * HOUR
        self._counts[CountKey(hour, answer.tenant, domain, finding.action, finding.reason)] += 1
        if domain not in (OTHER, NO_DOMAIN) and finding.action != _OUT_OF_SCOPE:
            key = DomainKey(answer.tenant, domain)
            before = self._seen.get(key)
            first = min(at, before.first) if before else at
            self._seen[key] = Seen(finding, first, max(at, before.last) if before else at)

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
        before = self._recent.get(record.queue_id)
        if before and before[0] == domain and abs(record.at - before[1]) <= _RETRY_SECONDS:
            return True
        self._recent[record.queue_id] = domain, record.at
        self._recent.move_to_end(record.queue_id)
        if len(self._recent) > _QUEUE_IDS:
            self._recent.popitem(last=False)
        return False

    def _decoded(self, payload: bytes) -> Answer | None:
        try:
            return Answer.decode(payload)
        except ValueError:
            return None
