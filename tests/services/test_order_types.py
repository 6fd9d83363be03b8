"""Every type of order from the ticket through the broker to the books, by example."""

from decimal import Decimal
from typing import Any

import pytest
from trading_floor import TradingFloor, refusal

# Stops ------------------------------------------------------------------------------------------------------------


def test_a_buy_stop_holds_the_stop_moved_by_the_band_and_buys_at_market_once_it_has_traded(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", stop_price="102.00")
    # 102.00 and 5 % of it: 107.10 is the worst price; 1,071.00 and the least fee of 1.00 are held.
    assert (order.protection_ticks, floor.held()) == (10_710, (Decimal("1072"), 0))
    floor.run_broker()
    assert floor.state(order.order_id) == ("pending_trigger", 0, "")
    floor.trade("101.99", 5)
    assert floor.state(order.order_id)[0] == "pending_trigger"
    floor.quote("102.01", "102.03")
    assert floor.state(order.order_id)[0] == "pending_trigger", "once there are trades quotes trigger nothing"
    floor.trade("102.00", 1)
    assert floor.state(order.order_id) == ("filled", 10, "")
    assert floor.causes(order.order_id) == [
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
    assert rich.held() == (Decimal(1), 100)
    rich.run_broker()
    rich.quote("89.99", "90.00")  # through the stop, and through the worst price of 90.25 as well
    rich.trade("90.00", 1)
    assert rich.state(order.order_id) == ("cancelled", 0, "price_protection")
    assert rich.held() == (Decimal(0), 0)
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
    assert floor.held()[0] == Decimal("1066.70")
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
    assert floor.held() == (Decimal(0), 0)
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
