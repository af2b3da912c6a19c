"""What a ledger says when it is asked, the same on both engines."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from alignd.ledger.answer import OTHER
from alignd.ledger.batch import DAY
from alignd.ledger.database import LedgerError, open_database, open_for_reading, shown
from alignd.ledger.fleet import outbox
from alignd.ledger.migration import SchemaError, migrate
from alignd.ledger.queries import events as events_module
from alignd.ledger.queries.events import events_between
from alignd.ledger.queries.export import Exported, columns, export
from alignd.ledger.queries.forget import forget
from alignd.ledger.queries.history import history
from alignd.ledger.queries.opening import open_ledger
from alignd.ledger.queries.overview import Order, Selection, other_messages, overview
from alignd.ledger.queries.relays import relays
from alignd.ledger.queries.traffic import Traffic, traffic
from alignd.ledger.tables import DAYS, EVENTS, METADATA, OUTBOX
from alignd.ledger.writer import Writer
from tests.lab.ledger_rows import NOW, PASSED, REWRITTEN, Mail, new_ledger, write
from tests.lab.postgresql import PostgreSql

NAMES = ["good.example", "good.example", "mycompany.com", "old_one.example"]


@pytest.fixture
def engine(ledger_url: str) -> Engine:
    """A ledger with the story in it, to be written."""
    return new_ledger(ledger_url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One to be read alone."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('story') / 'ledger.sqlite'}"
    else:
        server: PostgreSql = request.getfixturevalue("postgresql")
        url = server.url(server.new_database())
    new_ledger(url)
    return url


def test_a_domain_has_its_state_and_its_messages(url: str) -> None:
    with open_ledger(url) as connection:
        (row,) = overview(connection, Selection(pattern="mycompany.com"), NOW)

    assert (row.tenant, row.finding, row.is_rewritten) == ("", REWRITTEN, True)
    assert row.since == NOW - 3 * DAY
    assert (row.first_seen, row.last_seen) == (NOW - 40 * DAY, NOW)
    assert (row.messages, row.rewritten, row.last_day) == (30, 23, 3)
    assert (row.by_day[-1], row.by_day[-4], row.by_day[-13], sum(row.by_day)) == (3, 20, 7, 30)


def test_what_is_asked_for_is_what_comes(url: str) -> None:
    easy = Selection(tenant="easy")
    asked = {
        Selection(): NAMES,
        Selection(actions=("rewrite",)): ["mycompany.com"],
        Selection(actions=("rewrite", "pass")): NAMES,
        easy: ["good.example"],
        Selection(tenant=""): NAMES[1:],
        Selection(pattern="*.example"): ["good.example", "good.example", "old_one.example"],
        Selection(pattern="old?one.example"): ["old_one.example"],
        Selection(pattern="good_example"): [],
        Selection(pattern="*_*"): ["old_one.example"],
        Selection(pattern="*%*"): [],
        Selection(pattern="mycompany.co"): [],
        Selection(since=NOW - 2.5 * DAY): ["good.example", "good.example"],
        Selection("return"): [],
    }
    with open_ledger(url) as connection:
        for selection, names in asked.items():
            found = overview(connection, selection, NOW)
            assert sorted(row.domain for row in found) == names, selection
        assert [row.last_day for row in overview(connection, easy, NOW)] == [0]
        assert [row.messages for row in overview(connection, easy, NOW)] == [1]


def test_what_comes_first_can_be_chosen(url: str) -> None:
    with open_ledger(url) as connection:
        firsts = {
            order: [
                (row.domain, row.tenant) for row in overview(connection, Selection(), NOW, order)
            ]
            for order in Order
        }

    good, easy, mine, old = (
        *(("good.example", ""), ("good.example", "easy")),
        *(("mycompany.com", ""), ("old_one.example", "")),
    )
    assert firsts == {
        Order.MESSAGES: [good, mine, easy, old],
        Order.DAY: [mine, good, easy, old],
        Order.SINCE: [easy, good, mine, old],
        Order.SEEN: [mine, easy, good, old],
        Order.DOMAIN: [mine, good, easy, old],
    }


def test_messages_without_a_domain_of_their_own_are_told_as_one_number(url: str) -> None:
    with open_ledger(url) as connection:
        assert other_messages(connection, Selection(), NOW) == 52
        assert other_messages(connection, Selection(actions=("pass",)), NOW) == 0
        assert other_messages(connection, Selection(tenant="easy"), NOW) == 0


def test_the_history_of_a_domain_is_its_days_and_its_events(url: str) -> None:
    with open_ledger(url) as connection:
        mine = history(connection, "outbound", "mycompany.com", NOW - 12.5 * DAY, NOW)
        good = history(connection, "outbound", "good.example", 0, NOW)
        nobody = history(connection, "outbound", "nobody.example", 0, NOW)

    today = int(NOW) // DAY * DAY
    assert [(each.day, each.action, each.messages) for each in mine.days] == [
        (today, "skip", 100),
        (today, "rewrite", 3),
        (today - 3 * DAY, "rewrite", 20),
        (today - 12 * DAY, "pass", 7),
    ]
    assert [state.finding for state in mine.states] == [REWRITTEN]
    assert [state.tenant for state in good.states] == ["", "easy"]
    (event,) = good.events
    assert (event.kind, event.at) == ("another-tenant", NOW - DAY)
    assert (event.was, event.now) == ({"tenants": [""]}, {"tenant": "easy"})
    assert not nobody.is_known


def test_an_event_that_a_later_version_wrote_is_told_all_the_same(
    engine: Engine, ledger_url: str
) -> None:
    words = {"leg": "outbound", "domain": "mycompany.com", "kind": "no-such", "was": "[]"}
    with engine.begin() as connection:
        connection.execute(EVENTS.insert().values(id="1", at=NOW, now="{", **words))

    with open_ledger(ledger_url) as connection:
        (event,) = history(connection, "outbound", "mycompany.com", 0, NOW).events
    assert (event.kind, event.was, event.now) == ("no-such", {}, {})


EVENT_TIMES = {"1": NOW - 7 * DAY, "2": NOW - 3 * DAY, "3": NOW - 3 * DAY, "4": NOW}


def with_events(engine: Engine) -> None:
    """Add events of mycompany.com, two of them at one moment, and one of the way back."""
    words = {"leg": "outbound", "domain": "mycompany.com", "kind": "began", "relay": "smtp1"}
    rows = [
        {"id": name, "at": at, "tenant": "", "was": "", "now": '{"action":"rewrite"}', **words}
        for name, at in EVENT_TIMES.items()
    ]
    with engine.begin() as connection:
        connection.execute(EVENTS.insert(), [*rows, {**rows[1], "id": "5", "leg": "return"}])


def test_the_events_of_a_time_are_those_of_all_domains_the_newest_first(
    engine: Engine, ledger_url: str
) -> None:
    with_events(engine)

    with open_ledger(ledger_url) as connection:
        of_week = events_between(connection, "outbound", None, NOW - 7 * DAY, NOW)
        of_easy = events_between(connection, "outbound", "easy", NOW - 7 * DAY, NOW)
        of_nobody = events_between(connection, "outbound", "nobody", 0, NOW + DAY)
        back = events_between(connection, "return", None, 0, NOW)
    assert [(each.domain, each.kind, NOW - each.at) for each in of_week] == [
        ("good.example", "another-tenant", DAY),
        *[("mycompany.com", "began", 3 * DAY)] * 2,
        ("mycompany.com", "began", 7 * DAY),
    ]
    assert (of_week[1].was, of_week[1].now, of_week[1].relay) == (
        {},
        {"action": "rewrite"},
        "smtp1",
    )
    assert (of_easy, of_nobody, len(back)) == (of_week[:1], [], 1)


def test_of_too_many_events_the_newest_are_told(
    engine: Engine, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_events(engine)
    monkeypatch.setattr(events_module, "MAX_EVENTS", 2)

    with open_ledger(ledger_url) as connection:
        found = events_between(connection, "outbound", None, 0, NOW + 1)
    assert [NOW - each.at for each in found] == [0, DAY]


def test_the_traffic_of_a_time_is_that_of_its_whole_days(url: str) -> None:
    midnight = int(NOW) // DAY * DAY
    mine, easy = Traffic("", "mycompany.com", 20, 20), Traffic("easy", "good.example", 1, 0)
    good, others, none = (
        *(Traffic("", "good.example", 400, 0), Traffic("", OTHER, 50, 50)),
        Traffic("", "", 2, 2),
    )
    week = [none, others, good, mine, easy]
    with open_ledger(url) as connection:

        def told(
            tenant: str | None, since: float, until: float, limit: int = 100
        ) -> list[Traffic]:
            return traffic(connection, "outbound", tenant, since, until, limit=limit)

        assert told(None, midnight - 7 * DAY, midnight) == week
        assert told(None, midnight - 3 * DAY + 1, midnight) == [none, others, good, easy]
        assert told("easy", midnight - 7 * DAY, midnight) == [easy]
        assert told("", midnight - 14 * DAY, midnight - 7 * DAY) == [
            Traffic("", "mycompany.com", 7, 0)
        ]
        assert told(None, midnight, midnight + DAY) == [Traffic("", "mycompany.com", 3, 3)]
        assert told(None, midnight - 7 * DAY, midnight, limit=2) == week[:2]
        assert traffic(connection, "return", None, 0, NOW, limit=9) == []


def test_a_relay_that_says_nothing_is_silent(engine: Engine, ledger_url: str) -> None:
    write(engine, [Mail("a.example", PASSED, 4, days_ago=0.1)], Writer("smtp2", "outbound"))
    write(engine, [Mail("a.example", PASSED, 4)], Writer("smtp1", "return", is_dry_run=True))

    with open_ledger(ledger_url) as connection:
        found = relays(connection, NOW + 60)
        outbound = relays(connection, NOW + 60, "outbound")
    assert [(row.relay, row.leg, row.is_silent, row.last_day) for row in found] == [
        ("smtp1", "outbound", False, 103),
        ("smtp1", "return", False, 4),
        ("smtp2", "outbound", True, 4),
    ]
    assert [row.is_dry_run for row in found] == [False, True, False]
    assert [row.relay for row in outbound] == ["smtp1", "smtp2"]


def test_an_export_has_every_row_since_then(url: str) -> None:
    with open_ledger(url) as connection:
        days = list(export(connection, Exported.DAYS, "outbound", 0))
        counted = sum(row.messages for row in connection.execute(select(DAYS)))
        late = list(export(connection, Exported.DAYS, "outbound", NOW - 1.9 * DAY))
        others = {
            each: list(export(connection, each, "outbound", 0))
            for each in (Exported.HOURS, Exported.STATES, Exported.EVENTS)
        }
        nothing = list(export(connection, Exported.DAYS, "return", 0))

    assert sum(row[-1] for row in days) == counted == 597
    assert days == sorted(days)
    assert sum(row[-1] for row in late) == 3 + 100 + 1 + 50 + 2
    assert {each: len(rows) for each, rows in others.items()} == {
        Exported.HOURS: len(days),
        Exported.STATES: 4,
        Exported.EVENTS: 1,
    }
    assert nothing == []
    assert columns(Exported.DAYS) == (
        *("day", "leg", "tenant", "domain", "action", "reason", "messages"),
    )


def everything(engine: Engine) -> str:
    with engine.connect() as connection:
        tables = METADATA.sorted_tables
        return repr([connection.execute(select(table)).all() for table in tables])


def test_a_domain_that_is_forgotten_is_nowhere(engine: Engine) -> None:
    with engine.begin() as connection:
        for mail in (Mail("mycompany.com", REWRITTEN, 3), Mail("good.example", PASSED, 2)):
            outbox.put(connection, mail.batch(), NOW)
        outbox.begin_sending(connection)
        outbox.put(connection, Mail("mycompany.com", REWRITTEN, 8).batch(), NOW)
    assert "mycompany.com" in everything(engine)

    with engine.begin() as connection:
        assert forget(connection, "mycompany.com") > 0

    left = everything(engine)
    assert "mycompany.com" not in left
    assert "good.example" in left
    with engine.begin() as connection:
        assert forget(connection, "mycompany.com") == 0
        assert outbox.waiting(connection).messages == 2
        rows = connection.execute(select(OUTBOX).order_by(OUTBOX.c.number)).all()
        assert sum(row.rows for row in rows) == 2
        (total,) = [
            row.messages for row in connection.execute(select(DAYS)) if row.domain == OTHER
        ]
        assert total == 50


def test_who_reads_sees_one_moment_and_is_not_in_the_way_of_a_relay(
    engine: Engine, ledger_url: str
) -> None:
    with open_ledger(ledger_url) as connection:
        before = overview(connection, Selection(), NOW)
        write(engine, [Mail("mycompany.com", REWRITTEN, 1000)])
        assert overview(connection, Selection(), NOW) == before
    with open_ledger(ledger_url) as connection:
        assert overview(connection, Selection(), NOW) != before


def test_who_reads_cannot_write(url: str) -> None:
    with open_ledger(url) as connection, pytest.raises(LedgerError, match=r"(?i)read-?only"):
        connection.execute(DAYS.delete())


def test_a_file_is_not_made_by_asking(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"

    with pytest.raises(LedgerError), open_ledger(f"sqlite:///{path}"):
        pass
    assert not path.exists()


def test_a_file_with_any_name_is_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a #%3f b.sqlite'}"
    migrate(open_database(url))

    with open_ledger(url) as connection:
        assert overview(connection, Selection(), NOW) == []


def test_a_database_without_tables_is_not_asked(ledger_url: str) -> None:
    with open_database(ledger_url).begin():
        pass  # makes the file
    with pytest.raises(SchemaError, match="no tables yet"), open_ledger(ledger_url):
        pass


@pytest.mark.parametrize("url", ["", "secret", "postgresql://a:secret@:x:y/d"])
def test_what_is_no_url_is_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"^not the URL of a database$"):
        shown(url)


def test_a_password_is_not_shown() -> None:
    url = "postgresql://alignd:secret@127.0.0.1:1/alignd"

    assert shown(url) == "postgresql://alignd:***@127.0.0.1:1/alignd"
    with pytest.raises(LedgerError) as raised, open_for_reading(url).connect():
        pass
    assert "secret" not in str(raised.value)
