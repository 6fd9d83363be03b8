"""The portfolio that a session works in: which it is, and the way to another."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from gateway.sessions import reader, writer
from trading.services import people
from trading.services.floor import Floor


class Choice(BaseModel):
    """Body of ``PUT /portfolio``."""

    portfolio_id: int


def portfolio_routes(floor: Floor) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/portfolio")

    @router.get("")
    def portfolio(request: Request) -> JSONResponse:
        """The portfolios of the session's user, and the one that the session works in."""
        actor = reader(floor, request)
        found = [{"id": each.id, "name": each.name} for each in people.portfolios(floor, actor)]
        return JSONResponse({"portfolio_id": actor.portfolio_id, "portfolios": found})

    @router.put("")
    def switch(request: Request, body: Choice) -> JSONResponse:
        """Work in another portfolio: calls for any other of one's own are refused from now on."""
        people.switch_portfolio(floor, writer(floor, request), body.portfolio_id)
        return JSONResponse({"portfolio_id": body.portfolio_id})

    return router
