"""The compiled core and the floor's present engine: the same orders on the same ticks give the same fills."""

from random import Random

import pytest

from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import BUY, SELL, Event, Kind
from trading.exchange.engine import Engine
from trading.exchange.messages import Body, Cancel, Filled, Gap, Input, Submit, Tick, Timer
from trading.market.ticks import QUOTE, TRADE

MS = 1_000_000
Fills = list[tuple[int, int, int]]


def plain(engine: Engine, now_ns: int, body: Body) -> Fills:
    events = engine.apply(Input(engine.seq + 1, now_ns, body))
    return [(e.order_id, e.price_ticks, e.lots) for e in events if isinstance(e, Filled)]


def compiled(engine: CompiledEngine, now_ns: int, body: Body) -> Fills:
    if isinstance(body, Submit):
        kind = Kind.IOC if body.tif == "ioc" else Kind.MARKET if body.market else Kind.LIMIT
        side = BUY if body.direction == 1 else SELL
        events = engine.add(0, body.order_id, side, body.quantity_lots, body.limit_ticks, owner=body.portfolio_id,
                            kind=kind, expires_ns=body.expires_ns or 0, ts_ns=now_ns)  # fmt: skip
    elif isinstance(body, Cancel):
        events = engine.cancel(body.order_id, ts_ns=now_ns)
    elif isinstance(body, Gap):
        events = engine.gap(ts_ns=now_ns)
    elif isinstance(body, Tick) and body.kind == QUOTE:
        events = engine.quote(0, body.bid_ticks, body.bid_lots, body.ask_ticks, body.ask_lots, ts_ns=now_ns)
    elif isinstance(body, Tick):
        events = engine.trade(0, body.trade_ticks, body.trade_lots, ts_ns=now_ns)
    else:
        events = engine.time(now_ns)
    # The plain engine tells a fill twice where two users meet: the taker's, then the maker's.
    return [
        (int(order_id), int(fill["price"]), int(fill["qty"]))
        for fill in events[events["kind"] == Event.FILL]
        for order_id in (fill["order_id"], fill["maker_id"])
        if order_id
    ]


@pytest.mark.parametrize("seed", range(20))
def test_both_engines_give_the_same_fills(seed: int) -> None:
    r = Random(seed)
    one, two = Engine(), CompiledEngine(1, waits=True)
    now_ns, last_id, mid, fills = MS, 0, 1000, 0
    for _ in range(1_500):
        now_ns += r.choice([1, 20, 400]) * MS if r.random() < 0.99 else 6_000 * MS
        mid += r.randint(-1, 1)
        what = r.random()
        body: Body
        if what < 0.45:
            last_id += 1
            tif = r.choice(["gtc", "gtc", "ioc"])
            expires_ns = now_ns + r.randint(1, 3_000) * MS if tif == "gtc" and r.random() < 0.2 else None
            direction = r.choice([1, -1])
            body = Submit(last_id, r.randint(1, 4), 1, 1, direction, r.random() < 0.2, tif, r.randint(1, 30),
                          mid + r.randint(-6, 6), expires_ns)  # fmt: skip
        elif what < 0.60:
            body = Cancel(max(1, last_id - r.randint(0, 20)))
        elif what < 0.85:
            bid = mid + r.randint(-4, 2)
            body = Tick(1, QUOTE, 0, 1, 0, bid, bid + r.randint(1, 4), r.randint(0, 40), r.randint(0, 40), 0, 0)
        elif what < 0.97:
            body = Tick(1, TRADE, 0, 1, 0, 0, 0, 0, 0, mid + r.randint(-5, 5), r.randint(1, 30))
        else:
            body = Gap("lost") if what < 0.98 else Timer()
        # The compiled core expires what is due before every input; the plain one waits for a timer, so it gets one.
        plain(one, now_ns, Timer())
        expected = plain(one, now_ns, body)
        assert compiled(two, now_ns, body) == expected, f"{body}"
        fills += len(expected)
    assert fills > 200
