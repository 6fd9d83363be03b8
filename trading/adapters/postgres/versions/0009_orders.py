"""Batches, schedules, parents and children, portfolio sessions."""

from trading.adapters.postgres.migrate import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0009_orders.sql")
