"""The simulated venue's past: long enough, consistent over the frames, and it ends where the ticks begin."""

import time

import numpy as np
import pytest

from trading.market.backhistory import History, Listed, first_history, missed
from trading.market.bars import FRAME_NAMES, FRAMES, MINUTE_NS, BarBuilder, Bars, roll_up
from trading.market.profiles import PROFILES
from trading.market.sessions import DAY_NS, HoursMode, is_open
from trading.market.simulator import Simulator
from trading.market.ticks import QUOTE

NOW_NS = 20_600 * DAY_NS + 14 * 3600 * 10**9 + 123_456_789


def simulator(count: int = len(PROFILES), hours: HoursMode = "always") -> Simulator:
    return Simulator(range(1, count + 1), PROFILES[:count], seed=5, start_ns=NOW_NS, hours=hours)


@pytest.fixture(scope="module")
def listed() -> Listed:
    return simulator().listed


@pytest.fixture(scope="module")
def history(listed: Listed) -> History:
    return first_history(listed, NOW_NS)


def of(bars: Bars, frame: str, instrument_id: int = 1) -> Bars:
    return bars[(bars["frame"] == FRAME_NAMES.index(frame)) & (bars["instrument_id"] == instrument_id)]


def test_it_reaches_back_and_has_no_hole(history: History) -> None:
    days = {"D1": 1095, "H4": 60, "H1": 60, "M30": 60, "M15": 60, "M5": 60, "M1": 5}
    for frame, expected in days.items():
        for instrument_id in range(1, len(PROFILES) + 1):
            bars = of(history.closed, frame, instrument_id)
            assert len(bars) == expected * 1440 // FRAMES[frame], frame
            assert (np.diff(bars["ts_ns"]) == FRAMES[frame] * MINUTE_NS).all()
            assert bars["ts_ns"][-1] == NOW_NS // DAY_NS * DAY_NS - FRAMES[frame] * MINUTE_NS
    today = of(history.minutes, "M1")
    assert today["ts_ns"].tolist() == list(range(NOW_NS // DAY_NS * DAY_NS, NOW_NS, MINUTE_NS))


def test_bars_are_well_formed_and_each_opens_where_the_last_closed(history: History) -> None:
    for bars in (history.closed, history.minutes):
        assert (bars["low"] >= 1).all()
        assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
        assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
        assert (bars["volume"] >= 1).all()
    days = of(history.closed, "D1")
    assert (days["open"][1:] == days["close"][:-1]).all()


def test_longer_frames_are_made_of_the_shorter_ones(history: History) -> None:
    for finer, longer in (("M1", "M5"), ("M5", "M15"), ("M5", "H1"), ("H1", "H4"), ("H4", "D1")):
        made = roll_up(of(history.closed, finer), longer)
        known = of(history.closed, longer)
        assert made.tolist() == known[known["ts_ns"] >= made["ts_ns"][0]].tolist(), (finer, longer)


def test_the_last_close_is_the_price_of_the_first_tick(history: History) -> None:
    for instrument_id, profile in enumerate(PROFILES, 1):
        assert of(history.minutes, "M1", instrument_id)["close"][-1] == profile.start_ticks
    ticks = simulator().advance(NOW_NS + 1)
    for tick in ticks[(ticks["kind"] & QUOTE) != 0]:
        last = of(history.minutes, "M1", int(tick["instrument_id"]))["close"][-1]
        assert tick["bid_ticks"] <= last <= tick["ask_ticks"]


def test_its_volatility_is_that_of_the_profile_in_every_frame(history: History) -> None:
    for frame, tolerance in (("D1", 0.35), ("H1", 0.5), ("M1", 0.65)):
        ratios = []
        for instrument_id, profile in enumerate(PROFILES, 1):
            returns = np.diff(np.log(of(history.closed, frame, instrument_id)["close"].astype(float)))
            ratios.append(returns.std() / (profile.daily_volatility * np.sqrt(FRAMES[frame] / 1440)))
        assert np.median(ratios) == pytest.approx(1, abs=tolerance), (frame, ratios)


def test_the_same_seed_and_time_give_the_same_past(history: History, listed: Listed) -> None:
    again = first_history(listed, NOW_NS)
    assert again.closed.tobytes() == history.closed.tobytes()
    assert again.minutes.tobytes() == history.minutes.tobytes()


def test_it_is_made_in_less_than_five_seconds_of_processor_time(listed: Listed) -> None:
    began = time.process_time()
    parts = [first_history(part, NOW_NS) for part in listed.parts(range(len(PROFILES)), 13)]
    assert time.process_time() - began < 5
    assert sorted({int(each) for part in parts for each in part.minutes["instrument_id"]}) == list(range(1, 53))


def test_with_real_hours_there_is_no_bar_in_which_the_market_was_closed() -> None:
    past = first_history(simulator(13, "real").listed, NOW_NS)
    stock, euro, bitcoin = (of(past.closed, "M1", number) for number in (1, 9, 12))
    assert len(bitcoin) == 5 * 1440
    for bars, calendar in ((stock, "XNYS"), (euro, "FX")):
        trading = [start for start in bitcoin["ts_ns"].tolist() if is_open(calendar, "real", start)]
        assert bars["ts_ns"].tolist() == trading
        assert 0 < len(trading) < len(bitcoin)
    days = of(past.closed, "D1", 1)
    assert len(days) == pytest.approx(3 * 251, abs=4)
    returns = np.diff(np.log(days["close"].astype(float)))
    assert returns.std() == pytest.approx(PROFILES[0].daily_volatility, rel=0.4)


@pytest.mark.parametrize("hours", [0.02, 3, 20, 24 * 4, 24 * 90])
def test_a_stop_of_any_length_is_filled_so_that_no_minute_or_day_is_missing(hours: float) -> None:
    own = simulator(3)
    builder, made, count = BarBuilder(), [], 0
    while own.prices.ts_ns < NOW_NS + 200 * 10**9:
        ticks = own.advance(own.prices.ts_ns + 250_000_000)
        ticks["seq"] = count + np.arange(1, len(ticks) + 1)
        count += len(ticks)
        made.append(builder.add(ticks))
    to_ns = own.prices.ts_ns + int(hours * 3600 * 10**9)
    filled = missed(own.listed, own.prices, to_ns)
    made += [builder.merge(filled.minutes), filled.closed, builder.forming()]
    bars = np.concatenate(made)
    assert filled.prices.ts_ns == to_ns
    assert filled.prices.step > own.prices.step
    for frame in FRAME_NAMES if hours < 100 else ("D1",):
        own_bars = of(bars, frame)
        starts = np.sort(own_bars["ts_ns"])
        length_ns = FRAMES[frame] * MINUTE_NS
        assert starts.tolist() == list(range(NOW_NS // length_ns * length_ns, to_ns, length_ns)), frame
    for finer, longer in (("M1", "M15"), ("M5", "H1"), ("H1", "D1")):
        if hours < 100:
            fine = of(bars, finer)
            joined = roll_up(fine[np.argsort(fine["ts_ns"])], longer)
            known = of(bars, longer)
            assert joined.tolist() == known[np.argsort(known["ts_ns"])].tolist(), (finer, longer)
    last = of(builder.forming(), "M1")["close"][-1]
    assert last == pytest.approx(own.model.ticks(filled.prices.log_price)[0], abs=1)
