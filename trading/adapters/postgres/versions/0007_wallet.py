"""Withdrawals, conversion, interest, settlement, archives."""

from trading.adapters.postgres.migrate import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0007_wallet.sql")
