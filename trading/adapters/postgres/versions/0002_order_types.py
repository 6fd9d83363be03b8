"""Stops, trailing stops, brackets, pairs, times in force, changes."""

from trading.adapters.postgres.migrate import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Columns and what they must satisfy."""
    run_sql("0002_order_types.sql")
