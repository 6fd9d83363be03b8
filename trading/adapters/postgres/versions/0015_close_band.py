"""How far through the market a close-out may trade."""

from trading.adapters.postgres.migrate import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """A column of the policies."""
    run_sql("0015_close_band.sql")
