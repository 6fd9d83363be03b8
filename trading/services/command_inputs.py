"""From commands of the database to inputs of the engine: when they are due, what they say. Pure.

Commands pass through a queue ordered by when they are due, so that a model of latency can stand between the desk and
the exchange: a command that is due now is sequenced now.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any

from trading.domain import actions as domain
from trading.domain.instruments import Instrument
from trading.exchange.latency import Latency
from trading.exchange.messages import (
    BUY,
    SELL,
    Action,
    Body,
    Cancel,
    Direction,
    Gap,
    Group,
    Halt,
    Modify,
    Session,
    Submit,
)
from trading.exchange.telling import OpenOrder as EngineOrder
from trading.services.ports.broker import Command, Standing

DAY_NS = 86_400_000_000_000
DayEnd = Callable[[int, int], int]
"""When the trading day of an instrument ends that runs at a time, or the next one where none does; UTC ns."""
_DIRECTIONS: Mapping[str, Direction] = {"buy": BUY, "sell": SELL}
_BY_WIRE = frozenset({"submit", "group", "modify", "cancel"})
_AT_MARKET = ("market", "stop", "trailing_stop")

Delay = Callable[[Command], int]
"""Nanoseconds that a command needs to the exchange."""


def no_delay(command: Command) -> int:
    """Commands are at the exchange when they are read."""
    return 0


def delay_by(latency: Latency) -> Delay:
    """Orders, their changes and cancels need what the model draws; the kill switch acts at once."""
    return lambda command: latency.delay_ns(command.id) if command.kind in _BY_WIRE else 0


@dataclass(slots=True)
class CommandQueue:
    """Commands that were read and are not sequenced yet, by the time they are due and then as they were read.

    ``known`` are those that the database must not give again: whoever takes one here takes it out when it is committed.
    """

    delay: Delay = no_delay
    known: set[int] = field(default_factory=set)
    _heap: list[tuple[int, int, Command]] = field(default_factory=list)
    _read: int = 0

    def put(self, now_ns: int, commands: Iterable[Command]) -> None:
        """Take commands; those that wait here already are passed over."""
        for command in commands:
            if command.id not in self.known:
                self.known.add(command.id)
                self._read += 1
                heappush(self._heap, (now_ns + self.delay(command), self._read, command))

    def take(self, now_ns: int) -> list[Command]:
        """What is due. A corporate action comes last, behind all that was sent before it: nothing stays on its way."""
        taken = []
        while self._heap and self._heap[0][0] <= now_ns:
            taken.append(heappop(self._heap)[2])
        if any(command.kind == "action" for command in taken):
            taken += [command for _, _, command in sorted(self._heap)]
            self._heap.clear()
            taken.sort(key=lambda command: command.kind == "action")
        return taken

    def next_due_ns(self) -> int | None:
        """When the next one is due."""
        return self._heap[0][0] if self._heap else None


def order_ids(commands: Sequence[Command]) -> list[int]:
    """Orders whose accounting has to be read (again): new ones, and those that the desk holds more for."""
    ids: list[int] = []
    for command in commands:
        if command.kind == "group":
            ids += [order["order_id"] for order in command.payload["orders"]]
        elif command.kind in ("submit", "modify"):
            ids.append(command.payload["order_id"])
    return ids


def utc_day_end(_instrument_id: int, ts_ns: int) -> int:
    """The day of a market that never closes ends at 00:00 UTC."""
    return (ts_ns // DAY_NS + 1) * DAY_NS


def body_of(
    command: Command,
    now_ns: int,
    resting: Mapping[int, EngineOrder],
    day_end: DayEnd,
    delay_ns: int = 0,
) -> Body:
    """What a command says. ``resting`` is what the engine has of the open orders."""
    payload = command.payload
    if command.kind == "submit":
        return submit_of(payload, now_ns, day_end, delay_ns)
    if command.kind == "group":
        return Group(tuple(submit_of(order, now_ns, day_end, delay_ns) for order in payload["orders"]))
    if command.kind == "modify":
        return _modify(payload, resting, delay_ns)
    if command.kind == "cancel":
        return Cancel(payload["order_id"], delay_ns)
    if command.kind in ("halt", "resume"):
        return Halt(payload["scope"], payload["mode"], tuple(payload.get("orders", ())))
    raise ValueError(f"command {command.id} is a {command.kind}, which no input says")


def action_of(command: Command) -> domain.Action:
    """The corporate action that a command asks for."""
    payload = command.payload
    return domain.Action(
        id=payload["action_id"],
        instrument_id=payload["instrument_id"],
        ratio=Fraction(payload["numerator"], payload["denominator"]),
        reference_ticks=payload["reference_ticks"],
        dividend=Decimal(payload["dividend"]),
        tax_ppm=payload["tax_ppm"],
    )


def adjustment(action: domain.Action, instrument: Instrument | None, made: domain.Orders) -> Action:
    """What a corporate action, and what it makes of the open orders of its instrument, says to the exchange."""
    return Action(
        action_id=action.id,
        instrument_id=action.instrument_id,
        numerator=action.ratio.numerator,
        denominator=action.ratio.denominator,
        lowered_ticks=0 if instrument is None else domain.lowered_ticks(action, instrument),
        cancels=made.cancelled,
        changes=tuple(
            [
                (
                    order.id,
                    order.terms.protection_ticks,
                    order.open_lots,
                    order.planned_lots,
                    order.terms.stop_ticks or 0,
                    order.terms.trail or order.terms.trail_ppm or 0,
                )
                for order in made.changed
            ]
        ),
    )


def submit_of(payload: Mapping[str, Any], now_ns: int, day_end: DayEnd, delay_ns: int = 0) -> Submit:
    """A new order. What is good for the day ends with the instrument's trading day, or the next where none runs."""
    day = payload["tif"] == "day"
    return Submit(
        order_id=payload["order_id"],
        portfolio_id=payload["portfolio_id"],
        user_id=payload["user_id"],
        instrument_id=payload["instrument_id"],
        direction=_DIRECTIONS[payload["side"]],
        market=payload["type"] in _AT_MARKET,
        tif=payload["tif"],
        quantity_lots=payload["quantity_lots"],
        limit_ticks=payload["protection_ticks"],
        expires_ns=day_end(payload["instrument_id"], now_ns) if day else payload.get("expires_ns"),
        post_only=payload.get("post_only", False),
        trigger=payload.get("trigger", ""),
        stop_ticks=payload.get("stop_ticks", 0),
        trail=payload.get("trail", 0),
        link=payload.get("link", ""),
        link_order_id=payload.get("link_order_id", 0),
        delay_ns=delay_ns,
    )


def _modify(payload: Mapping[str, Any], resting: Mapping[int, EngineOrder], delay_ns: int) -> Modify:
    """The desk speaks of the whole quantity, the engine of what is open: the change is the same for both.

    So a fill, or a sibling's, that overtakes the change does not make it one of the quantity.
    """
    at_exchange = resting.get(payload["order_id"])
    open_lots = 0 if at_exchange is None else max(0, at_exchange.open_lots + payload["change_lots"])
    stop_ticks, trail = payload.get("stop_ticks", 0), payload.get("trail", 0)
    return Modify(payload["order_id"], payload["limit_ticks"], open_lots, stop_ticks, trail, delay_ns)


def reentry(
    standings: Sequence[Standing], halted: Mapping[str, Sequence[int]], now_ns: int, day_end: DayEnd
) -> list[Body]:
    """Inputs that bring the orders open in the database into an engine without any, by id, and then the halts.

    ``halted`` names the open orders of scopes that the engine does not know. Sessions are closed meanwhile: nothing
    trades before all are there and the halts are in force. An order keeps its day, and its place in the queue is lost.
    """
    instruments = sorted({standing.payload["instrument_id"] for standing in standings})
    bodies: list[Body] = [Gap("the first start of a new engine revision")]
    bodies += [Session(instrument_id, open=False) for instrument_id in instruments]
    for standing in sorted(standings, key=lambda each: each.payload["order_id"]):
        submit = submit_of(standing.payload, standing.accepted_ts_ns, day_end)
        if submit.expires_ns is not None and submit.expires_ns <= now_ns:
            submit = replace(submit, expires_ns=now_ns + 1)  # it expires as soon as it is there
        bodies.append(submit)
    bodies += [Halt(scope, "halted", tuple(ids)) for scope, ids in sorted(halted.items())]
    bodies += [Session(instrument_id, open=True) for instrument_id in instruments]
    return bodies
