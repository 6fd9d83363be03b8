"""What an order is accepted on without reading everything again."""

from trading.adapters.postgres.migrate import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Tables and triggers."""
    run_sql("0014_open_orders.sql")
