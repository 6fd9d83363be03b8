"""Limits before the trade, allowed and restricted instruments, scopes of the kill switch."""

from trading.adapters.postgres.migrate import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0006_risk.sql")
