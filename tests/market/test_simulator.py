"""The simulated price process: deterministic, well-formed ticks, and the statistics of its profiles."""

import hashlib
import json

import numpy as np
import pytest

from trading.market.profiles import PROFILES
from trading.market.simulator import DAY_NS, Simulator, State
from trading.market.ticks import GAP, QUOTE, TICK, TRADE, Ticks

START_NS = 1_750_000_000 * 10**9
STEP_NS = 50_000_000


def simulator(seed: int = 7, **settings: float) -> Simulator:
    return Simulator(range(1, len(PROFILES) + 1), PROFILES, seed=seed, **settings)  # type: ignore[arg-type]


def run(own: Simulator, state: State, steps: int, step_ns: int = STEP_NS) -> tuple[State, Ticks]:
    parts = [np.empty(0, dtype=TICK)]
    for _ in range(steps):
        state, ticks = own.advance(state, state.ts_ns + step_ns)
        parts.append(ticks)
    return state, np.concatenate(parts)


def digest(ticks: Ticks) -> str:
    return hashlib.sha256(ticks.tobytes()).hexdigest()


def test_the_same_seed_and_times_give_the_same_bytes_and_another_seed_does_not() -> None:
    runs = [digest(run(simulator(seed), simulator(seed).start(START_NS), 400)[1]) for seed in (7, 7, 8)]
    assert runs[0] == runs[1] != runs[2]


def test_a_saved_state_goes_on_to_the_same_bytes() -> None:
    own = simulator()
    middle, _ = run(own, own.start(START_NS), 200)
    loaded = simulator().load(json.loads(json.dumps(own.dump(middle))))
    assert digest(run(own, middle, 200)[1]) == digest(run(simulator(), loaded, 200)[1])


def test_ticks_are_well_formed() -> None:
    own = simulator()
    _, ticks = run(own, own.start(START_NS), 4_000)
    assert (ticks["bid_ticks"] < ticks["ask_ticks"]).all()
    assert (ticks["bid_ticks"] >= 1).all()
    assert (ticks["bid_lots"] >= 1).all()
    assert (ticks["ask_lots"] >= 1).all()
    assert ((ticks["kind"] & QUOTE) != 0).all()
    assert (np.diff(ticks["ts_ns"]) >= 0).all(), "in order of time, over the steps too"
    trades = ticks[(ticks["kind"] & TRADE) != 0]
    bought = trades["aggressor"] == 1
    assert (trades["trade_ticks"] == np.where(bought, trades["ask_ticks"], trades["bid_ticks"])).all()
    assert (trades["trade_lots"] >= 1).all()
    assert (trades["trade_lots"] <= np.where(bought, trades["ask_lots"], trades["bid_lots"])).all()
    assert 0.4 < bought.mean() < 0.6
    quotes = ticks[(ticks["kind"] & TRADE) == 0]
    assert not quotes["trade_ticks"].any()
    for instrument_id in own.instrument_ids:
        of_one = ticks[ticks["instrument_id"] == instrument_id]
        assert (of_one["seq"] == np.arange(1, len(of_one) + 1)).all(), "gapless from 1"
        assert (np.diff(of_one["ts_ns"]) > 0).all()


def test_the_first_step_quotes_every_instrument_at_its_profile_price() -> None:
    own = simulator()
    _, ticks = own.advance(own.start(START_NS), START_NS + 1)
    assert len(ticks) == len(PROFILES)
    for tick in ticks:
        profile = PROFILES[tick["instrument_id"] - 1]
        assert tick["bid_ticks"] <= profile.start_ticks <= tick["ask_ticks"]


def test_a_time_that_is_not_later_changes_nothing() -> None:
    own = simulator()
    state, _ = run(own, own.start(START_NS), 10)
    for ts_ns in (state.ts_ns, state.ts_ns - 1):
        same, ticks = own.advance(state, ts_ns)
        assert same is state
        assert len(ticks) == 0


@pytest.mark.parametrize("rate", [1.0, 8.0])
def test_the_rate_of_ticks_and_the_spread_are_those_asked_for(rate: float) -> None:
    own = simulator(ticks_per_s=rate)
    _, ticks = run(own, own.start(START_NS), 6_000)
    seconds = 6_000 * STEP_NS / 1e9
    assert len(ticks) / len(PROFILES) / seconds == pytest.approx(rate, rel=0.1)
    traded = ticks["trade_lots"].sum() / seconds
    assert traded == pytest.approx(own.volume_per_s().sum(), rel=0.25)
    for instrument_id, profile in enumerate(PROFILES, 1):
        own_ticks = ticks[ticks["instrument_id"] == instrument_id]
        spread = (own_ticks["ask_ticks"] - own_ticks["bid_ticks"]).mean()
        assert spread == pytest.approx(profile.spread_ticks, rel=0.35, abs=0.3)


def test_a_gap_is_marked_once_on_the_next_tick_of_every_instrument() -> None:
    own = simulator()
    state, _ = run(own, own.start(START_NS), 10)
    lost = own.load({**own.dump(state), "lost": True})
    after, ticks = own.advance(lost, lost.ts_ns + STEP_NS)
    assert len(ticks) == len(PROFILES)
    assert ((ticks["kind"] & GAP) != 0).all()
    _, later = run(own, after, 20)
    assert ((later["kind"] & GAP) == 0).all()


def test_an_instrument_that_is_new_since_the_save_starts_at_its_profile_price() -> None:
    fewer = Simulator([1, 2], PROFILES[:2], seed=7)
    state, _ = run(fewer, fewer.start(START_NS), 100)
    more = Simulator([1, 2, 3], PROFILES[:3], seed=7)
    loaded = more.load(fewer.dump(state))
    assert (loaded.log_price[:2] == state.log_price).all()
    assert np.exp(loaded.log_price[2]) == pytest.approx(float(PROFILES[2].start_price))


@pytest.fixture(scope="module")
def years() -> np.ndarray:
    """Daily log returns of 40 simulated years, (days, instruments)."""
    own = simulator(seed=11)
    path = own.path(own.start(0), 40 * 365 * DAY_NS, DAY_NS // 4, stream=0, block=1)
    return np.diff(path.log_price[::4], axis=0)


def test_daily_volatility_is_that_of_the_profile(years: np.ndarray) -> None:
    for returns, profile in zip(years.T, PROFILES, strict=True):
        assert returns.std() == pytest.approx(profile.daily_volatility, rel=0.2), profile.symbol


def test_returns_have_fat_tails(years: np.ndarray) -> None:
    for returns, profile in zip(years.T, PROFILES, strict=True):
        excess = np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2 - 3
        assert excess > 0.5, profile.symbol


def test_volatility_clusters(years: np.ndarray) -> None:
    for returns, profile in zip(years.T, PROFILES, strict=True):
        size = np.minimum(np.abs(returns), 4 * returns.std())
        near, far = (np.corrcoef(size[:-lag], size[lag:])[0, 1] for lag in (1, 120))
        assert near > 0.03, f"{profile.symbol}: a big move follows a big move"
        assert near > far, profile.symbol
        signed = np.corrcoef(returns[:-1], returns[1:])[0, 1]
        assert abs(signed) < 0.05, f"{profile.symbol}: but its direction cannot be known"


def test_instruments_move_with_the_market_as_in_their_history(years: np.ndarray) -> None:
    symbols = [profile.symbol for profile in PROFILES]
    found = np.corrcoef(years.T)
    msft, ibm, xau, fb = (symbols.index(name) for name in ("MSFT", "IBM", "XAUUSD", "FB"))
    assert found[msft, ibm] == pytest.approx(
        PROFILES[msft].market_correlation * PROFILES[ibm].market_correlation, abs=0.12
    )
    assert abs(found[xau, fb]) < 0.1


def test_ticks_and_paths_are_one_process() -> None:
    """An hour of ticks moves about as far as an hour of the path that fills the time of a stop."""
    own = simulator(seed=3)
    by_tick, by_path = [], []
    for i in range(40):
        begin = own.load({**own.dump(own.start(START_NS)), "step": i * 1_000})
        end, _ = run(own, begin, 90, 40 * 10**9)
        by_tick.append(end.log_price - begin.log_price)
        by_path.append(own.path(begin, START_NS + 3_600 * 10**9, 10**10, stream=0).end_log_price - begin.log_price)
    ratio = np.std(by_tick, axis=0) / np.std(by_path, axis=0)
    assert 0.8 < np.median(ratio) < 1.25
