"""References of ledger rows, asked once for each statement instead of once for each row."""

from trading.adapters.postgres.migrate import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Triggers on the side that names."""
    run_sql("0003_references.sql")
