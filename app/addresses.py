"""Addresses as people type them: Streamlit knows a default page at ``/`` alone, so its name leads there."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app import menu, room
from gateway.sessions import reader
from trading.domain.errors import Forbidden, Unavailable


class HomeAddresses:
    """ASGI middleware: the name of a page that is the asker's home answers with ``/``; all else passes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask who it is only where the address is somebody's home."""
        app: ASGIApp = self._app
        name = scope["path"].strip("/") if scope["type"] == "http" and scope["method"] == "GET" else ""
        if name in menu.HOMES and await run_in_threadpool(_is_home, Request(scope), name):
            query = scope["query_string"].decode("latin-1")
            # Another login of the same browser may have another home: nothing keeps this answer.
            app = RedirectResponse(f"/?{query}" if query else "/", 307, {"Cache-Control": "no-store"})
        await app(scope, receive, send)


def _is_home(request: Request, name: str) -> bool:
    try:
        return menu.home(reader(room.floor(), request).role) == name
    except (Forbidden, Unavailable):
        return False  # the page itself says so
