"""What waits for the ledger is counted, bounded, and the same after it was kept in a file."""

import json

from hypothesis import given
from hypothesis import strategies as st

from alignd.feedback.decision import Decision
from alignd.feedback.disagreement import Disagreement, Kind
from alignd.feedback.outbox import MAX_EVENTS, MAX_REPLIES, Batch, Outbox, reply_key
from alignd.feedback.patterns import PATTERNS
from alignd.ledger.event import Event, EventKind
from alignd.ledger.receivers.rows import ReplyKey

NOON = 1_795_867_200.0  # 2026-11-28T12:00:00Z
DAY = 1_795_824_000
PASSED = Decision("pass", "spf-aligned", "good.example", "mycompany")


def reply(
    kind: Kind = Kind.LOST,
    decision: Decision | None = PASSED,
    receiver: str = "customer.com",
    when: float | None = NOON,
) -> Disagreement:
    return Disagreement(kind, "AAAAA1", decision, receiver, PATTERNS[0], True, when)


def event(number: int = 0) -> Event:
    return Event(str(number), NOON, "outbound", "", "a.example", EventKind.REJECTED, "", "{}", "r")


def test_a_reply_is_counted_by_day_and_by_what_was_decided() -> None:
    outbox = Outbox("s")
    for _ in range(3):
        outbox.add(reply(), NOON)

    key = ReplyKey(
        DAY, "mycompany", "good.example", "pass", "spf-aligned", "customer.com", "lost",
        PATTERNS[0].name,
    )  # fmt: skip
    assert outbox.waiting.replies == {key: 3}


def test_a_reply_from_the_future_is_of_today() -> None:
    assert reply_key(reply(when=9e9), NOON).day == DAY


def test_of_an_unknown_message_there_is_no_domain() -> None:
    key = reply_key(reply(Kind.UNKNOWN, None, when=None), NOON + 86_400)

    assert (key.day, key.tenant, key.domain, key.action, key.reason) == (
        DAY + 86_400, "", "", "", "",
    )  # fmt: skip


def test_every_kind_is_counted() -> None:
    outbox = Outbox("s")
    for kind in Kind:
        outbox.add(reply(kind), NOON)

    assert {key.kind for key in outbox.waiting.replies} == {kind.value for kind in Kind}


def test_a_batch_that_was_begun_changes_no_more() -> None:
    outbox = Outbox("s")
    outbox.add(reply(), NOON)
    first = outbox.begin()
    outbox.add(reply(), NOON)

    assert outbox.begin() is first
    assert first is not None
    assert list(first.replies.values()) == [1]
    assert outbox.number == 1
    outbox.acknowledge()
    assert outbox.begin() is not first
    assert outbox.number == 2


def test_nothing_is_no_batch() -> None:
    outbox = Outbox("s")

    assert outbox.begin() is None
    assert outbox.number == 0


def test_while_the_ledger_is_away_memory_is_bounded() -> None:
    outbox = Outbox("s")
    for number in range(MAX_REPLIES + 5):
        outbox.add(reply(receiver=f"r{number}.example"), NOON)
    for number in range(MAX_EVENTS + 5):
        outbox.add_event(event(number))
    outbox.add(reply(receiver="r1.example"), NOON)

    assert len(outbox.waiting.replies) == MAX_REPLIES
    assert len(outbox.waiting.events) == MAX_EVENTS
    assert outbox.left_out == 10
    assert sum(outbox.waiting.replies.values()) == MAX_REPLIES + 1


words = st.text(max_size=5)
keys = st.builds(ReplyKey, st.integers(0, 10**10), *[words] * 7)
batches = st.builds(
    Batch,
    st.dictionaries(keys, st.integers(1, 10**9), max_size=3),
    st.lists(st.builds(event, st.integers()), max_size=2),
)


@given(words, st.integers(0, 10**9), st.none() | batches, batches)
def test_what_was_kept_is_what_is_read(
    source: str, number: int, sending: Batch | None, waiting: Batch
) -> None:
    outbox = Outbox(source, number, sending, waiting, 7)

    assert Outbox.of_values(json.loads(json.dumps(outbox.as_values()))) == outbox
