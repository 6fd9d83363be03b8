"""Batches of orders over REST: many tickets, one key, an answer for each."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.orders import TicketBody
from gateway.sessions import writer
from trading.domain.orders import Acceptance, Refusal, Ticket
from trading.services import batches
from trading.services.floor import Floor
from trading.services.ports.batches import BatchAnswer, BatchMode


class BatchBody(BaseModel):
    """Body of ``POST /portfolios/{id}/batches``."""

    model_config = ConfigDict(extra="forbid")

    mode: BatchMode
    tickets: list[TicketBody] = Field(min_length=1, max_length=batches.TICKETS_MAX)


def batch_routes(floor: Floor) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/portfolios/{portfolio_id}/batches")

    @router.post("")
    def send(request: Request, portfolio_id: int, body: BatchBody, idempotency_key: str = Header()) -> JSONResponse:
        """Place all or each; 201 where orders were made, 422 where none was. The same for each retry with the key."""
        answer = batches.submit(floor, writer(floor, request), portfolio_id, _tickets(body), body.mode, idempotency_key)
        return _answered(answer, 201 if answer.accepted else 422)

    @router.post("/preview")
    def preview(request: Request, portfolio_id: int, body: BatchBody) -> JSONResponse:
        """What each ticket would be answered now; keeps nothing."""
        return _answered(batches.preview(floor, writer(floor, request), portfolio_id, _tickets(body)), 200)

    return router


def _tickets(body: BatchBody) -> list[Ticket]:
    return [Ticket(**ticket.model_dump()) for ticket in body.tickets]


def _answered(answer: BatchAnswer, status: int) -> JSONResponse:
    rows = [_row(place, each, real=status == 201) for place, each in enumerate(answer.answers, 1)]
    return JSONResponse({"accepted": answer.accepted, "answers": rows}, status)


def _row(place: int, answer: Acceptance | Refusal, *, real: bool) -> dict[str, Any]:
    """A ticket's answer with its place; a preview's ids are of orders that never were, so they stay out."""
    told = asdict(answer)
    if isinstance(answer, Acceptance) and not real:
        told = {"cash_held": answer.cash_held, "quantity_lots": answer.quantity_lots}
    return {"place": place, "accepted": isinstance(answer, Acceptance), **told}
