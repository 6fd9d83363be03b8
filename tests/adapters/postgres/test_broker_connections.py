"""The broker's connections hang up on a server that stands still, and ask what became of what they had sent."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from trading_floor import TradingFloor

from trading.domain.errors import Unavailable

PATIENCE_S = 3.5
"""What a call may take: 2.5 s of patience, and a moment on a busy machine."""


@contextmanager
def stopped(floor: TradingFloor, use: str) -> Iterator[None]:
    """The server's process for one of the broker's connections stands still."""
    ((pid,),) = floor.query(
        "select pid from pg_stat_activity where application_name = %s and datname = current_database()",
        f"tradefloor-broker-{use}",
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def turn(floor: TradingFloor) -> None:
    """A turn of the broker; it hangs up in time."""
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        floor.run_broker()
    assert time.monotonic() - begun < PATIENCE_S


def cursor(floor: TradingFloor) -> int:
    """What the broker may go on with, once the server tells."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return floor.store.cursor()[0]
        except Unavailable:
            assert time.monotonic() < deadline


def test_a_batch_that_was_hung_up_on_is_over_before_the_broker_goes_on(floor: TradingFloor) -> None:
    order = floor.accepted("buy", "10").order_id
    with stopped(floor, "commit"):
        turn(floor)
        with pytest.raises(Unavailable, match="may still be written"):
            floor.store.cursor()
    read = cursor(floor)
    time.sleep(0.3)
    assert cursor(floor) == read, "the batch that was sent came after the broker had looked"
    floor.broker.restore(floor.clock.now_ns())
    floor.run_broker()
    assert floor.state(order)[:2] == ("filled", 10)
    floor.check()


def test_a_question_that_was_hung_up_on_costs_no_more_than_a_new_connection(floor: TradingFloor) -> None:
    order = floor.accepted("buy", "10").order_id
    with stopped(floor, "read"):
        turn(floor)
    cursor(floor)
    floor.broker.restore(floor.clock.now_ns())
    floor.run_broker()
    assert floor.state(order)[:2] == ("filled", 10)
    floor.check()


def test_a_lease_can_not_be_renewed_while_what_was_sent_before_is_open(floor: TradingFloor) -> None:
    with stopped(floor, "commit"):
        floor.accepted("buy", "10")
        turn(floor)
        with pytest.raises(Unavailable, match="may still be written"):
            floor.store.renew_lease(floor.broker.epoch, 60)
    cursor(floor)
    floor.store.renew_lease(floor.broker.epoch, 60)


def test_a_batch_that_takes_longer_than_a_transaction_may_is_no_refused_booking(floor: TradingFloor) -> None:
    order = floor.accepted("buy", "10").order_id
    with psycopg.connect(floor.database.dsn()) as other:
        other.execute("select 1 from broker_cursor for update")
        turn(floor)
    floor.broker.restore(floor.clock.now_ns())
    floor.run_broker()
    assert floor.state(order)[:2] == ("filled", 10)
    floor.check()
