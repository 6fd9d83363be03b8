"""The market process against real servers: alive at once, no hole over a kill, nothing written twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import psycopg
import pytest

from trading.adapters.clock import SystemClock
from trading.adapters.embedded import connections
from trading.adapters.lake import Lake
from trading.adapters.postgres.pool import connection_of, open_pool
from trading.adapters.postgres.reference import keep_instruments
from trading.adapters.redis_bus import RedisBus, TapePosition
from trading.bootstrap import open_floor
from trading.config import PROJECT_ROOT, Settings
from trading.market.profiles import shipped_profiles
from trading.market.ticks import GAP, Ticks
from trading.services import market_data
from trading.services.access import SYSTEM

pytestmark = pytest.mark.floor
START_S = 20.0


class Process:
    """A market process of this test."""

    def __init__(self, environment: dict[str, str], settings: Settings, log: Path) -> None:
        self.environment, self.settings, self.log = environment, settings, log
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> dict[str, Any]:
        saved: dict[str, Any] = json.loads((self.settings.data_dir / "market" / "state.json").read_bytes())
        return saved

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "trading.processes.market"], env=self.environment, stderr=log, cwd=PROJECT_ROOT
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(timeout=20)


@pytest.fixture
def instruments(settings: Settings) -> None:
    pool = open_pool(connections.dsn(settings, "superuser", "tradefloor"), max_size=1)
    with connection_of(pool) as connection:
        keep_instruments(connection, shipped_profiles())
        connection.execute("insert into process_status (name, state, beat_at) values ('market', 'running', now())")
    pool.close()


@pytest.fixture
def market(instruments: None, environment: dict[str, str], settings: Settings, tmp_path: Path) -> Iterator[Process]:
    process = Process(environment, settings, tmp_path / "market.log")
    yield process
    if process.child is not None and process.child.poll() is None:
        process.child.kill()
        process.child.wait()


@pytest.fixture
def bus(settings: Settings) -> Iterator[RedisBus]:
    bus = RedisBus(settings.redis_url)
    yield bus
    bus.close()


@contextmanager
def lake_of(settings: Settings) -> Iterator[Lake]:
    pool = open_pool(connections.dsn(settings, "tf_app"), max_size=1)
    yield Lake(settings.lake_dir, pool)
    pool.close()


def until(condition: Callable[[], Any], what: str, seconds: float = START_S) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def with_history(process: Process) -> bool:
    try:
        return bool(process.state["with_history"])
    except FileNotFoundError:
        return False


def tape(bus: RedisBus) -> Ticks:
    position, parts = TapePosition(), []
    while len((batch := bus.read_tape(position, 0)).ticks):
        parts.append(batch.ticks)
        position = batch.position
    return np.concatenate(parts)


def assert_no_minute_is_missing(frame: pd.DataFrame) -> None:
    steps = frame["ts"].diff().dropna().unique()
    assert list(steps) == [pd.Timedelta(minutes=1)], steps


def test_quotes_come_at_once_and_the_past_right_behind_them(market: Process, bus: RedisBus, settings: Settings) -> None:
    began = time.monotonic()
    market.start()
    until(lambda: len(bus.last_ticks()) == len(shipped_profiles()), "a quote of every instrument")
    first_quote_s = time.monotonic() - began
    until(lambda: with_history(market), "the venue's past")
    until(lambda: bus.get_bars()[1] != b"", "forming bars")
    first = tape(bus)[0]
    assert market.end() == 0
    assert first_quote_s < 10, "generous: two seconds on a quiet machine"
    with open_floor(settings) as floor:
        profile = next(p for p in shipped_profiles() if p.symbol == "AAPL")
        for timeframe, least in (("D1", 1_095), ("H4", 360), ("H1", 1_440), ("M5", 17_000), ("M1", 5_000)):
            bars = market_data.sim_bars(floor, SYSTEM, "AAPL", timeframe, least if least <= 5000 else 5000)
            assert len(bars) == min(least, 5000), timeframe
            assert bars["ts"].is_monotonic_increasing
            assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
            assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
        minutes = market_data.sim_bars(floor, SYSTEM, "AAPL", "M1", 5000)
        assert_no_minute_is_missing(minutes)
        assert abs(minutes["close"].iloc[-1] / float(profile.start_price) - 1) < 0.03, "history ends where ticks begin"
        assert floor.lake.files("bars") == []
    assert first["bid_ticks"] < first["ask_ticks"]


def test_a_killed_market_goes_on_without_a_hole_and_without_reusing_a_number(
    market: Process, bus: RedisBus, settings: Settings
) -> None:
    market.start()
    until(lambda: with_history(market), "the venue's past")
    time.sleep(2.5)
    market.end(signal.SIGKILL)
    before = tape(bus)
    market.start()
    until(lambda: len(tape(bus)) > len(before) + 50, "ticks after the restart")
    time.sleep(1.5)
    assert market.end() == 0
    ticks = tape(bus)
    for instrument_id in np.unique(ticks["instrument_id"]):
        own = ticks[ticks["instrument_id"] == instrument_id]
        assert (np.diff(own["seq"]) == 1).all(), "the tape told the new process where the old one ended"
        assert (np.diff(own["ts_ns"]) > 0).all()
        resumed = own[(own["kind"] & GAP) != 0]
        assert len(resumed) == 2, "the first start and the resumption say so"
        last = own[own["seq"] == resumed["seq"][1] - 1]
        moved = abs(int(resumed["bid_ticks"][1]) / int(last["bid_ticks"][0]) - 1)
        assert moved < 0.01, "the price goes on where it stopped"
    with lake_of(settings) as lake:
        minutes = lake.read("sim_bars", "SIM/EURUSD/M1")
        assert_no_minute_is_missing(minutes)
        traded = ticks[(ticks["instrument_id"] == instrument("EURUSD", settings)) & (ticks["trade_lots"] > 0)]
    # Of the running minute, the builder that survived the kill knows every trade that was published.
    bucket = traded["ts_ns"] // 60_000_000_000
    forming = {(row[0], row[1]): row[2:] for row in market.state["builder"]["open"]}
    start_ns, _, high, low, close, volume = forming[instrument("EURUSD", settings), 0]
    own = traded[bucket == start_ns // 60_000_000_000]
    assert close == own["trade_ticks"][-1]
    assert high >= own["trade_ticks"].max()
    assert low <= own["trade_ticks"].min()
    assert volume >= own["trade_lots"].sum()


def instrument(symbol: str, settings: Settings) -> int:
    with psycopg.connect(connections.dsn(settings, "tf_app")) as connection:
        row = connection.execute("select id from instrument where symbol = %s", (symbol,)).fetchone()
    assert row is not None
    return int(row[0])


def test_the_time_of_a_stop_is_filled_with_bars(market: Process, bus: RedisBus, settings: Settings) -> None:
    market.start()
    until(lambda: with_history(market), "the venue's past")
    assert market.end() == 0
    # As if the floor had been closed for two days.
    saved, shift_ns = market.state, 2 * 86_400 * 10**9
    path = settings.data_dir / "market" / "state.json"
    saved["state"]["ts_ns"] -= shift_ns
    for row in saved["builder"]["open"]:
        row[2] -= shift_ns
    saved["builder"]["closed_until_ns"] = [
        [key, value - shift_ns] for key, value in saved["builder"]["closed_until_ns"]
    ]
    path.write_text(json.dumps(saved))
    with lake_of(settings) as lake:
        for series in {file.series for file in lake.files("sim_bars")}:
            rows = lake.read("sim_bars", series)
            lake.write("sim_bars", series, rows.assign(ts=rows["ts"] - pd.Timedelta(days=2)), replace=True)
    market.start()
    until(lambda: len(bus.last_ticks()) and market.state["state"]["ts_ns"] > time.time_ns() - 10**10, "fresh ticks")
    time.sleep(1)
    assert market.end() == 0
    with open_floor(settings) as floor:
        for timeframe, step in (("M1", "1min"), ("M5", "5min"), ("H1", "1h"), ("H4", "4h"), ("D1", "1D")):
            starts = market_data.sim_bars(floor, SYSTEM, "BTCUSD", timeframe, 5000)["ts"]
            assert list(starts.diff().dropna().unique()) == [pd.Timedelta(step)], timeframe
            assert starts.iloc[-1] == pd.Timestamp(market.state["state"]["ts_ns"], tz="UTC").floor(step), timeframe


def test_the_process_reports_and_stays_within_its_budget(market: Process, settings: Settings) -> None:
    market.start()
    until(lambda: with_history(market), "the venue's past")
    time.sleep(4)
    assert market.child is not None
    child = psutil.Process(market.child.pid)
    used, began = child.cpu_times(), time.monotonic()
    time.sleep(5)
    now, seconds = child.cpu_times(), time.monotonic() - began
    share = (now.user + now.system - used.user - used.system) / seconds
    memory_mb = child.memory_info().rss / 1e6
    with psycopg.connect(connections.dsn(settings, "tf_app")) as connection:
        row = connection.execute("select detail from process_status where name = 'market'").fetchone()
    assert row is not None
    assert row[0]["ticks_published"] > 500
    assert row[0]["last_tick_ts_ns"] > SystemClock().now_ns() - 10 * 10**9
    assert share < 0.25, f"{share:.0%} of a core; a tenth on a quiet machine"
    assert memory_mb < 350, f"{memory_mb:.0f} MB"


def test_without_redis_the_market_lives_on_and_is_heard_again(market: Process, bus: RedisBus) -> None:
    environment = dict(market.environment)
    market.environment = {**environment, "REDIS_URL": "unix:///tmp/there-is-no-such-socket"}
    market.start()
    until(lambda: with_history(market), "the venue's past")
    assert market.end() == 0
    assert bus.last_ticks() == {}
    market.environment = environment
    market.start()
    until(bus.last_ticks, "quotes")
    os.sched_yield()
    assert market.end() == 0
