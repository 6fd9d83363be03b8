"""What a fill posts, for any instrument, fee schedule and sequence of fills."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.fees import LISTED, Basis, Charge, FeeSchedule, Levy, check
from trading.domain.instruments import Instrument
from trading.domain.ledger import (
    FloorAccounts,
    Hold,
    OnMargin,
    OpenOrder,
    Posting,
    hold_needed,
    post_end,
    post_fill,
    post_over,
    shared_hold,
)
from trading.domain.money import Asset
from trading.domain.orders import OrderState, OrderType, Side, Terms

CASH, SHARES = 1, 2
FLOOR = FloorAccounts(market_cash=10, market_asset=11, fees=12, taxes=13)
USD = Asset(1, "USD", 2)


def instrument(tick: str, lot: str, fee: FeeSchedule) -> Instrument:
    return Instrument(1, 1, "X", "SIM", "X", Asset(2, "SIM:X", 0), USD, Decimal(tick), Decimal(lot), 10**9, fee)


NOTIONAL, LOTS, ON_LINES = (
    st.builds(
        Charge,
        st.just(basis),
        st.sampled_from(Levy),
        st.just(Basis(basis)),
        st.integers(0, 10_000_000),
        st.sampled_from([None, *Side]),
        st.integers(0, 30),
        st.sampled_from([None, 30, 500]),
        st.just(of),
    )
    for basis, of in (("notional", ()), ("lots", ()), ("lines", ("commission", "notional")))
)
CHARGES = st.sampled_from([(), *(fee.charges for fee in LISTED.values())]) | st.tuples(NOTIONAL, LOTS, ON_LINES)
FEES = st.builds(
    FeeSchedule,
    st.just(1),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.integers(0, 500),
    st.sampled_from([None, 500, 2000]),
    st.sampled_from([None, 0, 2500]),
    CHARGES,
).map(check)
INSTRUMENTS = st.builds(
    instrument,
    st.sampled_from(["0.01", "0.05", "0.00001", "1"]),
    st.sampled_from(["1", "1000", "0.0001"]),
    FEES,
)
SLICES = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 40)), min_size=1, max_size=10)
RESTED = st.lists(st.booleans(), min_size=12, max_size=12)


def opened(own: Instrument, side: Side, lots: int, worst: int) -> OpenOrder:
    """The order as the desk would have held for it."""
    cash, asset = hold_needed(own, side, worst, lots)
    return OpenOrder(
        1,
        1,
        own,
        side,
        lots,
        0,
        0,
        0,
        0,
        OrderState.ACCEPTED,
        Hold(CASH, cash),
        Hold(SHARES, asset),
        Terms(OrderType.MARKET, worst),
    )


class Books:
    """Balances, and what is held of them, as postings change them."""

    def __init__(self, order: OpenOrder) -> None:
        self.posted = {CASH: 0, SHARES: 0}
        self.held = {CASH: order.cash.left, SHARES: order.asset.left}
        self.sums: dict[int, int] = {}

    @property
    def available(self) -> int:
        return self.posted[CASH] - self.held[CASH]

    def take(self, posting: Posting) -> OpenOrder:
        for account, change in posting.posted.items():
            self.posted[account] += change
        for use in posting.uses:
            self.held[use.account_id] += use.grown - use.used - use.released
        for transfer in posting.transfers:
            assert transfer.amount > 0
            self.sums[transfer.debit_id] = self.sums.get(transfer.debit_id, 0) - transfer.amount
            self.sums[transfer.credit_id] = self.sums.get(transfer.credit_id, 0) + transfer.amount
        assert min(self.held.values()) >= 0
        return posting.order


@given(INSTRUMENTS, st.sampled_from(Side), SLICES, RESTED, st.integers(100, 100_000))
def test_many_fills_post_what_one_would_and_never_outrun_the_hold(
    own: Instrument, side: Side, slices: list[tuple[int, int]], rested: list[bool], worst: int
) -> None:
    order = opened(own, side, sum(lots for lots, _ in slices), worst)
    books = Books(order)
    charged: dict[str, int] = {}
    for maker, (lots, better) in zip(rested, slices, strict=False):
        before = books.available
        price = worst - better if side is Side.BUY else worst + better
        posting = post_fill(order, price, lots, FLOOR, rested=maker)
        order = books.take(posting)
        for line in posting.lines:
            charged[line.name] = charged.get(line.name, 0) + line.amount
            assert line.amount > 0, "what was charged is never given back"
        assert books.available >= before, "a fill may only free cash, never take more than was held"
    assert order.state is OrderState.FILLED
    books.take(post_over(order))
    assert books.held == {CASH: 0, SHARES: 0}
    assert sum(books.sums.values()) == 0
    moved = (books.sums.get(CASH, 0), books.sums.get(SHARES, 0))
    assert moved == (books.posted[CASH], books.posted[SHARES]), "balances are the transfers"
    whole = sum(lots * (worst - b if side is Side.BUY else worst + b) for lots, b in slices)
    assert order.notional == own.notional(whole)
    made = own.notional(order.price_lots_sum - order.maker_price_lots), own.notional(order.maker_price_lots)
    assert order.fee == own.fee.total(side, order.quantity_lots, order.notional, made)
    assert own.fee.at_most(side, order.quantity_lots, order.notional) >= order.fee
    if own.fee.charges:
        whole_lines = own.fee.lines(side, order.quantity_lots, order.notional, made)
        assert charged == {line.name: line.amount for line in whole_lines if line.amount}
    paid = {account: -books.sums.get(account, 0) for account in (FLOOR.fees, FLOOR.taxes)}
    assert -sum(paid.values()) == order.fee


@given(INSTRUMENTS, st.sampled_from(Side), st.integers(1, 1000), st.integers(1, 1000), st.integers(100, 100_000))
def test_an_order_that_ends_early_gives_back_what_it_did_not_use(
    own: Instrument, side: Side, first: int, rest: int, price: int
) -> None:
    order = opened(own, side, first + rest, price)
    books = Books(order)
    order = books.take(post_fill(order, price, first, FLOOR))
    order = books.take(post_end(order, OrderState.CANCELLED))
    books.take(post_over(order))
    assert books.held == {CASH: 0, SHARES: 0}


@given(
    INSTRUMENTS,
    st.sampled_from(Side),
    st.integers(100, 100_000),
    st.integers(100, 100_000),
    st.lists(st.tuples(st.booleans(), st.integers(1, 300), st.integers(0, 40)), min_size=1, max_size=12),
)
def test_two_orders_that_share_a_hold_never_outrun_it_whichever_trades(
    own: Instrument, side: Side, one: int, other: int, slices: list[tuple[bool, int, int]]
) -> None:
    lots = sum(each for _, each, _ in slices)
    orders = [opened(own, side, lots, worst) for worst in (one, other)]
    cash, asset = shared_hold(own, side, [(order.cash.left, order.asset.left) for order in orders])
    orders = [replace(order, cash=Hold(CASH, cash), asset=Hold(SHARES, asset)) for order in orders]
    books = Books(orders[0])
    for first, each, better in slices:
        before, at = books.available, 0 if first else 1
        worst = orders[at].terms.protection_ticks
        price = worst - better if side is Side.BUY else worst + better
        done = books.take(post_fill(orders[at], price, each, FLOOR))
        sibling = orders[1 - at]
        orders[at] = done
        orders[1 - at] = replace(sibling, cash=done.cash, asset=done.asset, quantity_lots=sibling.quantity_lots - each)
        assert books.available >= before
    books.take(post_over(orders[0]))
    assert books.held == {CASH: 0, SHARES: 0}


@given(INSTRUMENTS, st.integers(100, 100_000), SLICES, st.integers(-20, 20), st.integers(-50, 50))
def test_what_new_terms_need_covers_what_is_left_of_the_order(
    own: Instrument, worst: int, slices: list[tuple[int, int]], dearer: int, more: int
) -> None:
    order = opened(own, Side.BUY, sum(lots for lots, _ in slices), worst)
    for lots, better in slices[:-1]:
        order = post_fill(order, worst - better, lots, FLOOR).order
    quantity, worst = max(order.quantity_lots + more, order.filled_lots + 1), worst + dearer
    cash, _ = hold_needed(own, Side.BUY, worst, quantity - order.filled_lots, order.done)
    changed = replace(order, quantity_lots=quantity, cash=Hold(CASH, cash), terms=Terms(OrderType.LIMIT, worst, worst))
    posting = post_fill(changed, worst, quantity - order.filled_lots, FLOOR)
    dearer_rate = own.fee.maker_ppm is not None  # what it is charged depends on who was there first
    assert posting.order.cash.left == 0 or dearer_rate, "at the worst price all of it is used, and no more"


def test_lines_that_are_rounded_up_together_never_take_more_than_a_cent_share_brings() -> None:
    levies = tuple(Charge(f"levy {n}", Levy.TAX, Basis.NOTIONAL, 120_000_000) for n in range(4))
    order = opened(instrument("0.01", "1", check(FeeSchedule(1, 0, 0, 0, charges=levies))), Side.SELL, 30, 1)
    assert order.cash.left > 0
    books = Books(order)
    for _ in range(30):  # at the fifth cent all four lines become a cent
        before = books.available
        order = books.take(post_fill(order, 1, 1, FLOOR))
        assert books.available >= before
    assert order.fee == 4 * 4


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


def on_margin(own: Instrument, side: Side, lots: int, worst: int, margin: OnMargin) -> OpenOrder:
    """An order of a margin portfolio as the desk would have held for it."""
    cash, asset = hold_needed(own, side, worst, lots, margin=margin)
    return replace(opened(own, side, lots, worst), cash=Hold(CASH, cash), asset=Hold(SHARES, asset), margin=margin)


def test_a_purchase_on_margin_holds_half_and_its_fee_and_the_rest_is_debt() -> None:
    own = instrument("0.01", "1", FeeSchedule(1, 500, 0, 100))
    order = on_margin(own, Side.BUY, 100, 15_000, OnMargin(True, 500_000))
    assert (order.cash.left, order.asset.left) == (750_000 + 100, 0)
    first = post_fill(order, 15_000, 40, FLOOR)
    assert first.posted == {CASH: -600_100, SHARES: 40}
    assert first.order.cash.left == 450_000, "sixty are still to come, and the dollar of fee is paid"
    rest = post_fill(first.order, 14_000, 60, FLOOR)
    assert rest.order.cash.left == 0


def test_a_short_sale_reserves_three_percent_above_the_ask_and_its_proceeds_are_cash() -> None:
    own = instrument("0.01", "1", FeeSchedule(1, 0, 0, 0))
    order = on_margin(own, Side.SELL, 100, 9_900, OnMargin(True, 500_000, 10_300))
    assert (order.cash.left, order.asset.left) == (515_000, 0)
    dearer = on_margin(own, Side.SELL, 100, 11_000, OnMargin(True, 500_000, 10_300))
    assert dearer.cash.left == 550_000
    posting = post_fill(order, 9_950, 100, FLOOR)
    assert posting.posted == {CASH: 995_000, SHARES: -100}
    assert posting.order.cash.left == 0


def test_closing_holds_the_lots_and_no_cash_on_either_side() -> None:
    own = instrument("0.01", "1", FeeSchedule(1, 500, 0, 100))
    for side in Side:
        order = on_margin(own, side, 10, 10_000, OnMargin(False))
        assert (order.cash.left, order.asset.left) == (0, 10)
        posting = post_fill(order, 10_000, 4, FLOOR)
        assert (posting.order.cash.left, posting.order.asset.left) == (0, 6)


@given(
    INSTRUMENTS,
    st.sampled_from(Side),
    SLICES,
    st.integers(100, 100_000),
    st.booleans(),
    st.integers(1, 1_000_000),
    st.integers(0, 5_000),
)
def test_on_margin_too_many_fills_post_what_one_would_and_end_with_nothing_held(
    own: Instrument, side: Side, slices: list[tuple[int, int]], worst: int, opens: bool, ppm: int, above: int
) -> None:
    total = sum(lots for lots, _ in slices)
    order = on_margin(own, side, total, worst, OnMargin(opens, ppm if opens else 0, worst + above if opens else 0))
    books = Books(order)
    for lots, better in slices:
        held = books.held[CASH]
        price = worst - better if side is Side.BUY else worst + 100 * better
        order = books.take(post_fill(order, price, lots, FLOOR))
        assert books.held[CASH] <= held
        assert books.held[CASH] >= order.needed[0], "what may still trade stays reserved"
    books.take(post_over(order))
    assert books.held == {CASH: 0, SHARES: 0}
    whole = sum(lots * (worst - b if side is Side.BUY else worst + 100 * b) for lots, b in slices)
    assert order.notional == own.notional(whole)
    assert order.fee == own.fee.total(side, total, order.notional, (order.notional, 0))
