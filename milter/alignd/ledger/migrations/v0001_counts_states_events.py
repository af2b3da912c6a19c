"""The first schema: counts, states, events, and the file of one relay."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    words = ("leg", "tenant", "domain", "action", "reason")
    for name, begin in (("hours", "hour"), ("days", "day")):
        _create(name, _begin(begin), *map(_key, words), _number("messages"))
        op.create_index(f"{name}_by_domain", name, ["domain", begin])
    keys = map(_key, ("relay", "leg", "action"))
    _create("relay_hours", _begin("hour"), *keys, _number("messages"))
    times = (_time("first_seen"), _time("last_seen"))
    dry_run = sa.Column("dry_run", sa.Boolean, nullable=False, server_default="0")
    _create(
        "relays", *map(_key, ("relay", "leg")), *times, _text("version"), _text("digest"), dry_run
    )
    _create_states_and_events()
    _create("shipments", _key("spool"), _number("number"))
    _create("spool", _key("id"))
    _create("sources", _key("source"), _number("number"))
    _create_outbox()
    seen = sa.Column("seen", sa.BigInteger, nullable=False, server_default="0")
    _create("admitted", _key("domain"), _number("day"), seen)


def _create_states_and_events() -> None:
    found = map(_text, ("action", "reason", "policy", "spf", "dkim"))
    times = map(_time, ("since", "first_seen", "last_seen", "looked", "look_at"))
    unsure = (_text("pending"), _time("pending_since"), _time("unknown_since"))
    _create("states", *map(_key, ("leg", "tenant", "domain")), *found, *times, *unsure)
    op.create_index("states_by_look", "states", ["leg", "look_at"])
    op.create_index("states_by_domain", "states", ["domain"])
    said = map(_text, ("leg", "tenant", "domain", "kind", "was", "now", "relay"))
    _create("events", _key("id"), _time("at"), *said)
    op.create_index("events_by_domain", "events", ["domain", "at"])
    op.create_index("events_by_time", "events", ["at"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("is_tried", sa.Boolean, nullable=False, server_default="0"),
        _time("since"),
        _number("rows"),
        _number("messages"),
        _text("body"),
        sqlite_autoincrement=True,
    )


def _create(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(name, *columns, sqlite_with_rowid=False)


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, primary_key=True)


def _begin(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Double, nullable=False, server_default="0")
