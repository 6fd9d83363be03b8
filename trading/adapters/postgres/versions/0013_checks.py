"""The rules for rows of the busiest tables, as one CHECK for each."""

from trading.adapters.postgres.migrate import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Constraints."""
    run_sql("0013_checks.sql")
