"""Ticks to bars of seven timeframes beside DuckDB's group-by over the same trades: bars_vs_duckdb.

Trades of 50 symbols over two days, in order of time, arrays in memory for both: `BarBuilder` takes the packed ticks in
runs of 64 k as they would arrive and hands out what closes. DuckDB has the columns as a table of its own in memory
(made beforehand, not timed). The peer is seven group-bys over the trades, with one thread or as many as it likes,
whichever is faster. What DuckDB reaches where somebody tells it our trick, one group-by to minutes and six over the
minutes, is printed beside it. First, last, highest, lowest price and volume of every bar are compared with ours before
anything is measured.
"""

import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from bench.measure import Row, at_least, in_turns, say, scaled
from trading.market.bars import FRAME_NS, BarBuilder, Bars
from trading.market.ticks import TICK, TRADE, Ticks

TRADES = 4_000_000
SYMBOLS = 50
DAYS_NS = 2 * 86_400_000_000_000
START_NS = 1_790_035_200_000_000_000
RUN = 65_536
ROUNDS = 5
WANTED = 5
COLUMNS = ("instrument_id", "ts_ns", "open", "high", "low", "close", "volume")


def run(_folder: Path) -> list[Row]:
    """Measure, with the faster number of threads as the peer."""
    ticks = trades(scaled(TRADES))
    database = table_of(ticks)
    ways = [(threads, rolled) for threads in (1, 0) for rolled in (False, True)]
    compare(built(ticks)[1], database)
    took = {way: asked(database, *way, len(ticks)) for way in ways}
    for (threads, rolled), speed in took.items():
        said = "minutes first" if rolled else "each frame from the trades"
        say(f"  DuckDB, {threads or 'its own number of'} threads, {said}: {speed:.2f} M ticks/s")
    best = max((way for way in ways if not way[1]), key=lambda way: took[way])
    figures = in_turns(ROUNDS, lambda: built(ticks)[0], lambda: asked(database, *best, len(ticks)))
    return [at_least("bars_vs_duckdb", *figures, WANTED, "M ticks/s")]


def trades(count: int, seed: int = 3) -> Ticks:
    """Trades whose times rise; each symbol's price wanders."""
    random = np.random.default_rng(seed)
    ticks = np.zeros(count, TICK)
    ticks["instrument_id"] = random.integers(1, SYMBOLS + 1, count)
    ticks["kind"] = TRADE
    ticks["ts_ns"] = START_NS + np.sort(random.integers(0, DAYS_NS, count))
    ticks["trade_ticks"] = 100_000 + np.cumsum(random.integers(-1, 2, count))
    ticks["trade_lots"] = random.integers(1, 100, count)
    for symbol in range(1, SYMBOLS + 1):
        own = ticks["instrument_id"] == symbol
        ticks["seq"][own] = np.arange(1, np.count_nonzero(own) + 1)
    return ticks


def built(ticks: Ticks) -> tuple[float, Bars]:
    """Millions of ticks a second, and the bars."""
    builder, closed = BarBuilder(), []
    began_s = time.perf_counter()
    for at in range(0, len(ticks), RUN):
        closed.append(builder.add(ticks[at : at + RUN]))
    closed.append(builder.forming())
    took_s = time.perf_counter() - began_s
    return len(ticks) / took_s / 1e6, np.concatenate(closed)


def table_of(ticks: Ticks) -> duckdb.DuckDBPyConnection:
    """A database in memory with the trades."""
    names = ("instrument_id", "seq", "ts_ns", "trade_ticks", "trade_lots")
    columns = pa.table({name: np.ascontiguousarray(ticks[name]) for name in names})
    database = duckdb.connect()
    database.register("columns", columns)
    database.execute("create table trades as select * from columns")
    database.unregister("columns")
    return database


def asked(database: duckdb.DuckDBPyConnection, threads: int, rolled: bool, count: int) -> float:
    """Millions of ticks a second for all frames; ``threads`` 0 leaves the number to DuckDB."""
    database.execute(f"set threads = {threads}" if threads else "reset threads")
    for frame in range(len(FRAME_NS)):
        database.execute(f"drop table if exists bars{frame}")
    began_s = time.perf_counter()
    for frame in range(len(FRAME_NS)):
        make(database, frame, rolled and frame > 0)
    return count / (time.perf_counter() - began_s) / 1e6


def make(database: duckdb.DuckDBPyConnection, frame: int, rolled: bool) -> None:
    """The bars of a frame as a table, from the trades or from the minutes."""
    length_ns = int(FRAME_NS[frame])
    bucket = f"ts_ns // {length_ns} * {length_ns}"
    if rolled:
        values = ("arg_min(open, ts_ns)", "max(high)", "min(low)", "arg_max(close, ts_ns)", "sum(volume)::bigint")
    else:
        values = (
            "arg_min(trade_ticks, seq)", "max(trade_ticks)", "min(trade_ticks)", "arg_max(trade_ticks, seq)",
            "sum(trade_lots)::bigint",
        )  # fmt: skip
    columns = zip(("instrument_id", bucket, *values), COLUMNS, strict=True)
    bars = database.table("bars0" if rolled else "trades").aggregate(
        ", ".join(f"{value} as {name}" for value, name in columns), f"instrument_id, {bucket}"
    )
    bars.create(f"bars{frame}")


def compare(bars: Bars, database: duckdb.DuckDBPyConnection) -> None:
    """Raises RuntimeError where a frame's bars differ from either of DuckDB's."""
    for rolled in (False, True):
        asked(database, 0, rolled, 1)
        for frame in range(len(FRAME_NS)):
            own = np.sort(bars[bars["frame"] == frame], order=["instrument_id", "ts_ns"])
            theirs = database.table(f"bars{frame}").order("#1, #2").fetchnumpy()
            if not all(map(np.array_equal, (own[name] for name in COLUMNS), theirs.values())):
                raise RuntimeError(f"the bars of frame {frame} differ")
