"""The gateway: log in and out, health, orders, and live quotes over a WebSocket, mounted under ``/api``."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from gateway.orders import order_routes
from gateway.sessions import clear_cookie, comes_from_elsewhere, is_same_origin, set_cookie, token_of
from gateway.tape import PERIOD_S, Tape
from trading.domain.errors import Forbidden, TradefloorError, Unavailable
from trading.domain.orders import Refusal
from trading.services import people
from trading.services.access import Actor
from trading.services.floor import Floor

CHECK_EVERY_S = 0.6
"""How often an open WebSocket's session is looked up again: a revoked one is cut within a second."""
SESSION_OVER = 4401
"""Close code that tells the page to ask for a login."""
TRY_AGAIN = 1013
"""Close code for a floor that cannot check sessions now."""
_STATUS = {"forbidden": 403, "no_session": 401, "not_found": 404, "conflict": 409, "unavailable": 503, "halted": 423}


class Credentials(BaseModel):
    """Body of ``POST /login``."""

    username: str = Field(max_length=80)
    password: str = Field(max_length=1000)


def create_api(floor: Floor, monotonic_s: Callable[[], float]) -> FastAPI:
    """The routes over one floor."""
    api = FastAPI(title="Tradefloor", docs_url=None, redoc_url=None, openapi_url=None)
    tape = Tape(floor, monotonic_s)

    @api.exception_handler(TradefloorError)
    def refused(request: Request, error: TradefloorError) -> JSONResponse:  # noqa: ARG001
        return JSONResponse({"code": error.code, "reason": str(error)}, _STATUS.get(error.code, 422))

    def reader(request: Request) -> Actor:
        return people.actor_of(floor, token_of(request), _origin(request))

    def writer(request: Request) -> Actor:
        if not is_same_origin(request):
            raise Forbidden("orders are taken from this site's own pages")
        return reader(request)

    api.include_router(order_routes(floor, reader, writer))

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
        answer = people.login(floor, body.username, body.password, _origin(request), _agent(request))
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
        """Quotes as ``{"v": 1, "stale": false, "quotes": [...]}``: all of them first, then what changed."""
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


async def _stream(floor: Floor, tape: Tape, socket: WebSocket, monotonic_s: Callable[[], float]) -> None:
    """Send until the client leaves or its session ends. The client sends nothing that is listened to."""
    gone = asyncio.create_task(_until_gone(socket))
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
            if news or stale != tape.stale or monotonic_s() - spoke_s > 1:
                stale, spoke_s = tape.stale, monotonic_s()
                await socket.send_json({"v": 1, "stale": stale, "quotes": [quote.payload for quote in news]})
                seen.update({quote.payload["id"]: quote.seq for quote in news})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(tape.changed.wait(), 2 * PERIOD_S)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the client went away while something was being sent
    finally:
        gone.cancel()


async def _until_gone(socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive_text()


async def _ended(floor: Floor, socket: WebSocket) -> int | None:
    """The close code for a socket whose session is over, or cannot be looked up while Postgres is away; else None."""
    try:
        await asyncio.to_thread(people.actor_of, floor, token_of(socket), _origin(socket))
    except Forbidden:
        return SESSION_OVER
    except Unavailable:
        return TRY_AGAIN
    return None


def _origin(connection: Any) -> str:
    return f"gateway {connection.client.host}" if connection.client else "gateway"


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")
