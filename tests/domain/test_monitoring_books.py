"""FIFO books out of a broker's executions, and the limits within which the loop decides."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from trading.backtest.result import us_equity
from trading.domain.brokerage import BrokerOrder, Execution, Holding
from trading.domain.monitoring import (
    Book,
    Cancel,
    FairSource,
    Known,
    Move,
    Place,
    Plan,
    Purpose,
    RecordedOrder,
    Seen,
    average_ticks,
    compare,
    deed_json,
    deed_of,
    fold,
)
from trading.domain.monitoring_repairs import Situation, repairs
from trading.domain.orders import OrderState, OrderType, Side, TimeInForce

AAPL = us_equity("AAPL")
RUNS = st.lists(
    st.tuples(st.sampled_from(list(Side)), st.integers(1, 50), st.integers(9_000, 11_000), st.integers(-50, 200)),
    max_size=30,
)


def folded(runs: list[tuple[Side, int, int, int]]) -> Book:
    book = Book(AAPL.id)
    for n, (side, lots, price, fee) in enumerate(runs, 1):
        book = fold(book, AAPL, n, Execution(str(n), "1", AAPL.id, side, price, lots, fee, n))
    return book


def test_a_fill_that_crosses_zero_closes_and_opens() -> None:
    book = folded([(Side.BUY, 10, 10_000, 100), (Side.SELL, 15, 11_000, 150)])
    # 10 of 15 close: 1,100.00 less a dollar, against 1,001.00; 5 are short and brought 550.00 less half a dollar.
    assert (book.position_lots, book.realised, book.cost, book.fees) == (-5, 98_00, 549_50, 250)
    assert book.short
    assert average_ticks(book, AAPL) == 10_990


@given(RUNS)
def test_what_was_gained_and_what_is_open_are_all_the_cash_that_moved(runs: list[tuple[Side, int, int, int]]) -> None:
    book = folded(runs)
    cash = sum((1 if side is Side.SELL else -1) * AAPL.notional(price * lots) - fee for side, lots, price, fee in runs)
    assert book.position_lots == sum(lots if side is Side.BUY else -lots for side, lots, _, _ in runs)
    assert book.realised == cash + (-book.cost if book.short else book.cost)
    assert book.fees == sum(fee for *_, fee in runs)


@given(RUNS, st.integers(0, 30))
def test_a_book_that_was_kept_halfway_goes_on_to_the_same_end(runs: list[tuple[Side, int, int, int]], at: int) -> None:
    book = folded(runs[:at])
    for n, (side, lots, price, fee) in enumerate(runs[at:], at + 1):
        book = fold(book, AAPL, n, Execution(str(n), "1", AAPL.id, side, price, lots, fee, n))
    assert book == folded(runs)


def test_deeds_are_kept_and_read_back() -> None:
    for deed in (
        Place(1, Side.SELL, OrderType.STOP, 5, TimeInForce.GTC, None, 9_500, 11_000, ("7",)),
        Move("7", 9_900, 9_950),
        Cancel("7"),
    ):
        assert deed_of(deed_json(deed)) == deed


def situation(lots: int, runs: list[tuple[Side, int, int, int]], plan: Plan, *orders: RecordedOrder) -> Situation:
    holdings = {AAPL.id: Holding(AAPL.id, lots, 0)}
    return Situation(
        {each.order.order_id: each for each in orders}, {AAPL.id: folded(runs)}, holdings, {AAPL.id: plan}, (),
        {AAPL.id: AAPL}, {}, {}, 1, 0,
    )  # fmt: skip


def resting(limit: int) -> RecordedOrder:
    order = BrokerOrder(
        "7", "x", AAPL.id, Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 10, 0, limit, None, OrderState.WORKING, ""
    )
    return RecordedOrder(order, Purpose.ENTRY, 0, limit, 0)


def test_a_short_position_is_protected_from_above() -> None:
    plan = Plan(AAPL.id, stop_loss_ppm=50_000, take_profit_ppm=100_000)
    (repair,) = repairs(situation(-10, [(Side.SELL, 10, 10_000, 0)], plan))
    deed = repair.deed
    assert isinstance(deed, Place)
    assert (deed.side, deed.stop_ticks, deed.oco_limit_ticks) == (Side.BUY, 10_500, 9_000)


def test_a_position_against_its_own_books_is_not_protected_by_guesswork() -> None:
    plan = Plan(AAPL.id, stop_loss_ppm=50_000)
    assert repairs(situation(-10, [(Side.BUY, 10, 10_000, 0)], plan)) == []


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.integers(0, 200_000), st.integers(0, 50))
def test_an_order_is_never_moved_further_than_its_plan_allows(fair: int, limit: int, most: int, edge: int) -> None:
    plan = Plan(AAPL.id, fair_source=FairSource.MID, fair_edge_ticks=edge, move_least_ticks=1, move_most_ppm=most)
    at = replace(situation(0, [], plan, resting(limit)), fair_ticks={AAPL.id: fair}, holdings={})
    for repair in repairs(at):
        assert isinstance(repair.deed, Move)
        assert repair.deed.to_ticks >= 1
        assert abs(repair.deed.to_ticks - limit) * 1_000_000 <= max(limit * most, 0)
        assert repair.deed.to_ticks <= max(limit, fair - edge)


def test_an_account_that_would_not_stand_still_is_not_said_to_differ_in_its_position() -> None:
    seen = Seen((), (), (Holding(AAPL.id, 5, 0),), (), settled=False)
    assert compare(Known(), seen, {}) == []
    assert [each.kind for each in compare(Known(), replace(seen, settled=True), {})] == ["position"]
