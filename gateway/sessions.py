"""The session cookie and the checks on where a request comes from."""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from trading.domain.errors import Forbidden
from trading.services import people
from trading.services.access import Actor
from trading.services.floor import Floor
from trading.services.people import SESSION_LIFETIME

COOKIE = "tradefloor_session"
"""Opaque token, HttpOnly: scripts of a page never see it."""


def token_of(connection: HTTPConnection) -> str:
    """The session token a request or a WebSocket carries, empty where there is none."""
    return connection.cookies.get(COOKIE, "")


def origin_of(connection: HTTPConnection) -> str:
    """Where a call came from, for the audit trail."""
    return f"gateway {connection.client.host}" if connection.client else "gateway"


def reader(floor: Floor, connection: HTTPConnection) -> Actor:
    """Who asks; raises `Forbidden` with code ``no_session`` for nobody."""
    return people.actor_of(floor, token_of(connection), origin_of(connection))


def writer(floor: Floor, connection: HTTPConnection) -> Actor:
    """Who asks for something to be done, which must come from this site's own pages."""
    if not is_same_origin(connection):
        raise Forbidden("orders are taken from this site's own pages")
    return reader(floor, connection)


def set_cookie(response: Response, connection: HTTPConnection, token: str) -> None:
    """Hand the token to the browser for as long as the session can live."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=connection.url.scheme in ("https", "wss"),
    )


def clear_cookie(response: Response) -> None:
    """Take the token back from the browser."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


def is_same_origin(connection: HTTPConnection) -> bool:
    """Whether the page that asks was served by this very host; a request that does not say is not."""
    origin = urlsplit(connection.headers.get("origin", ""))
    return bool(origin.netloc) and origin.scheme in ("http", "https") and origin.netloc == connection.headers["host"]


def comes_from_elsewhere(connection: HTTPConnection) -> bool:
    """Whether the browser says that another site caused this navigation (Fetch Metadata)."""
    return connection.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
