"""The shipped bars, read straight from the file that ships."""

import pandas as pd
import pytest

from trading.config import PROJECT_ROOT


@pytest.fixture(scope="session")
def shipped_bars() -> dict[str, pd.DataFrame]:
    path = PROJECT_ROOT / "trading" / "market" / "shipped" / "us_equity_daily.csv.gz"
    raw = pd.read_csv(path, keep_default_na=False)
    raw.columns = pd.Index(["symbol", "ts", "open", "high", "low", "close", "volume", "adj_close"])
    raw["ts"] = pd.to_datetime(raw["ts"], utc=True).dt.as_unit("ns")
    return {symbol: g.drop(columns="symbol").reset_index(drop=True) for symbol, g in raw.groupby("symbol")}
