"""Takes what comes in numbered parts into a ledger: in order, and each part once."""

from __future__ import annotations

from sqlalchemy import Connection

from alignd.ledger.database import insert
from alignd.ledger.tables import SHIPMENTS


def is_new(connection: Connection, source: str, number: int) -> bool:
    """Note that part *number* of *source* is there; False if it, or a later one, was before.

    Within the transaction that adds the part: who does not hear of its end sends it again.
    """
    statement = insert(connection, SHIPMENTS).values(spool=source, number=number)
    statement = statement.on_conflict_do_update(
        index_elements=["spool"],
        set_={"number": statement.excluded.number},
        where=SHIPMENTS.c.number < statement.excluded.number,
    )
    # Not its rowcount, which SQLAlchemy 2.1 does not tell of an INSERT.
    return connection.execute(statement.returning(SHIPMENTS.c.number)).first() is not None
