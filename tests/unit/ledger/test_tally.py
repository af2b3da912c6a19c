"""The tally: each message once, within bounds, and what is missing is known."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.ledger import tally as tally_module
from alignd.ledger.answer import NO_DOMAIN, OTHER, Answer, Finding
from alignd.ledger.batch import CountKey, DomainKey, Seen
from alignd.ledger.ring import Record, Records
from alignd.ledger.tally import Tally

NOON = 1_700_000_000.0 // 86_400 * 86_400 + 43_200
REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")
PASSED = Finding("pass", "aligned", "reject", "pass", "none")


def _record(
    number: int,
    domain: str = "mycompany.com",
    finding: Finding = REWRITTEN,
    *,
    at: float = NOON,
    queue_id: int = 0,
) -> Record:
    return Record(number, at, queue_id, Answer("tenant", domain, finding).encoded(), 0)


def _tally(records: Sequence[Record] = ()) -> Tally:
    """One that has read *records* one by one."""
    tally = Tally({}, {})
    for record in records:
        tally.add("ring", Records.of([record]))
    return tally


def _key(domain: str, finding: Finding = REWRITTEN, hour: float = NOON) -> CountKey:
    return CountKey(int(hour), "tenant", domain, finding.action, finding.reason)


def test_messages_are_added_up_by_hour_and_the_last_finding_stays() -> None:
    tally = _tally(
        [
            _record(1),
            _record(2, at=NOON + 3599),
            _record(3, finding=PASSED, at=NOON + 3600),
        ]
    )
    batch, admitted = tally.take()
    assert batch.counts == {
        _key("mycompany.com"): 2,
        _key("mycompany.com", PASSED, NOON + 3600): 1,
    }
    key = DomainKey("tenant", "mycompany.com")
    assert batch.seen == {key: Seen(PASSED, NOON, NOON + 3600)}
    assert admitted == {"mycompany.com": int(NOON - 43_200)}
    assert tally.take()[0].rows == 0


def test_a_record_that_was_counted_before_is_not_counted_again() -> None:
    tally = Tally({}, {"ring": 2})
    for number in (1, 2, 3, 3, 2, 4):
        tally.add("ring", Records.of([_record(number)]))
    assert (tally.messages, tally.gaps, tally.numbers) == (2, 0, {"ring": 4})


def test_numbers_that_are_missing_are_messages_that_were_lost() -> None:
    tally = Tally({}, {"ring": 2})
    tally.add("ring", Records.of([_record(6)]))
    tally.add("another", Records.of([_record(1)]))
    tally.add("ring", Records.of([_record(8)]))
    assert (tally.messages, tally.gaps) == (3, 4)


@pytest.mark.parametrize(
    ("second", "messages"),
    [
        pytest.param(_record(2, queue_id=7, at=NOON + 60), 1, id="a retry within a minute"),
        pytest.param(_record(2, queue_id=7, finding=PASSED), 1, id="a retry judged otherwise"),
        pytest.param(_record(2, queue_id=8), 2, id="another queue id"),
        pytest.param(_record(2, "b.example", queue_id=7), 2, id="another domain"),
        pytest.param(_record(2, queue_id=7, at=NOON + 61), 2, id="a queue id used again"),
    ],
)
def test_a_retry_is_not_another_message(second: Record, messages: int) -> None:
    assert _tally([_record(1, queue_id=7), second]).messages == messages


def test_messages_without_a_queue_id_are_never_retries() -> None:
    assert _tally([_record(1), _record(2)]).messages == 2


def test_retries_are_remembered_for_a_bounded_number_of_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally_module, "_QUEUE_IDS", 3)
    tally = _tally([_record(n, queue_id=n) for n in (1, 2, 3, 4)])

    tally.add("ring", Records.of([_record(5, queue_id=2)]))
    assert tally.messages == 4
    for number in (6, 7):
        tally.add("ring", Records.of([_record(number, queue_id=number)]))
    tally.add("ring", Records.of([_record(8, queue_id=2)]))

    assert tally.messages == 4 + 3
    assert len(tally._recent) + len(tally._earlier) <= 2 * 3


def test_what_is_no_answer_is_counted_as_such() -> None:
    tally = _tally([Record(1, NOON, 0, b"\xff", 0), Record(2, NOON, 0, b"", 0), _record(3)])
    assert (tally.malformed, tally.messages, tally.gaps) == (2, 1, 0)


def test_a_domain_out_of_scope_and_one_that_is_unknown_have_counts_and_no_state() -> None:
    skipped = Finding("skip", "not-in-scope")
    batch, _ = _tally([_record(1, "a.example", skipped), _record(2, NO_DOMAIN)]).take()
    assert batch.counts == {_key("a.example", skipped): 1, _key(NO_DOMAIN): 1}
    assert batch.seen == {}


class TestMany:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tally_module, "NEW_DOMAINS_A_DAY", 3)
        monkeypatch.setattr(tally_module, "MAX_DOMAINS", 5)
        monkeypatch.setattr(tally_module, "MAX_ROWS", 20)
        monkeypatch.setattr(tally_module, "_HARD_LIMIT", 24)

    def test_new_domains_beyond_those_of_a_day_are_others(self) -> None:
        tally = _tally([_record(n, f"d{n}.example") for n in range(1, 8)])
        assert (tally.take()[0].counts[_key(OTHER)], len(tally.admitted)) == (4, 3)
        # The next day has room for two more, and those that are known stay so.
        for n in range(1, 8):
            tally.add("ring", Records.of([_record(10 + n, f"d{n}.example", at=NOON + 86_400)]))
        assert tally.take()[0].counts[_key(OTHER, hour=NOON + 86_400)] == 2
        assert len(tally.admitted) == 5

    def test_the_bound_of_a_day_outlives_the_process(self) -> None:
        today = int(NOON) // 86_400 * 86_400
        tally = Tally({"a": today, "b": today, "old": 0}, {})
        for n in (1, 2):
            tally.add("ring", Records.of([_record(n, f"d{n}.example")]))
        assert [key.domain for key in tally.take()[0].counts] == ["d1.example", OTHER]

    def test_while_nothing_is_written_memory_is_bounded_and_what_is_lost_is_counted(self) -> None:
        tally = Tally(dict.fromkeys("abcde", 0), {})
        sent = 0
        for hour in range(40):
            for domain in "abcde":
                sent += 1
                tally.add("ring", Records.of([_record(sent, domain, at=NOON + 3600 * hour)]))
        assert tally.rows <= 24
        assert tally.overflowed > 0
        assert tally.messages + tally.overflowed == sent

    def test_known_domains_are_admitted_to_a_file_that_does_not_know_them(self) -> None:
        tally = _tally([_record(1, "a.example"), _record(2, "b.example")])
        _, admitted = tally.take()
        tally.admit_again({"a.example": 0})
        assert tally.take()[1] == {"b.example": admitted["b.example"]}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"), st.sampled_from([REWRITTEN, PASSED]), st.floats(0, 9e4)
        ),
        max_size=30,
        unique_by=lambda each: each[2],  # of two at one time, either is the last
    ),
    st.lists(st.booleans(), min_size=31, max_size=31),
)
def test_whatever_cannot_be_written_at_once_is_in_the_next_batch(
    said: list[tuple[str, Finding, float]], fails: list[bool]
) -> None:
    at_once, with_failures = _tally(), _tally()
    for number, ((domain, finding, at), has_failed) in enumerate(
        zip(said, fails, strict=False), 1
    ):
        for tally in (at_once, with_failures):
            tally.add("ring", Records.of([_record(number, domain, finding, at=at)]))
        if has_failed:
            batch, admitted = with_failures.take()
            with_failures.put_back(batch, admitted)
    assert with_failures.take() == at_once.take()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.example", "b.example", NO_DOMAIN, "\x1f"]),
            st.sampled_from([REWRITTEN, PASSED]),
            st.floats(0.5, 40),
            st.integers(0, 6),
            st.sampled_from([1, 1, 1, 1, 3]),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sets(st.integers(1, 29)),
    st.integers(0, 5),
)
def test_read_at_once_or_one_by_one_is_the_same(
    said: list[tuple[str, Finding, float, int, int]], cuts: set[int], counted: int
) -> None:
    records, number, at = [], 0, NOON + 3580
    for domain, finding, later, queue_id, step in said:
        number, at = number + step, at + later
        records.append(_record(number, domain, finding, at=at, queue_id=queue_id))
    at_once, one_by_one = Tally({}, {"ring": counted}), Tally({}, {"ring": counted})
    for begin, end in pairwise(sorted({0, len(records), *(cuts & set(range(len(records))))})):
        at_once.add("ring", Records.of(records[begin:end]))
    for record in records:
        one_by_one.add("ring", Records.of([record]))

    assert at_once.take() == one_by_one.take()
    for what in ("numbers", "gaps", "malformed", "overflowed", "admitted"):
        assert getattr(at_once, what) == getattr(one_by_one, what)
