"""The stylised facts: measured rightly on series whose facts are known, and kept by a small simulated market."""

import numpy as np
import pytest

from trading.market import realism
from trading.market.profiles import PROFILES
from trading.market.ticks import DEPTH, MORE, RESET, TICK

FEW = tuple(profile for profile in PROFILES if profile.symbol in ("AAPL", "JPM", "EURUSD", "XAUUSD", "BTCUSD"))


def test_autocorrelation_is_that_of_the_series() -> None:
    random = np.random.default_rng(1)
    noise = random.standard_normal(20_000)
    smooth = np.convolve(noise, [1.0, 0.5], "valid")
    assert realism.autocorrelation(noise)[0] == pytest.approx(0, abs=0.02)
    assert realism.autocorrelation(smooth)[:2] == pytest.approx([0.4, 0], abs=0.03)
    assert realism.autocorrelation(np.ones(500)).tolist() == [0.0] * realism.LAGS
    assert realism.autocorrelation(np.zeros(0)).tolist() == [0.0] * realism.LAGS


def test_excess_kurtosis_is_zero_for_the_normal_and_three_for_laplace() -> None:
    random = np.random.default_rng(2)
    assert realism.excess_kurtosis(random.standard_normal(200_000)) == pytest.approx(0, abs=0.05)
    assert realism.excess_kurtosis(random.laplace(size=400_000)) == pytest.approx(3, abs=0.25)
    assert realism.excess_kurtosis(np.ones(5)) == 0


def test_mean_depth_counts_whole_snapshots_best_level_first_and_leaves_changes_out() -> None:
    rows = np.zeros(4, dtype=TICK)
    rows["kind"] = [DEPTH | RESET | MORE, DEPTH, DEPTH, DEPTH | RESET]
    rows["bid_ticks"], rows["bid_lots"] = [99, 100, 100, 98], [20, 10, 70, 30]
    rows["ask_ticks"], rows["ask_lots"] = [102, 101, 101, 103], [2, 1, 70, 3]
    # Best bids 10 and 30, best asks 1 and 3; of the next level 20 and 2, in two snapshots of two sides.
    assert realism.mean_depth(rows)[:3].tolist() == [11.0, 5.5, 0.0]


@pytest.fixture(scope="module")
def small() -> list[realism.Facts]:
    return realism.facts(FEW, realism.middles(FEW, 7, 400), realism.record(FEW, 7, 3))


def test_a_small_market_keeps_its_bands(small: list[realism.Facts]) -> None:
    broken = [
        (profile.symbol, band.name, band.value)
        for profile, found in zip(FEW, small, strict=True)
        for band in realism.bands(profile, found)
        if not band.kept
    ]
    assert broken == []


def test_a_market_unlike_its_profile_breaks_them(small: list[realism.Facts]) -> None:
    gold = realism.bands(FEW[0], small[2])
    names = {band.name for band in gold if not band.kept}
    assert "median spread / profile" in names
    assert "best size / profile" in names
