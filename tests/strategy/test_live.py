"""The live run: the backtest's strategy on ticks, the same tickets whenever the same ticks and accounts come."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.backtest.result import us_equity
from trading.domain.errors import Inconsistent
from trading.domain.instruments import Instrument
from trading.domain.orders import OrderType, Side
from trading.market.bars import MINUTE_NS
from trading.market.ticks import QUOTE, TICK, TRADE, Ticks
from trading.strategy.library.sma_cross import SmaCross
from trading.strategy.live import AccountView, Decision, LiveRun, WorkingOrder, rerun
from trading.strategy.sdk import Bar, Context, Step, Target

A = us_equity("A")
RICH = AccountView(1_000_000_00, 1_000_000_00)


@dataclass(frozen=True, slots=True)
class Wants:
    """Always wants the same share of every symbol, seen a bar of or not."""

    weight: float
    symbols: tuple[str, ...] = ("A",)
    name: str = "wants"

    def start(self) -> int:
        return 0

    def on_bar(self, context: Context, state: int, bar: Bar) -> Step[int]:
        return Step(state + 1, tuple(Target(symbol, self.weight, f"bar {state}") for symbol in self.symbols))


def trades(*prices: int, instrument: Instrument = A, first: int = 0) -> Ticks:
    """A trade a minute."""
    rows = np.zeros(len(prices), dtype=TICK)
    rows["instrument_id"], rows["kind"] = instrument.id, TRADE
    rows["seq"] = np.arange(first + 1, first + 1 + len(prices))
    rows["ts_ns"] = (rows["seq"] - 1) * MINUTE_NS
    rows["trade_ticks"], rows["trade_lots"] = prices, 10
    return rows


def decide(account: AccountView, weight: float) -> Decision:
    (decision,) = LiveRun(Wants(weight), {"A": A}).feed(trades(100_00, 100_00), lambda: account)
    return decision


def test_a_closed_bar_becomes_a_market_ticket_for_the_share_of_equity() -> None:
    decision = decide(RICH, 0.5)
    (sent,) = decision.tickets
    assert (decision.symbol, decision.ts_ns, decision.cancels) == ("A", 0, ())
    assert (sent.ticket.side, sent.ticket.type, sent.ticket.quantity) == (Side.BUY, OrderType.MARKET, "5000")
    assert (sent.client_id, sent.reason) == ("wants/M1/0/A/A", "bar 0")


def test_what_is_held_counts_and_too_much_is_sold() -> None:
    assert decide(AccountView(0, 0, {"A": 100}), 1.0).tickets == ()
    (sent,) = decide(AccountView(0, 0, {"A": 100}), 0.4).tickets
    assert (sent.ticket.side, sent.ticket.quantity) == (Side.SELL, "60")


def test_a_purchase_fits_the_free_cash_at_the_price_it_may_run_to() -> None:
    (sent,) = decide(AccountView(1_000_000_00, 10_500_00), 1.0).tickets
    assert sent.ticket.quantity == "99"  # 100 at 105.00 would leave nothing for the fee


def test_an_order_that_is_on_its_way_is_left_alone_and_one_in_the_way_is_cancelled_first() -> None:
    on_its_way = AccountView(1_000_000_00, 0, {}, (WorkingOrder("7", "A", 5000),))
    decision = decide(on_its_way, 0.5)
    assert (decision.cancels, decision.tickets) == ((), ())
    decision = decide(on_its_way, 1.0)
    assert (decision.cancels, decision.tickets) == (("7",), ())


def test_two_purchases_on_one_bar_share_the_free_cash_and_a_symbol_without_a_bar_waits() -> None:
    b = replace(us_equity("B"), id=A.id + 1)
    run = LiveRun(Wants(0.5, ("A", "B")), {"A": A, "B": b})
    (first,) = run.feed(trades(100_00, 100_00), lambda: RICH)
    assert [sent.ticket.symbol for sent in first.tickets] == ["A"]
    (second,) = run.feed(trades(100_00, 100_00, instrument=b), lambda: AccountView(1_000_000_00, 600_000_00))
    # A may cost 105.00 x 5000 + 25.00 of 600,000.00; at 105.00 and half a cent a share 714 B fit into the rest.
    assert [(sent.ticket.symbol, sent.ticket.quantity) for sent in second.tickets] == [("A", "5000"), ("B", "714")]


@settings(max_examples=60)
@given(
    st.lists(st.integers(90_00, 110_00), min_size=2, max_size=40),
    st.lists(st.integers(0, 40), max_size=8),
    st.lists(st.integers(0, 400), min_size=40, max_size=40),
)
def test_a_rerun_on_the_recorded_ticks_gives_the_same_decisions_however_they_were_batched(
    prices: Sequence[int], cuts: Sequence[int], lots: Sequence[int]
) -> None:
    ticks = trades(*prices)
    noise = np.repeat(ticks, 2)  # quotes between the trades close nothing
    noise["kind"][::2] = QUOTE
    strategy = SmaCross(("A",), fast=1, slow=3)
    run, live, accounts = LiveRun(strategy, {"A": A}), [], iter(lots)
    for batch in np.split(noise, sorted({cut for cut in cuts if cut < len(noise)})):
        live += run.feed(batch, lambda: AccountView(50_000_00, 40_000_00, {"A": next(accounts)}))
    assert len(live) == len(prices) - 1
    assert list(rerun(LiveRun(strategy, {"A": A}), noise, live)) == live


def test_a_rerun_notices_bars_that_nobody_decided_on() -> None:
    live = list(LiveRun(Wants(0.5), {"A": A}).feed(trades(1, 2, 3), lambda: RICH))
    with pytest.raises(Inconsistent):
        list(rerun(LiveRun(Wants(0.5), {"A": A}), trades(1, 2, 3, 4), live))


def test_a_strategy_that_looks_at_a_closed_bar_sees_it_whole() -> None:
    seen: list[Bar] = []

    class Looks(Wants):
        def on_bar(self, context: Context, state: int, bar: Bar) -> Step[int]:
            seen.append(bar)
            return Step(state)

    ticks = trades(100_00, 104_00, 99_00, 101_00)
    ticks["ts_ns"] = [0, 1, 2, MINUTE_NS]
    assert len(list(LiveRun(Looks(1.0), {"A": A}).feed(ticks, lambda: RICH))) == 1
    assert seen == [Bar("A", 0, 100.0, 104.0, 99.0, 99.0, 30.0)]
