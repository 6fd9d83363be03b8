"""Window features of every daily series, and the check that none of them has a hole."""

import numpy as np
import pandas as pd
from dagster import AssetCheckResult, AssetCheckSeverity, Failure, MaterializeResult, ResourceParam, asset, asset_check

from assets import show
from assets.bars import validated_bars
from assets.research_universe import daily_bars, daily_series
from assets.resources import Research
from trading.ml.features import FEATURES, features
from trading.services.floor import Floor

GROUP = "features"


@asset(
    name="features",
    group_name=GROUP,
    deps=[validated_bars],
    kinds={"python", "parquet"},
    owners=["team:research"],
    tags={"domain": "research"},
    description="Fourteen window features of adjusted daily bars, for every source; a row sees nothing later.",
)
def daily_features(floor: ResourceParam[Floor], research: ResourceParam[Research]) -> MaterializeResult:
    """Compute the features of each source's series and keep them as one file a source."""
    names = daily_series(floor, research.minimum_bars)
    if not names:
        raise Failure(f"The lake has no daily series of at least {research.minimum_bars} bars.")
    hashes, rows = [], []
    for source in sorted({name.split("/")[0] for name in names}):
        parts = [
            features(bars).assign(symbol=symbol)
            for symbol, bars in daily_bars(floor, source, research.minimum_bars).items()
        ]
        table = pd.concat(parts, ignore_index=True).sort_values(["ts", "symbol"], ignore_index=True)
        kept = floor.lake.write("features", f"{source}/D1", table, replace=True)
        hashes.append(kept.sha256)
        rows.append({"source": source, "symbols": len(parts), "rows": len(table), "sha256": kept.sha256[:12]})
        spread = table[list(FEATURES)].describe().T[["mean", "std", "min", "50%", "max"]]
    return MaterializeResult(
        data_version=show.version(hashes),
        metadata={
            "dagster/row_count": sum(row["rows"] for row in rows),
            "files": show.table(pd.DataFrame(rows)),
            "distribution": show.table(spread.reset_index(names="feature")),
        },
    )


@asset_check(
    asset=daily_features, blocking=True, description="No feature is missing or infinite, no symbol has a time twice."
)
def features_are_complete(floor: ResourceParam[Floor]) -> AssetCheckResult:
    """Count the holes in what was kept."""
    holes = twice = rows = 0
    for file in floor.lake.files("features"):
        table = floor.lake.read("features", file.series)
        holes += int((~np.isfinite(table[list(FEATURES)].to_numpy(dtype=float))).sum())
        twice += int(table.duplicated(["ts", "symbol"]).sum())
        rows += len(table)
    return AssetCheckResult(
        passed=rows > 0 and holes == 0 and twice == 0,
        severity=AssetCheckSeverity.ERROR,
        metadata={"rows": rows, "holes": holes, "duplicates": twice},
    )
