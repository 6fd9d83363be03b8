"""Orders that wait for a price, orders in groups, and new terms for open orders."""

from pathlib import Path

from alembic import op
from psycopg import Connection

from trading.domain.orders import TRANSITIONS

revision = "0002"
down_revision = "0001"

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Columns, functions, and the transitions that are new."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, Connection):
        raise TypeError("migrations run on psycopg")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into order_transition (source, target) values (%s, %s) on conflict do nothing",
            [(source, target) for source, targets in TRANSITIONS.items() for target in sorted(targets)],
        )
        cursor.execute((SQL / "0002_order_types.sql").read_text())
