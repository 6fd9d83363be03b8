"""The first start of an engine revision on a floor whose log is another's: orders enter again, trading goes on."""

from trading_floor import TradingFloor

from trading.services import desk, halt, night
from trading.services.access import SYSTEM, Actor, Role

ADMIN = Actor(0, "boss", Role.ADMIN)


def age(floor: TradingFloor) -> int:
    """As if an earlier revision had taken all inputs so far; returns the last of them."""
    floor.broker.snapshot(floor.clock.now_ns())
    floor.query("update input_log set engine_rev = 1")
    floor.query("update snapshot set engine_rev = 1, state = '{\"rev\":1}'")
    return int(floor.query("select input_seq from broker_cursor")[0][0])


def test_open_orders_enter_again_as_recorded_inputs_and_trade_on(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=6)
    partly = floor.accepted("buy", "10", "100.00").order_id
    resting = floor.accepted("buy", "5", "99.00", tif="day").order_id
    leaving = floor.accepted("buy", "3", "98.00").order_id
    floor.run_broker()
    desk.cancel(floor.floor, floor.trader, floor.portfolio, leaving)
    unseen = floor.accepted("buy", "2", "97.00").order_id
    before, events = age(floor), floor.query("select count(*) from order_event")
    floor.restart_broker()
    # What is open is there again with what is left of it; what was not sequenced yet still comes by its command.
    assert {key: order.open_lots for key, order in floor.broker.engine.orders.items()} == {
        partly: 4,
        resting: 5,
        leaving: 3,
    }
    assert floor.query("select count(*) from order_event") == events
    assert floor.state(partly) == ("partially_filled", 6, "")
    floor.check()
    floor.run_broker()
    assert floor.state(leaving)[0] == "cancelled"
    assert set(floor.broker.engine.orders) == {partly, resting, unseen}
    floor.quote("98.50", "98.60", lots=7)
    assert floor.query("select order_id, quantity_lots from fill where input_seq > %s order by n", before) == [
        (partly, 4),
        (resting, 3),
    ]
    floor.check()
    floor.clock.advance(86_400)
    floor.run_broker()
    assert floor.state(resting) == ("expired", 3, "day_end")
    floor.check()


def test_what_was_halted_or_has_run_out_by_then_ends(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    day = floor.accepted("buy", "5", "99.00", tif="day").order_id
    other = floor.add_trader("sue", "5000.00")
    floor.run_broker()
    mine = floor.accepted("buy", "5", "99.00").order_id
    hers = floor.accepted("buy", "5", "99.00", who=other).order_id
    floor.run_broker()
    halt.set_mode(floor.floor, ADMIN, f"user:{other[0].user_id}", "halted", "a drill")
    age(floor)
    floor.clock.advance(86_400)
    floor.restart_broker()
    floor.run_broker()
    assert floor.state(hers) == ("cancelled", 0, "halted")
    assert floor.state(day) == ("expired", 0, "day_end")
    assert floor.state(mine)[0] == "working"
    floor.check()


def test_the_night_replays_the_running_revision_alone_and_the_log_of_both_moves_on(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10", "99.50")
    floor.run_broker()
    before = age(floor)
    floor.restart_broker()
    floor.quote("99.40", "99.45")
    parity = night.replay(floor.floor, SYSTEM)
    assert parity.ok, parity.breaks
    assert (parity.first_seq, parity.fills) == (before + 1, 1)
    floor.query("delete from snapshot where engine_rev = 2")
    floor.restart_broker()
    assert night.replay(floor.floor, SYSTEM).ok
    floor.clock.advance(2 * 3600)
    floor.broker.snapshot(floor.clock.now_ns() - 3601 * 10**9)
    assert night.archive_log(floor.floor, SYSTEM) > 1
    assert set(floor.floor.lake.read("log_segments")["engine_rev"]) == {1, 2}
    assert night.replay(floor.floor, SYSTEM).ok
    floor.quote("99.40", "99.45")
    floor.restart_broker()
    assert night.replay(floor.floor, SYSTEM).ok


def test_a_floor_that_never_traded_has_nothing_to_enter(floor: TradingFloor) -> None:
    floor.restart_broker()
    assert floor.query("select count(*) from input_log") == [(0,)]
    assert night.replay(floor.floor, SYSTEM).ok
