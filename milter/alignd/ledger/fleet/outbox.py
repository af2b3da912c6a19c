"""Batches that wait in the file of a relay until the database that relays share has taken them.

They are sent in the order of their numbers. While the database is away, what comes is merged with
what waits, so that a day takes few batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, delete, func, select, text, update

from alignd.ledger.batch import Batch
from alignd.ledger.tables import OUTBOX, SPOOL

MAX_ROWS_OF_BATCH = 2_000
"""What is merged into one batch: a transaction of a tenth of a second."""
MAX_ROWS = 2_000_000
"""Of all that wait, some 300 MB: eight days of a relay with 200,000 messages a day."""
_LEAP = 1_000_000  # numbers: more than a file can fall behind, at one a second for eleven days


class UnreadableBatchError(Exception):
    """A batch that waits cannot be read: the file was changed by somebody else."""

    def __init__(self, number: int, messages: int) -> None:
        super().__init__(f"batch {number}, of {messages} messages, cannot be read")
        self.number = number
        self.messages = messages


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


def begin_anew(connection: Connection) -> None:
    """Give no number a second time, though the file may be an older copy of itself.

    What such a copy has may have been sent, as it is and under its number: so it is not changed,
    and what comes now gets numbers that none has had.
    """
    connection.execute(update(OUTBOX).values(is_tried=True))
    leap = "UPDATE sqlite_sequence SET seq = seq + :leap WHERE name = :table"
    values = {"leap": _LEAP, "table": OUTBOX.name}
    if not connection.execute(text(leap), values).rowcount:
        first = "INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :leap)"
        connection.execute(text(first), values)


def put(connection: Connection, batch: Batch, now: float, most: int = MAX_ROWS) -> Dropped | None:
    """Have *batch* wait, and drop the oldest that are more than *most* rows."""
    last = connection.execute(select(OUTBOX).order_by(OUTBOX.c.number.desc()).limit(1)).first()
    if last and not last.is_tried and last.rows + batch.rows <= MAX_ROWS_OF_BATCH:
        try:
            merged = Batch.from_json(last.body).merged(batch)
        except ValueError:  # who sends it says so
            _append(connection, batch, now)
        else:
            connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.number == last.number)
                .values(rows=merged.rows, messages=merged.messages, body=merged.to_json())
            )
    else:
        for part in _parts(batch):
            _append(connection, part, now)
    return _drop(connection, most)


def begin_sending(connection: Connection) -> tuple[int, Batch] | None:
    """The oldest batch and its number; from now on it is changed no more. None without one.

    Raises:
        UnreadableBatchError: it is none; who acknowledges it goes on with the next.
    """
    first = connection.execute(select(OUTBOX).order_by(OUTBOX.c.number).limit(1)).first()
    if first is None:
        return None
    try:
        batch = Batch.from_json(first.body)
    except ValueError as error:
        raise UnreadableBatchError(first.number, first.messages) from error
    if not first.is_tried:
        tried = update(OUTBOX).where(OUTBOX.c.number == first.number).values(is_tried=True)
        connection.execute(tried)
    return first.number, batch


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


def _append(connection: Connection, batch: Batch, now: float) -> None:
    row = {"since": now, "rows": batch.rows, "messages": batch.messages}
    connection.execute(OUTBOX.insert().values(**row, body=batch.to_json()))


def _parts(batch: Batch) -> Iterator[Batch]:
    """The batch in parts that are each sent in a moment, without keeping others from rows."""
    counts, seen = iter(batch.counts.items()), iter(batch.seen.items())
    while True:
        some = dict(islice(counts, MAX_ROWS_OF_BATCH))
        part = Batch(some, dict(islice(seen, MAX_ROWS_OF_BATCH - len(some))))
        if not part.rows:
            return
        yield part


def _drop(connection: Connection, most: int) -> Dropped | None:
    rows = connection.execute(select(func.sum(OUTBOX.c.rows))).scalar_one()
    if rows <= most:
        return None
    dropped, since = 0, 0.0
    columns = (OUTBOX.c.number, OUTBOX.c.is_tried, OUTBOX.c.rows, OUTBOX.c.messages)
    oldest = connection.execute(select(*columns, OUTBOX.c.since).order_by(OUTBOX.c.number))
    for place, each in enumerate(oldest.all()):
        if place == 0 and each.is_tried:
            continue  # it may be on its way, and arrive
        connection.execute(delete(OUTBOX).where(OUTBOX.c.number == each.number))
        dropped, since, rows = dropped + each.messages, since or each.since, rows - each.rows
        if rows <= most:
            break
    return Dropped(dropped, since) if dropped else None
