"""Author domains are looked at without mail, and what has changed becomes an event."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import Engine, delete, select, text, update

from alignd.config.file import parse_configuration
from alignd.config.nameservers import nameservers_of
from alignd.config.signer import load_signer
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.ledger.answer import Finding
from alignd.ledger.apply import apply_batch, note_relay
from alignd.ledger.batch import Batch, DomainKey, Seen
from alignd.ledger.database import LedgerError, open_database
from alignd.ledger.event import Event, EventKind
from alignd.ledger.fleet.leadership import Leadership, Role
from alignd.ledger.migration import migrate
from alignd.ledger.tables import EVENTS, RELAYS, STATES
from alignd.ledger.watch.assembly import make_watcher
from alignd.ledger.watch.look import Looker, Questions
from alignd.ledger.watch.looking import (
    UNKNOWN_SECONDS,
    Look,
    Looked,
    Outcome,
    Pace,
    State,
    Told,
    after_look,
)
from alignd.ledger.watch.relays import SILENT_SECONDS
from alignd.ledger.watch.states import record
from alignd.ledger.watch.watcher import Clocks, Watcher
from alignd.ledger.writer import Writer
from alignd.mailauth.dns import Lookup, RecordType
from alignd.resolver.resolver import QueryResult, Resolver
from tests.lab import cast
from tests.lab.nameserver import Authority, Nameserver, run_nameserver
from tests.lab.postgresql import PostgreSql
from tests.lab.readiness import free_ports, wait_until
from tests.lab.settings import configuration, world

START, MINUTE, HOUR = 1_800_000_000.0, 60.0, 3600.0
PACE = Pace(watch=HOUR, confirm=5 * MINUTE)
WRITER = Writer("smtp2", "outbound")
OTHER_RELAY_IPV4 = "192.0.2.77"
TENANT = f"""
[[tenant]]
name = "other"
match = {{ X-Host = "other.example" }}
relay.addresses = ["{OTHER_RELAY_IPV4}"]
"""

NEITHER = Finding("rewrite", "relay-not-authorised", "reject", "fail,fail", "none")
PASSES = Finding("pass", "spf-aligned", "reject", "pass,pass", "none")
DOMAIN = "mycompany.com"
POLICY = f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p=reject"\n'
BEFORE = POLICY + f'{DOMAIN}. TXT "v=spf1 -all"\n'
PUBLISHED = POLICY + f'{DOMAIN}. TXT "v=spf1 include:{cast.SPF_INCLUDE} -all"\n'


@dataclass
class Observed:
    outcomes: list[Outcome] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def looked(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def late(self, seconds: float) -> None:
        self.lateness.append(seconds)

    def happened(self, event: Event) -> None:
        self.events.append(event)

    def failed(self, problem: str, error: Exception) -> None:
        self.problems.append((problem, type(error).__name__))

    def report(self, text: str) -> None:
        raise AssertionError(text)

    @property
    def kinds(self) -> list[EventKind]:
        return [each.kind for each in self.events]


@dataclass
class Queries:
    """Counts what a resolver asks the nameservers."""

    asked: int = 0

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        assert (record_type, result) != (RecordType.TXT, QueryResult.FAILED)
        self.asked += 1

    def hit_cache(self) -> None:
        raise AssertionError("an answer of the look before")

    def used_last_known(self) -> None:
        raise AssertionError("an old answer")

    def refresh_failed(self) -> None:
        raise AssertionError

    def probe_failed(self) -> None:
        raise AssertionError


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Relay:
    """A watcher of its own, whose time a test moves."""

    engine: Engine
    watcher: Watcher
    observed: Observed
    clock: Clock

    @property
    def now(self) -> float:
        return self.clock.now

    def wait(self, seconds: float) -> None:
        """Let time pass, and have all looked at that is due then."""
        self.clock.now += seconds
        while not self.watcher.work(threading.Event()):
            pass

    def state(self, domain: str = DOMAIN, tenant: str = "") -> dict[str, object]:
        columns = STATES.c
        question = select(STATES).where(columns.domain == domain, columns.tenant == tenant)
        with self.engine.connect() as connection:
            return dict(connection.execute(question).mappings().one())


class World:
    """What relays see: nameservers with a cache of their own, and the servers of the domains."""

    def __init__(self, cache: Nameserver, authority: Nameserver) -> None:
        self._cache = cache
        self._authority = authority

    def publish(self, zone: str, *, is_cached_before: bool = False) -> None:
        self._authority.serve(world(zone))
        if not is_cached_before:
            self._cache.serve(world(zone))

    def looker(self, reviewer: Reviewer, questions: Questions) -> Looker:
        ordinary, authoritative = map(_lookups, (self._cache, self._authority))
        return Looker(reviewer, ordinary, authoritative, questions)


def _lookups(nameserver: Nameserver) -> Callable[[], Lookup]:
    """Lookups that know no answer from before."""
    settings = parse_configuration(configuration(nameserver=nameserver.address), "test").dns
    return lambda: Resolver(settings, nameservers_of(settings), lambda _: None).for_message()


@pytest.fixture(scope="module")
def internet() -> Iterator[World]:
    with run_nameserver() as cache, run_nameserver() as authority:
        yield World(cache, authority)


@pytest.fixture
def relay(ledger_url: str, internet: World) -> Relay:
    engine = open_database(ledger_url)
    migrate(engine)
    return relay_with(engine, internet)


def relay_with(engine: Engine, internet: World, name: str = WRITER.relay) -> Relay:
    settings = parse_configuration(configuration(TENANT), "test")
    reviewer = make_reviewer(settings, load_signer(settings.dkim), lambda: START)
    observed, clock = Observed(), Clock()
    watcher = Watcher(
        engine,
        Leadership(engine, Role.LOOKING),
        internet.looker(reviewer, Questions(1_000_000.0)),
        PACE,
        replace(WRITER, relay=name),
        observed,
        Clocks(clock, clock, lambda: 0.5),
    )
    return Relay(engine, watcher, observed, clock)


def mail(relay: Relay, finding: Finding, *domains: str, tenant: str = "") -> None:
    """Have mail of *domains* be answered."""
    seen = {
        DomainKey(tenant, domain): Seen(finding, relay.now, relay.now)
        for domain in domains or (DOMAIN,)
    }
    with relay.engine.begin() as connection:
        apply_batch(connection, Batch(seen=seen), WRITER, relay.now)


def events_of(relay: Relay) -> Sequence[tuple[str, str, str]]:
    question = select(EVENTS.c.kind, EVENTS.c.domain, EVENTS.c.tenant).order_by(EVENTS.c.at)
    with relay.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(question)]


def test_a_published_record_is_noticed_without_mail_after_two_looks(
    relay: Relay, internet: World
) -> None:
    internet.publish(BEFORE)
    mail(relay, NEITHER)
    relay.wait(1)
    assert relay.observed.outcomes == [Outcome.SAME]
    assert relay.state()["look_at"] == relay.now + HOUR

    internet.publish(PUBLISHED)
    relay.wait(HOUR - 1)
    assert relay.observed.outcomes == [Outcome.SAME]  # it is not due
    relay.wait(1)
    noticed = relay.now
    assert relay.state()["reason"] == NEITHER.reason
    relay.wait(PACE.confirm)

    assert events_of(relay) == [("stopped", DOMAIN, "")]
    assert relay.observed.kinds == [EventKind.STOPPED]
    state = relay.state()
    assert (state["action"], state["reason"]) == ("pass", "spf-aligned")
    assert (state["spf"], state["since"]) == ("pass,pass", noticed)
    assert state["look_at"] == relay.now + 4 * HOUR


def test_a_nameserver_that_is_alone_with_what_it_says_changes_nothing(
    relay: Relay, internet: World
) -> None:
    internet.publish(PUBLISHED)
    mail(relay, PASSES)
    relay.wait(1)
    internet.publish(BEFORE)
    internet.publish(PUBLISHED, is_cached_before=True)  # the servers of the domain have it still

    relay.wait(4 * HOUR)
    assert relay.state()["pending"] != ""
    relay.wait(PACE.confirm)

    assert relay.observed.outcomes == [Outcome.SAME, Outcome.CHANGED, Outcome.SAME]
    assert relay.state()["pending"] == ""
    assert events_of(relay) == []


def test_mail_that_meets_something_else_has_its_domain_looked_at(
    relay: Relay, internet: World
) -> None:
    internet.publish(PUBLISHED)
    mail(relay, PASSES)
    relay.wait(1)
    internet.publish(BEFORE)
    relay.wait(30 * MINUTE)
    mail(relay, NEITHER)
    relay.wait(1)
    relay.wait(PACE.confirm)
    assert events_of(relay) == [("began", DOMAIN, "")]


def test_a_domain_is_judged_by_the_settings_of_each_tenant_that_sends_as_it(
    relay: Relay, internet: World
) -> None:
    internet.publish(BEFORE)
    mail(relay, NEITHER)
    mail(relay, replace(NEITHER, spf="fail"), tenant="other")
    relay.wait(1)
    internet.publish(POLICY + f'{DOMAIN}. TXT "v=spf1 ip4:{OTHER_RELAY_IPV4} -all"\n')
    relay.wait(HOUR)
    relay.wait(PACE.confirm)
    assert ("stopped", DOMAIN, "other") in events_of(relay)
    assert relay.state()["action"] == "rewrite"
    assert relay.state(tenant="other")["action"] == "pass"


def test_a_tenant_that_this_relay_does_not_know_is_left_to_others(
    relay: Relay, internet: World
) -> None:
    internet.publish(BEFORE)
    mail(relay, PASSES, tenant="gone")
    relay.wait(1)
    assert relay.observed.outcomes == []
    assert relay.state(tenant="gone")["look_at"] == relay.now + HOUR


def test_one_domain_without_dns_is_told_of_after_hours(relay: Relay, internet: World) -> None:
    others = [f"customer{number}.example" for number in range(6)]
    fine = "".join(
        f'{each}. TXT "v=spf1 -all"\n_dmarc.{each}. TXT "v=DMARC1; p=reject"\n' for each in others
    )
    internet.publish(BEFORE + fine)
    mail(relay, NEITHER, DOMAIN, *others)
    relay.wait(1)
    internet.publish(fine + f"; SERVFAIL {DOMAIN}.\n; SERVFAIL _dmarc.{DOMAIN}.\n")
    for _ in range(1 + round(UNKNOWN_SECONDS / HOUR)):
        relay.wait(HOUR)
    assert events_of(relay) == [("unknown", DOMAIN, "")]
    assert relay.state()["reason"] == NEITHER.reason

    internet.publish(BEFORE + fine)
    relay.wait(HOUR)
    assert [kind for kind, _, _ in events_of(relay)] == ["unknown", "known"]
    assert relay.state()["unknown_since"] == 0.0


def test_a_relay_whose_own_dns_is_bad_says_it_of_no_domain(relay: Relay, internet: World) -> None:
    domains = [f"customer{number}.example" for number in range(8)]
    zone = "".join(
        f'{each}. TXT "v=spf1 -all"\n_dmarc.{each}. TXT "v=DMARC1; p=reject"\n' for each in domains
    )
    internet.publish(zone)
    mail(relay, NEITHER, *domains)
    relay.wait(1)
    internet.publish(
        "".join(f"; SERVFAIL {each}.\n; SERVFAIL _dmarc.{each}.\n" for each in domains)
    )
    for _ in range(4):
        relay.wait(HOUR)
    assert Outcome.UNKNOWN in relay.observed.outcomes
    internet.publish(zone)
    relay.wait(HOUR)
    relay.wait(HOUR)
    assert events_of(relay) == []


def test_a_domain_that_is_forgotten_while_dns_is_asked_stays_forgotten(relay: Relay) -> None:
    mail(relay, NEITHER)
    with relay.engine.begin() as connection:
        connection.execute(delete(STATES))

    def judge(state: State, told: Sequence[Told]) -> Looked:
        return after_look(state, Look(relay.now, PASSES), told, PACE)

    with relay.engine.begin() as connection:
        assert record(connection, DomainKey("", DOMAIN), WRITER, relay.now, judge) is None
    with relay.engine.connect() as connection:
        assert connection.execute(select(STATES)).all() == []


def test_a_look_that_fails_keeps_none_of_the_others_from_being_looked_at(
    relay: Relay, internet: World
) -> None:
    internet.publish(BEFORE)
    mail(relay, NEITHER, "-no-domain-.example", DOMAIN)
    relay.wait(1)
    assert sorted(each.value for each in relay.observed.outcomes) == ["failed", "same"]
    problem = ("-no-domain-.example could not be looked at", "DomainError")
    assert relay.observed.problems == [problem]
    relay.wait(1)
    assert len(relay.observed.outcomes) == 2  # it is not tried at once again


def test_more_domains_than_a_round_has_are_all_looked_at_oldest_first(
    relay: Relay, internet: World
) -> None:
    domains = [f"d{number}.example" for number in range(45)]
    internet.publish("")
    mail(relay, NEITHER, *domains)
    relay.wait(100)
    assert relay.observed.outcomes.count(Outcome.UNKNOWN) == 0
    assert len(relay.observed.outcomes) == len(domains)
    assert relay.observed.lateness[0] == 100.0
    assert relay.observed.lateness[-1] in {0.0, 100.0}
    relay.wait(1)
    assert relay.observed.lateness[-1] == 0.0


def test_a_clock_that_was_put_back_keeps_no_domain_from_being_looked_at(
    relay: Relay, internet: World
) -> None:
    internet.publish(BEFORE)
    mail(relay, NEITHER)
    relay.wait(1)
    relay.wait(-100 * HOUR)
    assert len(relay.observed.outcomes) == 2
    assert relay.state()["look_at"] == relay.now + HOUR


def test_a_relay_that_is_silent_is_told_of_once_and_again_when_it_is_heard(relay: Relay) -> None:
    other = Writer("smtp1", "outbound")

    def alive(writer: Writer) -> None:
        with relay.engine.begin() as connection:
            note_relay(connection, writer, relay.now)

    alive(other)
    alive(WRITER)
    relay.wait(SILENT_SECONDS - 1)
    assert relay.observed.kinds == []
    for _ in range(3):
        relay.wait(HOUR)  # nor does the one that looks write anything, but it looks
    assert relay.observed.kinds == [EventKind.SILENT_RELAY]
    alive(other)
    for _ in range(3):
        relay.wait(MINUTE)
    assert relay.observed.kinds == [EventKind.SILENT_RELAY, EventKind.HEARD_RELAY]
    assert all('"relay": "smtp1"' in each.now for each in relay.observed.events)
    assert events_of(relay) == [("silent-relay", "", ""), ("heard-relay", "", "")]


def test_a_relay_that_was_taken_away_long_ago_is_no_news(relay: Relay) -> None:
    with relay.engine.begin() as connection:
        note_relay(connection, Writer("smtp1", "outbound"), relay.now)
        connection.execute(update(RELAYS).values(last_seen=relay.now - 30 * 24 * HOUR))
    relay.wait(MINUTE)
    assert relay.observed.kinds == []


def test_a_watcher_waits_for_the_tables_and_then_begins(ledger_url: str, internet: World) -> None:
    engine = open_database(ledger_url)
    relay = relay_with(engine, internet)
    internet.publish(BEFORE)
    ended = threading.Event()
    thread = threading.Thread(target=relay.watcher.run, args=(ended,))
    thread.start()
    try:
        wait_until(lambda: "no tables" in relay.watcher.problem, "the problem")
        migrate(engine)
        mail(relay, NEITHER)
        wait_until(lambda: relay.observed.outcomes, "a look")
        wait_until(lambda: not relay.watcher.problem, "no problem")
    finally:
        ended.set()
        thread.join(timeout=10)
    assert not thread.is_alive()


def test_one_relay_looks_and_another_takes_over_when_it_is_gone(
    postgresql: PostgreSql, internet: World
) -> None:
    database = postgresql.new_database()
    engine = open_database(postgresql.url(database))
    migrate(engine)
    first, second = (relay_with(engine, internet, name) for name in ("smtp1", "smtp2"))
    internet.publish(BEFORE)
    mail(first, NEITHER)
    first.wait(1)
    internet.publish(PUBLISHED)
    second.wait(HOUR + 1)
    assert (len(first.observed.outcomes), second.observed.outcomes) == (1, [])

    with engine.begin() as connection:  # the first one's machine is gone
        held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        connection.execute(text(held))
    second.wait(1)
    second.wait(PACE.confirm)
    assert second.observed.kinds == [EventKind.STOPPED]

    with pytest.raises(LedgerError):  # it hears that it is the one no more
        first.wait(10 * HOUR)
    first.wait(1)
    assert len(first.observed.outcomes) == 1


def test_the_second_look_asks_the_servers_of_the_domain(ledger_url: str) -> None:
    delegation = world(f"{DOMAIN}. NS ns1.{DOMAIN}.\nns1.{DOMAIN}. A 127.0.0.2\n")
    (port,) = free_ports(1)
    engine = open_database(ledger_url)
    migrate(engine)
    with (
        run_nameserver() as cache,
        run_nameserver(Authority(), host="127.0.0.2", port=port) as zone,
    ):
        options = '[dns]\nmax_ttl = "0s"\n[ledger]\nwatch = "100ms"\nconfirm = "0s"\n'
        options += "questions = 1000\n"
        settings = parse_configuration(configuration(options, nameserver=cache.address), "test")
        reviewer = make_reviewer(settings, load_signer(settings.dkim), time.time)
        observed, meter = Observed(), Queries()
        nameservers = nameservers_of(settings.dns)
        watcher = make_watcher(engine, reviewer, nameservers, WRITER, observed, meter, port=port)

        def look_until(outcome: Outcome) -> None:
            """Look until that has come of a look once more."""
            before = observed.outcomes.count(outcome)

            def has_come() -> bool:
                watcher.work(threading.Event())
                return observed.outcomes.count(outcome) > before

            wait_until(has_come, outcome.value)

        cache.serve(delegation + BEFORE)
        zone.serve(BEFORE)
        seen = {DomainKey("", DOMAIN): Seen(NEITHER, time.time(), time.time())}
        with engine.begin() as connection:
            apply_batch(connection, Batch(seen=seen), WRITER, time.time())
        look_until(Outcome.SAME)
        assert zone.questions == []
        cache.serve(delegation + PUBLISHED)  # which its servers have not
        look_until(Outcome.CHANGED)
        look_until(Outcome.SAME)
        assert observed.kinds == []
        zone.serve(PUBLISHED)
        look_until(Outcome.CHANGED)
        look_until(Outcome.CHANGED)
        assert observed.kinds == [EventKind.STOPPED]
        assert (f"{DOMAIN}.", "TXT") in zone.questions
        assert meter.asked > 0
