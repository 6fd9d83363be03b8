"""What a margin account requires, reserves and closes: worked examples, and what holds for any of them."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain import margin
from trading.domain.fees import FeeSchedule
from trading.domain.instruments import Instrument
from trading.domain.margin import REG_T, Holding, Mark, Policy, Worth
from trading.domain.money import Asset
from trading.domain.orders import Side

USD = Asset(1, "USD", 2)
NO_FEE = FeeSchedule(1, 0, 0, 0)


def share(number: int, fee: FeeSchedule = NO_FEE, tick: str = "0.01", lot: str = "1") -> Instrument:
    """An instrument in dollars."""
    asset = Asset(10 + number, f"SIM:{number}", 0)
    return Instrument(number, 1, f"S{number}", "SIM", "", asset, USD, Decimal(tick), Decimal(lot), 10**9, fee)


AAPL, MSFT = share(1), share(2)
FX = Policy(33_334, 25_000, 25_000, 666_667)


def at(bid: int, ask: int | None = None) -> Mark:
    return Mark(bid, bid if ask is None else ask)


def test_a_hundred_shares_bought_on_margin_from_the_purchase_to_the_close_out() -> None:
    held = [Holding(AAPL, 100, REG_T, 1_500_000)]
    bought = margin.assess(-500_000, held, {1: at(15_000)})
    assert bought == Worth(-500_000, 1_500_000, 750_000, 375_000, 300_000)
    assert (bought.equity, bought.excess, margin.buying_power(bought, 0, REG_T)) == (1_000_000, 250_000, 500_000)
    called = margin.assess(-500_000, held, {1: at(6_600)})
    assert called is not None
    assert (called.equity, called.maintenance, called.close_out, called.cushion) == (160_000, 165_000, 132_000, -5_000)
    closed_out = margin.assess(-500_000, held, {1: at(6_200)})
    assert closed_out is not None
    assert closed_out.equity < closed_out.close_out == 124_000


def test_a_short_is_marked_at_the_ask_and_needs_thirty_percent() -> None:
    # Sold at 100.00 with 5,000.00 of own cash: 15,000.00 cash. At an ask of 115.00: equity 3,500.00, needed 3,450.00.
    worth = margin.assess(1_500_000, [Holding(AAPL, -100, REG_T, 1_000_000)], {1: at(11_400, 11_500)})
    assert worth == Worth(1_500_000, -1_150_000, 575_000, 345_000, 276_000)
    assert worth.cushion == 5_000


def test_currency_at_thirty_to_one() -> None:
    # 100,000 EURUSD at 1.10000 is 110,000.00: 3,666.74 initial (33,334 ppm), 2,750.00 maintenance, closed at 1,833.34.
    euro = share(3, tick="0.00001", lot="1000")
    worth = margin.assess(-10_500_000, [Holding(euro, 100, FX)], {3: at(110_000)})
    assert worth is not None
    assert (worth.value, worth.initial, worth.maintenance, worth.close_out) == (11_000_000, 366_674, 275_000, 183_334)


def test_a_short_sale_is_reserved_at_its_limit_or_three_percent_above_the_ask() -> None:
    assert margin.short_reserve_ticks(10_000) == 10_300
    assert margin.short_reserve_ticks(33) == 34, "33.99 ticks, rounded up"


def test_what_open_orders_hold_is_not_there_for_others_nor_to_be_paid_out() -> None:
    worth = Worth(cash=300_000, value=500_000, initial=250_000)
    assert margin.available(worth, 100_000) == 450_000
    assert margin.available(worth, 600_000) == 0
    assert margin.withdrawable(worth, 0) == 300_000
    assert margin.withdrawable(worth, 400_000) == 150_000
    assert margin.withdrawable(replace(worth, cash=-1), 0) == 0


def test_an_account_is_not_judged_without_a_mark() -> None:
    assert margin.assess(0, [Holding(AAPL, 1, REG_T)], {}) is None
    assert margin.assess(0, [Holding(AAPL, -1, REG_T)], {1: Mark(100, 0)}) is None


def test_the_largest_loss_is_closed_first_and_no_more_of_it_than_needed() -> None:
    marks = {1: at(5_000), 2: at(20_000)}
    held = [Holding(AAPL, 100, REG_T, 900_000), Holding(MSFT, 100, REG_T, 1_500_000)]  # -4,000.00 and +5,000.00
    cash = -2_000_000  # equity 5,000.00, maintenance 6,250.00
    close = margin.next_close(cash, held, marks, {1, 2})
    assert close is not None
    # Each lot of AAPL frees 12.50: a hundred of them make exactly the 1,250.00 that lack.
    assert (close.holding.instrument.symbol, close.lots) == ("S1", 100)
    assert margin.next_close(cash + 500_000, held[1:], marks, {1, 2}) is None
    other = margin.next_close(cash, held, marks, {2})
    assert other is not None
    assert (other.holding.instrument.symbol, other.lots) == ("S2", 25), "what cannot trade now is passed over"
    assert margin.next_close(cash, held, marks, set()) is None


def test_of_equal_losses_the_larger_requirement_goes_first() -> None:
    held = [Holding(AAPL, 100, REG_T, 600_000), Holding(MSFT, 50, REG_T, 1_100_000)]
    close = margin.next_close(-1_400_000, held, {1: at(5_000), 2: at(20_000)}, {1, 2})
    assert close is not None
    assert close.holding.instrument.symbol == "S2"


HOLDINGS = st.lists(
    st.tuples(
        st.integers(-1_000, 1_000).filter(bool),
        st.integers(2_000, 100_000),
        st.sampled_from([REG_T, FX]),
        st.integers(-10_000, 10_000),
        st.sampled_from([NO_FEE, FeeSchedule(1, 500, 100, 100)]),
    ),
    min_size=1,
    max_size=4,
).map(
    lambda rows: [
        (Holding(share(n, fee), lots, policy, abs(lots) * price + skew), Mark(price, price + 3))
        for n, (lots, price, policy, skew, fee) in enumerate(rows, 1)
    ]
)


def needs(rows: list[tuple[Holding, Mark]]) -> tuple[list[Holding], dict[int, Mark]]:
    return [holding for holding, _ in rows], {holding.instrument.id: mark for holding, mark in rows}


@given(HOLDINGS, st.integers(0, 10**8), st.data())
def test_no_price_within_the_quiet_band_makes_a_call(
    rows: list[tuple[Holding, Mark]], cushion: int, data: st.DataObject
) -> None:
    held, marks = needs(rows)
    bare = margin.assess(0, held, marks)
    assert bare is not None
    cash = cushion - bare.cushion
    bands = margin.quiet_band(cash, held, marks)
    moved = {}
    for holding, mark in rows:
        band = bands[holding.instrument.id]
        if holding.lots > 0:
            bid = data.draw(st.integers(max(band.bid_ticks, 1), max(band.bid_ticks, 1) + 5_000))
            moved[holding.instrument.id] = Mark(bid, bid + 1)
        else:
            assert band.ask_ticks >= mark.ask_ticks
            ask = data.draw(st.integers(max(band.ask_ticks - 5_000, 1), band.ask_ticks))
            moved[holding.instrument.id] = Mark(max(ask - 1, 1), ask)
    after = margin.assess(cash, held, moved)
    assert after is not None
    assert after.cushion >= 0


@given(HOLDINGS, st.integers(0, 10**8))
def test_at_the_edges_of_all_bands_there_is_no_call_yet(rows: list[tuple[Holding, Mark]], cushion: int) -> None:
    held, marks = needs(rows)
    bare = margin.assess(0, held, marks)
    assert bare is not None
    cash = cushion - bare.cushion
    edges = {
        key: Mark(max(band.bid_ticks, 1), 0) if band.bid_ticks or not band.ask_ticks else Mark(0, band.ask_ticks)
        for key, band in margin.quiet_band(cash, held, marks).items()
    }
    after = margin.assess(cash, held, edges)
    assert after is not None
    assert after.cushion >= 0


@given(HOLDINGS, st.integers(1, 10**8))
def test_closing_worst_first_ends_above_maintenance_or_with_nothing(
    rows: list[tuple[Holding, Mark]], missing: int
) -> None:
    held, marks = needs(rows)
    bare = margin.assess(0, held, marks)
    assert bare is not None
    cash = -missing - bare.cushion
    closes = 0
    while (close := margin.next_close(cash, held, marks, marks)) is not None:
        losses = [holding.unrealised(marks[holding.instrument.id]) for holding in held]
        assert close.holding.unrealised(marks[close.holding.instrument.id]) == min(losses)
        sign = 1 if close.holding.lots > 0 else -1
        traded = close.holding.instrument.notional(
            marks[close.holding.instrument.id].closing(close.holding.lots) * close.lots
        )
        side = Side.SELL if close.holding.lots > 0 else Side.BUY
        fee = close.holding.instrument.fee.at_most(side, close.lots, traded)
        basis = close.holding.basis * close.lots // abs(close.holding.lots)
        left = replace(close.holding, lots=close.holding.lots - sign * close.lots, basis=close.holding.basis - basis)
        cash += sign * traded - fee
        held = [left if each is close.holding else each for each in held]
        held = [each for each in held if each.lots]
        closes += 1
        assert closes <= 3 * len(rows), "each close ends a position or the shortage"
    after = margin.assess(cash, held, marks)
    assert after is not None
    assert not held or after.cushion >= 0


@given(HOLDINGS, st.integers(-(10**8), 10**8))
def test_the_requirements_are_in_order(rows: list[tuple[Holding, Mark]], cash: int) -> None:
    held, marks = needs(rows)
    worth = margin.assess(cash, held, marks)
    assert worth is not None
    assert 0 < worth.close_out <= worth.maintenance <= worth.initial
    assert worth.equity == cash + sum(holding.value(mark) for holding, mark in rows)


@pytest.mark.parametrize(("amount", "ppm", "required"), [(0, 250_000, 0), (1, 1, 1), (4, 250_000, 1), (5, 250_000, 2)])
def test_a_requirement_is_rounded_up(amount: int, ppm: int, required: int) -> None:
    assert margin.part(amount, ppm) == required
