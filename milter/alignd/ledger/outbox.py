"""Batches that wait in the file of a relay until the database that relays share has taken them.

They are sent in the order of their numbers. While the database is away, what comes is merged with
what waits, so that a day takes few batches.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from alignd.ledger.batch import Batch
from alignd.ledger.tables import OUTBOX, SPOOL

MAX_ROWS_OF_BATCH = 2_000
"""What is merged into one batch: a transaction of a tenth of a second."""
MAX_ROWS = 2_000_000
"""Of all that wait, some 300 MB: three weeks of a relay with 200,000 messages a day."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What the outbox had no room for."""

    messages: int
    since: float
    """Unix time of the oldest of it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the outbox has."""

    messages: int
    since: float
    """Unix time at which the oldest of it came; 0 if there is nothing."""


def put(connection: Connection, batch: Batch, now: float, most: int = MAX_ROWS) -> Dropped | None:
    """Have *batch* wait, and drop the oldest that are more than *most* rows."""
    last = connection.execute(select(OUTBOX).order_by(OUTBOX.c.number.desc()).limit(1)).first()
    if last and not last.is_tried and last.rows + batch.rows <= MAX_ROWS_OF_BATCH:
        merged = Batch.from_json(last.body).merged(batch)
        connection.execute(
            update(OUTBOX)
            .where(OUTBOX.c.number == last.number)
            .values(rows=merged.rows, messages=merged.messages, body=merged.to_json())
        )
    else:
        row = {"since": now, "rows": batch.rows, "messages": batch.messages}
        connection.execute(OUTBOX.insert().values(**row, body=batch.to_json()))
    return _drop(connection, most)


def begin_sending(connection: Connection) -> tuple[int, Batch] | None:
    """The oldest batch and its number; from now on it is changed no more. None without one."""
    first = connection.execute(select(OUTBOX).order_by(OUTBOX.c.number).limit(1)).first()
    if first is None:
        return None
    connection.execute(update(OUTBOX).where(OUTBOX.c.number == first.number).values(is_tried=True))
    return first.number, Batch.from_json(first.body)


def acknowledge(connection: Connection, number: int) -> None:
    """Forget the batch with this number: it is in the database that relays share."""
    connection.execute(delete(OUTBOX).where(OUTBOX.c.number == number))


def waiting(connection: Connection) -> Waiting:
    messages, since = connection.execute(
        select(func.coalesce(func.sum(OUTBOX.c.messages), 0), func.min(OUTBOX.c.since))
    ).one()
    return Waiting(int(messages), since or 0.0)


def spool_id(connection: Connection) -> str:
    """The random id of the file."""
    return str(connection.execute(select(SPOOL.c.id)).scalar_one())


def _drop(connection: Connection, most: int) -> Dropped | None:
    rows = connection.execute(select(func.sum(OUTBOX.c.rows))).scalar_one()
    if rows <= most:
        return None
    dropped, since = 0, 0.0
    oldest = select(OUTBOX.c.number, OUTBOX.c.rows, OUTBOX.c.messages, OUTBOX.c.since)
    # One that was tried may have arrived.
    for each in connection.execute(oldest.where(~OUTBOX.c.is_tried).order_by(OUTBOX.c.number)):
        connection.execute(delete(OUTBOX).where(OUTBOX.c.number == each.number))
        dropped, since, rows = dropped + each.messages, since or each.since, rows - each.rows
        if rows <= most:
            break
    return Dropped(dropped, since)
