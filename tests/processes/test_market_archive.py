"""Bars on their way into the lake, with a clock that is moved by hand: flushed, compacted, never twice, never lost."""

import time
from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from trading.adapters.clock import FixedClock
from trading.adapters.embedded import connections
from trading.adapters.lake import Lake
from trading.adapters.postgres.pool import Pool, connection_of, open_pool
from trading.adapters.postgres.reference import keep_instruments
from trading.adapters.redis_bus import RedisBus, TapePosition
from trading.bootstrap import open_floor
from trading.config import Settings
from trading.domain.errors import Invalid, NotFound, Unavailable
from trading.market.bars import FRAME_NAMES, FRAMES, MINUTE_NS, bars_of_ticks, unpack_bars
from trading.market.profiles import PROFILES
from trading.market.simulator import Simulator
from trading.market.ticks import QUOTE, TICK
from trading.processes import market_archive as archive
from trading.processes import market_rows, replays
from trading.processes.market import Market
from trading.services import market_data
from trading.services.access import SYSTEM

NOON_NS = 20_700 * 1440 * MINUTE_NS + 720 * MINUTE_NS
HOUR_NS = 60 * MINUTE_NS
STEP_S = 1.0


class Failing:
    """A lake that can be told to refuse, over the real one."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.refuses = lake, False

    def __getattr__(self, name: str) -> object:
        if self.refuses and name == "write":
            raise Unavailable("the disk is full")
        return getattr(self.lake, name)


class Venue:
    """Two instruments on a real lake, database and bus, and a clock that this test moves."""

    def __init__(self, settings: Settings, pool: Pool, bus: RedisBus) -> None:
        self.settings, self.pool, self.bus = settings, pool, bus
        self.clock = FixedClock(NOON_NS)
        self.lake = Failing(Lake(settings.lake_dir, pool))
        ids, profiles, units = market_rows.instruments(pool)
        self.listed = ids[:2], profiles[:2]
        self.units = {key: units[key] for key in ids[:2]}
        self.path = settings.data_dir / "state.json"
        self.market = self.opened()

    def opened(self) -> Market:
        simulator = Simulator(*self.listed, seed=3, start_ns=self.clock.now_ns(), ticks_per_s=1.0)
        folder = self.settings.data_dir
        market = Market(simulator, self.units, self.bus, lambda: self.lake, self.pool, self.clock, folder)  # type: ignore[arg-type]
        market.open()
        return market

    def trade(self, hours: float) -> None:
        for i in range(int(hours * 3600 / STEP_S)):
            self.clock.advance(STEP_S)
            self.market.step()
            if i % 60 == 0:
                self.keep()

    def keep(self) -> None:
        """What the process does each second; what it leaves to its second thread is awaited."""
        for _ in range(3):
            self.market.keep_bars()
            self.market.idle()

    def rows(self, frame: str) -> pd.DataFrame:
        return self.lake.lake.read("sim_bars", f"SIM/{PROFILES[0].symbol}/{frame}")

    def tail(self) -> np.ndarray:
        return np.concatenate([unpack_bars(packed) for packed in self.bus.get_bars()])


@pytest.fixture
def venue(settings: Settings) -> Iterator[Venue]:
    pool = open_pool(connections.dsn(settings, "superuser", "tradefloor"), max_size=2)
    with connection_of(pool) as connection:
        keep_instruments(connection, PROFILES)
    bus = RedisBus(settings.redis_url)
    own = Venue(settings, pool, bus)
    own.keep()
    yield own
    bus.close()
    pool.close()


def everything(venue: Venue, frame: str) -> pd.Series:
    """Starts of all bars of the first instrument, in the lake and in the tail, sorted; repeated ones stay."""
    units = next(iter(venue.units.values()))
    live = venue.tail()
    own = (live["instrument_id"] == next(iter(venue.units))) & (live["frame"] == FRAME_NAMES.index(frame))
    both = [venue.rows(frame)["ts"], archive.to_frame(live[own], units)["ts"]]
    return pd.concat([part for part in both if len(part)]).sort_values(ignore_index=True)


def assert_whole(venue: Venue) -> None:
    for frame, minutes in FRAMES.items():
        steps = everything(venue, frame).diff().dropna().unique()
        assert list(steps) == [pd.Timedelta(minutes=minutes)], frame


def test_bars_move_from_the_tail_into_the_lake_without_a_hole_or_a_repetition(venue: Venue) -> None:
    assert_whole(venue)
    venue.trade(0.8)
    before = len(venue.rows("M1"))
    assert_whole(venue)
    venue.trade(0.4)
    assert len(venue.rows("M1")) > before + 40, "the hour's minutes are in the lake"
    tail = venue.tail()
    assert len(tail[tail["frame"] == 0]) < 2 * 30
    assert_whole(venue)
    venue.market.close()
    assert_whole(venue)


def test_the_lake_holds_the_bars_of_the_ticks_that_were_published(venue: Venue) -> None:
    venue.trade(1.2)
    venue.market.close()
    ticks = venue.bus.read_tape(TapePosition(), 0, count=100_000).ticks
    own = ticks[ticks["instrument_id"] == next(iter(venue.units))]
    units = next(iter(venue.units.values()))
    for frame in ("M1", "M5", "M15"):
        expected = archive.to_frame(bars_of_ticks(own, frame), units).iloc[1:-1]
        kept = venue.rows(frame).set_index("ts").loc[expected["ts"].iloc[0] : expected["ts"].iloc[-1]]
        pd.testing.assert_frame_equal(kept.reset_index()[list(expected.columns)], expected.reset_index(drop=True))


def test_a_lake_that_refuses_loses_no_bar(venue: Venue) -> None:
    venue.lake.refuses = True
    venue.trade(1.2)
    assert_whole(venue)
    venue.lake.refuses = False
    venue.trade(0.1)
    tail = venue.tail()
    assert len(tail[tail["frame"] == 0]) < 2 * 30, "written with the next attempt"
    assert_whole(venue)


def test_a_kill_between_flush_and_save_repeats_no_bar(venue: Venue) -> None:
    venue.trade(0.9)
    venue.market.save()
    saved = venue.path.read_bytes()
    venue.trade(0.3)
    venue.path.write_bytes(saved)
    venue.market = venue.opened()
    venue.keep()
    venue.trade(0.1)
    venue.keep()
    assert_whole(venue)
    venue.market.close()
    assert_whole(venue)


def test_a_machine_that_slept_has_bars_of_the_night(venue: Venue) -> None:
    venue.trade(0.05)
    venue.clock.advance(30 * 3600)
    venue.trade(0.05)
    venue.keep()
    assert_whole(venue)


def test_a_lost_state_starts_a_new_past_that_replaces_the_old(venue: Venue) -> None:
    venue.trade(0.2)
    venue.market.close()
    venue.path.write_text("{ torn")
    last = int(next(iter(venue.bus.last_ticks().values()))["seq"][0])
    venue.market = venue.opened()
    venue.keep()
    venue.trade(0.05)
    assert_whole(venue)
    assert int(next(iter(venue.bus.last_ticks().values()))["seq"][0]) > last, "numbers only grow"


def test_crowded_series_become_one_file_with_the_same_rows(venue: Venue) -> None:
    for _ in range(4):
        venue.trade(0.05)
        venue.market.close()
        venue.market = venue.opened()
        venue.keep()
    before, lake = venue.rows("M1"), venue.lake.lake
    name = archive.series(PROFILES[0].symbol, "M1")
    assert len(lake.files("sim_bars", name)) > 3
    assert archive.compact(lake, venue.units, segments_max=3) >= 1
    assert len(lake.files("sim_bars", name)) == 1
    pd.testing.assert_frame_equal(venue.rows("M1"), before)


def test_an_instrument_that_joins_later_gets_a_past_of_its_own(venue: Venue) -> None:
    venue.trade(0.1)
    venue.market.close()
    ids, profiles, units = market_rows.instruments(venue.pool)
    venue.listed = ids[:3], profiles[:3]
    venue.units = {key: units[key] for key in ids[:3]}
    venue.market = venue.opened()
    venue.keep()
    venue.trade(0.1)
    assert_whole(venue)
    assert len(venue.lake.lake.read("sim_bars", f"SIM/{profiles[2].symbol}/D1")) == 1095
    first_close = venue.lake.lake.read("sim_bars", f"SIM/{profiles[0].symbol}/D1")
    assert first_close["ts"].is_unique


def test_simulated_bars_are_refused_among_real_ones_and_real_ones_among_simulated(venue: Venue) -> None:
    bars = venue.rows("D1")
    for dataset, series in (("bars", "SIM/AAPL/D1"), ("bars", "sim/AAPL/D1"), ("sim_bars", "wiki/AAPL/D1")):
        with pytest.raises(Invalid):
            venue.lake.lake.write(dataset, series, bars)
    assert venue.lake.lake.files("bars") == []


def test_screens_read_bars_quotes_and_instruments(venue: Venue) -> None:
    venue.trade(0.2)
    with open_floor(venue.settings) as floor:
        bars = market_data.sim_bars(floor, SYSTEM, PROFILES[0].symbol, "M1", 300)
        assert len(bars) == 300
        assert list(bars.columns) == ["ts", "open", "high", "low", "close", "volume"]
        assert bars["ts"].iloc[-1] >= pd.Timestamp(venue.clock.now() - pd.Timedelta(minutes=2))
        assert bars["ts"].is_unique
        began = time.perf_counter()
        for _ in range(10):
            market_data.sim_bars(floor, SYSTEM, PROFILES[0].symbol, "M1", 300)
        assert (time.perf_counter() - began) / 10 < 0.25, "a chart asks every few seconds"
        for symbol, timeframe, limit, error in (
            ("NOPE", "M1", 10, NotFound),
            ("../../x", "M1", 10, NotFound),
            ("AAPL", "M2", 10, Invalid),
            ("AAPL", "M1", 0, Invalid),
        ):
            with pytest.raises(error):
                market_data.sim_bars(floor, SYSTEM, symbol, timeframe, limit)
        assert len(market_data.instrument_list(floor, SYSTEM)) == len(PROFILES)
        quotes = {quote.symbol: quote for quote in market_data.quotes(floor, SYSTEM)}
        assert len(quotes) == len(PROFILES)
        quoted = quotes[PROFILES[0].symbol]
        assert quoted.bid is not None
        assert quoted.ask is not None
        assert quoted.bid < quoted.ask
        assert quoted.bid % PROFILES[0].tick_size == 0
        assert quotes[PROFILES[5].symbol].bid is None
        assert quotes[PROFILES[5].symbol].stale


def test_a_kill_during_a_replay_leaves_neither_its_prices_nor_its_place_behind(venue: Venue) -> None:
    venue.trade(0.02)
    key = next(iter(venue.units))
    own = int(venue.bus.last_ticks()[key]["bid_ticks"][0])
    recorded = np.zeros(60, dtype=TICK)
    recorded["instrument_id"], recorded["kind"], recorded["ts_ns"] = key, QUOTE, HOUR_NS + np.arange(60) * 10**9
    recorded["bid_ticks"], recorded["ask_ticks"], recorded["bid_lots"], recorded["ask_lots"] = 7, 9, 1, 1
    name = f"{uuid4().hex}.ticks"
    (venue.settings.data_dir / replays.FOLDER).mkdir()
    recorded.tofile(venue.settings.data_dir / replays.FOLDER / name)
    venue.market.replays.step(venue.clock.now_ns())
    words = {"title": "", "speed": 1, "from_ns": None, "paused": False}
    venue.bus.ask_market({"do": "replay", "symbol": venue.units[key].symbol, "file": name, **words})
    for _ in range(20):
        venue.clock.advance(STEP_S)
        venue.market.step()
        venue.market.replays.step(venue.clock.now_ns())
    assert int(venue.bus.last_ticks()[key]["bid_ticks"][0]) == 7
    venue.market = venue.opened()
    venue.trade(0.02)
    tape = venue.bus.read_tape(TapePosition(), 0, count=100_000).ticks
    quotes = tape[(tape["instrument_id"] == key) & ((tape["kind"] & QUOTE) != 0)]
    assert abs(int(quotes["bid_ticks"][-1]) / own - 1) < 0.05, "the price goes on where the simulator was"
    assert (np.diff(tape["seq"][tape["instrument_id"] == key]) == 1).all()
