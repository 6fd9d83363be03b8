"""Two orders of which one trades, and entries with exits: one hold, sizes that follow fills, ends together."""

from decimal import Decimal

from trading_floor import TradingFloor, refusal

from trading.services import halt
from trading.services.access import SYSTEM


def pair(floor: TradingFloor, quantity: str = "100") -> tuple[int, int]:
    answer = floor.accepted("sell", quantity, stop_price="95.00", oco_limit="105.00")
    stop, limit = answer.group
    assert answer.order_id == stop
    return stop, limit


def test_a_pair_holds_the_shares_once_and_the_least_fee_of_both(rich: TradingFloor) -> None:
    stop, limit = pair(rich)
    assert rich.held() == (Decimal("2.02"), 100)  # each of the two rounds on its own: two cents for that
    rich.run_broker()
    assert (rich.state(stop)[0], rich.state(limit)[0]) == ("pending_trigger", "working")
    assert refusal(rich.order("sell", "1", "101.00")) == "insufficient_position"
    rich.check()


def test_the_limits_fill_ends_the_stop(rich: TradingFloor) -> None:
    stop, limit = pair(rich)
    rich.run_broker()
    rich.quote("105.00", "105.10")
    assert (rich.state(limit), rich.state(stop)) == (("filled", 100, ""), ("cancelled", 0, "oco"))
    assert (rich.shares(), rich.held()) == ((0, 0), (Decimal(0), 0))
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
    assert (rich.shares(), rich.held()) == ((0, 0), (Decimal(0), 0))
    rich.check()


def test_cancelling_one_ends_both(rich: TradingFloor) -> None:
    stop, limit = pair(rich)
    rich.run_broker()
    rich.cancel(limit)
    rich.run_broker()
    assert (rich.state(limit)[2], rich.state(stop)[2]) == ("cancel", "oco")
    assert rich.held() == (Decimal(0), 0)
    rich.check()


def test_a_pair_of_buys_holds_the_dearer_one(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answer = floor.accepted("buy", "10", stop_price="102.00", oco_limit="97.00")
    assert floor.held() == (Decimal("1073.02"), 0)  # the stop's 1,072.00, one more least fee, two cents
    floor.run_broker()
    stop, limit = answer.group
    floor.modify(stop, stop_price="103.00")
    assert refusal(floor.modify(limit, limit_price="96.00")) == "change_pending"
    floor.run_broker()
    assert floor.held()[0] == Decimal("1083.52")  # 10 x 108.15, twice 1.00, two cents
    assert refusal(floor.modify(limit, quantity="9")) == "linked_quantity"
    assert refusal(floor.modify(limit, limit_price="103.00")) == "oco_prices"
    floor.modify(stop, stop_price="101.00")
    floor.run_broker()
    assert floor.held()[0] == Decimal("1062.52")
    floor.check()
    floor.quote("96.90", "97.00")
    assert (floor.state(limit)[0], floor.state(stop)[0]) == ("filled", "cancelled")
    assert floor.held() == (Decimal(0), 0)
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
    assert floor.held() == (Decimal("9903.02"), 0)  # 9,900.00, a least fee for each of the three, two cents
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
    assert (floor.shares(), floor.held()) == ((0, 0), (Decimal(0), 0))
    floor.check()


def test_an_entry_that_is_cancelled_takes_exits_without_shares_along(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    entry, take, stop = bracket(floor)
    floor.run_broker()
    floor.cancel(entry)
    floor.run_broker()
    assert [floor.state(each)[2] for each in (entry, take, stop)] == ["cancel", "entry_over", "entry_over"]
    assert floor.held() == (Decimal(0), 0)
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
    assert (floor.shares(), floor.held()) == ((0, 0), (Decimal(0), 0))
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
    assert floor.held()[0] == Decimal("9803.02")
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
    assert rich.held() == (Decimal(0), 0)
    rich.check()
