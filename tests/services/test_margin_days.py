"""Random days of a margin portfolio: whatever comes, the books agree after each step and a replay says the same."""

import random

import pytest
from trading_floor import TradingFloor

from trading.domain.orders import Refusal
from trading.services import ledger, night
from trading.services.access import SYSTEM

SYMBOLS = ("AAPL", "MSFT")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_day_on_margin(floor: TradingFloor, seed: int) -> None:
    chance = random.Random(seed)
    who = floor.add_trader("mia", "10000.00", kind="margin")
    price = dict.fromkeys(SYMBOLS, 10_000)
    seen: set[str] = set()
    for step in range(60):
        symbol = chance.choice(SYMBOLS)
        # The market goes against what is held more often than not, and mia adds to it: calls and close-outs do come.
        lots = floor.shares(symbol, who[1])[0]
        against = -1 if lots > 0 else 1
        price[symbol] = max(500, price[symbol] * (100 + against * chance.randint(-6, 14)) // 100)
        bid = price[symbol]
        floor.quote(f"{bid / 100:.2f}", f"{(bid + 2) / 100:.2f}", lots=chance.choice((20, 1000)), symbol=symbol)
        adds = "buy" if lots > 0 else "sell" if lots < 0 else chance.choice(("buy", "sell"))
        side = adds if chance.random() < 0.7 else "buy" if adds == "sell" else "sell"
        quantity = str(chance.randint(1, 150))
        limit = f"{(bid + chance.randint(-300, 300)) / 100:.2f}"
        more = {"stop_loss": f"{bid * 0.9 / 100:.2f}"} if side == "buy" and chance.random() < 0.2 else {}
        answer = floor.order(side, quantity, limit if chance.random() < 0.7 else None, symbol=symbol, who=who, **more)
        seen.add(answer.code if isinstance(answer, Refusal) else "accepted")
        if chance.random() < 0.15:
            floor.run_broker(
                floor.quoted(f"{bid * 0.7 / 100:.2f}", f"{bid * 0.7 / 100:.2f}", symbol=symbol), commands=[]
            )
            price[symbol] = bid * 7 // 10
        floor.run_broker()
        if chance.random() < 0.1:
            floor.restart_broker()
        if chance.random() < 0.05:
            ledger.deposit(floor.floor, SYSTEM, who[1], "2000.00", f"more-{step}")
        floor.check()
    assert {"accepted", "insufficient_margin", "reversal_is_two_orders"} <= seen
    assert floor.query("select 1 from margin_event where kind = 'call'")
    assert floor.query("select 1 from orders where tif = 'ioc' and filled_lots > 0")
    parity = night.replay(floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:3]
