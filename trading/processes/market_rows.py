"""What the market process reads and writes in the floor's database."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psycopg
import structlog
from psycopg.types.json import Json

from trading.adapters.postgres.pool import Pool, connection_of
from trading.domain.errors import TradefloorError
from trading.market.profiles import VENUE, Profile, shipped_profiles
from trading.processes.market_archive import DATASET, Units

log = structlog.get_logger()


def write_detail(pool: Pool, detail: Mapping[str, Any]) -> None:
    """The process's own numbers, for the health page; a database that is away is logged."""
    try:
        with connection_of(pool) as connection:
            connection.execute("update process_status set detail = %s where name = 'market'", (Json(detail),))
    except (TradefloorError, psycopg.Error) as error:
        log.warning("market.status_not_written", error=str(error))


def newest_in_lake(pool: Pool) -> dict[str, int]:
    """Start of the newest bar of each simulated series, out of the manifest itself: no lake need be opened for it."""
    with connection_of(pool) as connection:
        rows = connection.execute(
            "select series, max(ts_max_ns) from lake_file where dataset = %s and retired_at is null group by series",
            (DATASET,),
        ).fetchall()
    return dict(rows)


def instruments(pool: Pool) -> tuple[list[int], list[Profile], dict[int, Units]]:
    """Ids, profiles and units of the venue's instruments, by id. An instrument without a profile is left out."""
    profiles = {profile.symbol: profile for profile in shipped_profiles()}
    with connection_of(pool) as connection:
        rows = connection.execute(
            "select instrument_id, symbol, tick_size, lot_size from instrument_current where venue = %s"
            " order by instrument_id",
            (VENUE,),
        ).fetchall()
    ids: list[int] = []
    found: list[Profile] = []
    units: dict[int, Units] = {}
    for instrument_id, symbol, tick_size, lot_size in rows:
        if symbol in profiles:
            ids.append(instrument_id)
            found.append(replace(profiles[symbol], tick_size=tick_size, lot_size=lot_size))
            units[instrument_id] = Units(symbol, tick_size, lot_size)
    return ids, found, units
