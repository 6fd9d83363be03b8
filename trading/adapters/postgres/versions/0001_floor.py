"""The floor's first tables."""

from trading.adapters.postgres.migrate import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Tables alone; functions and rights are applied after every upgrade."""
    run_sql("0001_tables.sql")
