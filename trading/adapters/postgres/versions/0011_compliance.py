"""Retention, erasure, the audit trail."""

from trading.adapters.postgres.migrate import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0011_compliance.sql")
