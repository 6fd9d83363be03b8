"""Real bars: those that ship, those that users bring, and the checks that what is in the lake can be built on."""

import pandas as pd
from dagster import AssetCheckResult, AssetCheckSeverity, MaterializeResult, ResourceParam, asset, asset_check

from assets import show
from assets.ingest_reports import summary
from assets.research_universe import daily_series
from trading.config import Settings
from trading.services import ingest
from trading.services.access import SYSTEM
from trading.services.floor import Floor

GROUP = "market_data"
OWNERS = ["team:data"]


@asset(
    group_name=GROUP,
    kinds={"csv", "parquet"},
    owners=OWNERS,
    tags={"domain": "market_data"},
    description="The public-domain daily bars that ship with the project: AAPL, IBM, MSFT, GOOG, FB, 2000 to 2013. "
    "Taken again they are the same file.",
)
def shipped_bars(floor: ResourceParam[Floor]) -> MaterializeResult:
    """Validate and keep what ships."""
    return summary([ingest.ingest_shipped(floor, SYSTEM)])


@asset(
    group_name=GROUP,
    kinds={"csv", "parquet"},
    owners=OWNERS,
    tags={"domain": "market_data"},
    description="CSV and Parquet files that users dropped into data/inbox. Looked at once, then filed under taken or "
    "refused with a report beside them.",
)
def inbox_bars(floor: ResourceParam[Floor]) -> MaterializeResult:
    """Validate and keep what lies in the inbox."""
    return summary(ingest.ingest_inbox(floor, SYSTEM, Settings().inbox_dir))


@asset(
    group_name=GROUP,
    deps=[shipped_bars, inbox_bars],
    kinds={"parquet", "duckdb"},
    owners=OWNERS,
    tags={"domain": "market_data"},
    description="Every bar that passed validation, as the lake holds it: what research is built on.",
)
def validated_bars(floor: ResourceParam[Floor]) -> MaterializeResult:
    """Take stock of the lake's bars and what was quarantined."""
    lake = floor.lake
    files = lake.files("bars")
    stock = pd.DataFrame(
        [
            {
                "series": file.series,
                "rows": file.rows,
                "from": pd.Timestamp(file.ts_min_ns, unit="ns"),
                "to": pd.Timestamp(file.ts_max_ns, unit="ns"),
                "sha256": file.sha256[:12],
            }
            for file in files
        ],
        columns=["series", "rows", "from", "to", "sha256"],
    )
    shown = daily_series(floor)[:6]
    closes = {name: lake.read("bars", name).set_index("ts")["close"] for name in shown}
    return MaterializeResult(
        data_version=show.version(file.sha256 for file in files),
        metadata={
            "dagster/row_count": int(stock["rows"].sum()),
            "quarantined": sum(file.rows for file in lake.files("quarantine")),
            "series": show.table(stock),
            "closes": show.lines("Closes, raw", closes),
        },
    )


_BROKEN = """
select series,
       count(*) filter (
           where not (low <= least(open, close) and high >= greatest(open, close) and low > 0)) as disorder,
       count(*) - count(distinct ts) as twice,
       count(*) filter (where ts::timestamptz > $1) as future
from bars group by series
"""


@asset_check(
    asset=validated_bars,
    blocking=True,
    description="low <= open, close <= high, prices above zero, no time twice, nothing in the future.",
)
def bars_are_sound(floor: ResourceParam[Floor]) -> AssetCheckResult:
    """Ask the lake itself, in SQL."""
    found = floor.lake.query(_BROKEN, ["bars"], [floor.clock.now()])
    totals = {name: int(found[name].sum()) for name in ("disorder", "twice", "future")}
    return AssetCheckResult(
        passed=not any(totals.values()),
        severity=AssetCheckSeverity.ERROR,
        description=", ".join(f"{count} rows: {name}" for name, count in totals.items() if count)
        or "All bars are sound.",
        metadata={"series": len(found), **totals},
    )
