"""The market process against real servers: alive at once, no hole over a kill, nothing written twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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
from trading.market.profiles import Profile, shipped_profiles
from trading.market.ticks import GAP, QUOTE, RESET, TRADE, Ticks
from trading.processes import market_scenarios
from trading.services import market_data
from trading.services.access import SYSTEM

pytestmark = pytest.mark.floor
START_S = 40.0


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


FEW = shipped_profiles()[:13]
"""The past of all instruments takes some seconds to write; most tests need no more than these."""


def list_instruments(settings: Settings, profiles: Sequence[Profile]) -> None:
    pool = open_pool(connections.dsn(settings, "superuser", "tradefloor"), max_size=1)
    with connection_of(pool) as connection:
        keep_instruments(connection, profiles)
    pool.close()


@pytest.fixture
def instruments(settings: Settings) -> None:
    list_instruments(settings, FEW)
    with psycopg.connect(connections.dsn(settings, "superuser", "tradefloor")) as connection:
        connection.execute("insert into process_status (name, state, beat_at) values ('market', 'running', now())")


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
    until(lambda: len(bus.last_ticks()) == len(FEW), "a quote of every instrument")
    first_quote_s = time.monotonic() - began
    until(lambda: with_history(market), "the venue's past")
    until(lambda: bus.get_bars()[1] != b"", "forming bars")
    first = tape(bus)[0]
    assert market.end() == 0
    assert first_quote_s < 10, "generous: two seconds on a quiet machine"
    with open_floor(settings) as floor:
        profile = next(p for p in FEW if p.symbol == "AAPL")
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
    assert first["kind"] & (GAP | RESET) == GAP | RESET


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
        assert (np.diff(own["ts_ns"]) >= 0).all()
        resumed = own[(own["kind"] & GAP) != 0]
        assert len(resumed) == 2, "the first start and the resumption say so"
        assert all(kind & (RESET | TRADE) for kind in resumed["kind"]), "and show the whole depth"
        quotes = own[(own["kind"] & QUOTE) != 0]
        last, following = (quotes[quotes["seq"] < resumed["seq"][1]], quotes[quotes["seq"] > resumed["seq"][1]])
        moved = abs(int(following["bid_ticks"][0]) / int(last["bid_ticks"][-1]) - 1)
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
        for series in {file.series for file in lake.files("sim_bars") if "/BTCUSD/" in file.series}:
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


def reported(settings: Settings) -> dict[str, Any]:
    with psycopg.connect(connections.dsn(settings, "tf_app")) as connection:
        row = connection.execute("select detail from process_status where name = 'market'").fetchone()
    found: dict[str, Any] = row[0] if row is not None else {}
    return found if "instruments" in found else {}


def test_the_process_reports_what_it_published(market: Process, settings: Settings) -> None:
    list_instruments(settings, shipped_profiles())
    market.start()
    until(lambda: with_history(market), "the venue's past", 60)
    detail = until(lambda: reported(settings), "a report")
    assert detail["instruments"] == len(shipped_profiles())
    until(lambda: reported(settings)["ticks_published"] > 5_000, "ticks", 30)
    assert reported(settings)["last_tick_ts_ns"] > SystemClock().now_ns() - 10 * 10**9


def test_a_floor_that_exists_gets_new_instruments_and_keeps_the_prices_of_the_old(
    market: Process, bus: RedisBus, settings: Settings
) -> None:
    market.start()
    until(lambda: with_history(market), "the venue's past")
    assert market.end() == 0
    before = market.state
    list_instruments(settings, shipped_profiles()[:15])
    market.start()
    until(lambda: len(bus.last_ticks()) == 15, "quotes of the new ones")
    until(lambda: len(market.state["with_history"]) == 15, "their past")
    assert market.end() == 0
    after, old = market.state["state"]["instruments"], before["state"]["instruments"]
    assert list(after)[:13] == list(old)
    assert all(abs(after[symbol][0] - row[0]) < 0.05 for symbol, row in old.items())
    with lake_of(settings) as lake:
        assert_no_minute_is_missing(lake.read("sim_bars", "SIM/BTCUSD/M1"))
        assert len(lake.read("sim_bars", f"SIM/{shipped_profiles()[14].symbol}/D1")) == 1095


def test_a_scenario_that_is_asked_for_happens_and_is_reported(
    market: Process, bus: RedisBus, settings: Settings
) -> None:
    market.start()
    until(bus.last_ticks, "quotes")
    market_scenarios.put(settings.data_dir / "market" / market_scenarios.FOLDER, "gap", "AAPL", 0.5, None)
    aapl = instrument("AAPL", settings)
    until(lambda: bus.last_ticks()[aapl]["bid_ticks"][0] > 60_000, "a price half as high again")
    assert market.end() == 0


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
