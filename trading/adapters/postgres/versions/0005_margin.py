"""Margin portfolios: policies, short positions, calls."""

from trading.adapters.postgres.migrate import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0005_margin.sql")
