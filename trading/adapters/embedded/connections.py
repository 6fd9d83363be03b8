"""Addresses of the floor's servers, embedded or given by ``DATABASE_URL`` and ``REDIS_URL``.

``DATABASE_URL`` names a login that may create roles and databases; the floor's own roles log in beside it, each with
its generated password. A database in its path (other than ``postgres``) takes the place of ``tradefloor``.
"""

from urllib.parse import quote, unquote, urlsplit, urlunsplit

from trading.adapters.embedded import secrets
from trading.config import Settings
from trading.domain.errors import Unavailable

FLOOR_DATABASE = "tradefloor"
SUPERUSER_LOGIN = "postgres"


def dsn(settings: Settings, role: str, database: str = FLOOR_DATABASE) -> str:
    """libpq URL of a role (or ``superuser``) for psycopg; `Unavailable` where the floor has never been opened."""
    return _postgres_url(settings, "postgresql", role, database)


def dagster_dsn(settings: Settings) -> str:
    """SQLAlchemy URL of Dagster's database. psycopg 2, because dagster-postgres listens on its raw connection."""
    return _postgres_url(settings, "postgresql+psycopg2", "tf_dagster", "dagster")


def mlflow_dsn(settings: Settings) -> str:
    """SQLAlchemy URL of MLflow's database."""
    return _postgres_url(settings, "postgresql+psycopg", "tf_mlflow", "mlflow")


def redis_url(settings: Settings) -> str:
    """redis-py URL: ``unix://:password@/path?db=0`` for the embedded server."""
    if settings.redis_url:
        return settings.redis_url
    known = _secrets(settings)
    if not known.valkey_socket:
        raise Unavailable("The floor is not open. Start it with: make up")
    return f"unix://:{quote(known.valkey_password, safe='')}@{quote(known.valkey_socket)}?db=0"


def _postgres_url(settings: Settings, scheme: str, role: str, database: str) -> str:
    known = _secrets(settings)
    if role not in known.postgres:
        raise ValueError(f"no login called {role}")
    if settings.database_url:
        return _beside(settings.database_url, scheme, role, database, known.postgres[role])
    if not known.postgres_socket_dir:
        raise Unavailable("The floor is not open. Start it with: make up")
    login = SUPERUSER_LOGIN if role == secrets.SUPERUSER else role
    password = quote(known.postgres[role], safe="")
    return f"{scheme}://{login}:{password}@/{database}?host={quote(known.postgres_socket_dir, safe='/')}"


def _beside(database_url: str, scheme: str, role: str, database: str, password: str) -> str:
    given = urlsplit(database_url)
    own_database = unquote(given.path.lstrip("/"))
    if database == FLOOR_DATABASE and own_database not in ("", "postgres"):
        database = own_database
    server = given.netloc.rpartition("@")[2]
    credentials = given.netloc.rpartition("@")[0]
    if role != secrets.SUPERUSER:
        credentials = f"{role}:{quote(password, safe='')}"
    return urlunsplit((scheme, f"{credentials}@{server}", f"/{quote(database)}", given.query, ""))


def _secrets(settings: Settings) -> secrets.FloorSecrets:
    known = secrets.read(settings.secrets_path)
    if known is None:
        raise Unavailable("The floor is not open. Start it with: make up")
    return known
