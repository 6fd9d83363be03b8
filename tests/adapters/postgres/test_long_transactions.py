"""Transactions that may last longer than the login's."""

import threading
import time

import psycopg
import pytest
from trading_floor import TradingFloor

from trading.adapters.postgres.pool import connection_of, take_time
from trading.adapters.postgres.reference import keep_instruments
from trading.domain.errors import Unavailable
from trading.market.profiles import shipped_profiles


def sleep(floor: TradingFloor, *seconds: float) -> None:
    with connection_of(floor.pool) as connection, connection.transaction():
        take_time(connection, "2500ms")
        for each in seconds:
            connection.execute("select pg_sleep(%s)", (each,))


def test_a_transaction_that_is_given_time_has_so_much_and_no_more(floor: TradingFloor) -> None:
    sleep(floor, 2.2)
    with pytest.raises(Unavailable):
        sleep(floor, 2.2, 1.0)


def test_a_floor_opens_however_slow_the_machine_is_at_it(floor: TradingFloor) -> None:
    with psycopg.connect(floor.database.dsn(), autocommit=True) as other:
        other.execute("select pg_advisory_lock(7003)")  # what another does that opens the floor

        def let_go() -> None:
            time.sleep(2.3)
            other.execute("select pg_advisory_unlock(7003)")

        thread = threading.Thread(target=let_go)
        thread.start()
        with connection_of(floor.pool) as connection:
            keep_instruments(connection, shipped_profiles())
        thread.join()
