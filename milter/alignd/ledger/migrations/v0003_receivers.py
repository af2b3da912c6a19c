"""What receivers said: replies to messages, reports, and the rows of reports."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    words = ("tenant", "domain", "action", "reason", "receiver", "kind", "pattern")
    _create("replies", _begin("day"), *map(_key, words), _number("messages"))
    op.create_index("replies_by_domain", "replies", ["domain", "day"])
    _create(
        "reports",
        _key("id"),
        *map(_text, ("reporter", "policy_domain")),
        *map(_number, ("begin", "end", "messages")),
        _text("discovery"),
        sa.Column("read_at", sa.Double, nullable=False, server_default="0"),
    )
    op.create_index("reports_by_end", "reports", ["end"])
    days = map(_begin, ("first_day", "last_day"))
    whose = ("reporter", "origin", "domain", "address")
    result = ("result", "dkim", "spf", "disposition")
    foretold = sa.Column("is_foretold", sa.Boolean, primary_key=True)
    _create("report_rows", *days, *map(_key, (*whose, *result)), foretold, _number("messages"))
    op.create_index("report_rows_by_domain", "report_rows", ["domain", "first_day"])


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
