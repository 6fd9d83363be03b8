"""A broker elsewhere, over REST: the small API that it must speak, and the client.

========  ========================  ==================================================================================
method    path                      body or query; answer
========  ========================  ==================================================================================
POST      /v1/orders                order without ``id``, ``filled``, ``state``, ``reason``; 201 the order
GET       /v1/orders?status=open    ``{"orders": [order, ...]}``, oldest first
GET       /v1/orders/ID             the order
PATCH     /v1/orders/ID             any of ``quantity`` (the new total), ``limit_price``, ``stop_price``, ``trail``,
                                    ``trail_ppm``, header ``Idempotency-Key``; 202
DELETE    /v1/orders/ID             202
GET       /v1/executions            ``since`` (a cursor, empty for the first), ``limit``; ``{"executions": [...]}``
GET       /v1/positions             ``{"positions": [{"venue", "symbol", "quantity", "held"}, ...]}``
GET       /v1/account               ``{"balances": [{"currency", "total", "held"}, ...]}``
========  ========================  ==================================================================================

An order is ``id, client_id, venue, symbol, side, type, time_in_force, quantity, filled, limit_price, stop_price, state,
reason``; a new one may have ``trail, trail_ppm, post_only, expires_at, take_profit, stop_loss, oco_limit`` besides. An
execution is ``cursor, order_id, venue, symbol, side, price, quantity, fee, at``. Prices, quantities and money are
decimal text, times ISO 8601 in UTC, words those of `trading.domain.orders`. Errors are ``{"code", "reason",
"numbers"}``: 422 is a refusal, 423 one because trading is halted, 409 a client id or key that belongs to something
else, 404 an unknown order, 400 a malformed question, 401 and 403 a key that is not good, 429 and 5xx ask again later.

Whatever is lost is asked again: an order carries its client's id, a change its key, so nothing is done twice.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import httpx

from trading.domain.brokerage import Balance, BrokerOrder, Execution, Holding, NewOrder, NewTerms
from trading.domain.errors import Conflict, Forbidden, Inconsistent, Invalid, NotFound, TradefloorError, Unavailable
from trading.domain.instruments import Instrument
from trading.domain.orders import OrderState, OrderType, Refusal, Side, TimeInForce

TIMEOUT_S = 5.0
TRIES = 4
"""How often a question is asked before the broker counts as away."""
FIRST_WAIT_S = 0.1
"""Pause before the second try; it doubles each time."""

_ERRORS: dict[int, type[TradefloorError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
}
_REFUSED = (422, 423)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_address(base_url: str) -> str:
    """The address without a slash at its end; raises `Invalid` for one over which a key would travel in the open."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Invalid("a broker's address looks like https://broker.example/api", "bad_address")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise Invalid("a broker elsewhere is spoken to over https, or its key could be read on the way", "not_https")
    return base_url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class RemoteBrokerage:
    """Implements `trading.services.ports.brokerage.Brokerage` over the API above; safe to use from several threads.

    An answer that cannot be read raises `Inconsistent`. The key goes into one header and nowhere else.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        instruments: Sequence[Instrument],
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._by_name = {(each.venue, each.symbol): each for each in instruments}
        self._by_id = {each.id: each for each in instruments}
        self._sleep = sleep
        # No redirects: a key is for the address it was given for.
        self._http = httpx.Client(
            base_url=check_address(base_url),
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=timeout_s,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # The protocol -------------------------------------------------------------------------------------------------

    def submit(self, order: NewOrder) -> BrokerOrder | Refusal:
        """See the port."""
        answer, _ = self._ask("POST", "/v1/orders", body=_new_order(order))
        return answer if isinstance(answer, Refusal) else self._order(answer)

    def cancel(self, order_id: str) -> Refusal | None:
        """See the port."""
        answer, tries = self._ask("DELETE", self._path(order_id))
        if not isinstance(answer, Refusal):
            return None
        if tries > 1 and answer.code == "order_over" and self.order(order_id).state is OrderState.CANCELLED:
            return None  # the cancel whose answer was lost had been carried out
        return answer

    def modify(self, order_id: str, terms: NewTerms, key: str) -> Refusal | None:
        """See the port."""
        instrument = self._by_id[self.order(order_id).instrument_id]
        lots = terms.quantity_lots
        body = {
            "quantity": None if lots is None else f"{instrument.quantity(lots):f}",
            "limit_price": _price(instrument, terms.limit_ticks),
            "stop_price": _price(instrument, terms.stop_ticks),
            "trail": _price(instrument, terms.trail_ticks),
            "trail_ppm": terms.trail_ppm,
        }
        given = {name: value for name, value in body.items() if value is not None}
        answer, _ = self._ask("PATCH", self._path(order_id), body=given, key=key)
        return answer if isinstance(answer, Refusal) else None

    def order(self, order_id: str) -> BrokerOrder:
        """See the port."""
        return self._order(self._look(self._path(order_id)))

    def open_orders(self) -> Sequence[BrokerOrder]:
        """See the port."""
        return [self._order(row) for row in self._rows("/v1/orders", "orders", {"status": "open"})]

    def executions(self, since: str = "", limit: int = 1000) -> Sequence[Execution]:
        """See the port. An execution that is told twice counts once."""
        rows = self._rows("/v1/executions", "executions", {"since": since, "limit": str(limit)})
        told = [self._execution(row) for row in rows]
        return list({run.cursor: run for run in told if run.cursor != since}.values())

    def positions(self) -> Sequence[Holding]:
        """See the port."""
        found = []
        for row in self._rows("/v1/positions", "positions", {}):
            instrument = self._instrument(row)
            with _reading():
                lots = instrument.quantity_to_lots(row["quantity"])
                found.append(Holding(instrument.id, lots, instrument.quantity_to_lots(row["held"])))
        return sorted((each for each in found if each.quantity_lots), key=lambda each: each.instrument_id)

    def account(self) -> Sequence[Balance]:
        """See the port. Only currencies of the floor's instruments are of interest."""
        scales = {each.currency.code: each.currency.scale for each in self._by_id.values()}
        found = []
        for row in self._rows("/v1/account", "balances", {}):
            with _reading():
                code = str(row["currency"])
                if code in scales:
                    total, held = (_minor(row[name], scales[code]) for name in ("total", "held"))
                    found.append(Balance(code, scales[code], total, held))
        return found

    # Reading ------------------------------------------------------------------------------------------------------

    def _instrument(self, row: Mapping[str, Any]) -> Instrument:
        with _reading():
            name = (str(row["venue"]), str(row["symbol"]))
        if name not in self._by_name:
            raise Inconsistent(f"the broker speaks of {name[1]} on {name[0]}, which the floor does not know", "unknown")
        return self._by_name[name]

    def _order(self, row: Mapping[str, Any]) -> BrokerOrder:
        instrument = self._instrument(row)
        with _reading():
            return BrokerOrder(
                order_id=str(row["id"]),
                client_id=str(row["client_id"]),
                instrument_id=instrument.id,
                side=Side(row["side"]),
                type=OrderType(row["type"]),
                time_in_force=TimeInForce(row["time_in_force"]),
                quantity_lots=instrument.quantity_to_lots(row["quantity"]),
                filled_lots=instrument.quantity_to_lots(row["filled"]),
                limit_ticks=_ticks(instrument, row["limit_price"]),
                stop_ticks=_ticks(instrument, row["stop_price"]),
                state=OrderState(row["state"]),
                reason=str(row["reason"])[:200],
            )

    def _execution(self, row: Mapping[str, Any]) -> Execution:
        instrument = self._instrument(row)
        with _reading():
            return Execution(
                cursor=str(row["cursor"]),
                order_id=str(row["order_id"]),
                instrument_id=instrument.id,
                side=Side(row["side"]),
                price_ticks=instrument.price_to_ticks(row["price"]),
                quantity_lots=instrument.quantity_to_lots(row["quantity"]),
                fee=_minor(row["fee"], instrument.currency.scale),
                ts_ns=_ts_ns(str(row["at"])),
            )

    # The wire -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _path(order_id: str) -> str:
        if not order_id:
            raise NotFound("there is no order without an id", "unknown_order")
        return f"/v1/orders/{quote(order_id, safe='')}"

    def _rows(self, path: str, name: str, query: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        answer = self._look(path, query)
        with _reading():
            rows = answer[name]
            if not isinstance(rows, list):
                raise TypeError(f"{name} is no list")
            return rows

    def _look(self, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        answer, _ = self._ask("GET", path, query=query)
        if isinstance(answer, Refusal):
            raise Inconsistent(f"the broker refuses to show {path}: {answer.reason}", answer.code)
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> tuple[Mapping[str, Any] | Refusal, int]:
        """The answer and how often it was asked for; `Unavailable` after `TRIES`."""
        why = ""
        for tries in range(1, TRIES + 1):
            if tries > 1:
                self._sleep(FIRST_WAIT_S * 2 ** (tries - 2))
            try:
                answer = self._http.request(
                    method,
                    path,
                    params=query,
                    content=None if body is None else json.dumps(body),
                    headers={"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})},
                )
            except httpx.HTTPError as error:
                why = type(error).__name__
                continue
            if answer.status_code == 429 or answer.status_code >= 500:
                why = f"HTTP {answer.status_code}"
                continue
            return _understood(answer), tries
        raise Unavailable(f"the broker does not answer ({why})", "broker_away")


def _understood(answer: httpx.Response) -> Mapping[str, Any] | Refusal:
    with _reading():
        content = answer.json() if answer.content else {}
        if not isinstance(content, dict):
            raise TypeError("no object")
    if answer.is_success:
        return content
    code, reason = str(content.get("code", "error"))[:80], str(content.get("reason", ""))[:300]
    if answer.status_code in _REFUSED:
        numbers = content.get("numbers")
        told = {str(name): str(value) for name, value in numbers.items()} if isinstance(numbers, dict) else {}
        return Refusal(code, reason, told)
    kind = _ERRORS.get(answer.status_code, Inconsistent)
    raise kind(reason or f"the broker answers with HTTP {answer.status_code}", code)


class _reading:
    """Whatever cannot be read in an answer is the broker's mistake, not the caller's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | ValueError | TypeError | InvalidOperation | Invalid):
            _unreadable(error)


def _unreadable(error: Exception) -> NoReturn:
    raise Inconsistent(f"the broker's answer cannot be read: {str(error)[:120]}", "bad_answer") from error


def _new_order(order: NewOrder) -> dict[str, Any]:
    instrument = order.instrument
    body = {
        "client_id": order.client_id,
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "side": order.side,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "quantity": f"{instrument.quantity(order.quantity_lots):f}",
        "limit_price": _price(instrument, order.limit_ticks),
        "stop_price": _price(instrument, order.stop_ticks),
        "trail": _price(instrument, order.trail_ticks),
        "trail_ppm": order.trail_ppm,
        "post_only": order.post_only or None,
        "expires_at": None if order.expires_ns is None else _moment(order.expires_ns),
        "take_profit": _price(instrument, order.take_profit_ticks),
        "stop_loss": _price(instrument, order.stop_loss_ticks),
        "oco_limit": _price(instrument, order.oco_limit_ticks),
    }
    return {name: value for name, value in body.items() if value is not None}


def _price(instrument: Instrument, ticks: int | None) -> str | None:
    return None if ticks is None else f"{instrument.price(ticks):f}"


def _ticks(instrument: Instrument, price: Any) -> int | None:
    return None if price is None else instrument.price_to_ticks(price)


def _minor(amount: Any, scale: int) -> int:
    minor = Decimal(str(amount)).scaleb(scale)
    if minor != minor.to_integral_value():
        raise ValueError(f"{amount} has more places than its currency")
    return int(minor)


def _moment(ts_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=ts_ns // 1000)).isoformat()


def _ts_ns(moment: str) -> int:
    """Nanoseconds of an ISO 8601 time; the floor keeps no more than its microseconds."""
    at = datetime.fromisoformat(moment)
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
