"""Splits and dividends on lots, cash and open orders: nothing is made and nothing lost."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.backtest.result import us_equity
from trading.domain.actions import (
    Action,
    ActionAccounts,
    Effect,
    Position,
    adjust,
    apply,
    dividend_of,
    lowered_ticks,
    split_lots,
)
from trading.domain.ledger import Hold, OpenOrder, hold_needed
from trading.domain.orders import OrderState, OrderType, Side, Terms
from trading.domain.positions import FillId, Lot, close_fifo, open_lot

SHARE = us_equity("X")
FLOOR = ActionAccounts(shares=11, cash=12, dividends=13, taxes=14)
CASH, SHARES = 1, 2
BOUGHT = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 10**6), st.integers(0, 499)), min_size=1, max_size=6)
RATIOS = st.fractions(Fraction(1, 200), Fraction(200), max_denominator=200).filter(lambda ratio: ratio != 1)


def lots_of(bought: list[tuple[int, int, int]], short: bool = False) -> list[Lot]:
    """Open lots, some of them closed in part."""
    found = []
    for n, (quantity, cost, closed) in enumerate(bought):
        lot = open_lot(FillId(n, n, 0), n, quantity, cost, 0, short=short)
        if 0 < closed < quantity:
            (lot,), _ = close_fifo([lot], closed, 100)
        found.append(lot)
    return found


def booked(action: Action, lots: list[Lot]) -> Effect:
    effect = apply(action, Position(1, SHARE, CASH, SHARES, tuple(lots)), FLOOR)
    sums: dict[int, int] = {}
    for transfer in effect.transfers:
        assert transfer.amount > 0
        sums[transfer.debit_id] = sums.get(transfer.debit_id, 0) - transfer.amount
        sums[transfer.credit_id] = sums.get(transfer.credit_id, 0) + transfer.amount
    assert sum(sums.values()) == 0
    assert {own: sums.get(own, 0) for own in effect.posted} == dict(effect.posted), "balances are the transfers"
    return effect


@given(BOUGHT, RATIOS)
def test_a_split_keeps_the_cost_and_the_whole_shares(bought: list[tuple[int, int, int]], ratio: Fraction) -> None:
    before = lots_of(bought)
    after = split_lots(before, ratio)
    held = sum(lot.remaining_lots for lot in before)
    assert sum(lot.remaining_lots for lot in after) == int(held * ratio)
    whole = [lot for lot in after if lot.remaining_lots]
    if whole:
        assert sum(lot.remaining_cost for lot in after) == sum(lot.remaining_cost for lot in before)
    for old, new in zip(before, after, strict=True):
        assert (old.opened_by, old.acquired_ts_ns) == (new.opened_by, new.acquired_ts_ns)
        assert new.remaining_lots or new.remaining_cost == 0
        closed = old.quantity_lots - old.remaining_lots, old.cost - old.remaining_cost
        assert (new.quantity_lots - new.remaining_lots, new.cost - new.remaining_cost) == closed


@given(BOUGHT, RATIOS, st.integers(1, 10**6), st.booleans())
def test_what_it_is_worth_before_is_what_it_is_worth_after_with_the_cash(
    bought: list[tuple[int, int, int]], ratio: Fraction, price: int, short: bool
) -> None:
    lots = lots_of(bought, short)
    effect = booked(Action(1, 1, ratio, price), lots)
    sign = -1 if short else 1
    worth_before, worth_after = effect.lots_before * price, Fraction(effect.lots_after * price) / ratio
    assert abs(worth_after + effect.cash - worth_before) <= Fraction(1, 2), "half a cent of rounding"
    assert sign * effect.lots_before > 0
    assert sign * effect.lots_after >= 0
    assert sign * effect.cash >= 0, "a long gets the fraction, a short pays it"
    cost = sum(change.before.remaining_cost for change in effect.lots)
    assert sum(change.after.remaining_cost for change in effect.lots) == cost - effect.dropped


@given(BOUGHT, st.decimals("0.0001", "50", places=4), st.integers(0, 1_000_000), st.booleans())
def test_a_dividend_is_paid_a_share_and_taxed_when_it_comes_in(
    bought: list[tuple[int, int, int]], dividend: Decimal, tax_ppm: int, short: bool
) -> None:
    lots = lots_of(bought, short)
    effect = booked(Action(1, 1, dividend=dividend, tax_ppm=tax_ppm), lots)
    held = sum(lot.remaining_lots for lot in lots)
    assert abs(abs(effect.cash) - held * dividend * 100) <= Decimal("0.5")
    assert effect.cash < 0 if short and effect.cash else effect.cash >= 0
    assert 0 <= effect.tax <= max(effect.cash, 0)
    assert (effect.lots, effect.dropped, effect.lots_before) == ((), 0, effect.lots_after)


def test_a_short_pays_the_dividend_and_no_tax() -> None:
    effect = booked(Action(1, 1, dividend=Decimal("0.52"), tax_ppm=150_000), lots_of([(40, 1, 0)], short=True))
    assert (effect.cash, effect.tax, effect.posted) == (-2_080, 0, {CASH: -2_080})


def test_a_short_of_five_is_seven_after_three_for_two_and_pays_the_half() -> None:
    effect = booked(Action(1, 1, Fraction(3, 2), 9_000), lots_of([(5, 1, 0)], short=True))
    assert (effect.lots_before, effect.lots_after, effect.cash) == (-5, -7, -3_000)  # half a share at 60.00
    assert effect.posted == {SHARES: -2, CASH: -3_000}


def order(side: Side, kind: OrderType, lots: int, ticks: int, state: OrderState = OrderState.WORKING) -> OpenOrder:
    limit = ticks if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None
    stop = ticks if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None
    cash, asset = hold_needed(SHARE, side, ticks, lots)
    terms = Terms(kind, ticks, limit, stop)
    return OpenOrder(1, 1, SHARE, side, lots, 0, 0, 0, 0, state, Hold(CASH, cash), Hold(SHARES, asset), terms)


@given(
    st.sampled_from(Side),
    st.sampled_from([OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT]),
    st.integers(1, 10_000),
    st.integers(1, 10**6),
    st.fractions(1, 100, max_denominator=20).filter(lambda ratio: ratio != 1),
)
def test_a_split_never_makes_an_order_dearer_than_what_is_held(
    side: Side, kind: OrderType, lots: int, ticks: int, ratio: Fraction
) -> None:
    before = order(side, kind, lots, ticks, OrderState.PENDING_TRIGGER)
    made = adjust(Action(1, 1, ratio, 1), [before])
    if made.cancelled:
        assert side is Side.BUY, "not one share fits"
        return
    (after,) = made.changed
    assert after.open_lots <= lots * ratio
    if side is Side.BUY:
        assert after.needed[0] <= before.cash.left
        assert after.terms.protection_ticks == max(1, int(ticks / ratio))
    else:
        assert after.open_lots == int(lots * ratio)
        assert after.terms.protection_ticks >= ticks / ratio


def test_a_reverse_split_cancels_every_order() -> None:
    made = adjust(Action(1, 1, Fraction(1, 10), 1), [order(Side.BUY, OrderType.LIMIT, 10, 9_000)])
    assert (made.cancelled, made.changed) == ((1,), ())


@pytest.mark.parametrize(("dividend", "ticks"), [("0.47", 47), ("0.465", 47), ("2.65", 265), ("0.001", 1)])
def test_prices_are_lowered_by_whole_ticks_rounded_up(dividend: str, ticks: int) -> None:
    assert lowered_ticks(Action(1, 1, dividend=Decimal(dividend)), SHARE) == ticks


def test_what_a_holder_of_apple_went_through(shared_data: Path) -> None:
    """100 shares from 2015 on, with what was really paid; and seven for one, as in June 2014."""
    rows = pd.read_csv(shared_data / "corporate_actions" / "AAPL_wiki_2015_2017.csv", dtype=str)
    lots = [open_lot(FillId(1, 1, 0), 0, 100, 6_457_100, 100)]
    seven = booked(Action(1, 1, Fraction(7), 64_557), lots)
    assert (seven.lots_after, seven.cash) == (700, 0)
    assert [change.after.remaining_cost for change in seven.lots] == [6_457_200]
    paid = {
        date.fromisoformat(row.ex_date): dividend_of(SHARE, Decimal(row.cash_dividend), 700)
        for row in rows.itertuples()
        if row.cash_dividend != "0.0"
    }
    assert paid[date(2015, 2, 5)] == 700 * 47
    assert sum(amount for day, amount in paid.items() if day.year == 2015) == 700 * (47 + 52 + 52 + 52)
    assert sum(Decimal(row.split_ratio) != 1 for row in rows.itertuples()) == 0
