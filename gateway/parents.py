"""Worked orders over REST: begin, look, resume, cancel."""

from typing import Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.orders import Text, TicketBody, answered, time_text
from gateway.sessions import reader, writer
from trading.domain.orders import Refusal, Ticket
from trading.services import parents
from trading.services.floor import Floor
from trading.services.parents import Working
from trading.services.ports.parents import Style, WorkedParent


class ParentBody(BaseModel):
    """Body of ``POST /portfolios/{id}/parents``; `trading.services.parents.Working` says what the fields mean."""

    model_config = ConfigDict(extra="forbid")

    ticket: TicketBody
    style: Style
    minutes: int
    slices: int | None = None
    weights: list[int] = Field(default=[], max_length=parents.SLICES_MAX)
    rate_percent: str | None = Text
    display: str | None = Text
    at_end: Literal["leave", "take"] = "leave"


def parent_routes(floor: Floor) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/portfolios/{portfolio_id}/parents")

    @router.post("")
    def create(request: Request, portfolio_id: int, body: ParentBody, idempotency_key: str = Header()) -> JSONResponse:
        """Begin to work an order; 201, the same for each retry with the key."""
        ticket = Ticket(**body.ticket.model_dump())
        working = Working(
            body.style, body.minutes, body.slices, tuple(body.weights), body.rate_percent, body.display, body.at_end
        )
        answer = parents.create(floor, writer(floor, request), portfolio_id, ticket, working, idempotency_key)
        return answered(answer, 422) if isinstance(answer, Refusal) else JSONResponse(_parent(answer), 201)

    @router.get("")
    def listing(request: Request, portfolio_id: int, open_only: bool = True) -> JSONResponse:
        """Worked orders with their children, newest first."""
        found = parents.listing(floor, reader(floor, request), portfolio_id, open_only)
        return JSONResponse({"parents": [_parent(each) for each in found]})

    @router.post("/{parent_id}/resume")
    def resume(request: Request, portfolio_id: int, parent_id: int) -> JSONResponse:
        """Go on with one that is paused."""
        return _done(parents.resume(floor, writer(floor, request), portfolio_id, parent_id))

    @router.delete("/{parent_id}")
    def cancel(request: Request, portfolio_id: int, parent_id: int) -> JSONResponse:
        """Stop working it and take back every child; 202: a fill may overtake that."""
        return _done(parents.cancel(floor, writer(floor, request), portfolio_id, parent_id), 202)

    return router


def _done(refusal: Refusal | None, status: int = 200) -> JSONResponse:
    return JSONResponse({"done": True}, status) if refusal is None else answered(refusal, 422)


def _parent(parent: WorkedParent) -> dict[str, Any]:
    def quantity(lots: int) -> str:
        return f"{parent.instrument.quantity(lots):f}"

    return {
        "id": parent.id,
        "symbol": parent.instrument.symbol,
        "side": parent.ticket.side,
        "type": parent.ticket.type,
        "limit_price": parent.ticket.limit_price,
        "style": parent.style,
        "state": parent.state,
        "code": parent.code,
        "reason": parent.reason,
        "quantity": quantity(parent.quantity_lots),
        "filled": quantity(parent.filled_lots),
        "ends_at": time_text(parent.plan["parent"]["end_ns"]),
        "created_at": time_text(parent.created_ts_ns),
        "children": [
            {
                "n": child.n,
                "order_id": child.order_id,
                "state": child.state,
                "quantity": quantity(child.quantity_lots),
                "filled": quantity(child.filled_lots),
            }
            for child in parent.children
        ],
    }
