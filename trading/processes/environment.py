"""The environment of a floor's processes, and of a data engineer who runs Dagster's own commands beside it."""

from pathlib import Path

from trading.adapters.embedded import connections
from trading.config import PROJECT_ROOT, Settings


def resolved(settings: Settings) -> Settings:
    """The same settings with absolute folders: the processes run in the project's folder, not in the caller's."""
    update: dict[str, object] = {"data_dir": settings.data_dir.expanduser().resolve()}
    if settings.lake_url:
        update["lake_url"] = str(Path(settings.lake_url).expanduser().resolve())
    if settings.backup_dir:
        update["backup_dir"] = str(Path(settings.backup_dir).expanduser().resolve())
    return settings.model_copy(update=update)


def floor_variables(settings: Settings) -> dict[str, str]:
    """Variables that give a process this floor's settings and Dagster and MLflow their stores."""
    variables = {
        "TRADEFLOOR_DATA": str(settings.data_dir),
        "TRADEFLOOR_HOST": settings.host,
        "TRADEFLOOR_APP_PORT": str(settings.app_port),
        "TRADEFLOOR_DAGSTER_PORT": str(settings.dagster_port),
        "TRADEFLOOR_SEED": str(settings.seed),
        "TRADEFLOOR_BROKER_LATENCY": settings.broker_latency,
        "DAGSTER_HOME": str(PROJECT_ROOT),
        "TRADEFLOOR_DAGSTER_PG_URL": connections.dagster_dsn(settings),
        "TRADEFLOOR_DAGSTER_STORAGE": str(settings.data_dir / "dagster"),
        "MLFLOW_TRACKING_URI": connections.mlflow_dsn(settings),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DAGSTER_DISABLE_TELEMETRY": "true",
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    }
    given = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "TRADEFLOOR_LAKE": settings.lake_url,
        "TRADEFLOOR_BACKUP_DIR": settings.backup_dir,
    }
    return variables | {name: value for name, value in given.items() if value}
