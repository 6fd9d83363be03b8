"""From ticket to acceptance: units, holds, protection price, limits, keys."""

import threading
from decimal import Decimal

import pytest
from trading_floor import TradingFloor, refusal

from trading.domain.errors import Conflict, Forbidden, Unavailable
from trading.domain.orders import Acceptance, OrderType, Side, Ticket
from trading.services import desk, halt
from trading.services.access import Actor, Role

ADMIN = Actor(0, "boss", Role.ADMIN)


def test_a_market_buy_holds_protection_price_times_quantity_and_the_fee(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answer = floor.accepted("buy", "10")
    # The band is 5 %: the worst price is 105.00, so 1,050.00 and the least fee of 1.00 are held.
    assert answer.protection_ticks == 10_500
    assert floor.cash() == (Decimal("100000"), Decimal("1051"))
    floor.check()


def test_a_limit_buy_holds_its_limit(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "300", "99.50")
    assert floor.cash()[1] == Decimal("29851.50")  # 300 x 99.50 + 300 x 0.005
    floor.check()


def test_a_sell_holds_its_shares_and_the_least_fee(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10")
    floor.run_broker()
    floor.accepted("sell", "4", "101.00")
    assert floor.shares() == (10, 4)
    assert floor.cash()[1] == Decimal("1")
    floor.check()


@pytest.mark.parametrize(
    ("side", "quantity", "limit", "code"),
    [
        ("buy", "0", None, "not_positive"),
        ("buy", "-5", None, "not_positive"),
        ("buy", "nan", None, "not_a_number"),
        ("buy", "1e400", None, "out_of_range"),
        ("buy", "ten", None, "not_a_number"),
        ("buy", "1,5", None, "not_a_number"),
        ("buy", "1.5", None, "off_step"),
        ("buy", "10", "100.001", "off_step"),
        ("buy", "10", "0", "not_positive"),
        ("buy", "10", "-1", "not_positive"),
        ("buy", "10", "inf", "not_a_number"),
        ("buy", "10", "120.00", "price_band"),
        ("sell", "10", "80.00", "price_band"),
        ("sell", "1", None, "insufficient_position"),
        ("buy", "1000", None, "insufficient_cash"),
        ("buy", "99999999999999999999", None, "out_of_range"),
        ("buy", "999999999", None, "too_large"),
    ],
)
def test_bad_tickets_are_refused_with_a_code_and_hold_nothing(
    floor: TradingFloor, side: str, quantity: str, limit: str | None, code: str
) -> None:
    floor.quote("99.99", "100.00")
    assert refusal(floor.order(side, quantity, limit)) == code
    assert floor.cash() == (Decimal("100000"), Decimal(0))
    assert floor.query("select code from audit where result = 'refused'") == [(code,)]
    floor.check()


@pytest.mark.parametrize("symbol", ["NA", "null", "../../x", "=cmd()", "", "A" * 5000, "AAPL'; drop table orders; --"])
def test_unknown_symbols_are_refused(floor: TradingFloor, symbol: str) -> None:
    assert refusal(floor.order("buy", "1", symbol=symbol)) == "unknown_instrument"


def test_without_a_live_price_market_orders_wait_and_limit_orders_are_taken(floor: TradingFloor) -> None:
    assert refusal(floor.order("buy", "1")) == "no_quote"
    assert isinstance(floor.order("buy", "1", "100.00"), Acceptance)
    floor.quote("99.99", "100.00")
    floor.clock.advance(6)
    assert refusal(floor.order("buy", "1")) == "no_quote"


def test_an_order_larger_than_the_portfolios_limit_is_refused(floor: TradingFloor) -> None:
    floor.query("insert into risk_limit values (%s, 2, 50000, 3, 50000)", floor.portfolio)
    floor.quote("99.99", "100.00")
    assert refusal(floor.order("buy", "10")) == "max_order_notional"
    for _ in range(3):
        floor.accepted("buy", "1", "99.00")
    assert refusal(floor.order("buy", "1", "99.00")) == "max_open_orders"


def test_a_retried_order_is_the_same_order(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    first = floor.accepted("buy", "10", key="once")
    assert floor.order("buy", "10", key="once") == first
    assert floor.query("select count(*) from orders") == [(1,)]
    with pytest.raises(Conflict, match="another order"):
        floor.order("buy", "11", key="once")


def test_a_refusal_is_remembered_under_its_key(floor: TradingFloor) -> None:
    assert refusal(floor.order("buy", "10", key="early")) == "no_quote"
    floor.quote("99.99", "100.00")
    assert refusal(floor.order("buy", "10", key="early")) == "no_quote"


def test_a_hundred_threads_with_one_key_make_one_order(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answers: list[object] = []

    def press() -> None:
        try:
            answers.append(floor.order("buy", "10", key="double-click"))
        except Exception as error:
            answers.append(error)

    threads = [threading.Thread(target=press) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.order_id for a in answers if isinstance(a, Acceptance)} == {1}
    # A few may find no free connection in 3 s, or wait too long for the first; nobody runs into the first's answer.
    others = [answer for answer in answers if not isinstance(answer, Acceptance)]
    assert all(isinstance(answer, Unavailable | Conflict) for answer in others), others
    assert len(others) <= 10
    assert floor.query("select count(*) from orders") == [(1,)]
    floor.check()


def test_fifty_orders_at_once_with_money_for_ten_are_ten_orders(floor: TradingFloor) -> None:
    rich = floor.add_trader("tom", "10010.00")  # ten times 1,000.00 and the fee of 1.00
    floor.quote("99.99", "100.00")
    answers: list[object] = []
    lock = threading.Lock()

    def press() -> None:
        for _ in range(5):
            answer = floor.order("buy", "10", "100.00", who=rich)
            with lock:
                answers.append(answer)

    threads = [threading.Thread(target=press) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(a, Acceptance) for a in answers) == 10
    assert {refusal(a) for a in answers if not isinstance(a, Acceptance)} == {"insufficient_cash"}
    assert floor.cash(rich[1]) == (Decimal("10010"), Decimal("10010"))
    floor.check()


def test_another_traders_portfolio_is_out_of_reach_and_the_try_is_on_record(floor: TradingFloor) -> None:
    thief, _ = floor.add_trader("theo", "0")
    floor.quote("99.99", "100.00")
    with pytest.raises(Forbidden):
        floor.order("buy", "10", who=(thief, floor.portfolio))
    order = floor.accepted("buy", "10", "99.00")
    _, own = floor.add_trader("thea", "0")
    thea = Actor(thief.user_id + 1, "thea", Role.TRADER)
    answer = desk.cancel(floor.floor, thea, own, order.order_id)
    assert refusal(answer) == "unknown_order"
    assert floor.query("select action, code from audit where result = 'refused'") == [("desk.submit", "forbidden")]


def test_a_preview_says_what_acceptance_will_hold_and_writes_nothing(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    ticket = Ticket("AAPL", Side.BUY, OrderType.MARKET, "10")
    preview = desk.preview(floor.floor, floor.trader, floor.portfolio, ticket)
    assert isinstance(preview, desk.Preview)
    assert preview.estimated_notional == 100_000
    assert preview.cash_hold == 105_100
    assert floor.query("select count(*) from idempotency_key where operation = 'desk.submit'") == [(0,)]
    floor.accepted("buy", "10")
    assert floor.cash()[1] * 100 == preview.cash_hold


def test_a_halted_floor_takes_no_order_a_reducing_one_only_sells(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10")
    floor.run_broker()
    halt.set_mode(floor.floor, ADMIN, "floor", "reducing", "too hot")
    assert refusal(floor.order("buy", "1")) == "halted"
    floor.accepted("sell", "1", "101.00")
    halt.set_mode(floor.floor, ADMIN, "floor", "halted", "far too hot")
    assert refusal(floor.order("sell", "1", "101.00")) == "halted"
    halt.set_mode(floor.floor, ADMIN, "floor", "running", "")
    floor.accepted("buy", "1")
    floor.check()
