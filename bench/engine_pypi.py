"""The engine beside limit-order-book 2.0.0, the fastest public one: engine_batch_vs_pypi, engine_call_vs_pypi.

That engine is C++ behind ctypes and takes one order a call, by the methods of its `LimitOrderBook`; it has no batches.
Both engines get the same rows of limit orders and cancels without owners, for it knows neither IOC nor self-trades (a
sweep is a limit order and a cancel of what it left), as plain Python numbers made beforehand. It reports no fills, so
what can be compared is compared: at ten places of each flow both have the same number of open orders, the same open
quantity and the same best prices. Ours gives out every event meanwhile. The figures are of the flow,
of the two, in which we stand worse.
"""

import time
from pathlib import Path
from typing import Any

from limit_order_book import LimitOrderBook

from bench.engine_twin import run_ours
from bench.flows import Array, crash, engine, limits_only, mix
from bench.measure import Figures, Row, at_least, in_turns, scaled, worse
from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import BUY, SELL, Op

INPUTS = 500_000
ROUNDS = 7
IN_BATCHES_WANTED, ONE_A_CALL_WANTED = 25, 1.2
ADD = int(Op.ADD)
Calls = list[tuple[int, Any, int, int, int]]


def run(_folder: Path) -> list[Row]:
    """Measure both flows, in batches and one order a call."""
    flows = [limits_only(flow(scaled(INPUTS), owners=False)) for flow in (mix, crash)]
    batches, calls = zip(*map(measured, flows), strict=True)
    return [
        at_least("engine_batch_vs_pypi", *worse(batches), IN_BATCHES_WANTED, "M inputs/s"),
        at_least("engine_call_vs_pypi", *worse(calls), ONE_A_CALL_WANTED, "M inputs/s"),
    ]


def measured(rows: Array) -> tuple[Figures, Figures]:
    """In batches, and one order a call. Raises RuntimeError where the books differ."""
    calls = calls_of(rows)
    peer_calls = [(op, side == BUY, *rest) for op, side, *rest in calls]
    compare(rows, peer_calls)
    return (
        in_turns(ROUNDS, lambda: run_ours(rows, lambda _: None), lambda: peer_one_a_call(peer_calls)),
        in_turns(ROUNDS, lambda: ours_one_a_call(calls), lambda: peer_one_a_call(peer_calls)),
    )


def calls_of(rows: Array) -> Calls:
    """Op, side, order, quantity, price of each row, as Python numbers."""
    return list(zip(*(rows[name].tolist() for name in ("op", "side", "order_id", "qty", "price")), strict=True))


def ours_one_a_call(calls: Calls) -> float:
    """Millions of inputs a second."""
    running = engine()
    enter, withdraw = running.enter, running.withdraw
    began_s = time.perf_counter()
    for op, side, order_id, qty, price in calls:
        if op == ADD:
            enter(0, order_id, side, qty, price)
        else:
            withdraw(order_id)
    return len(calls) / (time.perf_counter() - began_s) / 1e6


def peer_one_a_call(calls: Calls) -> float:
    """Millions of inputs a second."""
    began_s = time.perf_counter()
    feed_peer(LimitOrderBook(), calls)
    return len(calls) / (time.perf_counter() - began_s) / 1e6


def feed_peer(book: LimitOrderBook, calls: Calls) -> None:
    """All calls, by the methods bound beforehand."""
    limit, cancel = book.limit, book.cancel
    for op, side, order_id, qty, price in calls:
        if op == ADD:
            limit(side, order_id, qty, price)
        else:
            cancel(order_id)


def compare(rows: Array, peer_calls: Calls) -> None:
    """Raises RuntimeError where the two books differ on the way."""
    running, book = engine(), LimitOrderBook()
    step = -(-len(rows) // 10)
    for at in range(0, len(rows), step):
        running.apply(rows[at : at + step])
        feed_peer(book, peer_calls[at : at + step])
        theirs = (book.count(), book.volume(), book.best_buy(), book.best_sell())
        if state_of(running) != theirs:
            raise RuntimeError(f"the two books differ after {at + step} inputs: {state_of(running)} and {theirs}")


def state_of(running: CompiledEngine) -> tuple[int, int, int, int]:
    """Open orders, open quantity, best bid and ask (0 where a side is empty)."""
    orders = running.open_orders()
    bids, asks = (orders["price"][orders["side"] == side] for side in (BUY, SELL))
    return len(orders), int(orders["qty"].sum()), int(bids.max(initial=0)), int(asks.min()) if len(asks) else 0
