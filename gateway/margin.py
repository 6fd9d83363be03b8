"""Margin over REST: where a portfolio stands, its calls, and what each market asks."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from gateway.orders import plain
from gateway.sessions import reader
from trading.services import margin
from trading.services.floor import Floor


def margin_routes(floor: Floor) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/portfolios/{portfolio_id}/margin")
    def account(request: Request, portfolio_id: int) -> JSONResponse:
        """Equity, requirement, buying power and call state of a margin portfolio by currency; empty for a cash one."""
        lines = margin.account(floor, reader(floor, request), portfolio_id)
        return JSONResponse({"accounts": [plain(asdict(line)) for line in lines]})

    @router.get("/portfolios/{portfolio_id}/margin/calls")
    def calls(request: Request, portfolio_id: int) -> JSONResponse:
        """Margin calls and close-outs, newest first."""
        lines = margin.calls(floor, reader(floor, request), portfolio_id)
        return JSONResponse({"calls": [plain(asdict(line)) for line in lines]})

    @router.get("/margin/policies")
    def policies(request: Request) -> JSONResponse:
        """What each market asks, in parts per million; the empty name is all markets without a policy of their own."""
        return JSONResponse({"policies": [asdict(line) for line in margin.policies(floor, reader(floor, request))]})

    return router
