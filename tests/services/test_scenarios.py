"""What each scenario of the simulated venue does to open orders and to the broker: its own tape, a real broker."""

from decimal import Decimal

import numpy as np
import pytest
from trading_floor import TradingFloor

from trading.domain.orders import Refusal
from trading.market.profiles import shipped_profiles
from trading.market.scenarios import scenario
from trading.market.simulator import Simulator
from trading.market.ticks import CLOSED, GAP, QUOTE, Ticks

TURN_S = 0.2


class Stage:
    """A floor whose AAPL is the simulator's: every turn the broker gets what the venue published since the last."""

    def __init__(self, floor: TradingFloor) -> None:
        self.floor, self.seq = floor, 0
        profile = next(each for each in shipped_profiles() if each.symbol == "AAPL")
        self.simulator = Simulator([floor.aapl.id], [profile], seed=4, start_ns=floor.clock.now_ns() - 1)
        self.play(2)

    def play(self, seconds: float) -> Ticks:
        parts = []
        for _ in range(round(seconds / TURN_S)):
            ticks = self.simulator.advance(self.floor.clock.now_ns())
            ticks["seq"] = self.seq + 1 + np.arange(len(ticks))
            self.seq += len(ticks)
            quotes = ticks[(ticks["kind"] & QUOTE) != 0]
            if len(quotes):
                self.floor.bus.newest[self.floor.aapl.id] = quotes[-1:]
            self.floor.run_broker(ticks)
            parts.append(ticks)
        return np.concatenate(parts)

    def happens(self, name: str, size: float | None = None, seconds: float | None = None) -> None:
        begins_ns = self.simulator.prices.ts_ns + 1
        self.simulator.scenarios += (scenario(name, "AAPL", size, seconds, begins_ns),)

    @property
    def bid(self) -> Decimal:
        return self.floor.aapl.price(int(self.floor.bus.newest[self.floor.aapl.id]["bid_ticks"][0]))

    def at(self, share: str) -> str:
        """A price as a share of the bid."""
        return f"{self.bid * Decimal(share):.2f}"

    def price_of(self, order_id: int) -> list[Decimal]:
        rows = self.floor.query("select price_ticks from fill where order_id = %s order by input_seq, n", order_id)
        return [self.floor.aapl.price(price) for (price,) in rows]


@pytest.fixture
def stage(floor: TradingFloor) -> Stage:
    return Stage(floor)


def test_over_a_gap_a_limit_order_keeps_its_price_and_a_stop_does_not(stage: Stage) -> None:
    floor = stage.floor
    floor.accepted("buy", "20")
    stage.play(1)
    before, limit = stage.bid, stage.at("0.97")
    resting = floor.accepted("buy", "10", limit)
    stop = floor.accepted("sell", "20", stop_price=stage.at("0.98"))
    stage.play(1)
    stage.happens("gap", -0.05)
    stage.play(5)
    assert floor.state(resting.order_id)[0] == "filled"
    assert stage.price_of(resting.order_id) == [Decimal(limit)], "the market jumped through it, it pays its own price"
    assert floor.state(stop.order_id)[0] == "filled"
    assert all(price < before * Decimal("0.96") for price in stage.price_of(stop.order_id)), "there was nothing between"
    floor.check()


def test_in_a_halt_orders_are_taken_and_wait_and_nothing_trades(stage: Stage) -> None:
    floor = stage.floor
    resting = floor.accepted("buy", "10", stage.at("0.99"))
    stage.play(1)
    stage.happens("halt", seconds=3)
    told = stage.play(1)
    assert (told["kind"] & CLOSED).any()
    market = floor.accepted("buy", "10")
    cancelled = floor.accepted("buy", "10", stage.at("0.98"))
    stage.play(1)
    assert [floor.state(each.order_id)[:2] for each in (resting, market)] == [("working", 0), ("working", 0)]
    assert floor.cancel(cancelled.order_id) is None
    stage.play(0.4)
    assert floor.state(cancelled.order_id)[0] == "cancelled", "leaving is possible"
    stage.play(4)
    assert floor.state(market.order_id)[:2] == ("filled", 10), "it met the first quotes behind the halt"
    assert floor.state(resting.order_id)[0] == "working"
    floor.check()


def test_in_a_blow_out_a_market_order_pays_the_spread_but_never_beyond_its_protection(stage: Stage) -> None:
    floor = stage.floor
    calm = floor.accepted("buy", "5")
    stage.play(1)
    stage.happens("spread", 100, 20)
    stage.play(2)
    dear = floor.accepted("buy", "5")
    stage.play(3)
    assert floor.state(dear.order_id)[:2] == ("filled", 5)
    (paid_calm,), (paid,) = stage.price_of(calm.order_id), stage.price_of(dear.order_id)
    assert paid > paid_calm + Decimal("0.50"), "half of three dollars"
    assert paid <= floor.aapl.price(dear.protection_ticks)
    floor.check()


def test_in_a_drought_a_large_order_is_filled_piece_by_piece(stage: Stage) -> None:
    floor = stage.floor
    stage.happens("drought", 0.002, 60)
    stage.play(2)
    order = floor.accepted("buy", "200")
    stage.play(0.4)
    state, filled, _ = floor.state(order.order_id)
    assert state == "partially_filled"
    assert 0 < filled < 200
    stage.play(20)
    assert floor.state(order.order_id)[:2] == ("filled", 200)
    assert len(stage.price_of(order.order_id)) > 5
    floor.check()


def test_without_a_feed_orders_wait_and_no_fill_is_invented_for_what_was_missed(stage: Stage) -> None:
    floor = stage.floor
    stage.happens("feed_loss", seconds=10)
    stage.simulator.scenarios += (scenario("gap", "AAPL", -0.05, 0, stage.simulator.prices.ts_ns + 2 * 10**9),)
    resting = floor.accepted("buy", "10", stage.at("0.97"))
    stage.play(6)
    answer = floor.order("buy", "10")
    assert isinstance(answer, Refusal)
    assert answer.code == "no_quote", "nobody knows what a market order would cost"
    marketable = floor.accepted("buy", "10", stage.at("1.01"))
    stage.play(2)
    assert [floor.state(each.order_id)[:2] for each in (resting, marketable)] == [("working", 0), ("working", 0)]
    told = stage.play(4)
    assert told["kind"][0] & GAP
    assert floor.state(marketable.order_id)[:2] == ("filled", 10)
    assert floor.state(resting.order_id)[:2] == ("filled", 10)
    for price in stage.price_of(marketable.order_id):
        assert price == pytest.approx(stage.bid, rel=Decimal("0.01")), "the price of when the feed came back"
    floor.check()


def test_through_a_crash_stops_fire_low_bids_are_filled_and_the_books_stay_right(stage: Stage) -> None:
    floor = stage.floor
    floor.accepted("buy", "50")
    stage.play(1)
    before = stage.bid
    stop = floor.accepted("sell", "50", stop_price=stage.at("0.95"))
    low, never = floor.accepted("buy", "20", stage.at("0.85")), floor.accepted("buy", "20", stage.at("0.70"))
    stage.play(1)
    stage.happens("crash", 0.2, 60)
    stage.play(62)
    assert floor.state(stop.order_id)[0] == "filled"
    assert before * Decimal("0.80") < max(stage.price_of(stop.order_id)) < before * Decimal("0.955")
    assert floor.state(low.order_id)[0] == "filled"
    assert floor.state(never.order_id)[0] == "working"
    assert stage.bid == pytest.approx(before, rel=Decimal("0.02")), "all is as before, but for who sold low"
    floor.check()
