"""From acceptance to the ledger's last line, and back again after a crash."""

from decimal import Decimal

import numpy as np
import pytest
from trading_floor import TradingFloor

from trading.adapters.postgres.broker_store import commit_parameters
from trading.adapters.redis_bus import no_ticks
from trading.domain.errors import Fenced, Halted, Inconsistent
from trading.exchange.codec import decode
from trading.exchange.engine import ENGINE_REV
from trading.exchange.latency import Latency
from trading.exchange.messages import Gap, Input, Submit
from trading.market.sessions import session_end_ns
from trading.market.ticks import QUOTE, TRADE
from trading.services import desk, halt, night
from trading.services.access import SYSTEM, Actor, Role
from trading.services.command_inputs import delay_by, utc_day_end
from trading.services.paper_broker import PaperBroker
from trading.services.ports.broker import Batch, Command
from trading.services.venue_days import VenueDays

ADMIN = Actor(0, "boss", Role.ADMIN)


def test_buying_ten_at_market_moves_cash_shares_and_fee(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10")
    floor.run_broker()
    assert floor.state(order.order_id) == ("filled", 10, "")
    assert floor.cash() == (Decimal("98999"), Decimal(0))  # 100,000 - 1,000 - 1
    assert floor.shares() == (10, 0)
    lines = floor.query(
        "select t.kind, s.code, d.kind, c.kind, t.amount from transfer t join asset s on s.id = t.asset_id"
        " join account d on d.id = t.debit_id join account c on c.id = t.credit_id where order_id = %s order by t.id",
        order.order_id,
    )
    assert lines == [
        ("trade", "USD", "portfolio", "market", 100_000),
        ("trade", "SIM:AAPL", "market", "portfolio", 10),
        ("fee", "USD", "portfolio", "fees", 100),
    ]
    floor.check()


def test_displayed_size_is_consumed_once_and_the_rest_waits_for_the_next_update(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=6)
    order = floor.accepted("buy", "10")
    floor.run_broker()
    assert floor.state(order.order_id)[:2] == ("partially_filled", 6)
    floor.quote("100.01", "100.02", lots=6)
    assert floor.state(order.order_id)[:2] == ("filled", 10)
    assert floor.query("select price_ticks, quantity_lots from fill order by input_seq") == [(10_000, 6), (10_002, 4)]
    floor.check()


def test_a_market_order_never_trades_beyond_its_protection_price(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=6)
    order = floor.accepted("buy", "10")
    floor.run_broker()
    floor.quote("110.00", "110.01")
    assert floor.state(order.order_id) == ("cancelled", 6, "price_protection")
    assert floor.cash()[1] == 0
    floor.check()


def test_a_resting_buy_fills_at_its_limit_when_the_ask_comes_down(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.01")
    order = floor.accepted("buy", "10", "99.90")
    floor.run_broker()
    assert floor.state(order.order_id)[0] == "working"
    floor.quote("99.70", "99.80")
    assert floor.query("select price_ticks, liquidity from fill") == [(9_990, "maker")]
    floor.check()


def test_a_trade_through_the_limit_fills_a_resting_order_one_at_the_limit_does_not(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.01")
    order = floor.accepted("buy", "10", "99.90")
    floor.trade("99.90", 50)
    assert floor.state(order.order_id)[0] == "working"
    floor.trade("99.89", 4)
    assert floor.state(order.order_id)[:2] == ("partially_filled", 4)
    floor.check()


def test_traders_cross_each_other_before_the_outside_at_an_equal_price(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.01")
    floor.accepted("buy", "10")
    floor.run_broker()
    other = floor.add_trader("sue", "5000.00")
    rest = floor.accepted("sell", "10", "100.00")
    floor.run_broker()
    taker = floor.accepted("buy", "4", "100.01", who=other)
    floor.run_broker()
    assert floor.query("select order_id, side, liquidity, why ->> 'rule' from fill where input_seq > 2 order by n")[
        -2:
    ] == [
        (taker.order_id, "buy", "taker", "internal_cross"),
        (rest.order_id, "sell", "maker", "internal_cross"),
    ]
    assert (
        len(set(floor.query("select group_id from fill where order_id in (%s, %s)", taker.order_id, rest.order_id)))
        == 1
    )
    assert floor.shares(portfolio=other[1]) == (4, 0)
    floor.check()


def test_a_trader_never_trades_with_himself(floor: TradingFloor) -> None:
    floor.quote("99.00", "101.00")
    floor.accepted("buy", "10")
    floor.run_broker()
    floor.accepted("sell", "5", "100.00")
    newer = floor.accepted("buy", "5", "100.00")
    floor.run_broker()
    assert floor.state(newer.order_id) == ("cancelled", 0, "self_trade")
    floor.check()


def test_an_ioc_order_takes_what_is_there_and_ends(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=6)
    order = floor.accepted("buy", "10", "100.00", tif="ioc")
    floor.run_broker()
    assert floor.state(order.order_id) == ("cancelled", 6, "ioc")
    floor.check()


def test_a_day_order_ends_with_the_session_of_its_instrument_where_calendars_rule(floor: TradingFloor) -> None:
    floor.broker = PaperBroker(floor.store, floor.broker.epoch, day_end=VenueDays(floor.store.calendars, "real"))
    floor.broker.restore(floor.clock.now_ns())
    floor.quote("99.99", "100.00")
    floor.quote("60000.0", "60000.5", symbol="BTCUSD")
    now_ns = floor.clock.now_ns()
    floor.accepted("buy", "0.1", "59000.0", symbol="BTCUSD", tif="day")
    floor.run_broker()
    assert floor.broker.engine.next_expiry_ns() == utc_day_end(0, now_ns), "a coin's day is the UTC day"
    stock = floor.accepted("buy", "10", "99.00", tif="day")
    floor.run_broker()
    close_ns = session_end_ns("XNYS", "real", now_ns)
    assert floor.broker.engine.next_expiry_ns() == close_ns < utc_day_end(0, now_ns)
    floor.clock.advance((close_ns - now_ns) / 1e9)
    floor.run_broker()
    assert floor.state(stock.order_id) == ("expired", 0, "day_end")


def test_a_day_order_ends_at_midnight(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "99.00", tif="day")
    floor.run_broker()
    floor.clock.advance(86_400)
    floor.run_broker()
    assert floor.state(order.order_id) == ("expired", 0, "day_end")
    assert floor.cash()[1] == 0
    floor.check()


def test_a_cancel_gives_the_hold_back_and_a_fill_may_overtake_it(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    resting = floor.accepted("buy", "10", "99.00")
    floor.run_broker()
    assert desk.cancel(floor.floor, floor.trader, floor.portfolio, resting.order_id) is None
    assert floor.state(resting.order_id)[0] == "cancel_pending"
    floor.run_broker()
    assert floor.state(resting.order_id) == ("cancelled", 0, "cancel")
    assert floor.cash()[1] == 0
    quick = floor.accepted("buy", "10")
    assert desk.cancel(floor.floor, floor.trader, floor.portfolio, quick.order_id) is None
    floor.run_broker()
    assert floor.state(quick.order_id)[0] == "filled"
    over = desk.cancel(floor.floor, floor.trader, floor.portfolio, quick.order_id)
    assert over is not None
    assert over.code == "order_over"
    floor.check()


def test_many_small_fills_cost_what_one_would(floor: TradingFloor) -> None:
    for _ in range(7):
        floor.quote("99.99", "100.00", lots=43)
        if floor.query("select count(*) from orders") == [(0,)]:
            floor.accepted("buy", "300")
    assert floor.query("select count(*), sum(fee), sum(notional) from fill") == [(7, 150, 3_000_000)]
    floor.check()


def test_a_sale_closes_the_oldest_lots_first(floor: TradingFloor) -> None:
    for price in ("100.00", "110.00", "120.00"):
        floor.quote(price, price)
        floor.accepted("buy", "10")
        floor.run_broker()
    floor.quote("130.00", "130.01")
    floor.accepted("sell", "15")
    floor.run_broker()
    # FIFO: ten that cost 1,001.00 and five of those that cost 1,101.00; 1,950.00 less the fee of 1.00 came in.
    assert floor.query("select quantity_lots, cost from lot_close order by lot_id") == [(10, 100_100), (5, 55_050)]
    assert floor.query("select sum(proceeds) from lot_close") == [(194_900,)]
    floor.check()


def test_a_restarted_broker_knows_what_it_knew_and_fills_once(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    resting = floor.accepted("buy", "10", "99.50")
    floor.run_broker()
    before = floor.broker.engine.save()
    floor.restart_broker()
    assert floor.broker.engine.save() == before
    waiting = floor.accepted("buy", "3", "98.00")  # accepted while nobody sequences
    floor.restart_broker()
    floor.quote("97.00", "97.01")
    assert floor.state(resting.order_id)[0] == floor.state(waiting.order_id)[0] == "filled"
    assert floor.query("select count(*) from fill") == [(2,)]
    floor.check()


def test_a_restart_from_a_snapshot_is_a_restart_from_the_log(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10", "99.50")
    floor.run_broker()
    floor.broker.snapshot(floor.clock.now_ns())
    floor.quote("99.98", "100.01")
    floor.run_broker()
    before = floor.broker.engine.save()
    floor.restart_broker()
    assert floor.broker.engine.save() == before
    floor.query("delete from snapshot")
    floor.restart_broker()
    assert floor.broker.engine.save() == before


def test_a_snapshot_commits_the_ticks_that_wait_for_more(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    assert floor.broker.committed_seq == 0 < floor.broker.engine.seq
    floor.broker.snapshot(floor.clock.now_ns())
    assert floor.query("select max(input_seq) from snapshot") == [(floor.broker.engine.seq,)]
    assert floor.broker.committed_seq == floor.broker.engine.seq
    before = floor.broker.engine.save()
    floor.restart_broker()
    assert floor.broker.engine.save() == before


def test_an_old_quote_fills_nothing_after_a_gap(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10")
    floor.run_broker(gap="the broker was away")
    assert floor.state(order.order_id)[0] == "working"
    floor.quote("100.00", "100.01")
    assert floor.query("select price_ticks from fill") == [(10_001,)]
    floor.check()


def test_a_command_that_submits_one_order_brings_its_accounting(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    first, second = (floor.accepted("buy", quantity, "99.00") for quantity in ("10", "5"))
    floor.cancel(first.order_id)
    floor.accepted("buy", "1", "99.00", take_profit="120.00")
    commands = floor.store.waiting_commands(10)
    assert [command.kind for command in commands] == ["submit", "submit", "cancel", "group"]
    books = floor.store.open_orders([first.order_id, second.order_id])
    assert [command.order for command in commands] == [books[first.order_id], books[second.order_id], None, None]


def test_only_a_batch_that_nobody_is_told_of_need_not_be_on_the_disk_at_once(
    floor: TradingFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    begin = floor.store.begin_commit

    def begin_commit(batch: Batch) -> None:
        waits.append(commit_parameters(batch)[-1])
        begin(batch)

    monkeypatch.setattr(floor.store, "begin_commit", begin_commit)
    floor.quote("99.99", "100.00")
    floor.quote("99.98", "99.99")  # ticks are logged a tenth of a second later
    order = floor.accepted("buy", "10", "99.00")
    floor.run_broker()
    floor.cancel(order.order_id)
    floor.run_broker()
    floor.quote("98.00", "98.01")
    floor.quote("98.00", "98.01")
    floor.accepted("buy", "10", "97.00")
    floor.run_broker()
    floor.quote("96.00", "96.01")
    assert floor.query("select count(*) from fill") == [(1,)]
    assert waits == [b"f", b"t", b"t", b"f", b"t", b"t"]


def test_a_broker_that_lost_its_lease_writes_nothing(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    old_broker = floor.broker
    floor.accepted("buy", "10")
    floor.restart_broker()
    commands = floor.store.waiting_commands(10)
    with pytest.raises(Fenced):
        old_broker.advance(floor.clock.now_ns(), no_ticks(), commands)
    assert floor.query("select count(*) from fill") == [(0,)]
    floor.run_broker()
    floor.check()


def test_an_older_epoch_commits_nothing_where_the_cursor_would_let_it(floor: TradingFloor) -> None:
    """The same batch, once under the epoch that is over and once under the one that holds the lease."""
    floor.restart_broker()
    seq = floor.store.cursor()[0]
    assert floor.broker.epoch == 2
    old, held = (Batch(epoch, ENGINE_REV, seq + 1, seq + 1, 1, b"", b"", b"hash") for epoch in (1, 2))
    floor.store.begin_commit(old)
    with pytest.raises(Fenced):
        floor.store.end_commit()
    assert floor.store.cursor()[0] == seq
    with pytest.raises(Fenced):
        floor.store.save_snapshot(1, seq, ENGINE_REV, 1, b"", b"")
    with pytest.raises(Fenced):
        floor.store.renew_lease(1, 60.0)
    floor.store.begin_commit(held)
    floor.store.end_commit()
    assert floor.store.cursor()[0] == seq + 1


def test_no_fill_commits_after_the_halt_even_from_a_broker_that_has_not_heard_of_it(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "99.00")
    floor.run_broker()
    buyer = floor.accepted("buy", "1")
    seen = floor.store.waiting_commands(10)
    halt.set_mode(floor.floor, ADMIN, "floor", "halted", "test")
    with pytest.raises(Halted):
        floor.broker.advance(floor.clock.now_ns(), no_ticks(), seen)
    floor.broker.restore(floor.clock.now_ns())
    floor.quote("98.00", "98.01")
    assert floor.query("select count(*) from fill") == [(0,)]
    # The halt is sequenced before what waits: open orders in its scope end, what still comes is refused.
    assert floor.state(order.order_id) == ("cancelled", 0, "halted")
    assert floor.state(buyer.order_id) == ("rejected", 0, "halted")
    assert floor.cash()[1] == 0
    halt.set_mode(floor.floor, ADMIN, "floor", "running", "")
    floor.quote("98.00", "98.01")
    again = floor.accepted("buy", "1")
    floor.run_broker()
    assert floor.state(again.order_id)[0] == "filled"
    floor.check()


def test_a_halt_of_an_instrument_ends_its_orders_and_leaves_others(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.quote("199.99", "200.00", symbol="MSFT")
    ours, others = floor.accepted("buy", "1", "99.00"), floor.accepted("buy", "1", "199.00", symbol="MSFT")
    floor.run_broker()
    halt.set_mode(floor.floor, ADMIN, f"instrument:{floor.aapl.id}", "halted", "test")
    floor.run_broker()
    assert floor.state(ours.order_id) == ("cancelled", 0, "halted")
    assert floor.state(others.order_id)[0] == "working"
    floor.check()


def test_a_day_of_many_fills_is_cut_into_small_batches_that_the_night_can_prove(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00", lots=1)
    for _ in range(120):
        floor.accepted("buy", "1", "99.00")
    floor.run_broker()
    instrument = floor.aapl
    ticks = np.concatenate([floor._row(instrument, QUOTE) for _ in range(120)])
    ticks["bid_ticks"], ticks["ask_ticks"] = 9_800, 9_810
    ticks["bid_lots"] = ticks["ask_lots"] = 1
    done = floor.run_broker(ticks)  # one run of ticks, of which each fills one order
    assert (done.inputs, done.fills) == (120, 120)
    sizes = floor.query(
        "select count(*) from fill f join input_log l on f.input_seq between l.first_seq and l.last_seq"
        " group by l.first_seq order by l.first_seq"
    )
    assert sizes == [(50,), (50,), (20,)]
    floor.check()
    assert night.replay(floor.floor, SYSTEM).ok
    before = floor.broker.engine.save()
    floor.restart_broker()
    assert floor.broker.engine.save() == before


def test_a_tick_that_went_missing_is_a_gap(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    lost = floor._row(floor.aapl, QUOTE)
    assert int(lost["seq"][0]) == 2
    order = floor.accepted("buy", "10")
    row = floor._row(floor.aapl, TRADE)
    floor.run_broker(row)
    inputs = [step for chunk in floor.store.log_after(0, ENGINE_REV) for step in decode(chunk.inputs)]
    assert [step.body for step in inputs if isinstance(step, Input) and isinstance(step.body, Gap)] == [
        Gap(f"ticks of instrument {floor.aapl.id} were lost")
    ]
    assert floor.state(order.order_id)[0] == "filled"  # it came before the ticks of its turn
    late = floor.accepted("buy", "10")
    floor.run_broker()
    assert floor.state(late.order_id)[0] == "working"


def test_commands_that_are_on_their_way_are_sequenced_when_they_are_due(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    delays = {"submit": 300_000_000, "cancel": 0}
    floor.broker.queue.delay = lambda command: delays[command.kind]
    order = floor.accepted("buy", "10", "99.00")
    floor.run_broker()
    assert floor.state(order.order_id)[0] == "accepted"
    due_ns = floor.broker.queue.next_due_ns()
    assert due_ns == floor.clock.now_ns() + 300_000_000
    floor.run_broker()  # 0.2 s later: read again, not queued again
    assert (floor.state(order.order_id)[0], floor.broker.queue.next_due_ns()) == ("accepted", due_ns)
    floor.run_broker()
    assert (floor.state(order.order_id)[0], floor.broker.queue.next_due_ns()) == ("working", None)
    floor.check()


def test_an_order_meets_the_market_of_its_due_time_and_its_delay_is_kept_with_it(floor: TradingFloor) -> None:
    latency = Latency(300.0, 300.0)
    floor.broker.queue.delay = delay_by(latency)
    floor.quote("99.99", "100.00")
    order = floor.accepted("buy", "10", "101.00")
    floor.run_broker()  # read now, due in 0.3 s
    floor.quote("99.49", "99.50")
    assert floor.state(order.order_id)[0] == "accepted"
    floor.run_broker()
    assert floor.query("select price_ticks from fill") == [(99_50,)]
    inputs = [step for chunk in floor.store.log_after(0, ENGINE_REV) for step in decode(chunk.inputs)]
    (submit,) = [step.body for step in inputs if isinstance(step, Input) and isinstance(step.body, Submit)]
    assert submit.delay_ns == 300_000_000
    floor.check()


def test_the_kill_switch_is_not_delayed(floor: TradingFloor) -> None:
    delay = delay_by(Latency(300.0, 300.0))
    kinds = ("submit", "group", "modify", "cancel", "halt", "resume")
    assert [delay(Command(1, kind, None, {})) for kind in kinds] == [300_000_000] * 4 + [0, 0]


def test_a_replay_that_says_something_else_stops_the_broker(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10")
    floor.run_broker()
    floor.query("update input_log set out_hash = '\\x00' where first_seq = (select max(first_seq) from input_log)")
    floor.store.close()
    with pytest.raises(Inconsistent, match="differs"):
        floor.broker.restore(floor.clock.now_ns())


def test_a_batch_may_be_on_its_way_while_more_waits_and_is_told_of_when_it_is_durable(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    first = floor.accepted("buy", "1")
    seen = floor.store.waiting_commands(10)
    done = floor.broker.advance(floor.clock.now_ns(), no_ticks(), seen, more=True)
    assert (done.fills, done.events, floor.broker.on_its_way) == (0, [], True)
    assert floor.store.waiting_commands(10, floor.broker.queue.known) == []  # whether or not it is durable by now
    second = floor.accepted("buy", "1")
    done = floor.run_broker()
    assert (done.fills, [event["order_id"] for event in done.events]) == (2, [first.order_id, second.order_id])
    assert not floor.broker.on_its_way
    mine = list(done.outbox)
    others = floor.query("select event from outbox where id <> all(%s) order by id", mine)
    assert floor.store.publish_outbox(10, mine) == [event for (event,) in others]
    assert floor.query("select count(*) from outbox where published_at is null") == [(0,)]
    floor.check()


def test_what_fails_while_a_batch_is_on_its_way_leaves_that_batch_done(
    floor: TradingFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor.quote("99.99", "100.00")
    for _ in range(60):
        floor.accepted("buy", "1")
    answers = iter([list(range(9_000, 9_050))])
    monkeypatch.setattr(floor.store, "group_ids", lambda count: next(answers))
    with pytest.raises(StopIteration):
        floor.run_broker()
    monkeypatch.undo()
    assert floor.query("select count(*) from fill") == [(50,)]
    floor.broker.restore(floor.clock.now_ns())
    floor.run_broker()
    assert floor.query("select count(*) from fill") == [(60,)]
    floor.check()
