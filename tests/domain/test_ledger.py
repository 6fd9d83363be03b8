"""What a fill posts, for any instrument, fee schedule and sequence of fills."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.instruments import FeeSchedule, Instrument
from trading.domain.ledger import FloorAccounts, Hold, OpenOrder, post_end, post_fill
from trading.domain.money import Asset
from trading.domain.orders import OrderState, Side

CASH, SHARES = 1, 2
FLOOR = FloorAccounts(market_cash=10, market_asset=11, fees=12)
USD = Asset(1, "USD", 2)


def instrument(tick: str, lot: str, fee: FeeSchedule) -> Instrument:
    return Instrument(1, 1, "X", "SIM", "X", Asset(2, "SIM:X", 0), USD, Decimal(tick), Decimal(lot), 10**9, fee)


INSTRUMENTS = st.builds(
    instrument,
    st.sampled_from(["0.01", "0.05", "0.00001", "1"]),
    st.sampled_from(["1", "1000", "0.0001"]),
    st.builds(FeeSchedule, st.just(1), st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 500)),
)
SLICES = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 40)), min_size=1, max_size=10)


def opened(own: Instrument, side: Side, lots: int, protection: int) -> OpenOrder:
    """The order as the desk would have held for it."""
    if side is Side.BUY:
        notional = own.notional(lots * protection)
        cash, asset = notional + own.fee.total(lots, notional), 0
    else:
        cash, asset = own.fee.total(lots, 0), lots
    return OpenOrder(1, 1, own, side, lots, 0, 0, 0, 0, OrderState.ACCEPTED, Hold(CASH, cash), Hold(SHARES, asset))


@given(INSTRUMENTS, st.sampled_from(Side), SLICES, st.integers(100, 100_000))
def test_many_fills_post_what_one_would_and_never_outrun_the_hold(
    own: Instrument, side: Side, slices: list[tuple[int, int]], protection: int
) -> None:
    order = opened(own, side, sum(lots for lots, _ in slices), protection)
    posted, held = {CASH: 0, SHARES: 0}, {CASH: order.cash.left, SHARES: order.asset.left}
    sums: dict[int, int] = {}
    available = -held[CASH]
    for lots, better in slices:
        price = protection - better if side is Side.BUY else protection + better
        posting = post_fill(order, price, lots, FLOOR)
        for account, (change, hold_change) in posting.balances.items():
            posted[account] += change
            held[account] += hold_change
        for transfer in posting.transfers:
            assert transfer.amount > 0
            sums[transfer.debit_id] = sums.get(transfer.debit_id, 0) - transfer.amount
            sums[transfer.credit_id] = sums.get(transfer.credit_id, 0) + transfer.amount
        assert posted[CASH] - held[CASH] >= available, "a fill may only free cash, never take more than was held"
        assert min(held.values()) >= 0
        available = posted[CASH] - held[CASH]
        order = posting.order
    assert held == {CASH: 0, SHARES: 0}
    assert order.state is OrderState.FILLED
    assert sum(sums.values()) == 0
    assert (sums.get(CASH, 0), sums.get(SHARES, 0)) == (posted[CASH], posted[SHARES]), "balances are the transfers"
    whole = sum(lots * (protection - b if side is Side.BUY else protection + b) for lots, b in slices)
    assert order.notional == own.notional(whole)
    assert order.fee == own.fee.total(order.quantity_lots, order.notional)


@given(INSTRUMENTS, st.sampled_from(Side), st.integers(1, 1000), st.integers(1, 1000), st.integers(100, 100_000))
def test_an_order_that_ends_early_gives_back_what_it_did_not_use(
    own: Instrument, side: Side, first: int, rest: int, price: int
) -> None:
    order = opened(own, side, first + rest, price)
    held = {CASH: order.cash.left, SHARES: order.asset.left}
    for posting in (filled := post_fill(order, price, first, FLOOR), post_end(filled.order, OrderState.CANCELLED)):
        for account, (_, change) in posting.balances.items():
            held[account] += change
    assert held == {CASH: 0, SHARES: 0}


def test_a_fill_larger_than_what_is_open_is_an_error() -> None:
    order = opened(instrument("0.01", "1", FeeSchedule(1, 0, 0, 0)), Side.BUY, 10, 100)
    with pytest.raises(ValueError, match="with 10 open"):
        post_fill(order, 100, 11, FLOOR)


def test_ten_shares_at_a_hundred_dollars_with_a_dollar_of_fee() -> None:
    order = opened(instrument("0.01", "1", FeeSchedule(1, 500, 0, 100)), Side.BUY, 10, 10_000)
    posting = post_fill(order, 10_000, 10, FLOOR)
    assert [(t.debit_id, t.credit_id, t.amount, t.kind) for t in posting.transfers] == [
        (CASH, FLOOR.market_cash, 100_000, "trade"),
        (FLOOR.market_asset, SHARES, 10, "trade"),
        (CASH, FLOOR.fees, 100, "fee"),
    ]
