"""Every type of order from the ticket through the broker to the books, by example."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from trading_floor import TradingFloor

from trading.domain.orders import Refusal
from trading.services import halt
from trading.services.access import SYSTEM


def refusal(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.code


def held(floor: TradingFloor) -> tuple[Decimal, int]:
    """Cash and shares on hold."""
    return floor.cash()[1], floor.shares()[1]


def events(floor: TradingFloor, order_id: int) -> list[tuple[str, str]]:
    return floor.query("select cause, target from order_event where order_id = %s order by id", order_id)  # type: ignore[return-value]


@pytest.fixture
def rich(floor: TradingFloor) -> TradingFloor:
    """A hundred AAPL, bought at 100.00; bid 99.99, ask 100.00."""
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "100")
    floor.run_broker()
    assert floor.shares() == (100, 0)
    return floor


# Stops ------------------------------------------------------------------------------------------------------------


def test_a_buy_stop_holds_the_stop_moved_by_the_band_and_buys_at_market_once_it_has_traded(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", stop_price="102.00")
    # 102.00 and 5 % of it: 107.10 is the worst price; 1,071.00 and the least fee of 1.00 are held.
    assert (order.protection_ticks, held(floor)) == (10_710, (Decimal("1072"), 0))
    floor.run_broker()
    assert floor.state(order.order_id) == ("pending_trigger", 0, "")
    floor.trade("101.99", 5)
    assert floor.state(order.order_id)[0] == "pending_trigger"
    floor.quote("102.01", "102.03")
    assert floor.state(order.order_id)[0] == "pending_trigger", "once there are trades quotes trigger nothing"
    floor.trade("102.00", 1)
    assert floor.state(order.order_id) == ("filled", 10, "")
    assert events(floor, order.order_id) == [
        ("desk", "accepted"),
        ("pending", "pending_trigger"),
        ("triggered", "working"),
        ("quote", "filled"),
    ]
    assert floor.cash() == (Decimal("98978.70"), Decimal(0))  # 10 x 102.03 and 1.00
    floor.check()


def test_where_nothing_ever_traded_the_quote_triggers_and_the_event_says_so(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", stop_price="102.00")
    floor.run_broker()
    floor.quote("101.99", "102.00")
    assert floor.state(order.order_id) == ("filled", 10, "")
    detail = floor.query("select detail from order_event where order_id = %s and cause = 'triggered'", order.order_id)
    assert detail[0][0] == {"v": 1, "stop_ticks": 10_200, "by": "quote"}
    floor.check()


def test_a_sell_stop_that_gaps_beyond_its_band_keeps_what_it_could_not_sell(rich: TradingFloor) -> None:
    order = rich.accepted("sell", "100", stop_price="95.00")
    assert held(rich) == (Decimal(1), 100)
    rich.run_broker()
    rich.quote("89.99", "90.00")  # through the stop, and through the worst price of 90.25 as well
    rich.trade("90.00", 1)
    assert rich.state(order.order_id) == ("cancelled", 0, "price_protection")
    assert held(rich) == (Decimal(0), 0)
    rich.check()


def test_a_stop_limit_is_a_plain_limit_from_its_trigger_on(rich: TradingFloor) -> None:
    rich.trade("100.00", 1)
    order = rich.accepted("sell", "100", "94.50", stop_price="95.00")
    rich.run_broker()
    rich.quote("94.00", "94.10")
    rich.trade("94.90", 1)
    assert rich.state(order.order_id)[0] == "working"
    rich.quote("94.60", "94.70")
    assert rich.state(order.order_id) == ("filled", 100, "")
    assert rich.query("select price_ticks from fill where order_id = %s", order.order_id) == [(9_450,)]
    rich.check()


@pytest.mark.parametrize("terms", [{"trail": "2.00"}, {"trail_percent": "2"}])
def test_a_trailing_stop_follows_the_market_and_never_loosens(rich: TradingFloor, terms: dict[str, str]) -> None:
    rich.trade("100.00", 1)
    order = rich.accepted("sell", "100", **terms)
    rich.run_broker()
    rich.trade("110.00", 1)  # the stop follows to 108.00 or 107.80
    rich.quote("108.20", "108.30")
    rich.trade("108.10", 1)
    assert rich.state(order.order_id)[0] == "pending_trigger"
    rich.trade("107.70", 1)
    assert rich.state(order.order_id) == ("filled", 100, "")
    assert rich.query("select price_ticks from fill where order_id = %s", order.order_id) == [(10_820,)]
    rich.check()


def test_a_buy_that_trails_holds_its_first_stop_moved_by_the_band(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", trail_percent="1.5")
    assert order.protection_ticks == 10_657  # 101.50 and 5 % of it, rounded towards it
    assert held(floor)[0] == Decimal("1066.70")
    floor.run_broker()
    floor.trade("90.00", 1)
    floor.quote("91.40", "91.50")
    floor.trade("91.35", 1)
    assert floor.state(order.order_id) == ("filled", 10, "")
    floor.check()


# Times in force, post-only --------------------------------------------------------------------------------------------


def test_fill_or_kill_takes_all_or_nothing(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=50)
    order = floor.accepted("buy", "51", "100.00", tif="fok")
    floor.run_broker()
    assert floor.state(order.order_id) == ("cancelled", 0, "fok")
    order = floor.accepted("buy", "50", "100.00", tif="fok")
    floor.run_broker()
    assert floor.state(order.order_id) == ("filled", 50, "")
    floor.check()


def test_good_till_date_ends_at_its_time(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    now = floor.clock.now().replace(microsecond=0, tzinfo=None)
    later = now.replace(year=now.year + 1).isoformat()
    order = floor.accepted("buy", "10", "99.00", tif="gtd", expires_at=later)
    floor.run_broker()
    floor.clock.advance(365 * 86_400 - 60)
    floor.run_broker()
    assert floor.state(order.order_id)[0] == "working"
    floor.clock.advance(60)
    floor.run_broker()
    assert floor.state(order.order_id) == ("expired", 0, "expired")
    assert held(floor) == (Decimal(0), 0)
    floor.check()


def test_post_only_rests_or_is_rejected(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "100.00", post_only=True)
    floor.run_broker()
    assert floor.state(order.order_id) == ("rejected", 0, "would_take")
    order = floor.accepted("buy", "10", "99.99", post_only=True)
    floor.run_broker()
    assert floor.state(order.order_id)[0] == "working"
    floor.check()


REFUSED: list[tuple[str, str | None, dict[str, Any], str]] = [
    ("buy", None, {"stop_price": "100.00"}, "stop_side"),
    ("sell", None, {"stop_price": "99.99"}, "stop_side"),
    ("buy", None, {"stop_price": "0"}, "not_positive"),
    ("buy", None, {"stop_price": "102.001"}, "off_step"),
    ("buy", "120.00", {"stop_price": "102.00"}, "price_band"),
    ("buy", None, {"trail": "0"}, "not_positive"),
    ("buy", None, {"trail": "1", "trail_percent": "1"}, "trail_twice"),
    ("buy", None, {"trail_percent": "100"}, "trail_too_wide"),
    ("buy", None, {"trail_percent": "0.00001"}, "off_step"),
    ("sell", None, {"trail": "99.99"}, "trail_too_wide"),
    ("buy", "99.00", {"trail": "1"}, "limit_not_used"),
    ("buy", None, {"stop_price": "102.00", "tif": "ioc"}, "tif_not_for_type"),
    ("buy", None, {"trail": "1", "tif": "fok"}, "tif_not_for_type"),
    ("buy", None, {"post_only": True}, "post_only_not_for_type"),
    ("buy", "99.00", {"post_only": True, "tif": "ioc"}, "post_only_not_for_type"),
    ("buy", "99.00", {"post_only": True, "tif": "fok"}, "post_only_not_for_type"),
    ("buy", "99.00", {"tif": "gtd"}, "expires_missing"),
    ("buy", "99.00", {"expires_at": "2027-01-01"}, "expires_not_used"),
    ("buy", "99.00", {"tif": "gtd", "expires_at": "tomorrow"}, "bad_time"),
    ("buy", "99.00", {"tif": "gtd", "expires_at": "2020-01-01"}, "expires_past"),
    ("buy", "99.00", {"tif": "gtd", "expires_at": "2028-01-01"}, "expires_too_far"),
    ("sell", "101.00", {"take_profit": "99.00"}, "exits_not_for_sell"),
    ("buy", "99.00", {"take_profit": "99.00"}, "exit_prices"),
    ("buy", "99.00", {"stop_loss": "99.00"}, "exit_prices"),
    ("buy", "99.00", {"take_profit": "110.00", "stop_loss": "99.50"}, "exit_prices"),
    ("buy", None, {"stop_loss": "99.99"}, "exit_prices"),
    ("buy", "99.00", {"oco_limit": "98.00"}, "oco_not_for_type"),
    ("buy", None, {"stop_price": "102.00", "oco_limit": "98.00", "stop_loss": "97.00"}, "oco_with_exits"),
    ("buy", None, {"stop_price": "102.00", "oco_limit": "102.00"}, "oco_prices"),
    ("sell", None, {"stop_price": "95.00", "oco_limit": "95.00"}, "oco_prices"),
    ("buy", None, {"stop_price": "1" + "0" * 15}, "out_of_range"),
]


def test_what_makes_no_sense_is_refused_with_a_code_and_holds_nothing(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    for side, limit, more, code in REFUSED:
        assert refusal(floor.order(side, "10", limit, **more)) == code, (side, limit, more)
    assert floor.cash() == (Decimal("100000"), Decimal(0))
    assert floor.query("select count(*) from orders") == [(0,)]


def test_a_trailing_stop_needs_a_live_price_a_stop_does_not(floor: TradingFloor) -> None:
    assert refusal(floor.order("buy", "10", trail="1.00")) == "no_quote"
    floor.accepted("buy", "10", stop_price="102.00")
    floor.check()


# New terms ------------------------------------------------------------------------------------------------------------


def test_a_dearer_change_holds_more_at_once_a_cheaper_one_gives_back_when_it_is_in_force(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "98.00").order_id
    floor.run_broker()
    assert held(floor)[0] == Decimal(981)
    answer = floor.modify(order, limit_price="99.00")
    assert not isinstance(answer, Refusal)
    assert (answer.cash_held, held(floor)[0]) == (1000, Decimal(991))
    floor.check()
    floor.run_broker()
    assert floor.query("select limit_ticks, protection_ticks from orders") == [(9_900, 9_900)]
    floor.modify(order, quantity="4")
    assert held(floor)[0] == Decimal(991)
    floor.run_broker()
    assert held(floor)[0] == Decimal(397)
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
    assert [cause for cause, _ in events(floor, order)] == ["desk", "pending", "modify", "modified"]
    detail = floor.query("select detail from order_event where cause = 'modified'")[0][0]
    assert (detail["was"]["stop_ticks"], detail["terms"]["stop_ticks"]) == (10_200, 10_300)
    assert (detail["was"]["quantity_lots"], detail["terms"]["quantity_lots"]) == (10, 12)
    assert detail["terms"]["protection_ticks"] == 10_815
    assert held(floor)[0] == Decimal("1298.80")
    floor.check()


def test_a_tighter_price_after_a_fill_is_no_fill_beyond_protection(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=4)
    order = floor.accepted("buy", "10", "100.00").order_id
    floor.run_broker()
    assert floor.state(order) == ("partially_filled", 4, "")
    floor.modify(order, limit_price="99.00")
    floor.run_broker()
    assert floor.state(order)[0] == "partially_filled"
    assert held(floor)[0] == Decimal("594.00")  # six at 99.00; the least fee has been paid
    floor.check()


def test_a_change_that_a_fill_overtakes_gives_back_what_it_held(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "99.00").order_id
    floor.run_broker()
    floor.modify(order, limit_price="99.50", quantity="20")
    assert held(floor)[0] == Decimal(1991)
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
    assert held(floor)[0] == Decimal(1001)
    floor.run_broker()
    assert ("modify_refused", "working") in events(floor, order)
    assert floor.query("select limit_ticks from orders") == [(9_900,)]
    assert held(floor)[0] == Decimal(991)
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
    assert held(floor)[0] == Decimal(981)
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
    assert held(rich) == (Decimal(0), 0)
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


# Two orders of which one trades ---------------------------------------------------------------------------------------


def pair(floor: TradingFloor, quantity: str = "100") -> tuple[int, int]:
    answer = floor.accepted("sell", quantity, stop_price="95.00", oco_limit="105.00")
    stop, limit = answer.group
    assert answer.order_id == stop
    return stop, limit


def test_a_pair_holds_the_shares_once_and_the_least_fee_of_both(rich: TradingFloor) -> None:
    stop, limit = pair(rich)
    assert held(rich) == (Decimal("2.02"), 100)  # each of the two rounds on its own: two cents for that
    rich.run_broker()
    assert (rich.state(stop)[0], rich.state(limit)[0]) == ("pending_trigger", "working")
    assert refusal(rich.order("sell", "1", "101.00")) == "insufficient_position"
    rich.check()


def test_the_limits_fill_ends_the_stop(rich: TradingFloor) -> None:
    stop, limit = pair(rich)
    rich.run_broker()
    rich.quote("105.00", "105.10")
    assert (rich.state(limit), rich.state(stop)) == (("filled", 100, ""), ("cancelled", 0, "oco"))
    assert (rich.shares(), held(rich)) == ((0, 0), (Decimal(0), 0))
    rich.check()


def test_a_part_that_one_sells_the_other_gives_up(rich: TradingFloor) -> None:
    stop, limit = pair(rich)
    rich.run_broker()
    rich.quote("105.00", "105.10", lots=30)
    assert (rich.state(limit), rich.state(stop)) == (("partially_filled", 30, ""), ("pending_trigger", 0, ""))
    assert rich.query("select quantity_lots from orders where id = %s", stop) == [(70,)]
    assert rich.shares() == (70, 70)
    rich.check()
    rich.quote("94.00", "94.10", lots=50)
    rich.trade("94.90", 1)
    assert (rich.state(limit)[:2], rich.state(stop)[:2]) == (("partially_filled", 30), ("partially_filled", 50))
    assert rich.shares() == (20, 20)
    rich.check()
    rich.restart_broker()
    rich.quote("94.00", "94.10", lots=50)
    assert (rich.state(limit), rich.state(stop)) == (("cancelled", 30, "oco"), ("filled", 70, ""))
    assert (rich.shares(), held(rich)) == ((0, 0), (Decimal(0), 0))
    rich.check()


def test_cancelling_one_ends_both(rich: TradingFloor) -> None:
    stop, limit = pair(rich)
    rich.run_broker()
    rich.cancel(limit)
    rich.run_broker()
    assert (rich.state(limit)[2], rich.state(stop)[2]) == ("cancel", "oco")
    assert held(rich) == (Decimal(0), 0)
    rich.check()


def test_a_pair_of_buys_holds_the_dearer_one(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answer = floor.accepted("buy", "10", stop_price="102.00", oco_limit="97.00")
    assert held(floor) == (Decimal("1073.02"), 0)  # the stop's 1,072.00, one more least fee, two cents
    floor.run_broker()
    stop, limit = answer.group
    floor.modify(stop, stop_price="103.00")
    assert refusal(floor.modify(limit, limit_price="96.00")) == "change_pending"
    floor.run_broker()
    assert held(floor)[0] == Decimal("1083.52")  # 10 x 108.15, twice 1.00, two cents
    assert refusal(floor.modify(limit, quantity="9")) == "linked_quantity"
    assert refusal(floor.modify(limit, limit_price="103.00")) == "oco_prices"
    floor.modify(stop, stop_price="101.00")
    floor.run_broker()
    assert held(floor)[0] == Decimal("1062.52")
    floor.check()
    floor.quote("96.90", "97.00")
    assert (floor.state(limit)[0], floor.state(stop)[0]) == ("filled", "cancelled")
    assert held(floor) == (Decimal(0), 0)
    floor.check()


# Brackets -------------------------------------------------------------------------------------------------------------


def bracket(floor: TradingFloor, quantity: str = "100", limit: str | None = "99.00") -> tuple[int, int, int]:
    """Entry, take profit, stop loss."""
    answer = floor.accepted("buy", quantity, limit, take_profit="110.00", stop_loss="95.00")
    take, stop, entry = answer.group
    assert answer.order_id == entry
    return entry, take, stop


def test_a_bracket_holds_its_entrys_cash_and_its_exits_least_fees(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    entry, take, stop = bracket(floor)
    assert held(floor) == (Decimal("9903.02"), 0)  # 9,900.00, a least fee for each of the three, two cents
    floor.run_broker()
    assert [floor.state(each)[0] for each in (entry, take, stop)] == ["working", "pending_trigger", "pending_trigger"]
    roles = floor.query("select group_id, group_role from orders order by id")
    assert roles == [(take, "take_profit"), (take, "stop_loss"), (take, "entry")]
    floor.check()


def test_what_the_entry_buys_is_its_exits_to_sell_and_nobody_elses(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    entry, take, stop = bracket(floor)
    floor.run_broker()
    floor.quote("98.90", "99.00", lots=40)
    assert [floor.state(each)[:2] for each in (entry, take, stop)] == [
        ("partially_filled", 40),
        ("working", 0),
        ("pending_trigger", 0),
    ]
    assert floor.shares() == (40, 40)
    assert refusal(floor.order("sell", "1", "101.00")) == "insufficient_position"
    floor.check()
    floor.quote("110.00", "110.10", lots=30)
    assert floor.state(take)[:2] == ("partially_filled", 30)
    assert floor.shares() == (10, 10)
    floor.check()
    floor.restart_broker()
    floor.quote("98.90", "99.00", lots=60)
    assert (floor.state(entry), floor.shares()) == (("filled", 100, ""), (70, 70))
    floor.check()
    floor.quote("94.50", "94.60")
    floor.trade("94.90", 1)
    assert floor.state(stop)[:2] == ("filled", 70)
    assert floor.state(take) == ("cancelled", 30, "oco")
    assert (floor.shares(), held(floor)) == ((0, 0), (Decimal(0), 0))
    floor.check()


def test_an_entry_that_is_cancelled_takes_exits_without_shares_along(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    entry, take, stop = bracket(floor)
    floor.run_broker()
    floor.cancel(entry)
    floor.run_broker()
    assert [floor.state(each)[2] for each in (entry, take, stop)] == ["cancel", "entry_over", "entry_over"]
    assert held(floor) == (Decimal(0), 0)
    floor.check()


def test_an_entry_that_ends_half_way_leaves_exits_for_what_it_bought(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    entry, take, stop = bracket(floor)
    floor.run_broker()
    floor.quote("98.90", "99.00", lots=40)
    floor.cancel(entry)
    floor.run_broker()
    sizes = floor.query("select quantity_lots, state from orders where id in (%s, %s) order by id", take, stop)
    assert sizes == [(40, "working"), (40, "pending_trigger")]
    assert floor.shares() == (40, 40)
    floor.check()
    floor.quote("110.00", "110.10")
    assert (floor.state(take)[0], floor.state(stop)[0]) == ("filled", "cancelled")
    assert (floor.shares(), held(floor)) == ((0, 0), (Decimal(0), 0))
    floor.check()


def test_an_immediate_entry_that_fills_a_part_is_followed_by_its_exits(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=25)
    answer = floor.accepted("buy", "100", "100.00", tif="ioc", take_profit="110.00", stop_loss="95.00")
    floor.run_broker()
    take, stop, entry = answer.group
    assert floor.state(entry) == ("cancelled", 25, "ioc")
    sizes = floor.query("select quantity_lots from orders where id in (%s, %s)", take, stop)
    assert (sizes, floor.shares()) == ([(25,), (25,)], (25, 25))
    floor.check()


def test_without_its_exits_an_entry_goes_on_alone(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    entry, take, stop = bracket(floor)
    floor.run_broker()
    floor.cancel(stop)
    floor.run_broker()
    assert (floor.state(take)[2], floor.state(stop)[2]) == ("oco", "cancel")
    floor.modify(entry, quantity="50")
    floor.run_broker()
    floor.quote("98.90", "99.00")
    assert (floor.state(entry)[:2], floor.shares()) == (("filled", 50), (50, 0))
    floor.check()


def test_exits_move_but_do_not_cross_their_entry(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    entry, take, stop = bracket(floor)
    floor.run_broker()
    assert refusal(floor.modify(stop, stop_price="99.00")) == "exit_prices"
    assert refusal(floor.modify(take, limit_price="99.00")) == "exit_prices"
    assert refusal(floor.modify(entry, limit_price="94.00")) == "exit_prices"
    assert refusal(floor.modify(take, quantity="90")) == "linked_quantity"
    floor.modify(stop, stop_price="96.00")
    floor.run_broker()
    floor.modify(entry, limit_price="98.00")
    floor.run_broker()
    assert held(floor)[0] == Decimal("9803.02")
    floor.check()
    floor.quote("97.90", "98.00")
    floor.modify(take, limit_price="108.00")
    floor.run_broker()
    floor.quote("108.00", "108.10")
    assert floor.state(take)[:2] == ("filled", 100)
    floor.check()


def test_a_bracket_may_have_one_exit(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answer = floor.accepted("buy", "10", stop_loss="95.00")
    floor.run_broker()
    stop, entry = answer.group
    assert (floor.state(entry)[0], floor.state(stop)[0], floor.shares()) == ("filled", "pending_trigger", (10, 10))
    floor.check()


def test_a_retried_bracket_is_the_same_bracket(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    first = floor.accepted("buy", "10", take_profit="110.00", stop_loss="95.00", key="once")
    assert floor.order("buy", "10", take_profit="110.00", stop_loss="95.00", key="once") == first
    assert floor.query("select count(*) from orders") == [(3,)]
    floor.check()


def test_a_halt_ends_groups_and_gives_their_holds_back(rich: TradingFloor) -> None:
    pair(rich, "60")
    bracket(rich, "50")
    rich.run_broker()
    rich.quote("98.90", "99.00", lots=20)
    halt.set_mode(rich.floor, SYSTEM, "floor", "halted", "a drill")
    rich.run_broker()
    assert rich.query("select count(*) from orders where reason = 'halted'") == [(5,)]
    assert held(rich) == (Decimal(0), 0)
    rich.check()
