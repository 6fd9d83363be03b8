"""Compute ``profiles.csv`` and ``shapes.csv``, the tables of the simulated venue, from real history.

Run ``python -m trading.market.shipped.make_profiles DATA_FOLDER``. The folder holds daily bars, quote bars and quotes
in the files that `SOURCES` and `QUOTES` name; five US equities come from the shipped ``us_equity_daily.csv.gz``.
Only statistics derived from the history go into the table, each row with a note on what they were computed from.

Definitions, all on log returns of daily closes (adjusted where the source has adjusted closes):

* ``daily_volatility``: standard deviation of the day's return;
* ``excess_kurtosis``: fourth standardised moment less 3;
* ``jumps_per_day``: share of days whose return is beyond 4 of the standard deviations that an exponentially weighted
  average (decay 0.94, RiskMetrics 1996) gave the day before; ``jump_volatility`` is the root mean square of those
  returns, lowered where they would make more than a quarter of the variance;
* ``vol_of_vol``: standard deviation of the logarithm of that weighted average, kept within 0.2 and 0.45;
* ``market_correlation`` and ``market_beta``: against the S&P 500 on the days both have;
* ``overnight_share``: part of a stock's variance that falls between a close and the next open (both returns cut at
  their 0.5th and 99.5th percentile); 0 for what trades around the clock;
* ``spread_ticks``: mean of the quoted spread below its 95th percentile, where quotes exist.

A shape tells how volatility changes within a day: weights of equal parts of it, whose squares have the mean 1. ``fx``
and ``crypto`` are root mean squares of hourly and of five-minute returns by hour of the UTC day. There is no intraday
history of US stocks to compute from, so ``session`` is the U of Wood, McInish and Ord, "An investigation of
transactions data for NYSE stocks", Journal of Finance 40 (1985), in half hours from open to close.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
DECAY = 0.94
JUMP_SIGMAS = 4.0
SECONDS_OF_SESSION = 23_400


@dataclass(frozen=True, slots=True)
class Terms:
    """What a trader of the class expects: units, fees (see `trading.domain.instruments.FeeSchedule`) and limits."""

    asset_class: str
    tick_size: str
    lot_size: str
    max_order_lots: int
    fee_per_lot_millis: int
    fee_rate_ppm: int
    fee_minimum: int
    calendar: str
    shape: str


EQUITY = Terms("equity", "0.01", "1", 100_000, 500, 0, 100, "XNYS", "session")
FX = Terms("fx", "0.00001", "1000", 10_000, 0, 20, 200, "FX", "fx")
METAL = Terms("metal", "0.01", "1", 5_000, 0, 20, 200, "FX", "fx")
BITCOIN = Terms("crypto", "0.01", "0.0001", 1_000_000, 0, 2_500, 1, "24/7", "crypto")
ETHER = Terms("crypto", "0.01", "0.001", 1_000_000, 0, 2_500, 1, "24/7", "crypto")

MORE_STOCKS = (
    ("ABT", "Abbott Laboratories"),
    ("AMAT", "Applied Materials"),
    ("AXP", "American Express"),
    ("BA", "Boeing"),
    ("BAC", "Bank of America"),
    ("C", "Citigroup"),
    ("CRM", "Salesforce"),
    ("CSCO", "Cisco Systems"),
    ("CVX", "Chevron"),
    ("DE", "Deere"),
    ("DIS", "Walt Disney"),
    ("DUK", "Duke Energy"),
    ("FDX", "FedEx"),
    ("GE", "General Electric"),
    ("GS", "Goldman Sachs"),
    ("HD", "Home Depot"),
    ("INTC", "Intel"),
    ("JNJ", "Johnson & Johnson"),
    ("JPM", "JPMorgan Chase"),
    ("KO", "Coca-Cola"),
    ("MA", "Mastercard"),
    ("MCD", "McDonald's"),
    ("MMM", "3M"),
    ("MRK", "Merck"),
    ("NFLX", "Netflix"),
    ("NKE", "Nike"),
    ("PEP", "PepsiCo"),
    ("PFE", "Pfizer"),
    ("PG", "Procter & Gamble"),
    ("QCOM", "Qualcomm"),
    ("SBUX", "Starbucks"),
    ("T", "AT&T"),
    ("TMO", "Thermo Fisher Scientific"),
    ("UNH", "UnitedHealth"),
    ("UPS", "United Parcel Service"),
    ("V", "Visa"),
    ("VZ", "Verizon"),
    ("WMT", "Walmart"),
    ("XOM", "Exxon Mobil"),
)

SOURCES: tuple[tuple[str, str, Terms, str], ...] = (
    ("AAPL", "Apple", EQUITY, "wiki"),
    ("MSFT", "Microsoft", EQUITY, "wiki"),
    ("IBM", "International Business Machines", EQUITY, "wiki"),
    ("GOOG", "Google", EQUITY, "wiki"),
    ("FB", "Facebook", EQUITY, "wiki"),
    ("AMD", "Advanced Micro Devices", EQUITY, "daily/us_equity_sp500_2013_2018/AMD.csv.gz"),
    ("AMZN", "Amazon", EQUITY, "daily/us_equity_sp500_2013_2018/AMZN.csv.gz"),
    ("VRTX", "Vertex Pharmaceuticals", EQUITY, "daily/us_equity_sp500_2013_2018/VRTX.csv.gz"),
    ("EURUSD", "Euro / US dollar", FX, "daily/fx/EURUSD_oanda_quote.csv.gz"),
    ("GBPUSD", "Pound sterling / US dollar", FX, "daily/fx/GBPUSD_oanda_quote.csv.gz"),
    ("XAUUSD", "Gold, troy ounce / US dollar", METAL, "daily/fx/XAUUSD_oanda_quote.csv.gz"),
    ("BTCUSD", "Bitcoin / US dollar", BITCOIN, "daily/crypto/BTCUSD_coinbase.csv.gz"),
    ("ETHUSD", "Ether / US dollar", ETHER, "minute/crypto/ETHUSD_coinbase_1m_trade.csv.gz"),
    *((symbol, name, EQUITY, f"daily/us_equity_sp500_2013_2018/{symbol}.csv.gz") for symbol, name in MORE_STOCKS),
)

QUOTES = {
    "EURUSD": "hourly/EURUSD_oanda_1h_quote.csv.gz",
    "GBPUSD": "minute/fx/GBPUSD_fxcm_1m_quote.csv.gz",
    "XAUUSD": "ticks/XAUUSD_oanda_quotes.parquet",
    "BTCUSD": "minute/crypto/BTCUSD_coinbase_1m_quote.csv.gz",
    "ETHUSD": "minute/crypto/ETHUSD_coinbase_1m_quote.csv.gz",
}

SESSION = (1.9, 1.35, 1.15, 1.0, 0.9, 0.85, 0.8, 0.8, 0.85, 0.9, 0.95, 1.05, 1.3)
HOURLY = {
    "fx": ("hourly/EURUSD_oanda_1h_quote.csv.gz", "1h"),
    "crypto": ("minute/crypto/BTC-PERP_1m_2021-12-31_2022-01-15.csv.gz", "5min"),
}


def closes(symbol: str, source: str, data: Path) -> tuple[pd.Series, float, float]:
    """Daily closes for returns (by date), the last price as traded, and the median volume of a day (NaN if unknown)."""
    if source == "wiki":
        table = pd.read_csv(HERE / "us_equity_daily.csv.gz")
        table = table[table["Ticker"] == symbol].set_index("Date").sort_index()
        return table["Adj Close"], float(table["Close"].iloc[-1]), float(table["Volume"].iloc[-250:].median())
    table = pd.read_csv(data / source)
    if "ts" in table.columns:
        return pd.Series(dtype=float), float(table["close"].iloc[-1]), float("nan")
    table = table.set_index("date").sort_index()
    if "bid_close" in table.columns:
        middle = (table["bid_close"] + table["ask_close"]) / 2
        # The short bars of Sunday evening are not days of their own.
        middle = middle[pd.to_datetime(middle.index).day_of_week < 5]
        return middle, float(middle.iloc[-1]), float("nan")
    copied = table.duplicated(["open", "high", "low", "close"], keep="last") & (table["high"] > table["low"])
    table = table[~copied]
    if symbol == "BTCUSD":
        table = table[table.index >= "2015-02-01"]  # before, days are missing
    return table["close"], float(table["close"].iloc[-1]), float(table["volume"].iloc[-250:].median())


def minute_volatility(path: Path) -> float:
    """Daily volatility out of one-minute bars of single days: root mean realised variance of 5-minute returns."""
    table = pd.read_csv(path, parse_dates=["ts"]).set_index("ts")
    days = [day["close"].resample("5min").last().ffill() for _, day in table.groupby(table.index.date)]
    return float(np.sqrt(np.mean([np.square(np.log(day).diff().dropna()).sum() for day in days])))


def overnight_share(symbol: str, source: str, data: Path) -> float:
    """Part of the variance of a stock's daily returns that falls between a close and the next open."""
    if source == "wiki":
        table = pd.read_csv(HERE / "us_equity_daily.csv.gz")
        table = table[table["Ticker"] == symbol].set_index("Date").sort_index()
        close, open_ = table["Adj Close"], table["Open"] * table["Adj Close"] / table["Close"]
    else:
        table = pd.read_csv(data / source).set_index("date").sort_index()
        close, open_ = table["close"], table["open"]
    night, day = np.log(open_ / close.shift(1)).dropna(), np.log(close / open_).dropna()
    parts = [float(part.clip(*part.quantile([0.005, 0.995])).var()) for part in (night, day)]
    return parts[0] / sum(parts)


def day_shape(path: Path, step: str) -> list[float]:
    """Volatility of returns of ``step`` in each hour of the UTC day, as weights whose squares have the mean 1."""
    table = pd.read_csv(path, parse_dates=["ts"]).set_index("ts")
    price = table["close"] if "close" in table else (table["bid_close"] + table["ask_close"]) / 2
    returns = np.log(price.resample(step).last()).diff().dropna()
    # A few hours of great news would shape every day.
    returns = returns.clip(*returns.quantile([0.005, 0.995]))
    weights = np.sqrt(np.square(returns).groupby(returns.index.hour).mean())
    return [float(weight) for weight in weights / np.sqrt(np.mean(np.square(weights)))]


def shapes(data: Path) -> pd.DataFrame:
    """The table of shapes: a row each, its weights in one cell."""
    session = np.array(SESSION) / np.sqrt(np.mean(np.square(SESSION)))
    weights = {
        "session": session.tolist(),
        **{name: day_shape(data / path, step) for name, (path, step) in HOURLY.items()},
    }
    rows = [(name, " ".join(f"{weight:.4f}" for weight in values)) for name, values in weights.items()]
    return pd.DataFrame(rows, columns=["shape", "weights"])


def shape(returns: pd.Series) -> dict[str, float]:
    """Volatility, tails, jumps and volatility of volatility of daily log returns."""
    sigma = float(returns.std())
    weighted = np.sqrt(np.square(returns).ewm(alpha=1 - DECAY).mean())
    jumps = returns[(returns.abs() > JUMP_SIGMAS * weighted.shift(1)) & (np.arange(len(returns)) > 30)]
    rate = max(len(jumps), 1) / len(returns)
    size = float(np.sqrt(np.mean(np.square(jumps)))) if len(jumps) else JUMP_SIGMAS * sigma
    return {
        "daily_volatility": sigma,
        "excess_kurtosis": float(returns.kurt()),
        "jumps_per_day": rate,
        "jump_volatility": min(size, float(np.sqrt(0.25 * sigma**2 / rate))),
        "vol_of_vol": float(np.clip(np.log(weighted.iloc[30:]).std(), 0.2, 0.45)),
    }


def quoted(path: Path, terms: Terms) -> tuple[int, float]:
    """Mean spread in ticks and median size in lots (NaN where the source has no sizes) of a file of quotes."""
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    bid, ask = (table["bid"], table["ask"]) if "bid" in table else (table["bid_close"], table["ask_close"])
    spread = (ask - bid)[ask > bid]
    mean = float(spread[spread <= spread.quantile(0.95)].mean())
    sizes = table["bid_size"][table["bid_size"] > 0] if "bid_size" in table else pd.Series(dtype=float)
    size = float(sizes.median()) / float(terms.lot_size) if len(sizes) else float("nan")
    return max(1, round(mean / float(terms.tick_size))), size


def row(symbol: str, name: str, terms: Terms, source: str, data: Path) -> dict[str, object]:
    """One line of the table."""
    index = pd.read_csv(data / "daily/index/SP500_1999_2018.csv.gz").set_index("date")["close"]
    market = np.log(index).diff().dropna()
    prices, last, volume = closes(symbol, source, data)
    note = f"{source}, {prices.index[0]} to {prices.index[-1]}" if len(prices) else ""
    if not len(prices):
        base = row("BTCUSD", "", BITCOIN, "daily/crypto/BTCUSD_coinbase.csv.gz", data)
        ratio = minute_volatility(data / source) / float(str(base["daily_volatility"]))
        numbers = {key: float(str(base[key])) for key in ("excess_kurtosis", "jumps_per_day", "vol_of_vol")}
        numbers["daily_volatility"] = ratio * float(str(base["daily_volatility"]))
        numbers["jump_volatility"] = ratio * float(str(base["jump_volatility"]))
        numbers["market_correlation"] = float(str(base["market_correlation"]))
        numbers["market_beta"] = ratio * float(str(base["market_beta"]))
        note = f"volatility of 4 days of {source}; tails, jumps and correlation as BTCUSD"
    else:
        returns = np.log(prices).diff().dropna()
        numbers = shape(returns)
        both = pd.concat([returns, market], axis=1, join="inner").to_numpy()
        numbers["market_correlation"] = float(np.corrcoef(both.T)[0, 1])
        numbers["market_beta"] = float(np.cov(both.T)[0, 1] / both[:, 1].var(ddof=1))
    if symbol in QUOTES:
        spread, size = quoted(data / QUOTES[symbol], terms)
        note += f"; spread {QUOTES[symbol]}"
    else:
        # No quotes of these stocks are at hand: a tick and half a basis point, as liquid US stocks are quoted.
        spread, size = max(1, round((0.01 + last * 0.5e-4) / float(terms.tick_size))), float("nan")
        note += "; spread assumed"
    if np.isnan(size):
        size = {"fx": 1_000.0, "metal": 300.0}.get(terms.asset_class, volume / SECONDS_OF_SESSION)
        note += "; size assumed" if terms.asset_class in ("fx", "metal") else "; size is a second's volume"
    stock = terms.asset_class == "equity"
    numbers["overnight_share"] = overnight_share(symbol, source, data) if stock else 0.0
    step = float(terms.tick_size)
    return {
        "symbol": symbol,
        "name": name,
        "asset_class": terms.asset_class,
        "currency": "USD",
        "tick_size": terms.tick_size,
        "lot_size": terms.lot_size,
        "max_order_lots": terms.max_order_lots,
        "fee_per_lot_millis": terms.fee_per_lot_millis,
        "fee_rate_ppm": terms.fee_rate_ppm,
        "fee_minimum": terms.fee_minimum,
        "calendar": terms.calendar,
        "shape": terms.shape,
        "start_price": f"{round(last / step) * step:.{max(0, -int(f'{step:e}'.split('e')[1]))}f}",
        "spread_ticks": spread,
        "size_lots": max(10, round(size)),
        **{key: f"{value:.6g}" for key, value in numbers.items()},
        "source": note,
    }


def main(data: Path) -> None:
    """Write both tables beside this file."""
    rows = [row(symbol, name, terms, source, data) for symbol, name, terms, source in SOURCES]
    pd.DataFrame(rows).to_csv(HERE / "profiles.csv", index=False, lineterminator="\n")
    shapes(data).to_csv(HERE / "shapes.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
