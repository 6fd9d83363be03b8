"""Broker accounts and what the monitoring loop does."""

from trading.adapters.postgres.migrate import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0010_monitoring.sql")
