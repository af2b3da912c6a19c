"""What a batch makes of the tables of a ledger."""

import json
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, delete, select, update

from alignd.ledger.answer import OTHER, Finding
from alignd.ledger.apply import MOST_SECOND_TENANTS, apply_batch, note_relay
from alignd.ledger.batch import DAY, HOUR, Batch, CountKey
from alignd.ledger.database import LedgerError, open_database
from alignd.ledger.migration import migrate
from alignd.ledger.tables import DAYS, EVENTS, HOURS, RELAY_HOURS, RELAYS, STATES
from alignd.ledger.writer import Writer
from tests.support.batches import NOON, PASSED, RELAY, REWRITTEN, batch_of, batches, by, merged

WORDS = ("tenant", "domain", "action", "reason")
SECOND_RELAY = Writer("smtp2", "outbound")
WAY_BACK = Writer("smtp1", "return")
FREEMAIL = Finding("rewrite", "freemail")


@pytest.fixture
def ledger(ledger_url: str) -> Engine:
    engine = open_database(ledger_url)
    migrate(engine)
    return engine


def _apply(
    ledger: Engine, batch: Batch, writer: Writer = RELAY, now: float = NOON + HOUR
) -> list[str]:
    with ledger.begin() as connection:
        return apply_batch(connection, batch, writer, now)


def _rows(ledger: Engine, table: Table) -> list[Mapping[str, Any]]:
    with ledger.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def _state(ledger: Engine) -> Mapping[str, Any]:
    (state,) = _rows(ledger, STATES)
    return state


def _set_state(ledger: Engine, **values: float) -> None:
    with ledger.begin() as connection:
        connection.execute(update(STATES).values(**values))


def _empty(ledger: Engine) -> None:
    with ledger.begin() as connection:
        for table in (HOURS, DAYS, RELAY_HOURS, STATES, EVENTS):
            connection.execute(delete(table))


def _at_once(work: Callable[[Writer], None], relays: Iterable[Writer]) -> None:
    threads = [threading.Thread(target=work, args=(relay,)) for relay in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _found(state: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("tenant", "domain", "action", "reason", "policy", "spf", "dkim")
    return tuple(state[name] for name in (*names, "first_seen", "last_seen"))


def _expected_states(batch: Batch) -> set[tuple[Any, ...]]:
    return {
        (*key, *(getattr(seen.finding, name) for name in Finding.__slots__), seen.first, seen.last)
        for key, seen in batch.seen.items()
    }


def _has_distinct_moments(some: Iterable[Batch]) -> bool:
    moments = [(key, seen.last) for batch in some for key, seen in batch.seen.items()]
    return len(moments) == len(set(moments))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some=st.lists(batches(), max_size=4), seed=st.randoms(use_true_random=False))
def test_sums_are_those_of_the_batches_in_whatever_order_they_come(
    ledger: Engine, some: list[Batch], seed: random.Random
) -> None:
    _empty(ledger)
    whole = merged(some)
    seed.shuffle(some)
    for batch in some:
        _apply(ledger, batch, seed.choice([RELAY, SECOND_RELAY]))

    hours = _rows(ledger, HOURS)
    assert by(hours, "hour", *WORDS) == dict(whole.counts)
    as_days = [{**row, "day": row["hour"] // DAY * DAY} for row in hours]
    assert by(_rows(ledger, DAYS), "day", *WORDS) == by(as_days, "day", *WORDS)
    relays = _rows(ledger, RELAY_HOURS)
    assert by(relays, "hour", "action") == by(hours, "hour", "action")
    assert {row["leg"] for row in hours} <= {"outbound"}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    some=st.lists(batches(), max_size=4).filter(_has_distinct_moments),
    seed=st.randoms(use_true_random=False),
)
def test_states_are_those_of_the_newest_messages_in_whatever_order_relays_send_them(
    ledger: Engine, some: list[Batch], seed: random.Random
) -> None:
    _empty(ledger)
    whole = merged(some)
    seed.shuffle(some)
    for batch in some:
        _apply(ledger, batch)
    assert {_found(state) for state in _rows(ledger, STATES)} == _expected_states(whole)


def test_relays_that_write_the_same_domains_at_once_neither_wait_for_ever_nor_lose(
    ledger: Engine,
) -> None:
    domains = [f"d{number}.example" for number in range(60)]

    relays = [Writer(f"smtp{number}", "outbound") for number in range(4)]

    def work(writer: Writer) -> None:
        shuffled = random.Random(writer.relay).sample(domains, len(domains))
        finding = PASSED if writer in relays[:2] else REWRITTEN
        for start in range(0, 60, 20):
            some = [batch_of(each, finding, messages=2) for each in shuffled[start : start + 40]]
            _apply(ledger, merged(some), writer)

    _at_once(work, relays)
    sums = by(_rows(ledger, RELAY_HOURS), "relay")
    assert sums == {(relay.relay,): 2 * 100 for relay in relays}
    assert sum(by(_rows(ledger, HOURS), "domain").values()) == 2 * 100 * 4
    assert len(_rows(ledger, STATES)) == 60


def test_what_fails_in_the_middle_leaves_nothing_behind(ledger: Engine) -> None:
    STATES.drop(ledger)
    with pytest.raises(LedgerError, match="states"):
        _apply(ledger, batch_of("mycompany.com"))
    assert [_rows(ledger, table) for table in (HOURS, DAYS, RELAY_HOURS)] == [[]] * 3


def test_what_has_no_domain_of_its_own_is_counted_and_has_no_state(ledger: Engine) -> None:
    counts = {
        CountKey(int(NOON), "", OTHER, "rewrite", "policy-reject"): 3,
        CountKey(int(NOON), "", "", "pass", "from-malformed"): 2,
    }
    assert _apply(ledger, Batch(counts)) == []
    assert by(_rows(ledger, HOURS), "domain") == {(OTHER,): 3, ("",): 2}
    assert _rows(ledger, STATES) == []


def test_the_two_legs_are_told_apart(ledger: Engine) -> None:
    _apply(ledger, batch_of("mycompany.com", messages=3))
    _apply(ledger, batch_of("mycompany.com", PASSED, messages=4), WAY_BACK)
    assert by(_rows(ledger, HOURS), "leg") == {("outbound",): 3, ("return",): 4}
    states = {(state["leg"], state["action"]) for state in _rows(ledger, STATES)}
    assert states == {("outbound", "rewrite"), ("return", "pass")}


def test_until_a_look_the_state_is_what_the_last_message_met(ledger: Engine) -> None:
    _apply(ledger, batch_of("mycompany.com", at=NOON))
    _apply(ledger, batch_of("mycompany.com", at=NOON + 60))
    assert _state(ledger)["since"] == NOON
    _apply(ledger, batch_of("mycompany.com", PASSED, at=NOON + 120))
    state = _state(ledger)
    assert (state["action"], state["since"]) == ("pass", NOON + 120)
    assert (state["first_seen"], state["last_seen"]) == (NOON, NOON + 120)


def test_what_a_relay_sends_late_says_nothing_of_today(ledger: Engine) -> None:
    _apply(ledger, batch_of("mycompany.com", PASSED, at=NOON))
    _apply(ledger, batch_of("mycompany.com", REWRITTEN, at=NOON - DAY), SECOND_RELAY)
    state = _state(ledger)
    assert (state["action"], state["since"]) == ("pass", NOON)
    assert (state["first_seen"], state["last_seen"]) == (NOON - DAY, NOON)


def test_after_a_look_a_message_that_met_something_else_changes_when_it_is_looked_at(
    ledger: Engine,
) -> None:
    _apply(ledger, batch_of("mycompany.com", at=NOON))
    _set_state(ledger, looked=NOON, look_at=NOON + 3600)
    _apply(ledger, batch_of("mycompany.com", PASSED, at=NOON + 900), now=NOON + 901)
    state = _state(ledger)
    assert (state["action"], state["look_at"]) == ("rewrite", NOON + 901)


@pytest.mark.parametrize(
    ("finding", "at", "now"),
    [
        pytest.param(REWRITTEN, NOON + 900, NOON + 901, id="it met the same"),
        pytest.param(PASSED, NOON + 500, NOON + 501, id="the look was a moment ago"),
        pytest.param(PASSED, NOON - 60, NOON + 901, id="the message is older than the look"),
        pytest.param(PASSED, NOON + 900, NOON + 3700, id="it is due already"),
    ],
)
def test_a_message_does_not_have_a_domain_looked_at_when(
    ledger: Engine, finding: Finding, at: float, now: float
) -> None:
    _apply(ledger, batch_of("mycompany.com", at=NOON - 120))
    _set_state(ledger, looked=NOON, look_at=NOON + 3600)
    _apply(ledger, batch_of("mycompany.com", finding, at=at), now=now)
    assert (_state(ledger)["action"], _state(ledger)["look_at"]) == ("rewrite", NOON + 3600)


def test_a_second_tenant_that_sends_as_a_domain_is_an_event_once(ledger: Engine) -> None:
    assert _apply(ledger, batch_of("mycompany.com", tenant="easy")) == []
    other = batch_of("mycompany.com", tenant="other")
    assert _apply(ledger, other, SECOND_RELAY, NOON + 5) == ["another-tenant"]
    assert _apply(ledger, other) == []
    (event,) = _rows(ledger, EVENTS)
    assert (event["tenant"], event["domain"], event["at"]) == ("other", "mycompany.com", NOON + 5)
    assert (event["leg"], event["relay"]) == ("outbound", "smtp2")
    assert json.loads(event["was"]) == {"tenants": ["easy"]}
    assert json.loads(event["now"]) == {"tenant": "other"}


def test_two_tenants_in_one_batch_are_told_apart_by_who_was_first(ledger: Engine) -> None:
    both = [
        batch_of("mycompany.com", tenant="a-thief", at=NOON + 1),
        batch_of("mycompany.com", tenant="owner", at=NOON),
    ]
    assert _apply(ledger, merged(both)) == ["another-tenant"]
    assert _rows(ledger, EVENTS)[0]["tenant"] == "a-thief"


def test_relays_that_see_a_second_tenant_at_once_make_one_event(ledger: Engine) -> None:
    domains = [f"d{number}.example" for number in range(10)]
    _apply(ledger, merged(batch_of(each, tenant="easy") for each in domains))
    relays = [Writer(f"smtp{number}", "outbound") for number in range(4)]
    start, events = threading.Barrier(len(relays), timeout=30), list[str]()

    def work(writer: Writer) -> None:
        # Each met something else, so that no row of counts makes one wait for another.
        finding = Finding("rewrite", writer.relay)
        for each in domains:
            start.wait()
            events.extend(_apply(ledger, batch_of(each, finding, tenant="other"), writer))

    _at_once(work, relays)
    assert events == ["another-tenant"] * len(domains)
    assert len(_rows(ledger, EVENTS)) == len(domains)


def test_everybody_may_send_as_a_freemail_domain_and_on_the_way_back(ledger: Engine) -> None:
    for tenant in ("easy", "other"):
        assert _apply(ledger, batch_of("freemail.example", FREEMAIL, tenant=tenant)) == []
        assert _apply(ledger, batch_of("mycompany.com", tenant=tenant), WAY_BACK) == []
    assert _rows(ledger, EVENTS) == []


def test_a_tenant_that_sends_as_everybody_makes_no_more_than_a_day_s_events(
    ledger: Engine,
) -> None:
    domains = [f"d{number}.example" for number in range(2 * MOST_SECOND_TENANTS)]
    _apply(ledger, merged(batch_of(each, tenant="easy") for each in domains))
    first = merged(batch_of(each, tenant="thief") for each in domains[:-5])
    assert len(_apply(ledger, first)) == MOST_SECOND_TENANTS
    assert _apply(ledger, batch_of(domains[-1], tenant="thief")) == []
    assert _apply(ledger, batch_of(domains[-1], tenant="another")) == ["another-tenant"]
    tomorrow = NOON + HOUR + DAY
    assert _apply(ledger, batch_of(domains[-2], tenant="thief"), now=tomorrow) != []


def test_a_relay_is_known_since_it_was_first_heard_of_and_by_what_it_said_last(
    ledger: Engine,
) -> None:
    for writer, now in ((RELAY, NOON), (Writer("smtp1", "outbound", "1.1", "bead", True), 2e9)):
        with ledger.begin() as connection:
            note_relay(connection, writer, now)
    (relay,) = _rows(ledger, RELAYS)
    assert relay == {
        "relay": "smtp1",
        "leg": "outbound",
        "first_seen": NOON,
        "last_seen": 2e9,
        "version": "1.1",
        "digest": "bead",
        "dry_run": True,
    }
