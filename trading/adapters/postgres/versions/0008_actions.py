"""Corporate actions, taxes and fee schedules, tax fields of lots."""

from trading.adapters.postgres.migrate import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Tables and columns."""
    run_sql("0008_actions.sql")
