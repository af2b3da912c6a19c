"""Thinning: what is too old goes, a little at a time, and the rest stays as it was."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, func, select, text, update

from alignd.config.settings import Keep
from alignd.ledger import thinning
from alignd.ledger.answer import Finding
from alignd.ledger.apply import apply_batch, note_relay
from alignd.ledger.batch import DAY, HOUR, Batch, CountKey, DomainKey, Seen
from alignd.ledger.database import open_database
from alignd.ledger.migration import migrate
from alignd.ledger.tables import ADMITTED, DAYS, EVENTS, HOURS, RELAY_HOURS, RELAYS, STATES
from alignd.ledger.thinning import ADMITTED_SECONDS, steps, thin_out
from alignd.ledger.writer import Writer
from tests.lab.postgresql import PostgreSql
from tests.lab.readiness import wait_until

NOW = 1_700_000_000 // DAY * DAY + 12 * HOUR
KEEP = Keep.model_validate({"hours": "2d", "days": "10d"})
REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")
RELAY = Writer("relay", "outbound")


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    engine = open_database(ledger_url)
    migrate(engine)
    yield engine
    engine.dispose()


def _count(engine: Engine, at: int, *domains: str) -> None:
    counts = {CountKey(at, "", each, "rewrite", REWRITTEN.reason): 1 for each in domains}
    seen = {DomainKey("", each): Seen(REWRITTEN, at, at) for each in domains}
    with engine.begin() as connection:
        apply_batch(connection, Batch(counts, seen), RELAY, at)


def _messages(engine: Engine) -> tuple[int, int, int]:
    with engine.connect() as connection:
        hours, days, relay_hours = (
            connection.execute(select(func.coalesce(func.sum(table.c.messages), 0))).scalar_one()
            for table in (HOURS, DAYS, RELAY_HOURS)
        )
    return int(hours), int(days), int(relay_hours)


def test_hours_go_while_their_days_stay_and_then_the_days(engine: Engine) -> None:
    for age in range(20):
        _count(engine, NOW - age * DAY, "a.example", "b.example")
    thin_out(engine, KEEP, NOW)
    # What is just as old as the limit is kept; a day is known by its beginning.
    assert _messages(engine) == (2 * 3, 2 * 10, 2 * 3)
    assert thin_out(engine, KEEP, NOW) == 0


def test_domains_and_relays_that_are_silent_for_as_long_as_days_go(engine: Engine) -> None:
    _count(engine, NOW - 11 * DAY, "silent.example")
    _count(engine, NOW - 9 * DAY, "alive.example")
    with engine.begin() as connection:
        note_relay(connection, Writer("silent", "outbound"), NOW - 11 * DAY)
        note_relay(connection, Writer("alive", "outbound"), NOW - 9 * DAY)
    thin_out(engine, KEEP, NOW)
    with engine.connect() as connection:
        assert list(connection.execute(select(STATES.c.domain)).scalars()) == ["alive.example"]
        assert list(connection.execute(select(RELAYS.c.relay)).scalars()) == ["alive"]


def test_old_events_and_the_rights_of_domains_that_send_nothing_go(engine: Engine) -> None:
    with engine.begin() as connection:
        for name, at in (("old", NOW - 11 * DAY), ("new", NOW - 9 * DAY)):
            connection.execute(EVENTS.insert().values(id=name, at=at, kind="began"))
        for name, age in (("old", ADMITTED_SECONDS + 1), ("new", ADMITTED_SECONDS - 1)):
            connection.execute(ADMITTED.insert().values(domain=name, day=0, seen=int(NOW - age)))
    thin_out(engine, KEEP, NOW)
    with engine.connect() as connection:
        assert list(connection.execute(select(EVENTS.c.id)).scalars()) == ["new"]
        assert list(connection.execute(select(ADMITTED.c.domain)).scalars()) == ["new"]


def test_each_step_is_small_however_much_there_is_of_one_hour(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thinning, "_STEP", 7)
    _count(engine, NOW - 3 * DAY, *(f"d{number}.example" for number in range(20)))
    found = list(steps(engine, KEEP, NOW))
    assert found == [7, 7, 6, 1]  # the last is of `relay_hours`
    assert _messages(engine) == (0, 20, 0)


def test_a_domain_whose_mail_comes_again_meanwhile_keeps_its_state(
    postgresql: PostgreSql,
) -> None:
    """On SQLite, transactions that write are one after the other."""
    engine = open_database(postgresql.url(postgresql.new_database()))
    migrate(engine)
    _count(engine, NOW - 11 * DAY, "back.example")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    thread = threading.Thread(target=thin_out, args=(engine, KEEP, NOW))
    with engine.begin() as connection:
        connection.execute(update(STATES).values(last_seen=NOW))
        thread.start()
        wait_until(lambda: connection.execute(waiting).scalar_one(), "the other to wait for this")
    thread.join(30.0)
    with engine.connect() as connection:
        assert connection.execute(select(STATES.c.domain)).scalar() == "back.example"
