"""The outbox: what waits is sent in its order, merged while it may be, and bounded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select, update

from alignd.ledger.answer import Finding
from alignd.ledger.batch import Batch, CountKey, DomainKey, Seen
from alignd.ledger.database import open_database
from alignd.ledger.fleet import outbox
from alignd.ledger.fleet.outbox import MAX_ROWS_OF_BATCH, Dropped, UnreadableBatchError, Waiting
from alignd.ledger.tables import METADATA, OUTBOX

REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")


def _batch(*domains: str, messages: int = 1) -> Batch:
    counts = {CountKey(0, "", each, "rewrite", REWRITTEN.reason): messages for each in domains}
    return Batch(counts, {DomainKey("", each): Seen(REWRITTEN, 1.0, 2.0) for each in domains})


def _open(directory: Path) -> Engine:
    engine = open_database(f"sqlite:///{directory / 'ledger.sqlite'}")
    METADATA.create_all(engine)
    return engine


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return _open(tmp_path)


def _sent(engine: Engine) -> Iterator[Batch]:
    while True:
        with engine.begin() as connection:
            first = outbox.begin_sending(connection)
            if first is None:
                return
            outbox.acknowledge(connection, first[0])
        yield first[1]


def _numbers(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(
            connection.execute(select(OUTBOX.c.number).order_by(OUTBOX.c.number)).scalars()
        )


def test_what_comes_while_the_database_is_away_is_merged_with_what_waits(engine: Engine) -> None:
    with engine.begin() as connection:
        for at in range(10):
            assert outbox.put(connection, _batch("a.example", "b.example"), 100.0 + at) is None
        assert outbox.waiting(connection) == Waiting(20, 100.0)
    assert list(_sent(engine)) == [_batch("a.example", "b.example", messages=10)]
    with engine.begin() as connection:
        assert outbox.waiting(connection) == Waiting(0, 0.0)


def test_a_batch_that_was_tried_is_changed_no_more(engine: Engine) -> None:
    with engine.begin() as connection:
        outbox.put(connection, _batch("a.example"), 0)
        first = outbox.begin_sending(connection)
        outbox.put(connection, _batch("a.example"), 0)
        assert outbox.begin_sending(connection) == first
    assert [each.messages for each in _sent(engine)] == [1, 1]


def test_a_large_batch_is_sent_in_parts_that_are_it_together(engine: Engine) -> None:
    whole = _batch(*(f"d{number}.example" for number in range(3 * MAX_ROWS_OF_BATCH)))
    with engine.begin() as connection:
        outbox.put(connection, whole, 0)
    parts = list(_sent(engine))
    assert max(part.rows for part in parts) <= MAX_ROWS_OF_BATCH
    together = Batch()
    for part in parts:
        together = together.merged(part)
    assert together == whole
    assert sum(part.messages for part in parts) == whole.messages


def test_beyond_the_bound_the_oldest_go_but_one_that_may_be_on_its_way(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(4):
            outbox.put(connection, _batch(f"d{number}.example", messages=10 + number), number)
            outbox.begin_anew(connection)  # so that nothing is merged
        dropped = outbox.put(connection, _batch("last.example"), 4.0, most=6)
    # Ten rows, of which six may stay.
    assert dropped == Dropped(11 + 12, 1.0)
    assert [each.messages for each in _sent(engine)] == [10, 13, 1]


def test_a_batch_that_cannot_be_read_is_told_of_and_keeps_no_other(engine: Engine) -> None:
    with engine.begin() as connection:
        outbox.put(connection, _batch("a.example", messages=3), 0)
        connection.execute(update(OUTBOX).values(body='{"counts": 7}'))
        outbox.put(connection, _batch("b.example"), 0)
        with pytest.raises(UnreadableBatchError, match="of 3 messages") as raised:
            outbox.begin_sending(connection)
        outbox.acknowledge(connection, raised.value.number)
    assert list(_sent(engine)) == [_batch("b.example")]


def test_a_file_that_is_opened_again_changes_no_batch_and_gives_no_number_twice(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        outbox.begin_anew(connection)
        outbox.put(connection, _batch("a.example"), 0)
    (first,) = _numbers(engine)
    with engine.begin() as connection:
        outbox.begin_anew(connection)
        outbox.put(connection, _batch("a.example"), 0)
    assert _numbers(engine)[0] == first
    assert _numbers(engine)[1] > first + 100_000


STEPS = st.lists(
    st.sampled_from(["put", "put", "arrive", "arrive and be forgotten", "open again"]), max_size=40
)


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Tables for many examples, which each take back what they did."""
    return _open(tmp_path_factory.mktemp("outbox"))


@given(steps=STEPS)
def test_whatever_is_lost_on_the_way_each_message_arrives_once(
    shared_engine: Engine, steps: list[str]
) -> None:
    """The server of this test knows what a real one does: the number of the last that arrived."""
    last, arrived, put = 0, 0, 0

    def arrive(connection: Connection, *, is_heard: bool) -> bool:
        nonlocal last, arrived
        first = outbox.begin_sending(connection)
        if first is None:
            return False
        number, batch = first
        if number > last:
            last, arrived = number, arrived + batch.messages
        if is_heard:
            outbox.acknowledge(connection, number)
        return True

    with shared_engine.connect() as connection:
        for step in steps:
            if step == "put":
                put += 1
                outbox.put(connection, _batch("a.example"), 0)
            elif step == "open again":
                outbox.begin_anew(connection)
            else:
                arrive(connection, is_heard=step == "arrive")
        while arrive(connection, is_heard=True):
            pass
        connection.rollback()
    assert arrived == put
