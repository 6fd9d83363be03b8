"""A broker on the network with a book of its own: a small HTTP server, and the adapter that speaks to it.

The server can be slow, do what it was asked and lose the answer, and deliver executions twice.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from trading.domain.errors import Conflict, Invalid, NotFound, Unavailable
from trading.domain.instruments import Instrument
from trading.domain.orders import OrderState, OrderType, Refusal, Side, TimeInForce
from trading.services.ports.brokerage import Balance, BrokerOrder, Execution, Holding, NewOrder, NewTerms

OVER = {OrderState.FILLED, OrderState.CANCELLED}
AT_ONCE = {TimeInForce.IOC, TimeInForce.FOK}
BAND = 1.05
"""A market buy reserves cash up to this share of the ask."""


@dataclass
class Faults:
    """What goes wrong on the wire: every n-th answer is lost (0: none), executions come twice, answers take time."""

    lost_every: int = 0
    twice: bool = False
    delay_s: float = 0.0


class Book:
    """One account in one instrument: orders by arrival, the market's quote, and what has been executed. No fees."""

    def __init__(self, instrument: Instrument, cash: int) -> None:
        self.instrument, self.cash, self.lots = instrument, cash, 0
        self.orders: dict[str, BrokerOrder] = {}
        self.executions: list[Execution] = []
        self._by_client: dict[str, tuple[Any, str | Refusal]] = {}
        self._quote = {Side.BUY: [0, 0], Side.SELL: [0, 0]}  # what a taker of that side meets: price, lots
        self._changes: dict[str, Refusal | None] = {}
        self._ids = count(1)

    def quote(self, bid: int, ask: int, lots: int) -> None:
        self._quote = {Side.BUY: [ask, lots], Side.SELL: [bid, lots]}
        for order in self.open():
            self._match(order, rests=True)

    def open(self) -> list[BrokerOrder]:
        return [order for order in self.orders.values() if order.state not in OVER]

    def submit(self, terms: Mapping[str, Any]) -> BrokerOrder | Refusal:
        known = self._by_client.get(terms["client_id"])
        if known is not None:
            if known[0] != terms:
                raise Conflict("this client id belongs to another order", "duplicate_client_id")
            return known[1] if isinstance(known[1], Refusal) else self.orders[known[1]]
        order = BrokerOrder(
            order_id=str(next(self._ids)),
            client_id=terms["client_id"],
            instrument_id=self.instrument.id,
            side=Side(terms["side"]),
            type=OrderType(terms["type"]),
            time_in_force=TimeInForce(terms["tif"]),
            quantity_lots=terms["lots"],
            filled_lots=0,
            limit_ticks=terms["limit"],
            stop_ticks=None,
            state=OrderState.WORKING,
            reason="",
        )
        refusal = self._refusal(order)
        self._by_client[order.client_id] = (terms, refusal or order.order_id)
        if refusal is not None:
            return refusal
        self.orders[order.order_id] = order
        if order.time_in_force is not TimeInForce.FOK or self._meets(order) == order.quantity_lots:
            self._match(order, rests=False)
        if order.time_in_force in AT_ONCE and self.orders[order.order_id] in self.open():
            self._end(order.order_id, order.time_in_force.value)
        return self.orders[order.order_id]

    def cancel(self, order_id: str) -> Refusal | None:
        if self.order(order_id).state in OVER:
            return Refusal("order_over", "This order is already over.")
        self._end(order_id, "cancel")
        return None

    def modify(self, order_id: str, terms: Mapping[str, Any], key: str) -> Refusal | None:
        if key in self._changes:
            return self._changes[key]
        order = self.order(order_id)
        lots = terms["quantity_lots"] or order.quantity_lots
        limit = terms["limit_ticks"] or order.limit_ticks
        after = replace(order, quantity_lots=lots, limit_ticks=limit)
        refusal = None
        if order.state in OVER:
            refusal = Refusal("order_over", "This order is already over.")
        elif lots <= order.filled_lots:
            refusal = Refusal("below_filled", "So much has traded already.")
        else:
            self.orders[order_id] = replace(order, quantity_lots=order.filled_lots)  # holds nothing while it is judged
            refusal = self._refusal(replace(after, quantity_lots=lots - order.filled_lots, filled_lots=0))
            self.orders[order_id] = order if refusal is not None else after
            if refusal is None:
                self._match(after, rests=False)
        self._changes[key] = refusal
        return refusal

    def order(self, order_id: str) -> BrokerOrder:
        if order_id not in self.orders:
            raise NotFound("there is no such order", "unknown_order")
        return self.orders[order_id]

    def held_cash(self) -> int:
        return sum(self._reserved(order) for order in self.open())

    def held_lots(self) -> int:
        return sum(order.quantity_lots - order.filled_lots for order in self.open() if order.side is Side.SELL)

    def _reserved(self, order: BrokerOrder) -> int:
        worst = order.limit_ticks or int(self._quote[Side.BUY][0] * BAND)
        return self.instrument.notional(worst * (order.quantity_lots - order.filled_lots)) * (order.side is Side.BUY)

    def _refusal(self, order: BrokerOrder) -> Refusal | None:
        if order.side is Side.SELL and self.lots - self.held_lots() < order.quantity_lots:
            return Refusal("insufficient_position", "Not so many are free to be sold.")
        if self.cash - self.held_cash() < self._reserved(order):
            return Refusal("insufficient_cash", "Not enough cash.")
        return None

    def _end(self, order_id: str, reason: str) -> None:
        self.orders[order_id] = replace(self.orders[order_id], state=OrderState.CANCELLED, reason=reason)

    def _meets(self, order: BrokerOrder) -> int:
        """Lots that the quote offers it."""
        price, lots = self._quote[order.side]
        direction = 1 if order.side is Side.BUY else -1
        beyond = order.limit_ticks is not None and direction * (price - order.limit_ticks) > 0
        return 0 if beyond else min(order.quantity_lots - order.filled_lots, lots)

    def _match(self, order: BrokerOrder, rests: bool) -> None:
        """Against the quote, whose size is used once; what rests trades at its own limit."""
        shown, lots = self._quote[order.side], self._meets(order)
        direction = 1 if order.side is Side.BUY else -1
        if lots <= 0:
            return
        shown[1] -= lots
        price = order.limit_ticks if rests and order.limit_ticks is not None else shown[0]
        filled = order.filled_lots + lots
        state = OrderState.FILLED if filled == order.quantity_lots else OrderState.PARTIALLY_FILLED
        self.orders[order.order_id] = replace(order, filled_lots=filled, state=state)
        self.lots += direction * lots
        self.cash -= direction * self.instrument.notional(price * lots)
        cursor = str(len(self.executions) + 1)
        self.executions.append(
            Execution(cursor, order.order_id, self.instrument.id, order.side, price, lots, 0, time.time_ns())
        )


class FakeBroker(ThreadingHTTPServer):
    """Serves a `Book` from a thread of its own."""

    daemon_threads = True

    def __init__(self, book: Book, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.book, self.faults, self.lock = book, faults, threading.Lock()
        self.answers = self.lost = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeBroker

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            try:
                status, answer = 200, self._does(body)
            except Conflict as error:
                status, answer = 409, {"code": error.code, "reason": str(error)}
            except NotFound as error:
                status, answer = 404, {"code": error.code, "reason": str(error)}
            except Invalid as error:
                status, answer = 400, {"code": error.code, "reason": str(error)}
            self.server.answers += 1
            every = self.server.faults.lost_every
            lose = every > 0 and self.server.answers % every == 0
            self.server.lost += lose
        time.sleep(self.server.faults.delay_s)
        if lose:
            self.close_connection = True
            return
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _does(self, body: Mapping[str, Any]) -> Any:
        book = self.server.book
        match body["do"]:
            case "submit":
                return _plain(book.submit(body["terms"]))
            case "cancel":
                return _plain(book.cancel(body["order_id"]))
            case "modify":
                return _plain(book.modify(body["order_id"], body["terms"], body["key"]))
            case "order":
                return _plain(book.order(body["order_id"]))
            case "open_orders":
                return [_plain(order) for order in book.open()]
            case "executions":
                since = body["since"] or "0"
                if not since.isdecimal() or int(since) > len(book.executions):
                    raise Invalid("no such cursor", "bad_cursor")
                first = max(0, int(since) - self.server.faults.twice)
                return [_plain(run) for run in book.executions[first : int(since) + body["limit"]]]
            case "positions":
                held = book.held_lots()
                return [_plain(Holding(book.instrument.id, book.lots, held))] if book.lots else []
            case _:
                return [_plain(Balance(book.instrument.currency.code, 2, book.cash, book.held_cash()))]

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _plain(value: Any) -> Any:
    return None if value is None else {"is": type(value).__name__, **asdict(value)}


class NetworkBrokerage:
    """Implements `trading.services.ports.brokerage.Brokerage` over the network.

    An answer that is lost is asked for again: orders carry their client's id, so nothing happens twice.
    """

    TRIES = 5

    def __init__(self, port: int, timeout_s: float = 2.0) -> None:
        self._port, self._timeout_s = port, timeout_s

    def submit(self, order: NewOrder) -> BrokerOrder | Refusal:
        terms = {
            "client_id": order.client_id,
            "side": order.side,
            "type": order.type,
            "lots": order.quantity_lots,
            "limit": order.limit_ticks,
            "tif": order.time_in_force,
        }
        answer, _ = self._ask("submit", terms=terms)
        return _refusal(answer) or _order(answer)

    def cancel(self, order_id: str) -> Refusal | None:
        answer, tries = self._ask("cancel", order_id=order_id)
        refusal = _refusal(answer)
        if refusal is not None and tries > 1 and self.order(order_id).reason == "cancel":
            return None  # the cancel whose answer was lost had been carried out
        return refusal

    def modify(self, order_id: str, terms: NewTerms, key: str) -> Refusal | None:
        answer, _ = self._ask("modify", order_id=order_id, terms=asdict(terms), key=key)
        return _refusal(answer)

    def order(self, order_id: str) -> BrokerOrder:
        return _order(self._ask("order", order_id=order_id)[0])

    def open_orders(self) -> Sequence[BrokerOrder]:
        return [_order(row) for row in self._ask("open_orders")[0]]

    def executions(self, since: str = "", limit: int = 1000) -> Sequence[Execution]:
        answer, _ = self._ask("executions", since=since, limit=limit)
        runs = [Execution(**{**_bare(row), "side": Side(row["side"])}) for row in answer]
        return [run for run in runs if int(run.cursor) > int(since or "0")]

    def positions(self) -> Sequence[Holding]:
        return [Holding(**_bare(row)) for row in self._ask("positions")[0]]

    def account(self) -> Sequence[Balance]:
        return [Balance(**_bare(row)) for row in self._ask("account")[0]]

    def _ask(self, do: str, **details: Any) -> tuple[Any, int]:
        """The answer and how often it was asked for; raises `Unavailable` after `TRIES`."""
        for tries in range(1, self.TRIES + 1):
            connection = HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
            try:
                connection.request("POST", "/", json.dumps({"do": do, **details}))
                response = connection.getresponse()
                status, answer = response.status, json.loads(response.read())
            except (HTTPException, OSError):
                continue
            finally:
                connection.close()
            if status != 200:
                raise {409: Conflict, 404: NotFound, 400: Invalid}[status](answer["reason"], answer["code"])
            return answer, tries
        raise Unavailable("the broker does not answer")


def _bare(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "is"}


def _refusal(answer: Any) -> Refusal | None:
    return Refusal(**_bare(answer)) if answer is not None and answer["is"] == "Refusal" else None


def _order(row: Mapping[str, Any]) -> BrokerOrder:
    values = _bare(row)
    kinds = {"side": Side, "type": OrderType, "time_in_force": TimeInForce, "state": OrderState}
    return BrokerOrder(**{**values, **{name: kind(values[name]) for name, kind in kinds.items()}})
