"""References of ledger rows, asked once for each statement instead of once for each row."""

from pathlib import Path

from alembic import op
from psycopg import Connection

revision = "0003"
down_revision = "0002"

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Triggers on both sides of the references."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, Connection):
        raise TypeError("migrations run on psycopg")
    with connection.cursor() as cursor:
        cursor.execute((SQL / "0003_references.sql").read_text())
