"""Limits, restricted instruments, the drawdown breaker and the kill switch over REST, by the services' own rules.

Money is minor units, shares of a price or a worth are parts per million, times are ISO 8601.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.sessions import reader, writer
from trading.services import halt, limits
from trading.services.floor import Floor
from trading.services.ports.risk import Figures


class Because(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(max_length=500)


class LimitsBody(Because):
    """A new version of a scope's limits; what is absent says nothing. `trading.services.ports.risk.Figures`."""

    max_order_lots: int | None = None
    max_order_notional: int | None = None
    max_position_lots: int | None = None
    max_position_notional: int | None = None
    max_open_orders: int | None = None
    max_orders_per_minute: int | None = None
    price_band_ppm: int | None = None
    max_daily_loss: int | None = None
    max_drawdown_ppm: int | None = None
    instruments: tuple[int, ...] | None = Field(default=None, max_length=10_000)


class TierBody(Because):
    """A user's tier."""

    tier: str = Field(max_length=40)


class BanBody(Because):
    """The compliance list's word on an instrument."""

    mode: str = Field(max_length=20)


class HaltBody(BaseModel):
    """A scope of the kill switch."""

    model_config = ConfigDict(extra="forbid")

    scope: str = Field(max_length=60)
    mode: str = Field(max_length=20)
    reason: str = Field(default="", max_length=500)


def risk_routes(floor: Floor) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/portfolios/{portfolio_id}/limits")
    def own(request: Request, portfolio_id: int) -> JSONResponse:
        """A portfolio's limits, the strictest of each kind, and what is used of them."""
        return _told(asdict(limits.own(floor, reader(floor, request), portfolio_id)))

    @router.post("/portfolios/{portfolio_id}/drawdown/reset")
    def reset(request: Request, portfolio_id: int, body: Because) -> JSONResponse:
        """Take a tripped drawdown breaker back."""
        limits.reset_drawdown(floor, writer(floor, request), portfolio_id, body.reason)
        return JSONResponse({"done": True})

    @router.get("/limits")
    def current(request: Request) -> JSONResponse:
        """Limits in force, by scope."""
        return _told({"limits": [asdict(each) for each in limits.current(floor, reader(floor, request))]})

    @router.get("/limits/{scope}")
    def history(request: Request, scope: str) -> JSONResponse:
        """All versions of a scope, newest first."""
        return _told({"versions": [asdict(each) for each in limits.history(floor, reader(floor, request), scope)]})

    @router.put("/limits/{scope}")
    def set_limits(request: Request, scope: str, body: LimitsBody) -> JSONResponse:
        """A new version, in force for the next order."""
        figures = Figures(**body.model_dump(exclude={"reason"}))
        return _told(asdict(limits.set_limits(floor, writer(floor, request), scope, figures, body.reason)))

    @router.put("/users/{user_id}/tier")
    def set_tier(request: Request, user_id: int, body: TierBody) -> JSONResponse:
        """Give a user a tier."""
        limits.set_tier(floor, writer(floor, request), user_id, body.tier, body.reason)
        return JSONResponse({"tier": body.tier})

    @router.get("/restricted")
    def restricted(request: Request) -> JSONResponse:
        """Restricted instruments."""
        return _told({"restricted": [asdict(each) for each in limits.restrictions(floor, reader(floor, request))]})

    @router.put("/restricted/{instrument_id}")
    def restrict(request: Request, instrument_id: int, body: BanBody) -> JSONResponse:
        """``no_opening``, ``no_trading`` or ``free``."""
        limits.restrict(floor, writer(floor, request), instrument_id, body.mode, body.reason)
        return JSONResponse({"mode": body.mode})

    @router.get("/halts")
    def halts(request: Request) -> JSONResponse:
        """What the kill switch has stopped."""
        return JSONResponse({"halts": list(halt.current(floor, reader(floor, request)))})

    @router.put("/halts")
    def set_halt(request: Request, body: HaltBody) -> JSONResponse:
        """Switch a scope: ``floor``, ``user:NAME``, ``strategy:NAME``, ``instrument:SYMBOL``, ``portfolio:ID``."""
        actor = writer(floor, request)
        scope = halt.scope_of(floor, actor, body.scope)
        halt.set_mode(floor, actor, scope, body.mode, body.reason)
        return JSONResponse({"scope": scope, "mode": body.mode})

    return router


def _told(content: Any) -> JSONResponse:
    return JSONResponse(_plain(content))


def _plain(value: Any) -> Any:
    """Times as text, all else as it is."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
