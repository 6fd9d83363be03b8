"""Scheduled orders over REST: keep, look, pause, resume, end."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.orders import TicketBody, answered, time_text
from gateway.sessions import reader, writer
from trading.domain.cron import LENGTH_MAX
from trading.domain.orders import Refusal, Ticket
from trading.services import schedules
from trading.services.floor import Floor
from trading.services.ports.schedules import Firing, Schedule, WhenClosed
from trading.services.schedules import GRACE_S, Timing, upcoming

NEXT = 5
"""How many of the next runs an answer names."""


class ScheduleBody(BaseModel):
    """Body of ``POST /portfolios/{id}/schedules``; `trading.services.schedules.Timing` says what the fields mean."""

    model_config = ConfigDict(extra="forbid")

    ticket: TicketBody
    at: str | None = Field(default=None, max_length=60)
    cron: str | None = Field(default=None, max_length=LENGTH_MAX)
    when_closed: WhenClosed = WhenClosed.SKIP
    grace_s: int = GRACE_S


def schedule_routes(floor: Floor) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/portfolios/{portfolio_id}/schedules")

    @router.post("")
    def create(
        request: Request, portfolio_id: int, body: ScheduleBody, idempotency_key: str = Header()
    ) -> JSONResponse:
        """Keep an order for later; 201 with its next runs, the same schedule for each retry with the key."""
        ticket = Ticket(**body.ticket.model_dump())
        timing = Timing(body.at, body.cron, body.when_closed, body.grace_s)
        answer = schedules.create(floor, writer(floor, request), portfolio_id, ticket, timing, idempotency_key)
        if isinstance(answer, Refusal):
            return answered(answer, 422)
        return JSONResponse(_schedule(answer, floor.clock.now_ns()), 201)

    @router.get("")
    def listing(request: Request, portfolio_id: int, open_only: bool = True) -> JSONResponse:
        """Schedules, newest first."""
        now_ns = floor.clock.now_ns()
        found = schedules.listing(floor, reader(floor, request), portfolio_id, open_only)
        return JSONResponse({"schedules": [_schedule(each, now_ns) for each in found]})

    @router.get("/{schedule_id}/firings")
    def firings(request: Request, portfolio_id: int, schedule_id: int) -> JSONResponse:
        """What became of the runs, newest first."""
        found = schedules.firings(floor, reader(floor, request), portfolio_id, schedule_id)
        return JSONResponse({"firings": [_firing(each) for each in found]})

    @router.post("/{schedule_id}/pause")
    def pause(request: Request, portfolio_id: int, schedule_id: int) -> JSONResponse:
        """Hold it back."""
        return _done(schedules.pause(floor, writer(floor, request), portfolio_id, schedule_id))

    @router.post("/{schedule_id}/resume")
    def resume(request: Request, portfolio_id: int, schedule_id: int) -> JSONResponse:
        """Go on with the first run from now on."""
        return _done(schedules.resume(floor, writer(floor, request), portfolio_id, schedule_id))

    @router.delete("/{schedule_id}")
    def cancel(request: Request, portfolio_id: int, schedule_id: int) -> JSONResponse:
        """End it; orders that it has made stay."""
        return _done(schedules.cancel(floor, writer(floor, request), portfolio_id, schedule_id))

    return router


def _done(refusal: Refusal | None) -> JSONResponse:
    return JSONResponse({"done": True}) if refusal is None else answered(refusal, 409)


def _schedule(schedule: Schedule, now_ns: int) -> dict[str, Any]:
    told = {name: value for name, value in asdict(schedule).items() if not name.endswith("_ns")}
    times = {"created_at": time_text(schedule.created_ts_ns)}
    return {**told, **times, "next_at": [time_text(ns) for ns in upcoming(schedule, now_ns, NEXT)]}


def _firing(firing: Firing) -> dict[str, Any]:
    told = {name: value for name, value in asdict(firing).items() if not name.endswith("_ns")}
    return {**told, "due_at": time_text(firing.due_ns), "at": time_text(firing.ts_ns)}
