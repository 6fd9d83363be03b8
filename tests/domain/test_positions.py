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
            with pytest.raises(ValueError, match="more sold than held"):
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
