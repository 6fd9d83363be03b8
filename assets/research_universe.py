"""What the nightly research runs on: the daily bars of one source."""

from collections.abc import Mapping

import pandas as pd

from trading.services.floor import Floor

RESOLUTION = "D1"


def daily_series(floor: Floor, minimum_bars: int = 1) -> list[str]:
    """Series names ``source/symbol/D1`` with at least so many bars, sorted."""
    rows: dict[str, int] = {}
    for file in floor.lake.files("bars"):
        rows[file.series] = rows.get(file.series, 0) + file.rows
    return sorted(name for name, count in rows.items() if name.endswith(f"/{RESOLUTION}") and count >= minimum_bars)


def daily_bars(floor: Floor, source: str, minimum_bars: int = 1) -> Mapping[str, pd.DataFrame]:
    """Daily bars by symbol of one source, sorted by symbol, each ordered by ``ts``."""
    chosen = [name for name in daily_series(floor, minimum_bars) if name.startswith(f"{source}/")]
    return {name.split("/")[1]: floor.lake.read("bars", name) for name in chosen}
