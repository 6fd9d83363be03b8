"""Acceptance and batches in less time."""

from trading.adapters.postgres.migrate import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0004_acceptance.sql")
