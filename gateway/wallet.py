"""Money over REST: cash, statements, requests to withdraw, conversion."""

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.orders import plain
from gateway.sessions import reader, writer
from trading.services import fx, statements, wallet
from trading.services.floor import Floor


class WithdrawalBody(BaseModel):
    """Body of ``POST /portfolios/{id}/withdrawals``."""

    model_config = ConfigDict(extra="forbid")

    amount: str = Field(max_length=40)
    memo: str = Field("", max_length=200)


class ConversionBody(BaseModel):
    """Body of ``POST /portfolios/{id}/conversions``: what a quote said."""

    model_config = ConfigDict(extra="forbid")

    sell: str = Field(max_length=12)
    buy: str = Field(max_length=12)
    amount: str = Field(max_length=40)
    rate: str = Field(max_length=40)
    quoted_ns: int


def wallet_routes(floor: Floor) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/portfolios/{portfolio_id}")

    @router.get("/cash")
    def cash(request: Request, portfolio_id: int) -> JSONResponse:
        """Cash of each currency: all, held, not settled, what can be withdrawn."""
        found = wallet.cash(floor, reader(floor, request), portfolio_id)
        return JSONResponse({"cash": [plain(asdict(each)) for each in found]})

    @router.get("/statement")
    def statement(
        request: Request, portfolio_id: int, from_ns: int, to_ns: int, form: Literal["json", "csv"] = "json"
    ) -> Response:
        """The statement of [from_ns, to_ns), ns UTC, as JSON or CSV."""
        found = statements.period(floor, reader(floor, request), portfolio_id, from_ns, to_ns)
        if form == "csv":
            return Response(statements.as_csv(found), media_type="text/csv")
        assets = [
            plain(asdict(each))
            | {name: [plain(asdict(row)) for row in getattr(each, name)] for name in ("totals", "lines")}
            for each in found.assets
        ]
        return JSONResponse(asdict(found) | {"assets": assets, "agrees": found.agrees})

    @router.get("/withdrawals")
    def requests(request: Request, portfolio_id: int) -> JSONResponse:
        """Requests for money, newest first."""
        found = wallet.requests(floor, reader(floor, request), portfolio_id)
        return JSONResponse({"requests": [plain(asdict(each)) for each in found]})

    @router.post("/withdrawals")
    def withdraw(
        request: Request, portfolio_id: int, body: WithdrawalBody, idempotency_key: str = Header()
    ) -> JSONResponse:
        """Ask for a withdrawal; 202, the same id for each retry with the key."""
        number = wallet.request(
            floor, writer(floor, request), portfolio_id, "withdrawal", body.amount, idempotency_key, body.memo
        )
        return JSONResponse({"request_id": number}, 202)

    @router.get("/conversions/quote")
    def quote(request: Request, portfolio_id: int, sell: str, buy: str, amount: str) -> JSONResponse:
        """What a conversion would bring now, to be taken within five seconds."""
        return JSONResponse(plain(asdict(fx.quote(floor, reader(floor, request), portfolio_id, sell, buy, amount))))

    @router.post("/conversions")
    def convert(
        request: Request, portfolio_id: int, body: ConversionBody, idempotency_key: str = Header()
    ) -> JSONResponse:
        """Convert at the quoted price or a better one; 201, the same group for each retry with the key."""
        actor = writer(floor, request)
        group = fx.convert(
            floor, actor, portfolio_id, body.sell, body.buy, body.amount, body.rate, body.quoted_ns, idempotency_key
        )
        return JSONResponse({"group_id": group}, 201)

    return router
