"""What receivers answered comes into the ledger once, whenever the process dies."""

import copy
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.feedback.decision import Decision
from alignd.feedback.disagreement import Disagreement, Kind
from alignd.feedback.join import Alert
from alignd.feedback.outbox import Outbox
from alignd.feedback.patterns import PATTERNS
from alignd.ledger.database import LedgerError
from alignd.ledger.event import Event, EventKind, Rejection, object_in
from alignd.ledger.receivers.rows import ReplyKey
from alignd.service.feedback.recorder import RECORD_SECONDS, Recorder
from alignd.telemetry.log import MessageLog

NOON = 1_795_867_200.0
REWRITTEN = Decision("rewrite", "relay-not-authorised", "mycompany.com", "mycompany")
OUTAGE = Disagreement(Kind.OUTAGE, "AAAAA1", REWRITTEN, "customer.com", PATTERNS[0], True, NOON)
ALERT = Alert(Kind.OUTAGE, "mycompany", "mycompany.com", "customer.com", 1, NOON, PATTERNS[0])


class DeathError(Exception):
    """The process has died."""


class MemoryLedger:
    """A ledger as its contract has it, which can be away, or die before or after it has added."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.counts = Counter[ReplyKey]()
        self.events: list[Event] = []
        self.fates: list[str] = []
        self.calls = 0

    def add_replies(
        self, replies: Mapping[ReplyKey, int], events: Sequence[Event], source: str, number: int
    ) -> bool:
        self.calls += 1
        fate = self.fates.pop(0) if self.fates else "well"
        if fate == "away":
            raise LedgerError("away")
        if fate == "dies-before":
            raise DeathError
        is_new = self.numbers.get(source, 0) < number
        if is_new:
            self.numbers[source] = number
            self.counts.update(replies)
            self.events += events
        if fate == "lost-answer":
            raise LedgerError("the answer was lost")
        if fate == "dies-after":
            raise DeathError
        return is_new


class Life:
    """One life of the process after another, with the state file that they share.

    The state is the outbox, and how many of the replies of the log are in it.
    """

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.saved = json.dumps([Outbox("feedback-1").as_values(), 0])
        self.now = 0.0
        self.begin()

    def begin(self) -> None:
        values, self.place = json.loads(self.saved)
        self.outbox = Outbox.of_values(values)
        self.recorder = Recorder(self.outbox, self.ledger, "relay", MessageLog(None), self.save)

    def save(self) -> bool:
        self.saved = json.dumps([self.outbox.as_values(), self.place])
        return True

    def read_to(self, place: int) -> None:
        while self.place < place:
            self.recorder.take(OUTAGE, NOON)
            self.place += 1

    def work(self) -> None:
        self.now += 60.0
        try:
            self.recorder.work(self.now)
        except DeathError:
            self.begin()


FATES = ("well", "away", "dies-before", "dies-after", "lost-answer")


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(FATES), st.booleans()), max_size=15))
def test_whenever_it_dies_each_reply_counts_once(
    steps: list[tuple[int, str, bool]],
) -> None:
    ledger = MemoryLedger()
    life = Life(ledger)
    written = 0
    for more, fate, is_saved in steps:
        written += more
        life.read_to(written)
        ledger.fates = [fate]
        life.work()
        if is_saved:
            life.save()
    ledger.fates = []
    life.begin()  # it dies once more, wherever it is
    life.read_to(written)
    life.work()
    life.work()

    assert sum(ledger.counts.values()) == written


def test_it_writes_every_few_seconds_at_most() -> None:
    ledger = MemoryLedger()
    life = Life(ledger)
    calls = []
    for tenths in range(100):
        life.recorder.take(OUTAGE, NOON)
        life.recorder.work(100.0 + tenths / 10)
        calls.append(ledger.calls)

    assert calls[-1] == 1 + int(9.9 // RECORD_SECONDS)


def test_an_alert_is_an_event() -> None:
    ledger = MemoryLedger()
    life = Life(ledger)
    life.recorder.take(ALERT, NOON)
    life.work()

    (event,) = ledger.events
    assert (event.kind, event.tenant, event.domain) == (
        EventKind.REJECTED, "mycompany", "mycompany.com",
    )  # fmt: skip
    assert (event.at, event.leg, event.relay, event.was) == (NOON, "outbound", "relay", "")
    said = Rejection("outage", "customer.com", 1, PATTERNS[0].name)
    assert Rejection.of(object_in(event.now)) == said


def test_an_older_copy_of_the_state_loses_nothing() -> None:
    ledger = MemoryLedger()
    life = Life(ledger)
    copied = copy.copy(life.saved)
    life.read_to(2)
    life.work()
    life.saved = copied
    life.begin()
    life.read_to(3)
    life.work()

    # What is between may count twice, as the log says: all is better than nothing.
    assert sum(ledger.counts.values()) == 5


def test_while_the_ledger_is_away_the_log_says_so_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    ledger = MemoryLedger()
    ledger.fates = ["away"] * 5
    outbox = Outbox("feedback-1")
    log = MessageLog(sys.stderr)
    recorder = Recorder(outbox, ledger, "relay", log, lambda: True)
    recorder.take(OUTAGE, NOON)
    for minute in range(8):
        recorder.work(60.0 * minute)
    log.close()

    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" problem=")[0].partition(" seconds=")[0] for line in lines[1:]] == [
        "replies wait for the ledger",
        "replies are in the ledger again",
    ]
    assert lines[0] == (
        "AAAAA1: reply=outage domain=mycompany.com tenant=mycompany did=rewrite "
        "reason=relay-not-authorised receiver=customer.com says=dmarc-failed "
        "pattern=google-dmarc final=yes"
    )


def test_what_cannot_be_kept_is_not_sent() -> None:
    ledger = MemoryLedger()
    recorder = Recorder(Outbox("s"), ledger, "relay", MessageLog(None), lambda: False)
    recorder.take(OUTAGE, NOON)
    recorder.work(1.0)

    assert ledger.calls == 0
