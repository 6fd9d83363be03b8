"""The day that was lived is the day that is replayed: fills, states, snapshots, and the tickets of a strategy.

``PARITY_ORDERS`` and ``PARITY_KILLS`` size it; ``PARITY_REPORT`` names a file for its figures.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from oracle_books import differences
from parity_day import LATENCY, ROBOT_CASH, SEED, TRADER_CASH, Day
from parity_trader import KINDS
from shared_servers import Database

from trading.exchange.codec import decode
from trading.exchange.engine import Engine
from trading.exchange.latency import parse_latency
from trading.exchange.messages import Cancel, Closed, Filled, Group, Input, Modify, Submit
from trading.services import night
from trading.services.access import SYSTEM
from trading.services.floor_state import FloorState
from trading.strategy.live import rerun

ORDERS = int(os.environ.get("PARITY_ORDERS", "2000"))
KILLS = int(os.environ.get("PARITY_KILLS", "5"))


@pytest.fixture
def day(database: Database, redis_url: str, environment: dict[str, str], tmp_path: Path) -> Iterator[Day]:
    own = Day(database, redis_url, environment, tmp_path, ORDERS, KILLS)
    yield own
    own.close()


@pytest.mark.timeout(900)
def test_a_day_of_orders_and_killed_brokers_is_replayed_to_the_bit(day: Day) -> None:
    begun = time.monotonic()
    day.trade()
    lived_s = time.monotonic() - begun
    check_what_was_traded(day)
    day.floor.check()
    check_the_books(day)
    check_the_replay(day)
    check_the_latency(day)
    check_the_strategy(day)
    record(day, lived_s, time.monotonic() - begun - lived_s)


def record(day: Day, lived_s: float, checked_s: float) -> None:
    """Leave the day's figures where ``PARITY_REPORT`` says."""
    path = os.environ.get("PARITY_REPORT")
    if path is None:
        return
    tables = ("orders", "fill", "order_event", "input_log", "snapshot")
    figures = {
        "orders": day.accepted,
        "kills": day.brokers.killed,
        "lived_s": round(lived_s, 1),
        "checked_s": round(checked_s, 1),
        "rows": {table: day.floor.query(f"select count(*) from {table}")[0][0] for table in tables},
        "ticks": sum(len(ticks) for ticks in day.market.published),
        "strategy_orders": len(day.strategy.orders),
        "accepted": sum((trader.accepted for trader in day.traders), Counter[str]()),
        "refused": sum((trader.refused for trader in day.traders), Counter[str]()),
        "asked": sum((trader.asked for trader in day.traders), Counter[str]()),
    }
    Path(path).write_text(json.dumps(figures, indent=1))


def check_what_was_traded(day: Day) -> None:
    assert day.accepted >= ORDERS
    assert day.brokers.killed == KILLS
    for kind in KINDS:
        assert sum(trader.accepted[kind] for trader in day.traders) >= ORDERS * KINDS[kind] // 400
    asked = sum((trader.asked for trader in day.traders), Counter[str]())
    assert min(asked["modify"], asked["cancel"]) >= ORDERS // 50
    epochs = [epoch for (epoch,) in day.floor.query("select distinct epoch from input_log order by 1")]
    assert len(epochs) > KILLS // 2
    assert day.floor.query("select count(*) from orders")[0][0] >= ORDERS
    assert day.floor.query("select count(*) from fill")[0][0] >= ORDERS // 4


def check_the_books(day: Day) -> None:
    """Cash, positions, costs and profits are what a plain program works out of fills and deposits."""
    paid_in = {trader.portfolio: TRADER_CASH for trader in day.traders}
    assert differences(day.floor.query, paid_in | {day.strategy.portfolio: ROBOT_CASH}) == []


def check_the_replay(day: Day) -> None:
    """From the first input on a new engine: outputs and states of every chunk, every fill, order and snapshot."""
    parity = night.replay(day.floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:5]
    assert parity.first_seq == 1
    assert parity.fills == day.floor.query("select count(*) from fill")[0][0]
    snapshots = {
        seq: (bytes(state), bytes(digest))
        for seq, state, digest in day.floor.query("select input_seq, state, state_hash from snapshot")
    }
    assert len(snapshots) > KILLS // 2
    replayed, filled, over = FloorState(Engine()), dict[int, int](), dict[int, str]()
    for chunk in day.floor.floor.log.chunks(0, parity.last_seq):
        for _, events in replayed.replay(chunk):
            for event in events:
                if isinstance(event, Filled):
                    filled[event.order_id] = filled.get(event.order_id, 0) + event.lots
                elif isinstance(event, Closed):
                    over[event.order_id] = event.state
        if replayed.engine.seq in snapshots:
            assert snapshots.pop(replayed.engine.seq) == (replayed.save(), replayed.engine.state_hash())
    assert snapshots == {}
    orders = day.floor.query("select id, state, filled_lots, quantity_lots from orders")
    for order_id, state, filled_lots, quantity_lots in orders:
        assert filled.get(order_id, 0) == filled_lots
        ends = "filled" if filled_lots == quantity_lots else over.get(order_id, "open")
        assert ends == (state if state in ("filled", "cancelled", "expired", "rejected") else "open")
    assert {order_id for order_id, state, *_ in orders if state not in _OVER} == set(replayed.engine.orders)


_OVER = {"filled", "cancelled", "expired", "rejected"}


def check_the_latency(day: Day) -> None:
    """Each command was delayed by what its number draws, whichever broker read it, and the log has kept it."""
    latency = parse_latency(LATENCY, SEED)
    commands = dict(day.floor.query("select input_seq, id from command where kind not in ('halt', 'resume')"))
    logged: dict[int, int] = {}
    for chunk in day.floor.floor.log.chunks(0, day.floor.floor.log.last_seq()):
        for step in decode(chunk.inputs):
            if isinstance(step, Input) and isinstance(step.body, Submit | Modify | Cancel | Group):
                first = step.body.orders[0] if isinstance(step.body, Group) else step.body
                logged[step.seq] = first.delay_ns
    assert logged == {seq: latency.delay_ns(command_id) for seq, command_id in commands.items()}


def check_the_strategy(day: Day) -> None:
    """The recorded ticks and the accounts it saw give the strategy's tickets again, and these are its orders."""
    lived = day.strategy.decisions
    again = list(rerun(day.strategy.fresh(), np.concatenate(day.market.published), lived))
    assert again == lived
    tickets = {sent.client_id: sent.ticket for decision in again for sent in decision.tickets}
    assert len(day.strategy.orders) >= 5
    for client_id, order_id in day.strategy.orders.items():
        ticket = tickets[client_id]
        rows = day.floor.query(
            "select i.symbol, o.side, o.type, o.quantity_lots from orders o join instrument i on i.id = o.instrument_id"
            " where o.id = %s",
            order_id,
        )
        assert rows == [(ticket.symbol, ticket.side, ticket.type, int(ticket.quantity))]
