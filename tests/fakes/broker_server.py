"""A broker elsewhere on a socket: the REST API of `trading.adapters.brokers.remote` over a `FakeExchange`.

It can be slow, do what it was asked and lose the answer, answer with 500 before or after it did so, and tell executions
twice.
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fakes.broker_exchange import FakeExchange

from trading.domain.brokerage import BrokerOrder, Execution
from trading.domain.errors import Conflict, Forbidden, Invalid, NotFound, TradefloorError
from trading.domain.instruments import Instrument
from trading.domain.orders import Refusal

KEY = "a-key-that-nobody-may-read"
_STATUS = {Conflict: 409, NotFound: 404, Invalid: 400, Forbidden: 401}


@dataclass
class Faults:
    """What goes wrong on the wire, each n-th time (0: never)."""

    lost_every: int = 0
    """The deed is done and the connection closed without an answer."""
    error_every: int = 0
    """HTTP 500 instead of doing anything."""
    late_error_every: int = 0
    """HTTP 502 after the deed."""
    twice: bool = False
    delay_s: float = 0.0


class FakeBrokerServer(ThreadingHTTPServer):
    """Serves an exchange from threads of its own; ``lock`` keeps a test and the threads apart."""

    daemon_threads = True

    def __init__(self, exchange: FakeExchange, faults: Faults | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.exchange, self.faults, self.lock = exchange, faults or Faults(), threading.Lock()
        self.asked = self.lost = 0
        self.gone = False
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.gone = True
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeBrokerServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server, faults = self.server, self.server.faults
        if server.gone:
            self.close_connection = True
            return
        with server.lock:
            server.asked += 1
            lose = _nth(server.asked, faults.lost_every)
            server.lost += lose
            if _nth(server.asked, faults.error_every):
                status, answer = 500, {"code": "broken", "reason": "try again"}
            else:
                status, answer = self._answer(json.loads(body) if body else {})
                if _nth(server.asked, faults.late_error_every):
                    status, answer = 502, {}
        time.sleep(faults.delay_s)
        if lose:
            self.close_connection = True
            return
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def _answer(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        try:
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                raise Forbidden("this key is not good", "bad_key")
            return self._does(body)
        except TradefloorError as error:
            return _STATUS[type(error)], {"code": error.code, "reason": str(error)}

    def _does(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        exchange, parts = self.server.exchange, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        order_id = unquote(parts.path.rsplit("/", 1)[1])
        match self.command, parts.path.split("/")[2], parts.path.count("/"):
            case "POST", "orders", 2:
                return _told(exchange.submit(self._terms(body)), 201, self._order)
            case "GET", "orders", 2:
                return 200, {"orders": [self._order(order) for order in exchange.open()]}
            case "GET", "orders", 3:
                return 200, self._order(exchange.order(order_id))
            case "PATCH", "orders", 3:
                instrument = exchange.instruments[exchange.order(order_id).instrument_id]
                terms = _in_units(instrument, body)
                return _told(exchange.modify(order_id, terms, self.headers["Idempotency-Key"]), 202, self._order)
            case "DELETE", "orders", 3:
                return _told(exchange.cancel(order_id), 202, self._order)
            case "GET", "executions", 2:
                first = exchange.executions_from(query.get("since", ""))
                twice = 1 if self.server.faults.twice and first else 0
                runs = exchange.executions[first - twice : first + int(query["limit"])]
                return 200, {"executions": [self._execution(run) for run in runs]}
            case "GET", "positions", 2:
                return 200, {"positions": [self._position(each) for each in exchange.holdings()]}
            case "GET", "account", 2:
                total, held = (f"{Decimal(cents) / 100:f}" for cents in (exchange.cash, exchange.held_cash()))
                return 200, {"balances": [{"currency": "USD", "total": total, "held": held}]}
            case _:
                raise NotFound("nothing is here", "no_route")

    def _terms(self, body: Mapping[str, Any]) -> dict[str, Any]:
        named = [
            each
            for each in self.server.exchange.instruments.values()
            if (each.venue, each.symbol) == (body["venue"], body["symbol"])
        ]
        if not named:
            raise Invalid("no such instrument", "unknown_instrument")
        words = {name: body[name] for name in ("client_id", "side", "type", "time_in_force")}
        return {**words, "instrument_id": named[0].id, **_in_units(named[0], body)}

    def _order(self, order: BrokerOrder) -> dict[str, Any]:
        instrument = self.server.exchange.instruments[order.instrument_id]
        return {
            "id": order.order_id,
            "client_id": order.client_id,
            "venue": instrument.venue,
            "symbol": instrument.symbol,
            "side": order.side,
            "type": order.type,
            "time_in_force": order.time_in_force,
            "quantity": f"{instrument.quantity(order.quantity_lots):f}",
            "filled": f"{instrument.quantity(order.filled_lots):f}",
            "limit_price": None if order.limit_ticks is None else f"{instrument.price(order.limit_ticks):f}",
            "stop_price": None if order.stop_ticks is None else f"{instrument.price(order.stop_ticks):f}",
            "state": order.state,
            "reason": order.reason,
        }

    def _execution(self, run: Execution) -> dict[str, Any]:
        instrument = self.server.exchange.instruments[run.instrument_id]
        return {
            "cursor": run.cursor,
            "order_id": run.order_id,
            "venue": instrument.venue,
            "symbol": instrument.symbol,
            "side": run.side,
            "price": f"{instrument.price(run.price_ticks):f}",
            "quantity": f"{instrument.quantity(run.quantity_lots):f}",
            "fee": f"{Decimal(run.fee) / 100:f}",
            "at": datetime.fromtimestamp(run.ts_ns // 1000 / 1e6, UTC).isoformat(),
        }

    def _position(self, holding: Any) -> dict[str, Any]:
        instrument = self.server.exchange.instruments[holding.instrument_id]
        return {
            "venue": instrument.venue,
            "symbol": instrument.symbol,
            "quantity": f"{instrument.quantity(holding.quantity_lots):f}",
            "held": f"{instrument.quantity(holding.held_lots):f}",
        }

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _nth(asked: int, every: int) -> bool:
    return every > 0 and asked % every == 0


def _told(answer: Any, status: int, order: Any) -> tuple[int, Any]:
    if isinstance(answer, Refusal):
        return 422, {"code": answer.code, "reason": answer.reason, "numbers": answer.numbers}
    return status, {} if answer is None else order(answer)


def _in_units(instrument: Instrument, body: Mapping[str, Any]) -> dict[str, Any]:
    names = {"quantity": "lots", "limit_price": "limit", "stop_price": "stop", "oco_limit": "oco_limit"}
    read = {"quantity": instrument.quantity_to_lots}
    return {
        short: read.get(name, instrument.price_to_ticks)(body[name]) for name, short in names.items() if name in body
    }
