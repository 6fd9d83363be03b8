"""PostgreSQL is killed, frozen and cut off while people trade: what was answered is there, what was not can be asked.

``OUTAGE_S`` is how long the server stays away.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from house import House
from nursery_street import Nursery, Street
from trading_floor import TradingFloor

from trading.adapters.postgres.pool import ANSWER_S
from trading.domain.errors import Unavailable
from trading.domain.orders import Acceptance
from trading.services import ledger, night
from trading.services.access import SYSTEM

OUTAGE_S = float(os.environ.get("OUTAGE_S", "4"))
ERROR_WITHIN_S, RECOVERY_S = 3.5, 10.0
"""An error within 3 s, and a moment for the thread that waits for it on a busy machine."""


@dataclass
class Client:
    """Somebody who sends order after order, each under a key of its own, and writes down what came back."""

    floor: TradingFloor
    name: str
    price: str | None = "90.00"
    sent: dict[str, int | None] = field(default_factory=dict)
    errors_s: list[float] = field(default_factory=list)
    answered_at: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        while not self.over.wait(0.01):
            key, begun = f"{self.name}-{len(self.sent)}", time.monotonic()
            self.sent[key] = None
            try:
                self.sent[key] = self.ask(key)
                self.answered_at = time.monotonic()
            except Unavailable:
                self.errors_s.append(time.monotonic() - begun)

    def ask(self, key: str) -> int:
        answer = self.floor.order("buy", "1", self.price, key=key)
        assert isinstance(answer, Acceptance), answer
        return answer.order_id

    def check(self) -> None:
        """Every answer was true; every key without an answer is one order when it is asked again."""
        for key, order in self.sent.items():
            again = self.ask(key)
            assert order in (None, again), key


def end(clients: list[Client], threads: list[threading.Thread]) -> None:
    for client in clients:
        client.over.set()
    for thread in threads:
        thread.join()


def trouble(house: House, do: Callable[[], None]) -> tuple[list[Client], float]:
    """Three clients send while something is done; what they got, and how long after it the first answer came."""
    floor = house.floor
    assert floor is not None
    began = time.monotonic_ns()
    clients = [Client(floor, f"c{began}-{n}") for n in range(3)]
    before = floor.query("select count(*) from orders")[0][0]
    threads = [threading.Thread(target=client.send) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    try:
        do()
        done = time.monotonic()
        while not all(client.answered_at > done for client in clients):
            assert time.monotonic() - done < 30, "nobody is answered any more"
            time.sleep(0.02)
        recovered_s = time.monotonic() - done
    finally:
        end(clients, threads)
    for client in clients:
        client.check()
    keys = sum(len(client.sent) for client in clients)
    assert floor.query("select count(*) from orders")[0][0] - before == keys, "one order a key"
    ids = [client.ask(key) for client in clients for key in client.sent]
    assert len(set(ids)) == keys
    for order in ids:
        floor.cancel(order)
    floor.store.close()
    floor.restart_broker()
    while floor.query("select 1 from command where input_seq is null limit 1"):
        floor.run_broker()
    floor.check()
    return clients, recovered_s


def freeze(house: House, seconds: float) -> None:
    """Every process of the server stands still for a while."""
    main = int((house.server.data_dir / "postmaster.pid").read_text().split()[0])
    os.kill(main, signal.SIGSTOP)  # before the others: it starts no more of them
    children = [int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in [*children, main]:
        os.kill(pid, signal.SIGCONT)


def test_a_killed_server_and_an_outage_lose_no_answer_and_say_so_in_time(
    house: House, note: Callable[[str], None]
) -> None:
    def outage() -> None:
        os.kill(int((house.server.data_dir / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        time.sleep(OUTAGE_S)
        house.restart()

    clients, recovered_s = trouble(house, outage)
    errors_s = [error for client in clients for error in client.errors_s]
    assert errors_s, "nobody noticed"
    assert max(errors_s) <= ERROR_WITHIN_S
    assert recovered_s <= RECOVERY_S
    note(f"errors within {max(errors_s):.1f} s, first answers {recovered_s:.1f} s after")


def test_a_frozen_server_is_said_in_time_and_what_was_on_its_way_is_one_order_a_key(
    house: House, note: Callable[[str], None]
) -> None:
    clients, recovered_s = trouble(house, lambda: freeze(house, OUTAGE_S))
    errors_s = [error for client in clients for error in client.errors_s]
    assert len(errors_s) >= len(clients), "somebody waited for the server"
    assert max(errors_s) <= ERROR_WITHIN_S
    assert recovered_s <= RECOVERY_S
    note(f"errors within {max(errors_s):.1f} s, first answers {recovered_s:.1f} s after")


@pytest.fixture
def slow_commits(house: House) -> Iterator[None]:
    """The commit of an order takes two hundredths of a second: its answer is there, and it can still fail."""
    assert house.floor is not None
    query = house.floor.query
    body = "begin perform pg_sleep(0.02); return null; end"
    query(f"create function linger() returns trigger language plpgsql as $$ {body} $$")
    query(
        "create constraint trigger linger after insert on orders deferrable initially deferred"
        " for each row execute function linger()"
    )
    yield
    query("drop function linger cascade")


@pytest.mark.usefixtures("slow_commits")
def test_connections_cut_in_the_middle_of_a_commit_leave_one_order_a_key(house: House) -> None:
    def cut() -> None:
        """By turns the connection is gone, and the statement alone: then the commit fails behind its answer."""
        with psycopg.connect(house.server.dsn(), autocommit=True) as connection:
            for n in range(60):
                end = ("pg_terminate_backend", "pg_cancel_backend")[n % 2]
                connection.execute(
                    f"select {end}(pid) from pg_stat_activity where usename = 'tf_app' and state <> 'idle'".encode()
                )
                time.sleep(0.01)

    clients, _ = trouble(house, cut)
    assert sum(len(client.errors_s) for client in clients) >= 5, "few were hit"


@pytest.mark.parametrize("frozen_s", [2.2, OUTAGE_S], ids=["shorter than patience", "longer"])
def test_a_broker_hangs_up_on_a_frozen_server_and_is_back_with_it(
    house: House, nursery: Nursery, redis_url: str, note: Callable[[str], None], frozen_s: float
) -> None:
    """Shorter than its patience, the server itself ends the transaction in which it stood still."""
    floor = house.floor
    assert floor is not None
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "900000.00", f"frozen-{frozen_s}")
    floor.query(
        "insert into process_status (name, state, beat_at) values ('broker', 'running', now())"
        " on conflict (name) do update set detail = '{}'"
    )
    ((before,),) = floor.query("select coalesce(max(id), 0) from orders")
    environment = {"TRADEFLOOR_DATA": str(house.settings.data_dir), "DATABASE_URL": "", "REDIS_URL": redis_url}
    street = Street(floor, redis_url, environment, nursery)
    begun, said = time.monotonic_ns(), nursery.said("server away")
    clients = [Client(floor, f"f{begun}-{n}", None) for n in range(3)]
    threads = [threading.Thread(target=client.send) for client in clients]
    try:
        street.broker()
        for thread in threads:
            thread.start()
        street.until(lambda: bool(floor.query("select 1 from fill where order_id > %s limit 1", before)), "a fill")
        time.sleep(0.5)
        freeze(house, frozen_s)
        went_on = time.monotonic()
        newest = floor.query("select max(id) from orders")[0][0]
        street.until(
            lambda: bool(floor.query("select 1 from fill where order_id > %s limit 1", newest)), "a fill", RECOVERY_S
        )
        recovered_s = time.monotonic() - went_on
        end(clients, threads)
        for client in clients:
            client.check()
        street.until(street.sequenced, "every command to be sequenced", 30)
        if frozen_s > ANSWER_S:
            street.until(lambda: told(floor)["times"] == 1, "its report")
            assert told(floor)["last_s"] >= frozen_s - ANSWER_S
            assert nursery.said("server away") - said == 1
    finally:
        end(clients, threads)
        street.close()
    keys = sum(len(client.sent) for client in clients)
    orders = floor.query("select state, count(*) from orders where id > %s group by 1", before)
    assert orders == [("filled", keys)], "each once, and every one"
    assert floor.query("select 1 from halt_state where mode <> 'running'") == []
    floor.check()
    parity = night.replay(floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:5]
    note(f"{keys} orders over {frozen_s} s frozen; first fill {recovered_s:.1f} s after")


def told(floor: TradingFloor) -> dict[str, Any]:
    """What the broker's report says of the times without a server."""
    outages = "select coalesce(detail -> 'outages', '{\"times\": 0}') from process_status where name = 'broker'"
    return floor.query(outages)[0][0]  # type: ignore[no-any-return]
