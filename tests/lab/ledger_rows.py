"""A ledger with a story in it, written as a relay writes it."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, insert

from alignd.ledger.answer import OTHER, Finding
from alignd.ledger.apply import apply_batch, note_relay
from alignd.ledger.batch import DAY, HOUR, Batch, CountKey, DomainKey, Seen
from alignd.ledger.database import open_database
from alignd.ledger.migration import migrate
from alignd.ledger.queries.overview import SHOWN_DAYS
from alignd.ledger.receivers.rows import KnownReport, ReplyKey, ReportKey
from alignd.ledger.receivers.write import add_replies, add_report
from alignd.ledger.tables import DAYS, HOURS, STATES
from alignd.ledger.writer import Writer

NOW = 1_782_900_000.0
"""2026-07-01, 10:00 UTC."""
REPORTER = "mailbox.example"
"""Whose reports are in a ledger."""
WRITER = Writer("smtp1", "outbound", "1.0", "c0ffee" * 10)
REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")
PASSED = Finding("pass", "spf-aligned", "quarantine", "pass", "none")
SKIPPED = Finding("skip", "client-not-in-scope")


@dataclass(frozen=True)
class Mail:
    """Messages of one hour that met the same."""

    domain: str
    finding: Finding
    messages: int
    days_ago: float = 0.0
    tenant: str = ""

    def batch(self, now: float = NOW) -> Batch:
        at = now - self.days_ago * DAY
        hour = int(at) // HOUR * HOUR
        words = (self.finding.action, self.finding.reason)
        counts = {CountKey(hour, self.tenant, self.domain, *words): self.messages}
        if self.finding.action == "skip" or self.domain in ("", OTHER):
            return Batch(counts)
        return Batch(counts, {DomainKey(self.tenant, self.domain): Seen(self.finding, at, at)})


STORY = (
    Mail("mycompany.com", PASSED, 5, days_ago=40),
    Mail("mycompany.com", PASSED, 7, days_ago=12),
    Mail("mycompany.com", REWRITTEN, 20, days_ago=3),
    Mail("mycompany.com", REWRITTEN, 3),
    Mail("mycompany.com", SKIPPED, 100),
    Mail("good.example", PASSED, 400, days_ago=2),
    Mail("good.example", PASSED, 1, days_ago=1, tenant="easy"),
    Mail("old_one.example", PASSED, 9, days_ago=100),
    Mail(OTHER, REWRITTEN, 50, days_ago=1),
    Mail("", Finding("rewrite", "from-malformed"), 2, days_ago=1),
)
"""A customer that broke its record, one that two tenants send as, and what has no domain."""


def write(
    engine: Engine, mails: Iterable[Mail], writer: Writer = WRITER, now: float = NOW
) -> None:
    """Add *mails* as they would have come until *now*, and say that the relay was alive."""
    for mail in sorted(mails, key=lambda each: -each.days_ago):
        at = now - mail.days_ago * DAY
        with engine.begin() as connection:
            apply_batch(connection, mail.batch(now), writer, at)
            note_relay(connection, writer, at)


def new_ledger(url: str, mails: Iterable[Mail] = STORY, now: float = NOW) -> Engine:
    """Make the tables at *url*, and add *mails* until *now*."""
    engine = open_database(url)
    migrate(engine)
    write(engine, mails, now=now)
    return engine


def hear(engine: Engine, domain: str, days_ago: Iterable[int], now: float = NOW) -> None:
    """Have receivers tell of the mail of *domain* on these days: most of it passed.

    Rewritten mail passed; one receiver refused mail of yesterday that was to pass.
    """
    today = int(now) // DAY * DAY
    reply = ReplyKey(
        *(today - DAY, "", domain, "pass", "spf-aligned"),
        *("postbox.example", "lost", "google-dmarc"),
    )
    with engine.begin() as connection:
        add_replies(connection, {reply: 4}, (), "feedback-test", 1)
        for ago in days_ago:
            day = today - ago * DAY
            rows = {
                _reported(day, "ours", domain, "pass"): 93,
                _reported(day, "ours", domain, "fail"): 7,
                _reported(day, "rewritten", "notifications.easysoftware.com", "pass"): 41,
            }
            known = KnownReport(f"{domain}-{ago}", REPORTER, domain, day, day + DAY - 1, 141)
            add_report(connection, known, rows, now)


def _reported(day: int, origin: str, domain: str, result: str) -> ReportKey:
    words = (REPORTER, origin, domain, "203.0.113.25", result, "none", result, "none")
    return ReportKey(day, day, *words, is_foretold=False)


def new_large_ledger(url: str, domains: Iterable[str], now: float, tenants: int = 20) -> None:
    """Make a ledger of many *domains*, each of which has sent on each of the last 30 days.

    A third is rewritten; each has its tenant, of so many.
    """
    engine = open_database(url)
    migrate(engine)
    today, hour = int(now) // DAY * DAY, int(now) // HOUR * HOUR
    key, states = [], []
    for number, domain in enumerate(domains):
        finding = PASSED if number % 3 else REWRITTEN
        one = {"leg": WRITER.leg, "tenant": f"t{number % tenants}", "domain": domain}
        since = now - (1 + number % 300) * DAY
        times = {"since": since, "first_seen": since, "last_seen": now, "looked": now}
        words = {"action": finding.action, "reason": finding.reason}
        more = {"policy": finding.policy, "spf": finding.spf, "dkim": finding.dkim}
        key.append(one | words | {"messages": 1 + number * 7 % 90})
        states.append(one | words | more | times)
    with engine.begin() as connection:
        connection.execute(insert(STATES), states)
        for ago in range(SHOWN_DAYS):
            connection.execute(insert(DAYS), [{**each, "day": today - ago * DAY} for each in key])
        connection.execute(insert(HOURS), [{**each, "hour": hour} for each in key])
    engine.dispose()
