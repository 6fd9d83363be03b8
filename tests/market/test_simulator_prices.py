"""The fair prices of the simulated venue: statistics of the profiles, and days with a shape."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from trading.market.profiles import PROFILES
from trading.market.sessions import DAY_NS, HoursMode
from trading.market.simulator_prices import DayClock, PriceModel, Prices

START_NS = 1_750_000_000 * 10**9
SYMBOLS = [profile.symbol for profile in PROFILES]


def model(seed: int = 7, hours: HoursMode = "always", part: int = 0) -> PriceModel:
    return PriceModel(PROFILES, seed=seed, hours=hours, part=part)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9


@pytest.fixture(scope="module")
def years() -> np.ndarray:
    """Daily log returns of 40 simulated years, (days, instruments)."""
    own = model(seed=11)
    path = own.path(own.start(0), 40 * 365 * DAY_NS, DAY_NS // 4, stream=0, block=1)
    return np.diff(path.log_price[::4], axis=0)


def test_daily_volatility_is_that_of_the_profile(years: np.ndarray) -> None:
    for returns, profile in zip(years.T, PROFILES, strict=True):
        assert returns.std() == pytest.approx(profile.daily_volatility, rel=0.2), profile.symbol


def test_returns_have_fat_tails(years: np.ndarray) -> None:
    for returns, profile in zip(years.T, PROFILES, strict=True):
        excess = np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2 - 3
        assert excess > 0.4, profile.symbol


def test_volatility_clusters(years: np.ndarray) -> None:
    for returns, profile in zip(years.T, PROFILES, strict=True):
        size = np.minimum(np.abs(returns), 4 * returns.std())
        near, far = (np.corrcoef(size[:-lag], size[lag:])[0, 1] for lag in (1, 120))
        assert near > 0.03, f"{profile.symbol}: a big move follows a big move"
        assert near > far, profile.symbol
        signed = np.corrcoef(returns[:-1], returns[1:])[0, 1]
        assert abs(signed) < 0.05, f"{profile.symbol}: but its direction cannot be known"


def test_instruments_move_with_the_market_as_in_their_history(years: np.ndarray) -> None:
    found = np.corrcoef(years.T)
    msft, ibm, xau, fb = (SYMBOLS.index(name) for name in ("MSFT", "IBM", "XAUUSD", "FB"))
    assert found[msft, ibm] == pytest.approx(
        PROFILES[msft].market_correlation * PROFILES[ibm].market_correlation, abs=0.12
    )
    assert abs(found[xau, fb]) < 0.1


def test_moves_and_paths_are_one_process() -> None:
    """An hour of moves goes about as far as an hour of the path that fills the time of a stop."""
    own = model(seed=3)
    by_move, by_path = [], []
    for i in range(60):
        begin = Prices(i * 1_000, START_NS, own.anchor, np.zeros(len(PROFILES)))
        end = begin
        for _ in range(30):
            end = own.move(end, end.ts_ns + 120 * 10**9)
        by_move.append(end.log_price - begin.log_price)
        by_path.append(own.path(begin, START_NS + 3_600 * 10**9, 10**10, stream=0).end_log_price - begin.log_price)
    ratio = np.std(by_move, axis=0) / np.std(by_path, axis=0)
    assert 0.85 < np.median(ratio) < 1.18


def test_parts_of_a_market_share_its_moves_and_nothing_else() -> None:
    one, other = (model(part=part) for part in (1, 2))
    returns = []
    for each in (one, other):
        path = each.path(each.start(0), 2_000 * DAY_NS, DAY_NS, stream=0, block=1)
        returns.append(np.diff(path.log_price, axis=0))
    jpm, btc = SYMBOLS.index("JPM"), SYMBOLS.index("BTCUSD")
    expected = PROFILES[jpm].market_correlation ** 2
    assert np.corrcoef(returns[0][:, jpm], returns[1][:, jpm])[0, 1] == pytest.approx(expected, abs=0.15)
    assert abs(np.corrcoef(returns[0][:, btc], returns[1][:, btc])[0, 1]) < 0.1


@pytest.mark.parametrize("hours", ["always", "real"])
def test_every_trading_day_has_one_day_of_variance(hours: HoursMode) -> None:
    clock = DayClock(PROFILES, hours)
    # Wednesday's close to Thursday's, to the early close of the Friday behind a holiday: two trading days of a stock.
    passed = clock.elapsed(np.array([at("2026-11-18T16:00"), at("2026-11-19T16:00"), at("2026-11-20T16:00")]))
    assert passed == pytest.approx(np.ones_like(passed), abs=1e-6)
    weekend = clock.elapsed(np.array([at("2026-11-20T17:00"), at("2026-11-22T17:00")]))[0]
    stock, euro, bitcoin = (SYMBOLS.index(name) for name in ("JPM", "EURUSD", "BTCUSD"))
    assert weekend[bitcoin] == pytest.approx(2)
    if hours == "always":
        assert weekend == pytest.approx(np.full(len(PROFILES), 2.0))
    else:
        assert weekend[euro] == 0
        # Two of the sixty-five and a half hours to Monday's open.
        assert weekend[stock] == pytest.approx(PROFILES[stock].overnight_share * 48 / 65.5)


def test_a_stock_s_session_is_busiest_at_its_ends_and_its_night_holds_its_share() -> None:
    clock, jpm = DayClock(PROFILES, "real"), SYMBOLS.index("JPM")
    halves = [at("2026-11-19T09:30") + i * 1_800 * 10**9 for i in range(14)]
    passed = clock.elapsed(np.array([at("2026-11-18T16:00"), *halves]))[:, jpm]
    assert passed[0] == pytest.approx(PROFILES[jpm].overnight_share)
    assert passed.sum() == pytest.approx(1)
    assert passed[1] > 4 * passed[7]
    assert passed[13] > 2 * passed[7]


def test_an_hour_of_the_day_can_be_three_times_as_busy_as_another() -> None:
    clock, euro = DayClock(PROFILES, "always"), SYMBOLS.index("EURUSD")
    hours = clock.elapsed(np.arange(25) * DAY_NS // 24 + 20_700 * DAY_NS)[:, euro]
    assert hours.sum() == pytest.approx(1)
    assert hours[14] > 3 * hours[4], "London and New York against the night of both"
