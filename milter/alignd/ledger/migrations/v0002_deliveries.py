"""Who was told of each event, and who is told again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    event = sa.ForeignKey("events.id", ondelete="CASCADE")
    op.create_table(
        "deliveries",
        sa.Column("event", sa.Text, event, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("next_at", sa.Double, nullable=False, server_default="0"),
        sa.Column("told_at", sa.Double, nullable=False, server_default="0"),
        sa.Column("problem", sa.Text, nullable=False, server_default=""),
        sqlite_with_rowid=False,
    )
    op.create_index("deliveries_by_time", "deliveries", ["target", "next_at"])
