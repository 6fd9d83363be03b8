"""Flows of orders for the engine's benchmarks, seeded: the same rows in every run and for every engine.

Cancels name orders that are open: a flow is woven in blocks while an engine runs it, and the rare cancel that comes too
late is left out.
"""

from typing import Any

import numpy as np

from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import BUY, INPUT, SELL, Cancelled, Event, Kind, Op

Array = np.ndarray[Any, np.dtype[Any]]

POOL_BITS = 13
"""Room for 2^18 open orders in every engine that has to be told."""
BLOCK_ADDS, BLOCK_CANCELS = 240, 160


def engine() -> CompiledEngine:
    """A new engine of one symbol without an outside."""
    return CompiledEngine(orders=1 << POOL_BITS)


def mix(inputs: int, owners: bool = True, seed: int = 1) -> Array:
    """60 % adds, 40 % cancels of open orders, round a price that wanders; a sixth of the adds trade."""
    random, n = np.random.default_rng(seed), inputs * BLOCK_ADDS // (BLOCK_ADDS + BLOCK_CANCELS)
    mid = 10_000 + np.cumsum(random.integers(-1, 2, n) * (random.random(n) < 0.05))
    return _with_cancels(_limits(random, mid, random.geometric(0.08, n) - 2, owners), random)


def crash(inputs: int, owners: bool = True, seed: int = 2) -> Array:
    """The price falls by 30,000 ticks and comes back, four times; sweeps clear the book on the way."""
    random, n = np.random.default_rng(seed), inputs * BLOCK_ADDS // (BLOCK_ADDS + BLOCK_CANCELS)
    part = np.arange(n) * 8 // n
    mid = 100_000 - np.abs(np.arange(n) * 8 * 30_000 // n % 60_000 - 30_000)
    rows = _limits(random, mid, random.geometric(0.02, n) - 10, owners)
    sweeps = random.random(n) < 0.05
    rows["kind"][sweeps], rows["qty"][sweeps], rows["owner"][sweeps] = int(Kind.IOC), 100_000, 0
    rows["price"][sweeps] = mid[sweeps]
    rows["side"][sweeps] = np.where(part[sweeps] % 2 == 0, BUY, SELL)
    return _with_cancels(rows, random)


def limits_only(rows: Array) -> Array:
    """The same trading without IOC: a limit order, and a cancel of what it left."""
    events = engine().apply(rows)
    left = events[(events["kind"] == int(Event.CANCELLED)) & (events["code"] == int(Cancelled.IOC))]
    cancels = np.zeros(len(left), INPUT)
    cancels["op"], cancels["order_id"] = int(Op.CANCEL), left["order_id"]
    both = np.concatenate((rows, cancels))
    both["kind"][both["kind"] == int(Kind.IOC)] = int(Kind.LIMIT)
    both = both[np.argsort(np.concatenate((rows["seq"], left["input_seq"])), kind="stable")]
    both["seq"] = np.arange(1, len(both) + 1)
    return both


def _limits(random: np.random.Generator, mid: Array, away: Array, owners: bool) -> Array:
    n = len(mid)
    rows = np.zeros(n, INPUT)
    rows["op"], rows["kind"], rows["order_id"] = int(Op.ADD), int(Kind.LIMIT), np.arange(1, n + 1)
    rows["side"], rows["qty"] = random.integers(0, 2, n), random.integers(1, 100, n)
    rows["price"] = mid + np.where(rows["side"] == BUY, -away, away)
    if owners:
        rows["owner"] = random.integers(1, 1000, n)
    return rows


def _with_cancels(adds: Array, random: np.random.Generator) -> Array:
    running, woven = engine(), []
    for at in range(0, len(adds), BLOCK_ADDS):
        part, live = adds[at : at + BLOCK_ADDS], running.open_orders()["order_id"]
        cancels = np.zeros(min(len(live), BLOCK_CANCELS), INPUT)
        cancels["op"], cancels["order_id"] = int(Op.CANCEL), random.choice(live, len(cancels), replace=False)
        block = np.concatenate((part, cancels))
        place = np.concatenate((np.arange(len(part)) / BLOCK_ADDS, random.random(len(cancels))))
        block = block[np.argsort(place, kind="stable")]
        block["seq"] = running.seq + 1 + np.arange(len(block))
        events = running.apply(block)
        late = events["input_seq"][events["kind"] == int(Event.REJECTED)]
        woven.append(block[~np.isin(block["seq"], late)])
    rows = np.concatenate(woven)
    rows["seq"] = np.arange(1, len(rows) + 1)
    return rows
