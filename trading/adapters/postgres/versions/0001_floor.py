"""The floor's first schema."""

from pathlib import Path

from alembic import op
from psycopg import Connection

from trading.domain.orders import TRANSITIONS

revision = "0001"
down_revision = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Tables, server functions, then who may do what."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, Connection):
        raise TypeError("migrations run on psycopg")
    with connection.cursor() as cursor:
        cursor.execute((SQL / "0001_tables.sql").read_text())
        cursor.executemany(
            "insert into order_transition (source, target) values (%s, %s)",
            [(source, target) for source, targets in TRANSITIONS.items() for target in sorted(targets)],
        )
        cursor.execute((SQL / "0001_functions.sql").read_text())
        cursor.execute((SQL / "0001_security.sql").read_text())
