"""The schema of a ledger, the same for SQLite and PostgreSQL.

Words are kept as the log spells them, so that `psql` and `sqlite3` are enough to read it. Times
are Unix time in seconds; an hour and a day are known by the time at which they begin, UTC. A
change here needs a migration in `migrations/versions`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData()


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _begin(name: str) -> Column[int]:
    """The time at which an hour or a day begins."""
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _time(name: str) -> Column[float]:
    """A time; 0 for never."""
    return Column(name, Double, nullable=False, server_default="0")


def _counts(name: str, begin: str) -> Table:
    """Messages by time, author domain and what was done with them."""
    return Table(
        name,
        METADATA,
        _begin(begin),
        *map(_key, ("leg", "tenant", "domain", "action", "reason")),
        _number("messages"),
        Index(f"{name}_by_domain", "domain", begin),
        sqlite_with_rowid=False,
    )


HOURS = _counts("hours", "hour")
"""Messages by hour. Without the relay: with it, 50 relays make eight times as many rows."""

DAYS = _counts("days", "day")
"""The same messages by day, which are kept for longer."""

RELAY_HOURS = Table(
    "relay_hours",
    METADATA,
    _begin("hour"),
    _key("relay"),
    _key("leg"),
    _key("action"),
    _number("messages"),
    sqlite_with_rowid=False,
)

RELAYS = Table(
    "relays",
    METADATA,
    _key("relay"),
    _key("leg"),
    _time("first_seen"),
    _time("last_seen"),
    _text("version"),
    _text("digest"),
    Column("dry_run", Boolean, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)
"""The relays that write here. `last_seen` moves every minute, mail or none; `digest` is that of
the configuration file (`Setup.digest`)."""

STATES = Table(
    "states",
    METADATA,
    _key("leg"),
    _key("tenant"),
    _key("domain"),
    _text("action"),
    _text("reason"),
    _text("policy"),
    _text("spf"),
    _text("dkim"),
    _time("since"),
    _time("first_seen"),
    _time("last_seen"),
    _time("looked"),
    _time("look_at"),
    _text("pending"),
    _time("pending_since"),
    _time("unknown_since"),
    Index("states_by_look", "leg", "look_at"),
    Index("states_by_domain", "domain"),
    sqlite_with_rowid=False,
)
"""What would happen now to a message of an author domain.

The five words are a `Finding`: the last message's until the domain was looked at for the first
time (`looked`), from then on only what two looks agree on. `since`: when that began. `first_seen`
and `last_seen`: of its messages. `look_at`: when it is looked at next; a message that met
something else makes that now. `pending`: the JSON of a finding that one look has seen and that
waits for a second one; empty without. `unknown_since`: since when looks say that DNS does not
answer; the five words stay what they were."""

EVENTS = Table(
    "events",
    METADATA,
    _key("id"),
    _time("at"),
    _text("leg"),
    _text("tenant"),
    _text("domain"),
    _text("kind"),
    _text("was"),
    _text("now"),
    _text("relay"),
    Index("events_by_domain", "domain", "at"),
    Index("events_by_time", "at"),
    sqlite_with_rowid=False,
)
"""What changed. `kind` is a word of `EventKind`; `was` and `now` are JSON: a finding, or what else
the kind has to say. `id` is a UUID. `relay`: who noticed."""

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("event", Text, ForeignKey(EVENTS.c.id, ondelete="CASCADE"), primary_key=True),
    _key("target"),
    _number("attempts"),
    _time("next_at"),
    _time("told_at"),
    _text("problem"),
    Index("deliveries_by_time", "target", "next_at"),
    sqlite_with_rowid=False,
)
"""Who is told of an event, by the name of a `Target`: one row for each. It goes with its event.

`attempts`: those that failed, `problem`: why the last one did. `next_at`: when it is tried again;
0 when it is not, because it was told (`told_at`) or was given up."""

SHIPMENTS = Table(
    "shipments",
    METADATA,
    _key("spool"),
    _number("number"),
    sqlite_with_rowid=False,
)
"""The number of the last batch of each spool that was added, so that none is added twice: a relay
sends them in their order. So does whoever else adds in numbered parts, such as replies."""

REPLIES = Table(
    "replies",
    METADATA,
    _begin("day"),
    *map(_key, ("tenant", "domain", "action", "reason", "receiver", "kind", "pattern")),
    _number("messages"),
    Index("replies_by_domain", "domain", "day"),
    sqlite_with_rowid=False,
)
"""Messages that receivers have refused as not authenticated; see `ReplyKey`."""

REPORTS = Table(
    "reports",
    METADATA,
    _key("id"),
    _text("reporter"),
    _text("policy_domain"),
    *map(_number, ("begin", "end", "messages")),
    _text("discovery"),
    _time("read_at"),
    Index("reports_by_end", "end"),
    sqlite_with_rowid=False,
)
"""The aggregate reports that were read and that somebody answers for; see `KnownReport`."""

REPORT_ROWS = Table(
    "report_rows",
    METADATA,
    *map(_begin, ("first_day", "last_day")),
    *map(_key, ("reporter", "origin", "domain", "address")),
    *map(_key, ("result", "dkim", "spf", "disposition")),
    Column("is_foretold", Boolean, primary_key=True),
    _number("messages"),
    Index("report_rows_by_domain", "domain", "first_day"),
    sqlite_with_rowid=False,
)
"""Messages in those reports; see `ReportKey`."""

# What follows is of the local file of a relay alone, and empty in a database that relays share.

SPOOL = Table("spool", METADATA, _key("id"), sqlite_with_rowid=False)
"""One row: the random id of this file."""

SOURCES = Table("sources", METADATA, _key("source"), _number("number"), sqlite_with_rowid=False)
"""The number of the last message of each worker's ring that is in this file."""

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("is_tried", Boolean, nullable=False, server_default="0"),
    _time("since"),
    _number("rows"),
    _number("messages"),
    _text("body"),
    sqlite_autoincrement=True,
)
"""Batches (`Batch.to_json`) that a shared database has not acknowledged yet. One that was tried
may have arrived, and is changed no more."""

ADMITTED = Table(
    "admitted",
    METADATA,
    _key("domain"),
    _number("day"),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)
"""The domains that have rows of their own, the day on which they got them, and the last day on
which they sent: what is silent for a month makes room for others."""
