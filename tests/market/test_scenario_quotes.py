"""What each scenario does to prices, quotes, depth and the feed, while it lasts and behind it."""

import json

import numpy as np
import pytest

from trading.market.profiles import PROFILES
from trading.market.scenarios import SECONDS, SIZES, Scenario, scenario
from trading.market.simulator import Simulator
from trading.market.ticks import CLOSED, DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TICK, TRADE, Ticks

START_NS = 1_750_000_000 * 10**9
STEP_NS = 100_000_000
AAPL, MSFT, IBM = 1, 2, 3


class Played:
    """Ten seconds before a scenario, its time, and twenty seconds behind it."""

    def __init__(self, name: str, size: float | None = None, seconds: float | None = None, symbol: str | None = "AAPL"):
        self.simulator = Simulator([AAPL, MSFT, IBM], PROFILES[:3], seed=2, start_ns=START_NS, ticks_per_s=4)
        self.before = self.run(100)
        asked = scenario(name, symbol, size, seconds, self.simulator.prices.ts_ns + 1)
        self.simulator.scenarios += (asked,)
        self.during = self.run((asked.end_ns - asked.start_ns) // STEP_NS or 1)
        self.after = self.run(200)

    def run(self, steps: int) -> Ticks:
        parts = [self.simulator.advance(self.simulator.prices.ts_ns + STEP_NS) for _ in range(steps)]
        return np.concatenate([np.empty(0, dtype=TICK), *parts])


def quotes(ticks: Ticks, instrument_id: int = AAPL) -> Ticks:
    return ticks[(ticks["instrument_id"] == instrument_id) & ((ticks["kind"] & QUOTE) != 0)]


def spread(ticks: Ticks, instrument_id: int = AAPL) -> float:
    own = quotes(ticks, instrument_id)
    return float(np.median(own["ask_ticks"] - own["bid_ticks"]))


def depth(ticks: Ticks, instrument_id: int = AAPL) -> float:
    """Mean lots that whole snapshots show on both sides."""
    own = ticks[(ticks["instrument_id"] == instrument_id) & ((ticks["kind"] & DEPTH) != 0)]
    lots, books, inside = 0, 0, False
    for record in own:
        inside = bool(record["kind"] & RESET) or inside
        if inside:
            lots += max(0, int(record["bid_lots"])) + max(0, int(record["ask_lots"]))
            inside = bool(record["kind"] & MORE)
            books += not inside
    return lots / books


def test_a_gap_moves_the_price_at_once_and_for_good() -> None:
    played = Played("gap", 0.1)
    last = quotes(played.before)["bid_ticks"][-1]
    later = quotes(played.after)
    assert later["bid_ticks"][2] / last == pytest.approx(1.1, rel=0.005)
    assert later["bid_ticks"][-1] / last == pytest.approx(1.1, rel=0.01)
    assert quotes(played.after, MSFT)["bid_ticks"][-1] == pytest.approx(
        quotes(played.before, MSFT)["bid_ticks"][-1], 2e-3
    )
    assert not (played.after["kind"] & GAP).any(), "prices jump, records do not"


def test_a_halt_closes_the_instrument_and_opens_it_again() -> None:
    played = Played("halt", seconds=5)
    own = played.during[played.during["instrument_id"] == AAPL]
    assert own["kind"].tolist() == [CLOSED], "no quote, no trade, no depth"
    assert len(quotes(played.during, MSFT)) > 10, "the others trade on"
    reopened = played.after[played.after["instrument_id"] == AAPL]
    assert reopened["kind"][0] == OPENED
    assert reopened["kind"][1] & RESET
    assert len(quotes(played.after)) > 40


def test_a_blow_out_widens_the_spread_and_ends() -> None:
    played = Played("spread", 8, 20)
    assert spread(played.during) == pytest.approx(8 * spread(played.before), rel=0.35)
    assert spread(played.during, MSFT) == spread(played.before, MSFT)
    assert spread(played.after[len(played.after) // 2 :]) < 2 * spread(played.before)


def test_a_drought_leaves_little_to_trade_with() -> None:
    played = Played("drought", 0.05, 20)
    assert depth(played.during) < 0.12 * depth(played.before)
    assert depth(played.after[len(played.after) // 2 :]) > 0.6 * depth(played.before)
    during, before = (np.median(quotes(part)["bid_lots"]) for part in (played.during, played.before))
    assert during < 0.15 * before


def test_a_lost_feed_says_nothing_and_then_that_something_is_missing() -> None:
    played = Played("feed_loss", seconds=10)
    assert not (played.during["instrument_id"] == AAPL).any()
    assert len(quotes(played.during, MSFT)) > 20
    back = played.after[played.after["instrument_id"] == AAPL]
    assert back["kind"][0] & GAP
    assert back["kind"][0] & RESET or back["kind"][0] & TRADE
    assert (back["kind"] & GAP != 0).sum() == 1
    assert not (played.after[played.after["instrument_id"] == MSFT]["kind"] & GAP).any()


def test_a_halt_that_begins_while_the_feed_is_lost_is_told_when_the_feed_is_back() -> None:
    played = Played("feed_loss", seconds=3)
    begins_ns = played.simulator.prices.ts_ns + 1
    played.simulator.scenarios = (
        scenario("feed_loss", "AAPL", None, 5, begins_ns),
        scenario("halt", "AAPL", None, 10, begins_ns + 10**9),
    )
    assert not (played.run(50)["instrument_id"] == AAPL).any()
    back = played.run(40)
    assert back[back["instrument_id"] == AAPL]["kind"].tolist() == [CLOSED | GAP]
    later = played.run(100)
    assert later[later["instrument_id"] == AAPL]["kind"][0] == OPENED


def test_a_crash_falls_comes_back_and_is_hard_to_trade_in() -> None:
    played = Played("crash", 0.3, 60, None)
    for instrument_id in (AAPL, MSFT, IBM):
        before = quotes(played.before, instrument_id)["bid_ticks"][-1]
        during = quotes(played.during, instrument_id)
        at_low = during[np.argmin(during["bid_ticks"])]
        assert at_low["bid_ticks"] / before == pytest.approx(0.7, abs=0.03)
        assert (at_low["ts_ns"] - played.during["ts_ns"][0]) / 60e9 == pytest.approx(0.2, abs=0.05)
        assert quotes(played.after, instrument_id)["bid_ticks"][-1] / before == pytest.approx(1, abs=0.03)
    falling = played.during[(played.during["ts_ns"] - played.during["ts_ns"][0]) / 60e9 < 0.3]
    assert spread(falling[len(falling) // 2 :]) > 2 * spread(played.before)
    trades = falling[(falling["kind"] & TRADE) != 0]
    assert trades["aggressor"].mean() < 0, "who trades on the way down sells"


def test_what_happens_survives_a_restart() -> None:
    own = Simulator([AAPL], PROFILES[:1], seed=2, start_ns=START_NS)
    own.advance(START_NS + STEP_NS)
    own.scenarios = (scenario("crash", "AAPL", 0.3, 60, START_NS + STEP_NS + 1),)
    for i in range(100):
        own.advance(START_NS + (2 + i) * STEP_NS)
    loaded = Simulator([AAPL], PROFILES[:1], seed=2, start_ns=0)
    loaded.load(json.loads(json.dumps(own.dump())))
    assert loaded.scenarios == own.scenarios != ()
    for i in range(600):
        a, b = (each.advance(START_NS + (102 + i) * STEP_NS) for each in (own, loaded))
        assert a.tobytes() == b.tobytes()
    assert own.scenarios == (), "it is over"


@pytest.mark.parametrize("name", SIZES)
def test_every_scenario_has_a_usual_size_and_length(name: str) -> None:
    assert scenario(name, None, None, None, 5) == Scenario(name, None, SIZES[name], 5, 5 + int(SECONDS[name] * 1e9))


@pytest.mark.parametrize(
    ("name", "size", "seconds"),
    [
        ("flood", None, None),
        ("gap", -1.0, None),
        ("gap", float("nan"), None),
        ("crash", 1.0, None),
        ("spread", 0.5, None),
        ("drought", 0.0, None),
        ("halt", None, -1.0),
        ("halt", None, 1e6),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(name: str, size: float | None, seconds: float | None) -> None:
    with pytest.raises(ValueError, match=r"scenario|between"):
        scenario(name, None, size, seconds, 0)
