"""The simulated venue's past: long enough, consistent over the frames, and it ends where the ticks begin."""

import time

import numpy as np
import pytest

from trading.market.backhistory import History, first_history, missed
from trading.market.bars import FRAME_NAMES, FRAMES, MINUTE_NS, BarBuilder, Bars, roll_up
from trading.market.profiles import PROFILES
from trading.market.simulator import DAY_NS, Simulator

NOW_NS = 20_600 * DAY_NS + 14 * 3600 * 10**9 + 123_456_789


def simulator() -> Simulator:
    return Simulator(range(1, len(PROFILES) + 1), PROFILES, seed=5)


@pytest.fixture(scope="module")
def history() -> History:
    return first_history(simulator(), NOW_NS)


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
    own = simulator()
    _, ticks = own.advance(own.start(NOW_NS), NOW_NS + 1)
    for tick in ticks:
        last = of(history.minutes, "M1", int(tick["instrument_id"]))["close"][-1]
        assert tick["bid_ticks"] <= last <= tick["ask_ticks"]


def test_its_volatility_is_that_of_the_profile_in_every_frame(history: History) -> None:
    for frame, tolerance in (("D1", 0.35), ("H1", 0.5), ("M1", 0.65)):
        ratios = []
        for instrument_id, profile in enumerate(PROFILES, 1):
            returns = np.diff(np.log(of(history.closed, frame, instrument_id)["close"].astype(float)))
            ratios.append(returns.std() / (profile.daily_volatility * np.sqrt(FRAMES[frame] / 1440)))
        assert np.median(ratios) == pytest.approx(1, abs=tolerance), (frame, ratios)


def test_the_same_seed_and_time_give_the_same_past(history: History) -> None:
    again = first_history(simulator(), NOW_NS)
    assert again.closed.tobytes() == history.closed.tobytes()
    assert again.minutes.tobytes() == history.minutes.tobytes()


def test_it_is_made_in_less_than_five_seconds_of_processor_time() -> None:
    began = time.process_time()
    first_history(simulator(), NOW_NS)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("hours", [0.02, 3, 20, 24 * 4, 24 * 90])
def test_a_stop_of_any_length_is_filled_so_that_no_minute_or_day_is_missing(hours: float) -> None:
    own = simulator()
    state, builder, made = own.start(NOW_NS), BarBuilder(), []
    while state.ts_ns < NOW_NS + 200 * 10**9:
        state, ticks = own.advance(state, state.ts_ns + 250_000_000)
        made.append(builder.add(ticks))
    to_ns = state.ts_ns + int(hours * 3600 * 10**9)
    filled = missed(own, state, to_ns)
    made += [builder.merge(filled.minutes), filled.closed, builder.forming()]
    bars = np.concatenate(made)
    assert filled.state.ts_ns == to_ns
    assert (filled.state.seq == state.seq).all()
    assert filled.state.lost
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
    assert last == pytest.approx(np.exp(filled.state.log_price[0]) / own.tick_size[0], abs=1)
