"""What receivers said goes into a ledger once, and comes out with what was predicted."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, func, select, update

from alignd.config.settings import Keep, LedgerOptions
from alignd.ledger.answer import OTHER
from alignd.ledger.batch import DAY, DomainKey
from alignd.ledger.database import LedgerError, open_database, problem_of
from alignd.ledger.event import Event, EventKind
from alignd.ledger.notify.deliveries import Choice, due, queue
from alignd.ledger.queries.export import Exported, columns, export
from alignd.ledger.queries.forget import forget
from alignd.ledger.queries.opening import open_ledger
from alignd.ledger.receivers.growth import growth, told
from alignd.ledger.receivers.opening import ReceiversLedger
from alignd.ledger.receivers.read import TooLargeError, receivers
from alignd.ledger.receivers.rows import (
    PredictedDay,
    Receivers,
)
from alignd.ledger.receivers.write import add_report, known_reports
from alignd.ledger.tables import DAYS, DELIVERIES, EVENTS, REPLIES, REPORT_ROWS, REPORTS, STATES
from alignd.ledger.thinning import thin_out
from alignd.ledger.watch.states import new_event, write_events
from tests.lab.ledger_rows import (
    NOW,
    PASSED,
    REWRITTEN,
    SKIPPED,
    Mail,
    new_large_ledger,
    new_ledger,
    write,
)
from tests.lab.postgresql import PostgreSql
from tests.support.receivers import (
    GOOD,
    LOST,
    MINE,
    NOTIFICATIONS,
    OUTAGE,
    REPORT,
    ROW,
    TODAY,
    fill,
)

SAID = {"kind": "lost", "receiver": "google.com", "messages": 3, "pattern": LOST.pattern}


@pytest.fixture
def engine(ledger_url: str) -> Engine:
    """A ledger with the story in it."""
    return new_ledger(ledger_url)


@pytest.fixture
def ledger(engine: Engine) -> ReceiversLedger:
    """The same, for those who are not its service."""
    return ReceiversLedger(engine.url.render_as_string(hide_password=False))


def rejected(domain: str = MINE, at: float = NOW) -> Event:
    key = DomainKey("", domain)
    return new_event(EventKind.REJECTED, {}, SAID, at=at, key=key, leg="outbound", relay="smtp1")


def rows_of(engine: Engine, table: Table) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        question = select(table).order_by(*table.primary_key)
        return [tuple(row) for row in connection.execute(question)]


def messages(engine: Engine, table: Table) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.sum(table.c.messages))).scalar() or 0)


def test_replies_are_added_up_and_their_events_are_told(
    engine: Engine, ledger: ReceiversLedger
) -> None:
    event = rejected()
    assert ledger.add_replies({LOST: 3, OUTAGE: 1}, [event], "feedback.1", 1)
    assert ledger.add_replies({LOST: 2}, [], "feedback.1", 2)

    assert rows_of(engine, REPLIES) == [(*LOST, 5), (*OUTAGE, 1)]
    with engine.begin() as connection:
        queue(connection, "webhook", Choice(("rejected",)), NOW)
        (delivery,) = due(connection, "webhook", NOW, 10)
    assert delivery.event == event
    assert json.loads(delivery.event.now) == SAID


@pytest.mark.parametrize("again", [1, 0], ids=["the last one", "an earlier one"])
def test_what_was_added_is_not_added_again(
    engine: Engine, ledger: ReceiversLedger, again: int
) -> None:
    assert ledger.add_replies({LOST: 3}, [rejected()], "feedback.1", 1)
    assert not ledger.add_replies({LOST: 3}, [rejected()], "feedback.1", again)
    assert ledger.add_replies({LOST: 4}, [], "feedback.2", 1), "of another source"

    assert messages(engine, REPLIES) == 7
    assert sum(event[5] == "rejected" for event in rows_of(engine, EVENTS)) == 1


def test_a_batch_that_comes_again_from_another_source_tells_of_no_event_twice(
    engine: Engine, ledger: ReceiversLedger
) -> None:
    event, later = rejected(), rejected()
    assert ledger.add_replies({LOST: 3}, [event], "feedback.1", 1)
    assert ledger.add_replies({LOST: 3}, [event, later], "feedback.2", 1), "an older state"

    assert messages(engine, REPLIES) == 6
    found = [row for row in rows_of(engine, EVENTS) if row[5] == "rejected"]
    assert {row[0] for row in found} == {event.id, later.id}


def test_a_report_counts_once_with_all_its_rows(engine: Engine, ledger: ReceiversLedger) -> None:
    other = ROW._replace(address="", result="fail", is_foretold=True)
    assert ledger.known(["r1", "r2"]) == frozenset()
    assert ledger.add_report(REPORT, {ROW: 29, other: 1}, NOW)
    assert not ledger.add_report(REPORT, {ROW: 29, other: 1}, NOW)
    assert ledger.add_report(replace(REPORT, id="r2", messages=5), {ROW: 5}, NOW)
    assert ledger.add_report(replace(REPORT, id="r3"), {}, NOW), "none of it is ours"

    assert ledger.known(f"r{number}" for number in range(2000)) == {"r1", "r2", "r3"}
    assert rows_of(engine, REPORT_ROWS) == [(*other, 1), (*ROW, 34)]


def test_what_fails_in_the_middle_leaves_nothing_behind(
    engine: Engine, ledger: ReceiversLedger
) -> None:
    REPORT_ROWS.drop(engine)
    DELIVERIES.drop(engine)
    EVENTS.drop(engine)
    with pytest.raises(LedgerError, match="report_rows"):
        ledger.add_report(REPORT, {ROW: 29}, NOW)
    with pytest.raises(LedgerError, match="events"):
        ledger.add_replies({LOST: 3}, [rejected()], "feedback.1", 1)
    assert (rows_of(engine, REPORTS), rows_of(engine, REPLIES)) == ([], [])
    assert ledger.add_replies({LOST: 3}, [], "feedback.1", 1)


def test_several_that_add_the_same_at_once_add_it_once(engine: Engine, ledger_url: str) -> None:
    rows = {ROW._replace(domain=f"d{number}.example"): 1 for number in range(50)}
    replies = {LOST._replace(domain=f"d{number}.example"): 1 for number in range(50)}
    added: list[bool] = []

    def work() -> None:
        ledger = ReceiversLedger(ledger_url, patience=60.0)
        for number in range(1, 6):
            report = replace(REPORT, id=f"r{number}")
            added.append(ledger.add_report(report, rows, NOW))
            added.append(ledger.add_replies(replies, [], "feedback.1", number))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(added) == 40
    assert messages(engine, REPORT_ROWS) == 5 * 50
    # Who is behind another one has nothing to add any more.
    assert messages(engine, REPLIES) <= 5 * 50
    assert messages(engine, REPLIES) % 50 == 0


def options(**fields: object) -> LedgerOptions:
    return LedgerOptions.model_validate(fields)


def test_a_ledger_is_found_as_its_service_finds_it(tmp_path: Path) -> None:
    state = {"STATE_DIRECTORY": str(tmp_path)}
    file = f"sqlite:///{tmp_path}/ledger.sqlite"
    shared = "postgresql://alignd:secret@db.example/alignd"

    def url(environment: dict[str, str], **fields: object) -> str | None:
        found = ReceiversLedger.of(options(**fields), environment)
        return found.url if found else None

    assert url(state) == file
    assert url({}) == "sqlite:////var/lib/alignd/ledger.sqlite"
    assert url({}, url="sqlite:////srv/l.sqlite") == "sqlite:////srv/l.sqlite"
    assert url(state, url=shared) == shared
    assert url(state, url="") is None
    found = ReceiversLedger.of(options(url=shared), state)
    assert found is not None
    assert "secret" not in found.name


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    ledger = ReceiversLedger(f"sqlite:///{file}")
    with pytest.raises(LedgerError, match="there is no such ledger") as caught:
        ledger.known(["r1"])
    assert problem_of(caught.value).startswith(str(file))
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_of_another_schema_is_left_alone(ledger_url: str) -> None:
    engine = open_database(ledger_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (name TEXT)")
    with pytest.raises(LedgerError, match="has no tables yet"):
        ReceiversLedger(ledger_url).add_replies({LOST: 1}, [], "feedback.1", 1)

    newer = new_ledger(ledger_url)
    with newer.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="upgrade alignd"):
        ReceiversLedger(ledger_url).add_report(REPORT, {ROW: 1}, NOW)
    assert rows_of(newer, REPORTS) == []


def test_a_database_that_is_not_there_is_told_of(postgresql: PostgreSql) -> None:
    with pytest.raises(LedgerError) as caught:
        ReceiversLedger(postgresql.url("nowhere")).known(["r1"])
    assert "nowhere" in problem_of(caught.value)


def asked(
    url: str,
    tenant: str | None = None,
    domain: str | None = None,
    since: float = TODAY - 29 * DAY,
    until: float = TODAY + DAY,
    *,
    leg: str = "outbound",
    limit: int = 1000,
) -> Receivers:
    with open_ledger(url) as connection:
        return receivers(connection, leg, tenant, domain, since, until, limit=limit)


def test_all_that_was_said_comes_with_what_was_predicted(engine: Engine, ledger_url: str) -> None:
    fill(engine)
    found = asked(ledger_url)

    assert [(key.domain, key.tenant, number) for key, number in found.replies] == [
        (MINE, "", 3),
        (GOOD, "easy", 2),
    ]
    assert [(key.domain, key.origin, number) for key, number in found.rows] == [
        (MINE, "left-alone", 30),
        (NOTIFICATIONS, "rewritten", 20),
    ]
    assert found.rows[0][0] == ROW
    assert (found.reports, found.newest) == (2, TODAY)
    own = [day for day in found.days if day.domain != OTHER]
    assert own == [
        PredictedDay(TODAY - 12 * DAY, MINE, "pass", PASSED.reason, 7),
        PredictedDay(TODAY - 3 * DAY, MINE, "rewrite", REWRITTEN.reason, 20),
        PredictedDay(TODAY - 2 * DAY, GOOD, "pass", PASSED.reason, 400),
        PredictedDay(TODAY - DAY, GOOD, "pass", PASSED.reason, 1),
        PredictedDay(TODAY, MINE, "rewrite", REWRITTEN.reason, 3),
        PredictedDay(TODAY, MINE, "skip", SKIPPED.reason, 100),
    ]
    others = [(day.day, day.reason, day.messages) for day in found.days if day.domain == OTHER]
    assert others == [
        (TODAY - DAY, "from-malformed", 2),
        (TODAY - DAY, REWRITTEN.reason, 50),
    ]


def test_domains_of_which_nobody_said_anything_are_told_as_one(ledger_url: str) -> None:
    new_ledger(ledger_url, [Mail(f"d{n}.example", PASSED, n, days_ago=1) for n in range(1, 11)])

    (day,) = asked(ledger_url).days
    assert day == PredictedDay(TODAY - DAY, OTHER, "pass", PASSED.reason, 55)
    (own,) = asked(ledger_url, domain="d3.example").days
    assert own == PredictedDay(TODAY - DAY, "d3.example", "pass", PASSED.reason, 3)


def test_messages_of_all_tenants_are_added_up(engine: Engine, ledger_url: str) -> None:
    mails = [Mail(MINE, REWRITTEN, 4, tenant="easy"), Mail(MINE, SKIPPED, 9, tenant="easy")]
    write(engine, mails)
    fill(engine)

    today = [day for day in asked(ledger_url).days if (day.day, day.domain) == (TODAY, MINE)]
    assert [day.messages for day in today] == [3 + 4, 100 + 9]
    # What is reported of the domain is of all of them, too.
    of_tenant = [day for day in asked(ledger_url, "easy").days if day.day == TODAY]
    assert of_tenant == today


def test_who_asks_for_one_hears_nothing_of_others(engine: Engine, ledger_url: str) -> None:
    fill(engine)
    mine, easy, nobody = (
        asked(ledger_url, domain=MINE),
        asked(ledger_url, tenant="easy"),
        asked(ledger_url, tenant="nobody"),
    )
    below = asked(ledger_url, domain=f"mail.{MINE}")

    assert [key.domain for key, _ in mine.replies] == [MINE]
    assert [key.domain for key, _ in mine.rows] == [MINE]
    assert {day.domain for day in mine.days} == {MINE}
    assert mine.reports == 1
    assert (below.reports, below.rows) == (1, ()), "its policy is that of the domain above"
    assert [(key.domain, number) for key, number in easy.replies] == [(GOOD, 2)]
    assert (easy.rows, easy.reports) == ((), 0)
    assert {day.domain for day in easy.days} == {GOOD}
    assert nobody == Receivers()
    assert asked(ledger_url, leg="return") == Receivers()


def test_only_whole_days_and_whole_periods_are_told(engine: Engine, ledger_url: str) -> None:
    fill(engine)
    longer = ROW._replace(first_day=TODAY - 2 * DAY)
    with engine.begin() as connection:
        report = replace(REPORT, id="long", begin=TODAY - 2 * DAY)
        add_report(connection, report, {longer: 7}, NOW)

    yesterday = asked(ledger_url, since=TODAY - DAY, until=TODAY)
    assert [number for _, number in yesterday.rows] == [30, 20]
    assert (yesterday.replies, {day.day for day in yesterday.days}) == ((), {TODAY - DAY})
    assert yesterday.reports == 3, "a period that ends at midnight is of the day before"
    both = asked(ledger_url, since=TODAY - 2 * DAY, until=TODAY)
    assert [number for _, number in both.rows] == [7, 30, 20]
    later = asked(ledger_url, since=TODAY - DAY + 1, until=TODAY)
    assert later.rows == ()


CHANGED = dict.fromkeys(("began", "stopped", "partly", "policy", "unknown", "known"), (-1,))


@pytest.mark.parametrize("kind", EventKind, ids=str)
def test_days_on_which_a_domain_changed_are_told(
    engine: Engine, ledger_url: str, kind: EventKind
) -> None:
    # For a day after it was flapping, nobody hears of its changes.
    days = {**CHANGED, "flapping": (-1, 0)}.get(kind.value, ())
    fill(engine)
    with engine.begin() as connection:
        connection.execute(update(STATES).values(since=TODAY - 100 * DAY))
        for name, at in ((MINE, TODAY - 0.25), ("silent.example", NOW), (MINE, TODAY - 50 * DAY)):
            event = replace(rejected(name, at), kind=kind)
            write_events(connection, [event])

    expected = {(TODAY + day * DAY, MINE) for day in days}
    assert asked(ledger_url).changes == expected
    assert asked(ledger_url, domain=MINE).changes == expected
    assert asked(ledger_url, domain=GOOD).changes == frozenset()


def test_the_day_on_which_a_state_began_is_told(engine: Engine, ledger_url: str) -> None:
    fill(engine)
    assert asked(ledger_url).changes == {
        (TODAY - 3 * DAY, MINE),
        (TODAY - 2 * DAY, GOOD),
        (TODAY - DAY, GOOD),
    }
    assert asked(ledger_url, tenant="easy").changes == {
        (TODAY - 2 * DAY, GOOD),
        (TODAY - DAY, GOOD),
    }


def test_an_answer_with_too_many_rows_is_none(engine: Engine, ledger_url: str) -> None:
    fill(engine)
    found = asked(ledger_url)
    rows = sum(map(len, (found.replies, found.rows, found.days, found.changes)))

    assert asked(ledger_url, limit=rows) == found
    for limit in range(rows):
        with pytest.raises(TooLargeError, match=f"over {limit} rows"):
            asked(ledger_url, limit=limit)


def test_what_is_older_than_days_goes_and_what_is_not_stays(engine: Engine) -> None:
    fill(engine)
    keep = Keep.model_validate({"hours": "2d", "days": "30d"})
    thin_out(engine, keep, NOW)

    assert (messages(engine, REPLIES), messages(engine, REPORT_ROWS)) == (5, 50)
    assert [row[0] for row in rows_of(engine, REPORTS)] == ["r1", "r2"]


def test_a_domain_is_forgotten_and_its_reports_count_no_second_time(
    engine: Engine, ledger: ReceiversLedger
) -> None:
    fill(engine)
    ledger.add_replies({}, [rejected()], "feedback", 2)
    with engine.begin() as connection:
        assert forget(connection, MINE) > 0

    for table in (REPLIES, REPORT_ROWS, REPORTS, EVENTS):
        assert not any(MINE in row for row in rows_of(engine, table)), table
    assert not ledger.add_report(REPORT, {ROW: 30}, NOW)
    assert [row[-1] for row in rows_of(engine, REPLIES)] == [2]
    assert [row[-1] for row in rows_of(engine, REPORT_ROWS)] == [20]
    with engine.begin() as connection:
        assert forget(connection, MINE) == 0


def test_all_of_it_can_be_exported(engine: Engine, ledger_url: str) -> None:
    fill(engine)
    with open_ledger(ledger_url) as connection:

        def exported(what: Exported, leg: str = "outbound", since: float = 0) -> list[Any]:
            names = columns(what)
            rows = export(connection, what, leg, since)
            return [dict(zip(names, row, strict=True)) for row in rows]

        assert [row["messages"] for row in exported(Exported.REPLIES)] == [9, 3, 2]
        assert [row["id"] for row in exported(Exported.REPORTS)] == ["r0", "r1", "r2"]
        (first, *_) = exported(Exported.REPORT_ROWS, since=TODAY - DAY)
        assert (first["is_foretold"], first["result"]) == (False, "pass")
        assert len(exported(Exported.REPORT_ROWS, since=TODAY - DAY)) == 2
        for what in (Exported.REPLIES, Exported.REPORTS, Exported.REPORT_ROWS):
            assert exported(what, "return") == []


def test_a_counter_grows_by_what_came_and_never_shrinks(
    engine: Engine, ledger: ReceiversLedger
) -> None:
    def now_told(at: float = NOW) -> Any:
        with engine.connect() as connection:
            return told(connection, "outbound", at)

    fill(engine)
    first = now_told()
    assert (first.reports, first.newest) == (3, TODAY)
    late = LOST._replace(day=TODAY - 3 * DAY)
    ledger.add_replies({LOST: 4, OUTAGE: 1, late: 2}, [rejected(), rejected()], "feedback", 2)
    ahead = replace(REPORT, id="ahead", end=TODAY + 9 * DAY)
    ledger.add_report(ahead, {}, NOW)
    second = now_told()
    grown = growth(first, second)
    assert (grown.replies, grown.events) == ({"lost": 6, "outage": 1}, 2)
    assert (second.reports, second.newest) == (4, TODAY)
    assert grown.reported == {}
    failing = ROW._replace(first_day=TODAY - DAY, last_day=TODAY - DAY, result="fail")
    foretold = failing._replace(is_foretold=True)
    old = failing._replace(first_day=TODAY - 20 * DAY, last_day=TODAY - 20 * DAY)
    rows = {failing: 3, ROW: 2, foretold: 7, old: 9}
    ledger.add_report(replace(REPORT, id="failing"), rows, NOW)
    reported = growth(second, now_told()).reported
    assert reported == {(ROW.origin, "fail"): 3, (ROW.origin, "pass"): 2}

    with engine.begin() as connection:
        forget(connection, MINE)
    third = now_told()
    assert growth(second, third) == growth(third, third)
    ledger.add_replies({OUTAGE: 2}, [], "feedback", 3)
    tomorrow = now_told(NOW + DAY)
    assert growth(third, tomorrow).replies == {"outage": 2}
    later = now_told(NOW + 8 * DAY)
    assert growth(tomorrow, later).replies == {}
    set_back = growth(later, now_told())
    assert (set_back.replies, set_back.events) == ({}, 0), "a clock was set back"


def test_known_reports_are_asked_for_in_parts(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(0, 1200, 100):
            add_report(connection, replace(REPORT, id=f"r{number}"), {}, NOW)
        found = known_reports(connection, (f"r{number}" for number in range(1200)))
    assert found == {f"r{number}" for number in range(0, 1200, 100)}


def test_an_answer_about_ten_thousand_domains_is_of_those_that_receivers_named(
    ledger_url: str,
) -> None:
    """A month of 50 reporters: of the notifications domain each day, of a few that asked."""
    domains = [f"d{number}.example" for number in range(10_000)]
    new_large_ledger(ledger_url, domains, NOW)
    engine = open_database(ledger_url)
    days = [TODAY - ago * DAY for ago in range(30)]
    keys = [
        ROW._replace(first_day=day, last_day=day, reporter=f"r{reporter}.example", domain=domain)
        for day in days
        for reporter in range(50)
        for domain in (NOTIFICATIONS, *domains[:10])
    ]
    with engine.begin() as connection:
        add_report(connection, REPORT, dict.fromkeys(keys, 3), NOW)
    began = time.thread_time()
    found = asked(ledger_url, limit=50_000)
    spent = time.thread_time() - began

    assert len(found.rows) == 30 * 50 * 11
    own = [day for day in found.days if day.domain != OTHER]
    assert (len(own), len(found.days)) == (30 * 10, 30 * (10 + 2))
    with engine.connect() as connection:
        counted = connection.execute(select(func.sum(DAYS.c.messages))).scalar_one()
    assert sum(day.messages for day in found.days) == counted
    assert spent < 8.0, "a question at the window has ten seconds"


def test_an_answer_about_ten_thousand_domains_that_all_asked_is_refused_at_once(
    ledger_url: str,
) -> None:
    engine = new_ledger(ledger_url, ())
    keys = [
        ROW._replace(reporter=f"r{reporter}.example", domain=f"d{number}.example")
        for reporter in range(6)
        for number in range(10_000)
    ]
    with engine.begin() as connection:
        add_report(connection, REPORT, dict.fromkeys(keys, 3), NOW)
    with pytest.raises(TooLargeError, match="over 50000 rows"):
        asked(ledger_url, limit=50_000)
    assert len(asked(ledger_url, domain="d7.example").rows) == 6
