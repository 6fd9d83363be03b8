"""The gateway: log in and out, health, orders, and live quotes over a WebSocket, mounted under ``/api``."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from gateway.audit import audit_routes
from gateway.batches import batch_routes
from gateway.margin import margin_routes
from gateway.monitoring import monitoring_routes
from gateway.orders import order_routes
from gateway.parents import parent_routes
from gateway.portfolios import portfolio_routes
from gateway.risk import risk_routes
from gateway.schedules import schedule_routes
from gateway.sessions import clear_cookie, comes_from_elsewhere, is_same_origin, origin_of, set_cookie, token_of
from gateway.tape import PERIOD_S, Tape
from gateway.wallet import wallet_routes
from trading.domain.errors import Forbidden, TradefloorError, Unavailable
from trading.domain.orders import Refusal
from trading.services import people
from trading.services.floor import Floor

CHECK_EVERY_S = 0.6
"""How often an open WebSocket's session is looked up again: a revoked one is cut within a second."""
SESSION_OVER = 4401
"""Close code that tells the page to ask for a login."""
TRY_AGAIN = 1013
"""Close code for a floor that cannot check sessions now."""
_STATUS = {
    "forbidden": 403,
    "other_portfolio": 403,
    "no_session": 401,
    "not_found": 404,
    "conflict": 409,
    "halt_file": 409,
    "halted": 423,
    "unavailable": 503,
}


class Credentials(BaseModel):
    """Body of ``POST /login``."""

    username: str = Field(max_length=80)
    password: str = Field(max_length=1000)


_ROUTES = (
    order_routes,
    batch_routes,
    margin_routes,
    monitoring_routes,
    schedule_routes,
    parent_routes,
    portfolio_routes,
    risk_routes,
    wallet_routes,
    audit_routes,
)


def create_api(floor: Floor, monotonic_s: Callable[[], float]) -> FastAPI:
    """The routes over one floor."""
    api = FastAPI(title="Tradefloor", docs_url=None, redoc_url=None, openapi_url=None)
    tape = Tape(floor, monotonic_s)

    api.add_exception_handler(TradefloorError, _refused)
    for routes in _ROUTES:
        api.include_router(routes(floor))

    @api.get("/health")
    def health() -> JSONResponse:
        """Whether the app answers and reaches its database."""
        floor.people.session_user("", floor.clock.now())
        return JSONResponse({"healthy": True})

    @api.post("/login")
    def login(request: Request, body: Credentials) -> Response:
        """Open a session for a program or a page; the token travels in the cookie alone."""
        if comes_from_elsewhere(request):
            raise Forbidden("log in from this site's own pages")
        answer = people.login(floor, body.username, body.password, origin_of(request), _agent(request))
        if isinstance(answer, Refusal):
            status = 429 if answer.code == "wait" else 401
            return JSONResponse({"code": answer.code, "reason": answer.reason}, status)
        response = JSONResponse({"username": answer.user.username, "role": answer.user.role})
        set_cookie(response, request, answer.token)
        return response

    @api.get("/session")
    def session(request: Request, code: str) -> Response:
        """Where the login form sends the browser: a single-use code in, the cookie out, back to the app."""
        response = RedirectResponse("/", 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        if not comes_from_elsewhere(request):
            answer = people.finish_login(floor, code[:100], _agent(request))
            if not isinstance(answer, Refusal):
                set_cookie(response, request, answer.token)
        return response

    @api.post("/logout")
    def logout(request: Request) -> Response:
        """End the session in Postgres and take the cookie back."""
        if not is_same_origin(request):
            raise Forbidden("log out from this site's own pages")
        people.logout(floor, token_of(request))
        response = Response(status_code=204)
        clear_cookie(response)
        return response

    @api.websocket("/ws/ticks")
    async def ticks(socket: WebSocket) -> None:
        """Quotes as ``{"v": 1, "stale": false, "quotes": [...]}``: all of them first, then what changed.

        A client that sends ``{"ladder": "AAPL"}`` gets ``"book": {"symbol", "bids", "asks"}`` as well, each time the
        displayed levels changed; null ends it.
        """
        if not is_same_origin(socket):
            await socket.close(SESSION_OVER)  # before it is accepted: the handshake fails with 403
            return
        await socket.accept()
        ended = await _ended(floor, socket)
        if ended is not None:
            await socket.close(ended)
            return
        await tape.watch()
        try:
            await _stream(floor, tape, socket, monotonic_s)
        finally:
            tape.leave()

    return api


def _refused(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    code = getattr(error, "code", "error")
    return JSONResponse({"code": code, "reason": str(error)}, _STATUS.get(code, 422))


async def _stream(floor: Floor, tape: Tape, socket: WebSocket, monotonic_s: Callable[[], float]) -> None:
    """Send until the client leaves or its session ends."""
    ladder = _Ladder(tape)
    gone = asyncio.create_task(_until_gone(socket, ladder))
    seen: dict[int, int] = {}
    stale, checked_s, spoke_s = None, monotonic_s(), 0.0
    try:
        while not gone.done():
            if monotonic_s() - checked_s >= CHECK_EVERY_S:
                ended = await _ended(floor, socket)
                if ended is not None:
                    await socket.close(ended)
                    return
                checked_s = monotonic_s()
            news = [quote for key, quote in tape.quotes.items() if seen.get(key) != quote.seq]
            book = ladder.news()
            if news or book or stale != tape.stale or monotonic_s() - spoke_s > 1:
                stale, spoke_s = tape.stale, monotonic_s()
                message = {"v": 1, "stale": stale, "quotes": [quote.payload for quote in news]}
                await socket.send_json(message if book is None else message | {"book": book})
                seen.update({quote.payload["id"]: quote.seq for quote in news})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(tape.changed.wait(), 2 * PERIOD_S)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the client went away while something was being sent
    finally:
        gone.cancel()
        ladder.show(None)


class _Ladder:
    """The one ladder that a client looks at."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._symbol: str | None = None
        self._seq = -1

    def show(self, symbol: str | None) -> None:
        """Look at another symbol, or at none."""
        if self._symbol is not None:
            self._tape.hide_ladder(self._symbol)
        self._symbol, self._seq = symbol, -1
        if symbol is not None:
            self._tape.show_ladder(symbol)

    def news(self) -> dict[str, Any] | None:
        """The levels, where they are not those that were sent last."""
        book = self._tape.books.get(self._symbol) if self._symbol is not None else None
        if book is None or book.seq == self._seq:
            return None
        self._seq = book.seq
        return book.payload


async def _until_gone(socket: WebSocket, ladder: _Ladder) -> None:
    """Take the client's wishes; what is not understood is not one."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            text = await socket.receive_text()
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                symbol = json.loads(text[:200]).get("ladder")
                ladder.show(symbol if isinstance(symbol, str) else None)


async def _ended(floor: Floor, socket: WebSocket) -> int | None:
    """The close code for a socket whose session is over, or cannot be looked up while Postgres is away; else None."""
    try:
        await asyncio.to_thread(people.actor_of, floor, token_of(socket), origin_of(socket))
    except Forbidden:
        return SESSION_OVER
    except Unavailable:
        return TRY_AGAIN
    return None


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")
