"""A floor of which only the clock and the lake are real: what ingest touches."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from trading.adapters.clock import FixedClock
from trading.adapters.lake import Lake
from trading.adapters.postgres.audit_store import PostgresAudit
from trading.adapters.postgres.pool import Pool
from trading.services.floor import Floor

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


def lake_floor(root: Path, pool: Pool) -> Floor:
    """Ports that no test here may reach are None, so that reaching for one fails."""
    parts: dict[str, Any] = dict.fromkeys(Floor.__dataclass_fields__)
    parts["clock"] = FixedClock(int(NOW.timestamp()) * 10**9)
    parts["audit"] = PostgresAudit(pool)
    parts["lake"] = Lake(root, pool)
    return cast(Floor, Floor(**parts))
