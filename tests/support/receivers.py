"""What receivers said of the mail of the story that `tests.lab.ledger_rows` writes."""

from dataclasses import replace

from sqlalchemy import Engine

from alignd.ledger.batch import DAY
from alignd.ledger.receivers.rows import KnownReport, ReplyKey, ReportKey
from alignd.ledger.receivers.write import add_replies, add_report
from tests.lab.ledger_rows import NOW

TODAY = int(NOW) // DAY * DAY
MINE, GOOD, NOTIFICATIONS = "mycompany.com", "good.example", "notifications.easysoftware.com"
LOST = ReplyKey(
    TODAY, "", MINE, "pass", "spf-aligned", "google.com", "lost", "google-unauthenticated"
)
OUTAGE = LOST._replace(action="rewrite", reason="relay-not-authorised", kind="outage")
REPORT = KnownReport("r1", "google.com", MINE, TODAY - DAY, TODAY - 1, 30)
ROW = ReportKey(
    *(TODAY - DAY, TODAY - DAY, "google.com", "left-alone", MINE, "192.0.2.1"),
    *("pass", "not-aligned", "aligned", "none"),
    is_foretold=False,
)


def fill(engine: Engine) -> None:
    """Add what receivers said of the story, and what has nothing to do with it."""
    easy = LOST._replace(tenant="easy", domain=GOOD)
    old = LOST._replace(day=TODAY - 40 * DAY)
    of_old = ROW._replace(first_day=TODAY - 40 * DAY, last_day=TODAY - 40 * DAY)
    rewritten = ROW._replace(domain=NOTIFICATIONS, origin="rewritten")
    with engine.begin() as connection:
        add_replies(connection, {LOST: 3, easy: 2, old: 9}, [], "feedback", 1)
        add_report(connection, REPORT, {ROW: 30}, NOW)
        ours = replace(REPORT, id="r2", policy_domain=NOTIFICATIONS, end=TODAY)
        add_report(connection, ours, {rewritten: 20}, NOW)
        past = replace(REPORT, id="r0", begin=TODAY - 40 * DAY, end=TODAY - 39 * DAY)
        add_report(connection, past, {of_old: 5}, NOW)
