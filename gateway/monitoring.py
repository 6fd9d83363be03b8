"""Broker accounts over REST: which there are, how their last cycles went, a cycle at once, the switches."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.sessions import is_same_origin, origin_of, token_of
from trading.domain.errors import Forbidden
from trading.services import monitoring, people
from trading.services.access import Actor
from trading.services.floor import Floor
from trading.services.ports.monitoring import BrokerAccount, CycleReport


class SwitchBody(BaseModel):
    """Body of ``PUT .../switch``: all of it as it shall be."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool
    steps: list[str] = Field(max_length=20)
    cycle_s: int = 60


def monitoring_routes(floor: Floor) -> APIRouter:
    """The routes. Whoever writes must ask from this site's own pages."""
    router = APIRouter()

    def reader(request: Request) -> Actor:
        return people.actor_of(floor, token_of(request), origin_of(request))

    def writer(request: Request) -> Actor:
        if not is_same_origin(request):
            raise Forbidden("broker accounts are switched from this site's own pages")
        return reader(request)

    @router.get("/broker-accounts")
    def accounts(request: Request) -> JSONResponse:
        """A trader's own accounts; all of them for an admin."""
        found = monitoring.accounts(floor, reader(request))
        return JSONResponse({"accounts": [_account(each) for each in found]})

    @router.get("/portfolios/{portfolio_id}/broker-accounts/{account_id}")
    def status(request: Request, portfolio_id: int, account_id: int, cycles: int = 5) -> JSONResponse:
        """An account with its newest cycles, positions and the orders that are worked on, in ticks and lots."""
        view = monitoring.view(floor, reader(request), portfolio_id, account_id, cycles)
        books = [
            {"instrument_id": book.instrument_id, "position_lots": book.position_lots, "cost": book.cost}
            | {"realised": book.realised, "fees": book.fees}
            for book in view.books
        ]
        orders = [{**asdict(each.order), "purpose": each.purpose, "attempt": each.attempt} for each in view.orders]
        return JSONResponse(
            {
                "account": _account(view.account),
                "cycles": [_cycle(each) for each in view.cycles],
                "books": books,
                "orders": orders,
                "plans": [asdict(plan) for plan in view.plans.values()],
            }
        )

    @router.post("/portfolios/{portfolio_id}/broker-accounts/{account_id}/cycles")
    def run(request: Request, portfolio_id: int, account_id: int) -> JSONResponse:
        """A cycle at once; 201 with its report, 409 while another one runs."""
        return JSONResponse(_cycle(monitoring.run_now(floor, writer(request), portfolio_id, account_id)), 201)

    @router.put("/portfolios/{portfolio_id}/broker-accounts/{account_id}/switch")
    def switch(request: Request, portfolio_id: int, account_id: int, body: SwitchBody) -> JSONResponse:
        """Turn the account and its steps on or off."""
        actor = writer(request)
        monitoring.switch(floor, actor, portfolio_id, account_id, body.enabled, body.steps, body.cycle_s)
        return JSONResponse(_account(monitoring.view(floor, actor, portfolio_id, account_id, 1).account))

    return router


def _account(account: BrokerAccount) -> dict[str, Any]:
    return {**asdict(account), "steps": sorted(account.steps)}


def _cycle(report: CycleReport) -> dict[str, Any]:
    return {**asdict(report), "ok": report.ok}
