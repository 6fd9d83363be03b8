"""New terms for open orders: what they hold, when they are in force, what they may not be."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from trading_floor import TradingFloor, refusal

from trading.domain.orders import Refusal
from trading.services import halt
from trading.services.access import SYSTEM


def test_a_dearer_change_holds_more_at_once_a_cheaper_one_gives_back_when_it_is_in_force(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "98.00").order_id
    floor.run_broker()
    assert floor.held()[0] == Decimal(981)
    answer = floor.modify(order, limit_price="99.00")
    assert not isinstance(answer, Refusal)
    assert (answer.cash_held, floor.held()[0]) == (1000, Decimal(991))
    floor.check()
    floor.run_broker()
    assert floor.query("select limit_ticks, protection_ticks from orders") == [(9_900, 9_900)]
    floor.modify(order, quantity="4")
    assert floor.held()[0] == Decimal(991)
    floor.run_broker()
    assert floor.held()[0] == Decimal(397)
    assert floor.query("select quantity_lots, filled_lots from orders") == [(4, 0)]
    floor.check()
    floor.quote("98.90", "98.99")
    assert floor.state(order) == ("filled", 4, "")
    assert floor.cash() == (Decimal("99603"), Decimal(0))
    floor.check()


def test_the_story_of_a_change_has_the_old_and_the_new_terms(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", stop_price="102.00").order_id
    floor.run_broker()
    floor.modify(order, stop_price="103.00", quantity="12")
    floor.run_broker()
    assert [cause for cause, _ in floor.causes(order)] == ["desk", "pending", "modify", "modified"]
    detail = floor.query("select detail from order_event where cause = 'modified'")[0][0]
    assert (detail["was"]["stop_ticks"], detail["terms"]["stop_ticks"]) == (10_200, 10_300)
    assert (detail["was"]["quantity_lots"], detail["terms"]["quantity_lots"]) == (10, 12)
    assert detail["terms"]["protection_ticks"] == 10_815
    assert floor.held()[0] == Decimal("1298.80")
    floor.check()


def test_a_tighter_price_after_a_fill_is_no_fill_beyond_protection(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=4)
    order = floor.accepted("buy", "10", "100.00").order_id
    floor.run_broker()
    assert floor.state(order) == ("partially_filled", 4, "")
    floor.modify(order, limit_price="99.00")
    floor.run_broker()
    assert floor.state(order)[0] == "partially_filled"
    assert floor.held()[0] == Decimal("594.00")  # six at 99.00; the least fee has been paid
    floor.check()


def test_a_change_that_a_fill_overtakes_gives_back_what_it_held(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "99.00").order_id
    floor.run_broker()
    floor.modify(order, limit_price="99.50", quantity="20")
    assert floor.held()[0] == Decimal(1991)
    floor.run_broker(floor.quoted("98.90", "98.95"), commands=[])
    assert floor.state(order) == ("filled", 10, "")
    assert floor.cash() == (Decimal("99009"), Decimal(0))
    floor.check()
    floor.run_broker()
    floor.check()
    assert refusal(floor.modify(order, quantity="11")) == "order_over"


def test_a_change_the_exchange_refuses_leaves_the_order_as_it_was(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "99.00", post_only=True).order_id
    floor.run_broker()
    floor.modify(order, limit_price="100.00")
    assert floor.held()[0] == Decimal(1001)
    floor.run_broker()
    assert ("modify_refused", "working") in floor.causes(order)
    assert floor.query("select limit_ticks from orders") == [(9_900,)]
    assert floor.held()[0] == Decimal(991)
    floor.check()


REFUSED_CHANGES: list[tuple[dict[str, str], str]] = [
    ({}, "nothing_changed"),
    ({"limit_price": "98.00"}, "nothing_changed"),
    ({"limit_price": "120.00"}, "price_band"),
    ({"limit_price": "0"}, "not_positive"),
    ({"stop_price": "110.00"}, "stop_not_used"),
    ({"trail": "1"}, "trail_not_used"),
    ({"quantity": "0"}, "not_positive"),
    ({"quantity": "1.5"}, "off_step"),
    ({"quantity": "5000"}, "insufficient_cash"),
]


def test_changes_are_judged_like_tickets(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "98.00").order_id
    floor.run_broker()
    for change, code in REFUSED_CHANGES:
        assert refusal(floor.modify(order, **change)) == code, change
    assert floor.held()[0] == Decimal(981)
    floor.check()


def test_one_change_at_a_time_once_for_each_key_and_only_of_open_orders(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "98.00").order_id
    first = floor.modify(order, limit_price="98.50", key="twice")
    assert floor.modify(order, limit_price="98.50", key="twice") == first
    assert refusal(floor.modify(order, limit_price="98.60")) == "change_pending"
    floor.run_broker()
    assert floor.query("select limit_ticks from orders") == [(9_850,)]
    floor.cancel(order)
    assert refusal(floor.modify(order, limit_price="98.60")) == "cancel_pending"
    floor.run_broker()
    assert refusal(floor.modify(order, limit_price="98.60")) == "order_over"
    assert refusal(floor.modify(order + 1, limit_price="98.60")) == "unknown_order"
    floor.check()


def test_two_changes_at_once_with_cash_for_one_are_one_change(floor: TradingFloor) -> None:
    poor = floor.add_trader("tom", "2002.00")
    floor.quote("99.99", "100.00")
    orders = [floor.accepted("buy", "10", "99.00", who=poor).order_id for _ in range(2)]  # 20.00 are left
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda order: floor.modify(order, limit_price="101.00", who=poor), orders))
    assert [answer.code for answer in answers if isinstance(answer, Refusal)] == ["insufficient_cash"]
    assert floor.cash(poor[1]) == (Decimal(2002), Decimal(2002))
    floor.check()


def test_a_halted_floor_takes_no_change_a_reducing_one_only_of_sales(rich: TradingFloor) -> None:
    buy = rich.accepted("buy", "10", "98.00").order_id
    sale = rich.accepted("sell", "10", "101.00").order_id
    rich.run_broker()
    halt.set_mode(rich.floor, SYSTEM, "floor", "reducing", "a drill")
    assert refusal(rich.modify(buy, limit_price="98.50")) == "halted"
    assert not isinstance(rich.modify(sale, limit_price="102.00"), Refusal)
    rich.run_broker()
    halt.set_mode(rich.floor, SYSTEM, "floor", "halted", "a drill")
    assert refusal(rich.modify(sale, limit_price="103.00")) == "halted"
    rich.run_broker()
    assert rich.held() == (Decimal(0), 0)
    rich.check()


def test_a_triggered_stop_has_no_stop_to_move(rich: TradingFloor) -> None:
    order = rich.accepted("sell", "100", "94.50", stop_price="95.00").order_id
    rich.run_broker()
    rich.quote("94.00", "94.10")
    rich.trade("94.90", 1)
    assert refusal(rich.modify(order, stop_price="93.00")) == "already_triggered"
    rich.modify(order, limit_price="94.00")
    rich.run_broker()
    assert rich.state(order) == ("filled", 100, "")
    rich.check()
