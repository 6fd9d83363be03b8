import numpy as np
import pandas as pd
import pytest
from bar_frames import bars, judged, said

from trading.market.bar_table import BarKind
from trading.market.validation_copies import EXPECTED_MAX, price_step


def walk(
    days: int, *, start: float = 60.0, tick: float = 0.01, volatility: float = 0.012, seed: int = 7
) -> pd.DataFrame:
    """Daily bars of a random walk on a price grid, with volumes: chance alone made their coincidences."""
    chance = np.random.default_rng(seed)
    steps = chance.normal(0, volatility / 60**0.5, (days, 60)).cumsum(axis=1)
    level = np.concatenate([[0.0], steps[:, -1].cumsum()[:-1]])
    path = start * np.exp(level[:, None] + steps)
    prices = np.round(np.stack([path[:, 0], path.max(1), path.min(1), path[:, -1]], axis=1) / tick) * tick
    frame = pd.DataFrame(np.round(prices, 6), columns=["open", "high", "low", "close"])
    frame["volume"] = np.round(np.exp(chance.normal(14, 0.4, days)))
    frame.insert(0, "ts", pd.date_range("2013-01-01", periods=days, freq="D", tz="UTC", unit="ns"))
    frame.insert(0, "row", range(1, days + 1))
    return frame


def copy_bar(frame: pd.DataFrame, later: int, earlier: int, volume_share: float) -> None:
    frame.loc[earlier, ["open", "high", "low", "close"]] = frame.loc[later, ["open", "high", "low", "close"]]
    frame.loc[earlier, "volume"] = round(frame.loc[later, "volume"] * volume_share)


@pytest.mark.parametrize("volume_share", [1.0, 1.0002, 1.03])
def test_a_bar_with_the_prices_of_a_later_one_is_put_aside_and_the_later_one_kept(volume_share: float) -> None:
    frame = walk(1200)
    copy_bar(frame, later=700, earlier=691, volume_share=volume_share)
    outcome = judged(frame)
    assert said(outcome) == {692: ["copied_bar"]}
    (finding,) = outcome.findings
    assert "2014-12-02" in finding.reason


def test_of_three_equal_bars_the_last_is_kept() -> None:
    frame = walk(600)
    copy_bar(frame, 300, 290, 1.0)
    copy_bar(frame, 300, 280, 1.0001)
    assert said(judged(frame)) == {281: ["copied_bar"], 291: ["copied_bar"]}


def test_without_volume_four_equal_prices_of_a_wide_bar_are_enough() -> None:
    frame = walk(600).drop(columns="volume")
    frame.loc[290, ["open", "high", "low", "close"]] = frame.loc[300, ["open", "high", "low", "close"]]
    assert said(judged(frame)) == {291: ["copied_bar"]}


def test_equal_bars_of_a_cheap_stock_are_chance_and_kept_with_a_word() -> None:
    """A stock at three dollars has few prices to choose from: AMD repeated three bars in five years."""
    frame = walk(4000, start=3.0, volatility=0.008)
    outcome = judged(frame)
    rules = {finding.rule for finding in outcome.findings}
    assert "repeated_bar" in rules
    assert "copied_bar" not in rules
    assert outcome.quarantined_rows == ()


def test_chance_loses_no_more_bars_than_the_rule_allows_itself() -> None:
    files = [walk(1259, start=start, seed=seed) for start in (10.0, 30.0, 60.0) for seed in range(20)]
    lost = sum(len(judged(frame).quarantined_rows) for frame in files)
    assert lost <= len(files) * EXPECTED_MAX


@pytest.mark.parametrize(
    ("prices", "rule"),
    [([57.50, 57.80, 57.40, 57.65], "repeated_bar"), ([57.51, 57.82, 57.41, 57.66], "copied_bar")],
)
def test_all_round_prices_say_less_than_they_seem_to(prices: list[float], rule: str) -> None:
    """NWS 2017-02-21 and 2017-09-28 are equal by chance: all four prices are multiples of five cents."""
    frame = walk(1200)
    for at, volume in ((200, 700_000), (350, 1_400_000)):
        frame.loc[at, ["open", "high", "low", "close", "volume"]] = [*prices, volume]
    assert said(judged(frame))[201] == [rule]


def test_a_bar_between_two_large_orders_comes_again() -> None:
    """ETH/BTC 2018-01-25: open and low, close and high a hair apart, twice within ten minutes."""
    frame = walk(1200)
    for at, volume in ((200, 600_000), (203, 1_200_000)):
        frame.loc[at, ["open", "high", "low", "close", "volume"]] = [58.01, 59.32, 58.00, 59.31, volume]
    assert judged(frame).quarantined_rows == ()


def test_flat_bars_are_no_copies() -> None:
    lines = [f"1950-01-{day:02} 16.66 16.66 16.66 16.66 1000" for day in range(3, 30)]
    assert judged(bars(*lines)).findings == ()


def test_a_series_that_repeats_itself_throughout_loses_nothing() -> None:
    lines = [f"2013-01-{day:02} 100.12 101.37 99.08 100.91 1000" for day in range(1, 31)]
    assert judged(bars(*lines)).quarantined_rows == ()


def test_quotes_must_agree_on_both_sides() -> None:
    frame = walk(600).drop(columns="volume")
    sides = {f"bid_{name}": frame[name] for name in ("open", "high", "low", "close")}
    sides |= {f"ask_{name}": frame[name] + 0.02 for name in ("open", "high", "low", "close")}
    quotes = frame[["row", "ts"]].assign(**sides)
    quotes.loc[290, list(sides)] = quotes.loc[300, list(sides)]
    assert said(judged(quotes, BarKind.QUOTE)) == {291: ["copied_bar"]}
    quotes.loc[290, "ask_high"] += 0.01
    assert judged(quotes, BarKind.QUOTE).quarantined_rows == ()


def test_open_high_and_low_of_a_later_bar_are_worth_a_word() -> None:
    """AAPL 2017-08-01 holds open, high and low of 2017-08-07 and its last trade instead of its close."""
    frame = walk(600)
    copy_bar(frame, later=300, earlier=296, volume_share=0.97)
    frame.loc[296, "close"] += 0.01 if frame.loc[296, "close"] < frame.loc[296, "high"] else -0.01
    outcome = judged(frame)
    assert said(outcome) == {297: ["partly_copied_bar"]}
    assert outcome.quarantined_rows == ()


@pytest.mark.parametrize(
    ("prices", "step"),
    [([10.01, 10.02, 10.07, 9.99], 0.01), ([10.05, 10.10, 10.15, 10.30], 0.05), ([46319, 46385, 46411, 46313], 1.0)],
)
def test_the_price_grid_is_read_off_the_prices(prices: list[float], step: float) -> None:
    assert price_step(np.array([prices])) == pytest.approx(step)
