"""What every screen needs: the floor this process opened and who is asking, checked anew each time."""

from datetime import UTC, datetime

import streamlit as st

from gateway.sessions import COOKIE
from trading.domain.errors import Forbidden
from trading.services import people
from trading.services.access import Actor
from trading.services.floor import Floor
from trading.services.ports.people import Portfolio

_OPEN: list[Floor] = []


def open_room(floor: Floor) -> None:
    """Give the screens of this process their floor."""
    _OPEN[:] = [floor]


def floor() -> Floor:
    """The floor behind the screens."""
    return _OPEN[0]


def session_token() -> str:
    """The token in the browser's cookie, as it was when this tab connected."""
    return st.context.cookies.get(COOKIE, "")


def actor() -> Actor:
    """Who looks at the screen, asked of Postgres for this very rerun; `Forbidden` when the session is over."""
    return people.actor_of(floor(), session_token(), f"app {st.context.ip_address or 'local'}")


def maybe_actor() -> Actor | None:
    """The same, None for nobody."""
    try:
        return actor()
    except Forbidden:
        return None


def now_ns() -> int:
    """Now by the floor's clock."""
    return floor().clock.now_ns()


def moment(ts_ns: int) -> datetime:
    """A time of the floor as an aware UTC datetime."""
    return datetime.fromtimestamp(ts_ns / 1e9, UTC)


def portfolio(who: Actor) -> Portfolio | None:
    """The portfolio on screen: the one a trader's session works in, the only one, the one picked; None without any."""
    found = list(people.portfolios(floor(), who))
    if who.portfolio_id is not None:
        return next((each for each in found if each.id == who.portfolio_id), None)
    if len(found) < 2:
        return found[0] if found else None
    by_id = {each.id: each for each in found}
    picked = st.selectbox(
        "Portfolio",
        list(by_id),
        format_func=lambda key: f"{by_id[key].name} · {by_id[key].owner}",
        key="portfolio",
        label_visibility="collapsed",
    )
    return by_id[picked]
