"""Traders of the parity day: every type of order at random, changes and cancels of what may still be open."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from parity_market import Market

from trading.domain.errors import Conflict, Halted, Unavailable
from trading.domain.instruments import Instrument
from trading.domain.orders import Change, OrderType, Refusal, Side, Ticket, TimeInForce
from trading.services import desk
from trading.services.access import Actor
from trading.services.floor import Floor

T = TypeVar("T")
OPENING_LOTS = 2_000
RESTING_MOST = 60
"""Open orders a trader lets stand before it cancels the oldest."""
KINDS = {
    "market": 14, "limit": 14, "marketable": 8, "ioc": 6, "fok": 6, "day": 7, "gtd": 7, "post_only": 8, "stop": 6,
    "stop_limit": 6, "trail": 5, "trail_percent": 5, "bracket": 8, "oco": 6,
}  # fmt: skip
"""Kinds of tickets and how often they come."""


def patiently(call: Callable[[], T]) -> T:
    """Ask again while the desk is busy, under the same key: a call whose answer was lost is not carried out twice."""
    for _ in range(100):
        try:
            return call()
        except Unavailable:
            time.sleep(0.1)
        except Conflict as error:
            if error.code != "in_flight":
                raise
            time.sleep(0.1)
    return call()


@dataclass(frozen=True)
class Resting:
    """An order that may still be open: what of it can change."""

    order_id: int
    instrument: Instrument
    side: Side
    lots: int
    what: str


@dataclass
class Trader:
    """Somebody who trades at random on one portfolio through the desk."""

    floor: Floor
    market: Market
    instruments: list[Instrument]
    key: Callable[[], str]
    actor: Actor
    portfolio: int
    chance: random.Random
    resting: list[Resting] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def open(self) -> None:
        """Buy something of everything, so that there is something to sell."""
        for instrument in self.instruments:
            self._send("opening", instrument, Side.BUY, OrderType.MARKET, OPENING_LOTS)

    def move(self) -> None:
        """One ticket, or a change or cancel of an order that may still be open."""
        drawn = self.chance.random()
        try:
            if len(self.resting) > RESTING_MOST:
                self._cancel(self.resting.pop(0))
            elif self.resting and drawn < 0.10:
                self._cancel(self.resting.pop(self.chance.randrange(len(self.resting))))
            elif self.resting and drawn < 0.22:
                self._change(self.chance.choice(self.resting))
            else:
                self._ticket()
        except Halted:
            self.refused["halted"] += 1

    # Tickets ----------------------------------------------------------------------------------------------------------

    def _ticket(self) -> None:
        (kind,) = self.chance.choices(tuple(KINDS), tuple(KINDS.values()))
        instrument = self.chance.choice(self.instruments)
        side = Side.BUY if kind == "bracket" else self.chance.choice((Side.BUY, Side.SELL))
        lots, middle = self.chance.randint(1, 60), self.market.middle(instrument.symbol)
        away = -1 if side is Side.BUY else 1  # from the market's point of view: where a passive price lies

        def price(ticks: int) -> str:
            return f"{instrument.price(ticks):f}"

        near, far = self.chance.randint(1, 12), self.chance.randint(5, 40)
        passive, through = price(middle + away * near), price(middle - away * near)
        beyond = price(middle - away * far)  # where a stop of this side waits
        soon = (datetime.now(UTC) + timedelta(seconds=self.chance.uniform(0.2, 12))).isoformat()
        exits = {"take_profit": price(middle + 15 + far), "stop_loss": price(middle - 15 - far)}
        limit, stop = OrderType.LIMIT, OrderType.STOP
        type_, more = {
            "market": (OrderType.MARKET, {}),
            "limit": (limit, {"limit_price": passive}),
            "marketable": (limit, {"limit_price": through}),
            "ioc": (limit, {"limit_price": through, "time_in_force": TimeInForce.IOC}),
            "fok": (limit, {"limit_price": through, "time_in_force": TimeInForce.FOK}),
            "day": (limit, {"limit_price": passive, "time_in_force": TimeInForce.DAY}),
            "gtd": (limit, {"limit_price": passive, "time_in_force": TimeInForce.GTD, "expires_at": soon}),
            "post_only": (limit, {"limit_price": price(middle + away * (near - 4)), "post_only": True}),
            "stop": (stop, {"stop_price": beyond}),
            "stop_limit": (
                OrderType.STOP_LIMIT,
                {"stop_price": beyond, "limit_price": price(middle - away * (far + self.chance.randint(-6, 6)))},
            ),
            "trail": (OrderType.TRAILING_STOP, {"trail": price(far)}),
            "trail_percent": (OrderType.TRAILING_STOP, {"trail_percent": f"{self.chance.randint(5, 40) / 100}"}),
            "bracket": (limit, {"limit_price": through, **exits}),
            "oco": (stop, {"stop_price": beyond, "oco_limit": passive}),
        }[kind]  # fmt: skip
        self._send(kind, instrument, side, type_, lots, **more)

    def _send(self, kind: str, instrument: Instrument, side: Side, type_: OrderType, lots: int, **more: object) -> None:
        ticket = Ticket(instrument.symbol, side, type_, f"{instrument.quantity(lots):f}", **more)  # type: ignore[arg-type]
        key = self.key()
        answer = patiently(lambda: desk.submit(self.floor, self.actor, self.portfolio, ticket, key))
        if isinstance(answer, Refusal):
            self.refused[answer.code] += 1
            return
        ids = answer.group or (answer.order_id,)
        self.accepted[kind] += len(ids)
        if kind == "bracket":
            whats, sides = ("limit leg", "stop leg", "limit of a group"), (Side.SELL, Side.SELL, Side.BUY)
        elif kind == "oco":
            whats, sides = ("stop leg", "limit leg"), (side, side)
        elif kind in ("stop", "stop_limit", "trail", "trail_percent"):
            whats, sides = (kind,), (side,)
        elif kind in ("limit", "marketable", "day", "gtd", "post_only"):
            whats, sides = ("limit",), (side,)
        else:
            return
        assert len(ids) == len(whats)
        self.resting += [
            Resting(order_id, instrument, own, lots, what)
            for order_id, own, what in zip(ids, sides, whats, strict=True)
        ]

    # Changes and cancels ----------------------------------------------------------------------------------------------

    def _cancel(self, order: Resting) -> None:
        answer = patiently(lambda: desk.cancel(self.floor, self.actor, self.portfolio, order.order_id))
        self.asked["cancel" if answer is None else f"cancel, {answer.code}"] += 1

    def _change(self, order: Resting) -> None:
        instrument, middle = order.instrument, self.market.middle(order.instrument.symbol)
        away = -1 if order.side is Side.BUY else 1
        price = f"{instrument.price(middle + away * self.chance.randint(-3, 25)):f}"
        beyond = f"{instrument.price(middle - away * self.chance.randint(3, 40)):f}"
        terms = {
            "limit": {"limit_price": price},
            "limit leg": {"limit_price": price},
            "limit of a group": {"limit_price": price},
            "stop": {"stop_price": beyond},
            "stop leg": {"stop_price": beyond},
            "stop_limit": {"stop_price": beyond},
            "trail": {"trail": f"{instrument.price(self.chance.randint(5, 60)):f}"},
            "trail_percent": {"trail_percent": f"{self.chance.randint(5, 60) / 100}"},
        }[order.what]
        if order.what in ("limit", "stop", "trail") and self.chance.random() < 0.5:
            terms = {"quantity": f"{instrument.quantity(max(1, order.lots + self.chance.randint(-20, 20))):f}"}
        change = Change(**terms)
        key = self.key()
        answer = patiently(lambda: desk.modify(self.floor, self.actor, self.portfolio, order.order_id, change, key))
        if isinstance(answer, Refusal):
            self.asked[f"modify, {answer.code}"] += 1
            if answer.code == "order_over":
                self.resting.remove(order)
        else:
            self.asked["modify"] += 1
