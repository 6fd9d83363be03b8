"""Settings of one floor, read from the environment (prefix ``TRADEFLOOR_``) and nothing else."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trading.domain.errors import Invalid
from trading.exchange.latency import Latency, parse_latency

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where a floor keeps its data and on which ports it answers.

    ``database_url`` and ``redis_url`` are empty for the embedded servers; ``DATABASE_URL`` and ``REDIS_URL`` point the
    floor at servers of the same kind. ``lake_url`` is a folder, empty for ``data_dir/lake``. ``sim_hours`` says whether
    the simulated venue trades around the clock or by real calendars, see `trading.market.sessions`.
    ``broker_latency`` is ``none``, ``fixed:MS`` or ``lognormal:MEDIAN_MS,P99_MS``.
    ``backup_dir`` is a folder, empty for ``data_dir/backups``; a backup is made every ``backup_every_h`` hours (0:
    none, and no log is kept) and the newest ``backup_keep`` stay.
    """

    model_config = SettingsConfigDict(env_prefix="TRADEFLOOR_", populate_by_name=True, extra="ignore")

    data_dir: Path = Field(default=PROJECT_ROOT / "data", validation_alias="TRADEFLOOR_DATA")
    database_url: str = Field(default="", validation_alias="DATABASE_URL")
    redis_url: str = Field(default="", validation_alias="REDIS_URL")
    lake_url: str = Field(default="", validation_alias="TRADEFLOOR_LAKE")
    host: str = "127.0.0.1"
    app_port: int = 8501
    dagster_port: int = 3000
    seed: int = 20260101
    sim_hours: Literal["always", "real"] = "always"
    broker_latency: str = "none"
    backup_dir: str = ""
    backup_every_h: float = Field(default=24.0, ge=0)
    backup_keep: int = Field(default=7, ge=1)

    @field_validator("lake_url")
    @classmethod
    def _a_folder(cls, given: str) -> str:
        if "://" in given:
            raise ValueError("TRADEFLOOR_LAKE must be a folder; object storage cannot be used yet")
        return given

    @field_validator("broker_latency")
    @classmethod
    def _a_latency(cls, given: str) -> str:
        try:
            parse_latency(given)
        except Invalid as error:
            raise ValueError(str(error)) from None
        return given

    @property
    def latency(self) -> Latency:
        """How long orders are on their way to the paper broker's exchange; draws belong to ``seed``."""
        return parse_latency(self.broker_latency, self.seed)

    @property
    def lake_dir(self) -> Path:
        """Root of the lake's Parquet files."""
        return Path(self.lake_url) if self.lake_url else self.data_dir / "lake"

    @property
    def backups(self) -> Path:
        """Where backups and the log behind them are kept; best on another disk than ``data_dir``."""
        return Path(self.backup_dir) if self.backup_dir else self.data_dir / "backups"

    @property
    def inbox_dir(self) -> Path:
        """Where a user drops CSV or Parquet files."""
        return self.data_dir / "inbox"

    @property
    def run_dir(self) -> Path:
        """Process ids, status and sockets of the running floor."""
        return self.data_dir / "run"

    @property
    def log_dir(self) -> Path:
        """One log file a process."""
        return self.data_dir / "logs"

    @property
    def head_path(self) -> Path:
        """Heads of the ledger's hash chain, outside the database."""
        return self.data_dir / "ledger-head.jsonl"

    @property
    def secrets_path(self) -> Path:
        """Generated passwords of the floor's roles and servers, JSON, mode 600."""
        return self.data_dir / "secrets.json"

    @property
    def logins_path(self) -> Path:
        """Generated passwords of the demo users, mode 600."""
        return self.data_dir / "demo-logins.txt"
