"""Many at once on one cash balance and one resting order: threads, processes, two tabs and an admin.

One key from a hundred threads, and fifty orders with money for ten, are in ``tests/services/test_desk.py``.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from shared_servers import Database
from trading_floor import TradingFloor

from trading.domain.orders import Acceptance, Refusal
from trading.services import ledger
from trading.services.access import SYSTEM
from trading.services.ports.broker import Batch

COST = Decimal("991.00")
"""What ten shares at 99.00 hold with their fee."""
PROCESS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from trading.bootstrap import open_floor
from trading.config import Settings
from trading.domain.orders import OrderType, Side, Ticket
from trading.services import desk
from trading.services.access import Actor, Role
portfolio, user, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ticket = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "10", "99.00")
with open_floor(Settings()) as floor, ThreadPoolExecutor(5) as pool:
    print("ready", flush=True)
    sys.stdin.readline()
    one = lambda n: desk.submit(floor, Actor(user, "rosa", Role.TRADER), portfolio, ticket, f"{name}-{n}")
    print(json.dumps([getattr(answer, "code", "accepted") for answer in pool.map(one, range(25))]))
"""


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    own.quote("99.99", "100.00")
    yield own
    own.close()


def at_once(calls: Sequence[Callable[[], Any]], threads: int = 50) -> list[Any]:
    """What each answers, all let go together."""
    barrier = threading.Barrier(min(threads, len(calls)))

    def one(call: Callable[[], Any]) -> Any:
        barrier.wait(20)
        return call()

    with ThreadPoolExecutor(min(threads, len(calls))) as pool:
        return [each.result() for each in [pool.submit(one, call) for call in calls]]


def outcome(answer: Acceptance | Refusal) -> str:
    return answer.code if isinstance(answer, Refusal) else "accepted"


def test_processes_do_not_spend_the_same_money_either(floor: TradingFloor, environment: dict[str, str]) -> None:
    rosa, portfolio = floor.add_trader("rosa", str(10 * COST))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(portfolio), str(rosa.user_id), f"p{n}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        for n in range(2)
    ]  # fmt: skip
    try:
        assert [each.stdout.readline() for each in processes if each.stdout] == ["ready\n", "ready\n"]
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        found: Counter[str] = Counter()
        for each in processes:
            found.update(json.loads(each.communicate(timeout=60)[0]))
    finally:
        for each in processes:
            each.kill()
            each.communicate()
    assert found == {"accepted": 10, "insufficient_cash": 40}
    assert floor.cash(portfolio) == (10 * COST, 10 * COST)
    floor.check()


def test_two_tabs_spend_the_last_cash_once_and_a_withdrawal_does_not_take_it_too(floor: TradingFloor) -> None:
    rosa = floor.add_trader("rosa", str(COST))

    def withdraw(key: str) -> str:
        try:
            ledger.withdraw(floor.floor, SYSTEM, rosa[1], str(COST), key)
        except Exception as error:
            return str(getattr(error, "code", error))
        return "withdrawn"

    for n in range(8):
        answers = at_once(
            [
                lambda: floor.order("buy", "10", "99.00", who=rosa),
                lambda: floor.order("buy", "10", "99.00", who=rosa),
                lambda n=n: withdraw(f"w-{n}"),
            ]
        )
        done = [answer if isinstance(answer, str) else outcome(answer) for answer in answers]
        assert len([each for each in done if each in ("accepted", "withdrawn")]) == 1, done
        for answer in answers:
            if isinstance(answer, Acceptance):
                floor.cancel(answer.order_id, rosa)
                floor.run_broker()
        if "withdrawn" in done:
            ledger.deposit(floor.floor, SYSTEM, rosa[1], str(COST), f"again-{n}")
        floor.check()


@pytest.fixture
def slow_batches(floor: TradingFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes an order's state has its row for two hundredths of a second: long enough to be met.

    Waiting for a commit keeps this process's other threads waiting too; a broker has a process of its own.
    """
    end_commit = floor.store.end_commit

    def others_go_on() -> Sequence[int]:
        time.sleep(0.03)
        return end_commit()

    monkeypatch.setattr(floor.store, "end_commit", others_go_on)
    floor.query(
        "create function linger() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(0.02); return new; end $$"
    )
    floor.query("create trigger linger before update of state on orders for each row execute function linger()")


@pytest.mark.usefixtures("slow_batches")
def test_a_cancel_that_races_a_fill_ends_one_way_with_every_hold_resolved(floor: TradingFloor) -> None:
    ends: Counter[tuple[str, str, int]] = Counter()
    chance = random.Random(3)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(24):
            order = floor.accepted("buy", "10", "99.90").order_id
            floor.run_broker()
            ticks, lots = floor.quoted("99.80", "99.85", lots=chance.choice((4, 10))), int(floor.shares()[0])
            cancelled = pool.submit(lambda wait_s, order: (time.sleep(wait_s), floor.cancel(order))[1],
                                    chance.uniform(0, 0.05), order)  # fmt: skip
            time.sleep(chance.uniform(0, 0.02))
            floor.run_broker(ticks, commands=[])
            told = cancelled.result(10)
            state, filled, _ = floor.state(order)
            assert floor.shares()[0] == lots + filled
            if told is not None:
                assert (told.code, state, filled) == ("order_over", "filled", 10)
            else:
                assert (state, filled) in (("cancel_pending", 4), ("filled", 10)), "asked for, and not forgotten"
            floor.check()
            floor.run_broker()
            state, filled, _ = floor.state(order)
            ends["asked" if told is None else told.code, state, filled] += 1
            floor.quote("99.99", "100.00")
    assert set(ends) == {("asked", "cancelled", 4), ("asked", "filled", 10), ("order_over", "filled", 10)}
    assert floor.held() == (0, 0)
    assert floor.query("select count(*) from hold where not resolved") == [(0,)]
    assert floor.shares() == (sum(filled * many for (_, _, filled), many in ends.items()), 0)
    floor.check()


def test_a_cancel_that_comes_while_a_fill_commits_finds_the_order_over(
    floor: TradingFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wait for the order's row, the fill first."""
    order = floor.accepted("buy", "10", "99.90").order_id
    floor.run_broker()
    begin = floor.store.begin_commit
    cancels: list[Future[Refusal | None]] = []

    def waiting(many: int) -> None:
        asked = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        until_s = time.monotonic() + 5
        while floor.query(asked) != [(many,)]:
            assert time.monotonic() < until_s, f"{many} should wait"
            time.sleep(0.01)

    with psycopg.connect(floor.database.dsn()) as first, ThreadPoolExecutor(1) as pool:

        def begin_commit(batch: Batch) -> None:
            begin(batch)
            waiting(1)
            cancels.append(pool.submit(floor.cancel, order))
            waiting(2)
            first.rollback()

        first.execute("select 1 from orders where id = %s for update", (order,))
        ticks = floor.quoted("99.80", "99.85")
        monkeypatch.setattr(floor.store, "begin_commit", begin_commit)
        floor.run_broker(ticks)
        told = cancels[0].result(10)
    assert told is not None
    assert told.code == "order_over"
    assert floor.state(order) == ("filled", 10, "")
    assert floor.held() == (0, 0)
    floor.check()


def test_a_cancel_that_was_asked_for_stays_asked_for_while_a_part_fills(floor: TradingFloor) -> None:
    order = floor.accepted("buy", "10", "99.90").order_id
    floor.run_broker()
    assert floor.cancel(order) is None
    floor.run_broker(floor.quoted("99.80", "99.85", lots=4), commands=[])
    assert floor.state(order) == ("cancel_pending", 4, "")
    floor.check()
    floor.run_broker()
    assert floor.state(order) == ("cancelled", 4, "cancel")
    assert floor.held() == (0, 0)
    floor.check()
