"""Backups."""

from trading.adapters.postgres.migrate import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0012_safety.sql")
