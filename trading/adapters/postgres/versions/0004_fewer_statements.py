"""What the desk decides on, found by keys; its two functions are not planned anew."""

from pathlib import Path

from alembic import op
from psycopg import Connection

revision = "0004"
down_revision = "0003"

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Replace a function, set two; grants stay."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, Connection):
        raise TypeError("migrations run on psycopg")
    with connection.cursor() as cursor:
        cursor.execute((SQL / "0004_fewer_statements.sql").read_text())
