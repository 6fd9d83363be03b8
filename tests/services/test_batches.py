"""Many tickets in one call: all or none, or each by itself."""

import threading
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trading_floor import TradingFloor

from trading.domain.errors import Conflict, Invalid
from trading.domain.orders import Acceptance, OrderType, Refusal, Side, Ticket
from trading.services import batches, desk, halt
from trading.services.access import SYSTEM
from trading.services.ports.batches import BatchAnswer, BatchMode

TABLES = ("orders", "hold", "order_event", "command", "outbox")


def limit(quantity: str, price: str = "99.00", side: Side = Side.BUY, symbol: str = "AAPL", **more: Any) -> Ticket:
    return Ticket(symbol, side, OrderType.LIMIT, quantity, price, **more)


def send(floor: TradingFloor, tickets: Sequence[Ticket], mode: BatchMode, key: str = "batch") -> BatchAnswer:
    return batches.submit(floor.floor, floor.trader, floor.portfolio, tickets, mode, key)


def codes(answer: BatchAnswer) -> list[str]:
    return [each.code if isinstance(each, Refusal) else "" for each in answer.answers]


def written(floor: TradingFloor) -> list[int]:
    """Rows of everything an order leaves, and what is held."""
    counts = [floor.query(f"select count(*) from {table}")[0][0] for table in TABLES]
    return [*counts, floor.query("select sum(held) from account")[0][0]]


def test_each_ticket_by_itself_and_a_refusal_has_its_place_and_code(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answer = send(floor, [limit("10"), limit("0"), limit("5", symbol="NA"), limit("2")], BatchMode.EACH)
    assert codes(answer) == ["", "not_positive", "unknown_instrument", ""]
    assert answer.accepted == 2
    trail = floor.query("select code, detail ->> 'place' from audit where result = 'refused' order by id")
    assert trail == [("not_positive", "2"), ("unknown_instrument", "3")]
    floor.run_broker()
    assert floor.query("select state from orders order by id") == [("working",), ("working",)]
    floor.check()


def test_all_or_none_leaves_nothing_of_a_batch_with_one_refusal(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    before = written(floor)
    answer = send(floor, [limit("10"), limit("5", "120.00"), limit("0")], BatchMode.ALL)
    assert codes(answer) == ["batch_refused", "price_band", "not_positive"]
    assert answer.answers[0].numbers == {"place": "2"}  # type: ignore[union-attr]
    assert written(floor) == before
    assert floor.bus.wakes == 0
    floor.check()


def test_all_accepted_are_orders_that_fill(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answer = send(floor, [limit("10", "100.00"), limit("5", "100.00", take_profit="103.00")], BatchMode.ALL)
    assert codes(answer) == ["", ""]
    floor.run_broker()
    assert floor.shares() == (15, 5)
    floor.check()


def test_limits_count_the_batch_together(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    # 100,000 dollars; each needs 49,500 and its fee.
    assert codes(send(floor, [limit("500")] * 3, BatchMode.EACH, "cash")) == ["", "", "insufficient_cash"]
    floor.query("update risk_limit set max_open_orders = 4")
    answer = send(floor, [limit("1")] * 3, BatchMode.ALL, "open orders")
    assert codes(answer) == ["batch_refused", "batch_refused", "max_open_orders"]
    assert codes(send(floor, [limit("1")] * 2, BatchMode.ALL, "fewer")) == ["", ""]
    floor.check()


def test_shares_can_be_sold_once_in_a_batch(rich: TradingFloor) -> None:
    sale = limit("60", "101.00", Side.SELL)
    assert codes(send(rich, [sale, sale], BatchMode.EACH)) == ["", "insufficient_position"]
    rich.check()


def test_a_key_is_one_batch_with_one_answer(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    tickets = [limit("10"), limit("0")]
    first = send(floor, tickets, BatchMode.EACH)
    before = written(floor)
    floor.quote("120.00", "120.01")  # it would be refused now
    assert send(floor, tickets, BatchMode.EACH) == first
    assert written(floor)[:2] == before[:2]
    with pytest.raises(Conflict):
        send(floor, tickets, BatchMode.ALL)
    with pytest.raises(Conflict):
        send(floor, tickets[:1], BatchMode.EACH)
    # Keys of batches and of single orders are apart.
    assert isinstance(floor.order("buy", "1", "118.00", key="batch"), Acceptance)
    assert send(floor, tickets, BatchMode.EACH) == first


def test_threads_with_one_key_make_one_batch(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    answers: list[BatchAnswer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(send(floor, [limit("1"), limit("2")], BatchMode.ALL)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)
    assert floor.query("select count(*) from orders") == [(2,)]
    floor.check()


def test_a_preview_says_what_sending_would_and_keeps_nothing(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    before = written(floor)
    tickets = [limit("500"), limit("500"), limit("500"), limit("1", symbol="MSFT")]
    told = batches.preview(floor.floor, floor.trader, floor.portfolio, tickets)
    assert written(floor) == before
    assert codes(told) == codes(send(floor, tickets, BatchMode.EACH))
    assert codes(told)[:3] == ["", "", "insufficient_cash"]


def test_a_batch_has_between_one_and_a_hundred_tickets(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    for tickets in ([], [limit("1")] * 101):
        with pytest.raises(Invalid):
            send(floor, tickets, BatchMode.EACH)
    assert send(floor, [limit("1")] * 100, BatchMode.ALL).accepted == 100
    floor.check()


def test_a_halt_refuses_each_ticket(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    halt.set_mode(floor.floor, SYSTEM, "floor", "halted", "a drill")
    assert codes(send(floor, [limit("1"), limit("2")], BatchMode.EACH)) == ["halted", "halted"]


tickets = st.builds(
    limit,
    quantity=st.sampled_from(["1", "10", "300", "0", "1.5"]),
    price=st.sampled_from(["99.00", "99.50", "100.00", "120.00", "99.001"]),
    side=st.sampled_from([Side.BUY, Side.BUY, Side.SELL]),
    symbol=st.sampled_from(["AAPL", "AAPL", "MSFT", "null"]),
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.lists(tickets, min_size=1, max_size=6), st.booleans()), min_size=1, max_size=3))
def test_a_batch_is_what_single_tickets_would_have_been_or_nothing(
    floor: TradingFloor, sent: list[tuple[list[Ticket], bool]]
) -> None:
    """The oracle: another trader with the same cash sends the same tickets one by one."""
    number = floor.query("select count(*) from app_user")[0][0]
    batcher, single = floor.add_trader(f"batch{number}", "50000.00"), floor.add_trader(f"single{number}", "50000.00")
    floor.quote("99.99", "100.00")
    floor.quote("99.99", "100.00", symbol="MSFT")
    for n, (several, all_or_none) in enumerate(sent):
        mode = BatchMode.ALL if all_or_none else BatchMode.EACH
        before = written(floor)
        answer = batches.submit(floor.floor, *batcher, several, mode, f"batch-{n}")
        refused = any(isinstance(each, Refusal) for each in answer.answers)
        if refused and all_or_none:
            assert written(floor) == before
            assert answer.accepted == 0
            continue
        one_by_one = [desk.submit(floor.floor, *single, one, f"{n}-{place}") for place, one in enumerate(several)]
        assert codes(answer) == codes(BatchAnswer(tuple(one_by_one)))
        floor.run_broker()
    assert floor.cash(batcher[1]) == floor.cash(single[1])
    assert floor.shares("AAPL", batcher[1]) == floor.shares("AAPL", single[1])
    assert floor.cash(batcher[1])[0] <= Decimal(50_000)
    floor.check()


def test_a_batch_on_margin_counts_what_its_tickets_reserve(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    floor.quote("49.99", "50.00", symbol="MSFT")
    mia = floor.add_trader("mia", "10000.00", kind="margin")
    tickets = [limit("100", "100.00"), limit("150", "50.00", symbol="MSFT"), limit("100", "50.00", symbol="MSFT")]
    answer = batches.submit(floor.floor, *mia, tickets, BatchMode.EACH, "margin")
    assert codes(answer) == ["", "", "insufficient_margin"]
    assert floor.cash(mia[1])[1] == Decimal("5001") + Decimal("3751")
    floor.check()
