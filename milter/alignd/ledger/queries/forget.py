"""Removes an author domain from a ledger, as if it had never sent a message."""

from __future__ import annotations

from sqlalchemy import Connection, Table, delete, select, update

from alignd.ledger.batch import Batch
from alignd.ledger.tables import (
    ADMITTED,
    DAYS,
    EVENTS,
    HOURS,
    OUTBOX,
    REPLIES,
    REPORT_ROWS,
    REPORTS,
    STATES,
)

# In the order in which batches, replies and reports are added.
_TABLES = (HOURS, DAYS, REPLIES, REPORT_ROWS, EVENTS, STATES, ADMITTED)


def forget(connection: Connection, domain: str) -> int:
    """Remove all of *domain*, in all legs and of all tenants; how many rows that were.

    Counts that wait here for another database go without it. What its messages were in the sums
    of relays stays: it does not say whose they were. So does a report of it, without its name:
    who finds it again in a mailbox would count it again. What the domain itself said of others'
    mail, as a receiver, is of those.

    Raises:
        LedgerError: the database cannot be used.
    """
    waiting = _forget_waiting(connection, domain)
    named = _forget_name(connection, domain)
    return waiting + named + sum(_forget_rows(connection, table, domain) for table in _TABLES)


def _forget_rows(connection: Connection, table: Table, domain: str) -> int:
    # A relay that adds a batch meanwhile locks rows in the order of their keys; who locks them in
    # another order may wait for one that waits for him.
    keys = [*table.primary_key]
    locked = select(*keys).where(table.c.domain == domain).order_by(*keys).with_for_update()
    connection.execute(locked).all()
    return connection.execute(delete(table).where(table.c.domain == domain)).rowcount


def _forget_name(connection: Connection, domain: str) -> int:
    is_of = REPORTS.c.policy_domain == domain
    locked = select(REPORTS.c.id).where(is_of).order_by(REPORTS.c.id).with_for_update()
    connection.execute(locked).all()
    return connection.execute(update(REPORTS).where(is_of).values(policy_domain="")).rowcount


def _forget_waiting(connection: Connection, domain: str) -> int:
    # Also in those that were tried: either they have arrived, and nobody reads them again, or they
    # have not.
    question = select(OUTBOX).where(OUTBOX.c.body.contains(f'"{domain}"', autoescape=True))
    forgotten = 0
    for row in connection.execute(question).all():
        whole = Batch.from_json(row.body)
        rest = Batch(
            {key: number for key, number in whole.counts.items() if key.domain != domain},
            {key: seen for key, seen in whole.seen.items() if key.domain != domain},
        )
        forgotten += whole.rows - rest.rows
        changed = {"rows": rest.rows, "messages": rest.messages, "body": rest.to_json()}
        connection.execute(update(OUTBOX).where(OUTBOX.c.number == row.number).values(changed))
    return forgotten
