import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.positions import FillId, close_fifo, open_lot


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 10**9)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 10**9)), max_size=12),
)
def test_nothing_is_lost_between_lots_and_closes(buys: list[tuple[int, int]], sells: list[tuple[int, int]]) -> None:
    lots = [open_lot(FillId(i, i, 0), i, quantity, cost, 0) for i, (quantity, cost) in enumerate(buys)]
    cost, quantity = sum(lot.cost for lot in lots), sum(lot.quantity_lots for lot in lots)
    for sold, proceeds in sells:
        held = sum(lot.remaining_lots for lot in lots)
        if sold > held:
            with pytest.raises(ValueError, match="more closed than held"):
                close_fifo(lots, sold, proceeds)
            continue
        oldest = [lot.opened_by for lot in lots]
        lots, closes = close_fifo(lots, sold, proceeds)
        assert [close.opened_by for close in closes] == oldest[: len(closes)], "oldest first"
        assert sum(close.quantity_lots for close in closes) == sold
        assert sum(close.proceeds for close in closes) == proceeds
        cost -= sum(close.cost for close in closes)
        quantity -= sold
        assert sum(lot.remaining_cost for lot in lots) == cost
        assert sum(lot.remaining_lots for lot in lots) == quantity
        assert all(lot.remaining_lots > 0 for lot in lots)


def test_a_short_sale_of_ten_at_a_hundred_bought_back_at_ninety() -> None:
    # 10 x 100.00 less a fee of 1.00 received, 10 x 90.00 and 1.00 paid: 999.00 - 901.00 = 98.00.
    lot = open_lot(FillId(1, 1, 0), 1, 10, 100_000, 100, short=True)
    assert (lot.cost, lot.short) == (99_900, True)
    left, (close,) = close_fifo([lot], 10, 90_000 + 100)
    assert (left, close.cost, close.proceeds, close.realised) == ([], 90_100, 99_900, 9_800)


def test_shorts_close_oldest_first_and_prorate_what_they_brought() -> None:
    lots = [open_lot(FillId(n, n, 0), n, 10, notional, 0, short=True) for n, notional in ((1, 1000), (2, 1100))]
    left, closes = close_fifo(lots, 15, 1501)
    assert [(close.quantity_lots, close.cost, close.proceeds) for close in closes] == [(10, 1001, 1000), (5, 500, 550)]
    assert [(lot.remaining_lots, lot.remaining_cost) for lot in left] == [(5, 550)]


@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 10**9), st.integers(0, 10**4)), min_size=1, max_size=8),
    st.integers(0, 10**10),
)
def test_realised_is_what_was_received_less_what_was_paid_long_or_short(
    short: bool, opened: list[tuple[int, int, int]], closing: int
) -> None:
    lots = [open_lot(FillId(i, i, 0), i, *fill, short=short) for i, fill in enumerate(opened)]
    left, closes = close_fifo(lots, sum(lots for lots, _, _ in opened), closing)
    flow = sum(notional - fee if short else -(notional + fee) for _, notional, fee in opened)
    assert not left
    assert sum(close.realised for close in closes) == (flow - closing if short else flow + closing)
