"""Orders over REST: preview, place, look, change, cancel. A session in the cookie, a key against doing twice.

Decimals travel as text. Times are ISO 8601. Answers of the desk keep their codes: a refusal is 422 with ``code``,
``reason`` and ``numbers``, a halt 423.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.sessions import reader, writer
from trading.domain.orders import Acceptance, Change, OrderType, Refusal, Side, Ticket, TimeInForce
from trading.services import desk, queries
from trading.services.floor import Floor
from trading.services.queries import OrderLine

ORDERS_MAX = 500
_STATUS = {"halted": 423, "unknown_order": 404, "unknown_instrument": 404}

Text = Field(default=None, max_length=60)


class TicketBody(BaseModel):
    """Body of ``POST /portfolios/{id}/orders``; `trading.domain.orders.Ticket` says what the fields mean."""

    model_config = ConfigDict(extra="forbid")

    symbol: str = Field(max_length=60)
    side: Side
    type: OrderType
    quantity: str = Field(max_length=60)
    limit_price: str | None = Text
    time_in_force: TimeInForce = TimeInForce.GTC
    venue: str = Field(default="SIM", max_length=20)
    stop_price: str | None = Text
    trail: str | None = Text
    trail_percent: str | None = Text
    post_only: bool = False
    expires_at: str | None = Text
    take_profit: str | None = Text
    stop_loss: str | None = Text
    oco_limit: str | None = Text
    strategy: str | None = Text


class ChangeBody(BaseModel):
    """Body of ``PATCH /portfolios/{id}/orders/{order}``; what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    quantity: str | None = Text
    limit_price: str | None = Text
    stop_price: str | None = Text
    trail: str | None = Text
    trail_percent: str | None = Text


def order_routes(floor: Floor) -> APIRouter:
    """The routes. Whoever writes must ask from this site's own pages."""
    router = APIRouter(prefix="/portfolios/{portfolio_id}/orders")

    @router.post("")
    def place(request: Request, portfolio_id: int, body: TicketBody, idempotency_key: str = Header()) -> JSONResponse:
        """Place an order, a bracket or a pair; 201 with the acceptance, the same for each retry with the same key."""
        ticket = Ticket(**body.model_dump())
        return answered(desk.submit(floor, writer(floor, request), portfolio_id, ticket, idempotency_key), 201)

    @router.post("/preview")
    def preview(request: Request, portfolio_id: int, body: TicketBody) -> JSONResponse:
        """What placing it would cost now, and in ``refusals`` all that is in its way; writes nothing.

        Money in minor units of ``currency``. 422 with the one refusal where a cost can't be worked out.
        """
        answer = desk.preview(floor, writer(floor, request), portfolio_id, Ticket(**body.model_dump()))
        if isinstance(answer, Refusal):
            return answered(answer, 200)
        currency = answer.instrument.currency
        figures = {name: value for name, value in asdict(answer).items() if name != "instrument"}
        return JSONResponse(plain({**figures, "currency": currency.code, "scale": currency.scale}))

    @router.get("")
    def orders(request: Request, portfolio_id: int, open_only: bool = True, limit: int = 100) -> JSONResponse:
        """Orders, newest first."""
        lines = queries.orders(floor, reader(floor, request), portfolio_id, open_only, max(1, min(limit, ORDERS_MAX)))
        return JSONResponse({"orders": [_line(line) for line in lines]})

    @router.get("/{order_id}")
    def order(request: Request, portfolio_id: int, order_id: int) -> JSONResponse:
        """One order and those it is linked to."""
        told = queries.order(floor, reader(floor, request), portfolio_id, order_id)
        return JSONResponse({"order": _line(told.order), "group": [_line(line) for line in told.group]})

    @router.patch("/{order_id}")
    def change(
        request: Request, portfolio_id: int, order_id: int, body: ChangeBody, idempotency_key: str = Header()
    ) -> JSONResponse:
        """Ask for new terms; 202: they are in force once the exchange has taken them."""
        new = Change(**body.model_dump())
        return answered(desk.modify(floor, writer(floor, request), portfolio_id, order_id, new, idempotency_key), 202)

    @router.delete("/{order_id}")
    def cancel(request: Request, portfolio_id: int, order_id: int) -> JSONResponse:
        """Ask for a cancel; 202: a fill may overtake it."""
        refusal = desk.cancel(floor, writer(floor, request), portfolio_id, order_id)
        return JSONResponse({"order_id": order_id}, 202) if refusal is None else answered(refusal, 202)

    return router


def answered(answer: Acceptance | Refusal, status: int) -> JSONResponse:
    """An acceptance with ``status``, a refusal with its own."""
    if isinstance(answer, Refusal):
        return JSONResponse(asdict(answer), _STATUS.get(answer.code, 422))
    return JSONResponse(plain(asdict(answer)), status)


def _line(line: OrderLine) -> dict[str, Any]:
    times = {
        name.removesuffix("_ts_ns") + "_at": None if ns is None else time_text(ns)
        for name, ns in (
            ("accepted_ts_ns", line.accepted_ts_ns),
            ("updated_ts_ns", line.updated_ts_ns),
            ("expires_ts_ns", line.expires_ts_ns),
        )
    }
    return plain({**{name: value for name, value in asdict(line).items() if not name.endswith("_ts_ns")}, **times})


def time_text(ts_ns: int) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(ts_ns // 1000 / 1e6, UTC).isoformat()


def plain(figures: dict[str, Any]) -> dict[str, Any]:
    """Decimals as text, the rest as it is."""
    return {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in figures.items()}
