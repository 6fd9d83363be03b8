"""What screens read of an instrument's past once it was split: bars in new shares, those in the lake as traded."""

from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pandas as pd
from trading_floor import START_NS, TradingFloor

from trading.market.bars import BAR, FRAME_NAMES, MINUTE_NS
from trading.services import actions, market_data
from trading.services.access import SYSTEM

DAY_NS = 1440 * MINUTE_NS
TODAY_NS = START_NS // DAY_NS * DAY_NS
NOW_NS = START_NS // MINUTE_NS * MINUTE_NS


def stored(floor: TradingFloor, frame: str, *bars: tuple[int, float, float, float, float, float]) -> None:
    """Bars of AAPL into the lake, as the market process writes them."""
    rows = pd.DataFrame(bars, columns=["ts", "open", "high", "low", "close", "volume"])
    rows["ts"] = pd.to_datetime(rows["ts"], unit="ns", utc=True).astype("datetime64[ns, UTC]")
    floor.floor.lake.write("sim_bars", f"SIM/AAPL/{frame}", rows)


def forming(floor: TradingFloor, frame: str, ts_ns: int, cents: tuple[int, int, int, int], lots: int) -> np.ndarray:
    bar = np.zeros(1, dtype=BAR)
    bar["instrument_id"], bar["frame"], bar["ts_ns"] = floor.aapl.id, FRAME_NAMES.index(frame), ts_ns
    bar["open"], bar["high"], bar["low"], bar["close"] = cents
    bar["volume"] = lots
    return bar


def split(floor: TradingFloor, new: int, old: int) -> None:
    day = datetime.fromtimestamp(START_NS / 1e9, UTC).date()
    action = actions.enter_split(floor.floor, SYSTEM, "AAPL", day, new, old)
    actions.book(floor.floor, SYSTEM, action)
    floor.run_broker()


def test_the_day_before_a_split_is_read_in_new_shares_and_kept_as_traded(floor: TradingFloor) -> None:
    yesterday_ns = TODAY_NS - DAY_NS
    stored(floor, "D1", (yesterday_ns, 98.0, 102.0, 96.0, 100.0, 500.0))
    # This morning at 99 to 104, since the split around 50: the low of the morning is lower than what came after.
    stored(
        floor,
        "M1",
        (TODAY_NS, 100.0, 104.0, 99.0, 101.0, 10.0),
        (NOW_NS - MINUTE_NS, 101.0, 101.0, 100.0, 100.0, 10.0),
    )
    minute = forming(floor, "M1", NOW_NS + MINUTE_NS, (5_000, 5_100, 4_990, 5_050), 40)
    day = forming(floor, "D1", TODAY_NS, (10_000, 10_400, 4_990, 5_050), 60)
    floor.bus.get_bars = lambda: (np.concatenate([minute, day]).tobytes(), b"")  # type: ignore[method-assign]
    floor.quote("99.99", "100.01")
    raw = market_data.sim_bars(floor.floor, floor.trader, "AAPL", "D1", 5)
    assert market_data.splits(floor.floor, floor.trader) == {}
    pd.testing.assert_frame_equal(market_data.sim_bars(floor.floor, floor.trader, "AAPL", "D1", 5, adjust=True), raw)
    split(floor, 2, 1)
    [booked] = market_data.splits(floor.floor, floor.trader)["AAPL"]
    assert (booked.ratio, booked.price) == (Fraction(2), 100.0)
    assert START_NS < booked.asked_ns < booked.booked_ns <= floor.clock.now_ns()
    days = market_data.sim_bars(floor.floor, floor.trader, "AAPL", "D1", 5, adjust=True)
    assert days.drop(columns="ts").to_numpy().tolist() == [
        [49.0, 51.0, 48.0, 50.0, 1000.0],
        [50.0, 52.0, 49.5, 50.5, 80.0],
    ]
    pd.testing.assert_frame_equal(market_data.sim_bars(floor.floor, floor.trader, "AAPL", "D1", 5), raw)
    assert floor.floor.lake.read("sim_bars", "SIM/AAPL/D1")["close"].tolist() == [100.0]


def test_a_reverse_split_that_is_not_booked_yet_changes_no_bar(floor: TradingFloor) -> None:
    stored(floor, "M1", (NOW_NS - MINUTE_NS, 101.0, 101.0, 100.0, 100.0, 10.0))
    floor.quote("99.99", "100.01")
    day = datetime.fromtimestamp(START_NS / 1e9, UTC).date()
    entered = actions.enter_split(floor.floor, SYSTEM, "AAPL", day, 1, 8)
    actions.book(floor.floor, SYSTEM, entered)

    def closes() -> list[float]:
        return market_data.sim_bars(floor.floor, floor.trader, "AAPL", "M1", 5, adjust=True)["close"].tolist()

    assert closes() == [100.0]
    floor.run_broker()
    assert closes() == [800.0]
    assert market_data.sim_bars(floor.floor, floor.trader, "MSFT", "M1", 5, adjust=True).empty
