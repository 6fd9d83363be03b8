"""What surrounds every page: the look, notices about halted trading, the footer that says what SIM is."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import streamlit as st

from app import room
from trading.domain.errors import Forbidden, Unavailable
from trading.services import halt, people
from trading.services.access import Actor, Role

P = ParamSpec("P")
MARK = Path(__file__).parent / "mark.svg"
"""The floor's sign: two candles."""

_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 4.3rem 1.6rem 1.2rem; max-width: 1680px; }
[data-testid="stApp"] { font-variant-numeric: tabular-nums; }
[data-testid="stMetricValue"] { font-size: 1.2rem; font-weight: 600; }
[data-testid="stMetricLabel"] { color: #8693a3; }
[data-testid="stDeployButton"], [data-testid="stAppDeployButton"], [data-testid="stMainMenu"],
[data-testid="stHeadingWithActionElements"] a, footer { display: none; }
.tf-strip { display: flex; flex-wrap: wrap; gap: .5rem 2.2rem; margin: .1rem 0 .3rem; }
.tf-strip div { min-width: 6.2rem; }
.tf-strip span { display: block; font-size: .76rem; color: #8693a3; }
.tf-strip b { font-size: 1.08rem; font-weight: 600; white-space: nowrap; }
.tf-strip .up, .tf-up { color: #2ebd85; } .tf-strip .down, .tf-down { color: #f0616d; }
.tf-cost { font-size: .88rem; line-height: 1.65; min-height: 8.3rem; }
.tf-cost div { display: flex; justify-content: space-between; } .tf-cost b { font-weight: 400; }
.tf-cost span, .tf-cost .dim { color: #8693a3; font-size: .82rem; } .tf-cost .warn { color: #e8b04b; margin: .3rem 0; }
.tf-said { font-size: .88rem; line-height: 1.4; min-height: 2.8rem; } .tf-said.up { color: #2ebd85; }
.tf-said.down { color: #f0616d; }
.tf-note { color: #8693a3; font-size: .82rem; }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: 4.2rem .8rem 1rem; }
  .tf-strip { gap: .4rem 1rem; } .tf-strip div { min-width: 44%; }
  .st-key-floor_page > div > [data-testid="stHorizontalBlock"] > :last-child { order: -1; }
}
</style>"""

_SIM = """**SIM is a simulated venue.** Its prices are made up from the habits of real instruments.
They are no market data, and nothing here is an order on a real exchange.

What paper fills do not model:
- your own market impact beyond the size on display: after your order the tape goes on as if you had not been there
- your place in the queue against other people's resting orders at the same price
- outages and rejects of a real exchange or broker, and latency unless the floor's settings ask for it
- what it costs to borrow the shares of a short sale, and whether there are any to borrow
- interest on cash that lies idle
"""


def style() -> None:
    """The look that the theme file cannot say."""
    st.html(_STYLE)
    st.logo(str(MARK), size="small")


def notices(actor: Actor) -> None:
    """A line above the page while trading is stopped anywhere it matters to this person."""
    for stop in halt.current(room.floor(), actor):
        scope, mode = str(stop["scope"]), str(stop["mode"])
        what = "Trading is halted" if mode == "halted" else "Only closing orders are taken"
        where = "" if scope == "floor" else f" ({scope.partition(':')[0]} {str(stop['name'])[:60]})"
        st.warning(f"**{what}{where}.** {str(stop['reason'])[:200]}", icon=":material/front_hand:")


def part(names: Sequence[str], key: str) -> str:
    """Which part of a page is shown, the first one at first."""
    return st.segmented_control("Show", names, default=names[0], key=key, label_visibility="collapsed", required=True)


def portfolio_switch(actor: Actor) -> None:
    """Where a trader has several portfolios: the one that this session works in, and the way to another."""
    found = list(people.portfolios(room.floor(), actor)) if actor.role is Role.TRADER else []
    if len(found) < 2:
        return
    names = {each.id: f"{each.name} · {each.currency}" for each in found}
    ids = list(names)
    st.selectbox(
        "You work in this portfolio",
        ids,
        index=ids.index(actor.portfolio_id) if actor.portfolio_id in names else 0,
        format_func=names.__getitem__,
        key=f"works_in_{actor.portfolio_id}",
        on_change=_switch,
        args=(f"works_in_{actor.portfolio_id}",),
        width=360,
    )


def _switch(key: str) -> None:
    people.switch_portfolio(room.floor(), room.actor(), int(st.session_state[key]))
    st.query_params.clear()  # what the address names belongs to the portfolio that was left


def footer() -> None:
    """Every page says which venue this is and what its fills leave out."""
    st.divider()
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.html('<span class="tf-note">Venue <b>SIM</b>: simulated prices, paper money. Times in your time zone.</span>')
    with right.popover("About SIM", icon=":material/info:", width="stretch"):
        st.markdown(_SIM)


def strip(figures: list[tuple[str, str | tuple[str, str]]]) -> None:
    """A line of labelled figures; a figure may carry a tone. Texts are ours or numbers, never a user's."""
    cells = []
    for label, figure in figures:
        text, tone = figure if isinstance(figure, tuple) else (figure, "")
        cells.append(f'<div><span>{label}</span><b class="{tone}">{text}</b></div>')
    st.html(f'<div class="tf-strip">{"".join(cells)}</div>')


def guarded(part: Callable[P, None]) -> Callable[P, None]:
    """For fragments, which rerun without the page: the same words for a dead session or a database that is away."""

    @wraps(part)
    def careful(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            part(*args, **kwargs)
        except Forbidden as error:
            no_entry(error)
        except Unavailable:
            away()

    return careful


def no_entry(error: Forbidden) -> None:
    """Told to somebody whose session ended, or whose role does not reach that far."""
    if error.code == "other_portfolio":
        st.info(
            "This belongs to another of your portfolios. Switch to it at the top of the page.", icon=":material/wallet:"
        )
    elif error.code == "no_session":
        st.info("Your session is over. Reload the page to log in again.", icon=":material/lock:")
    else:
        st.error("Your login does not open this page.", icon=":material/lock:")


def away() -> None:
    """Told while the database is away; nothing is lost, since nothing is acknowledged without it."""
    st.error(
        "The floor's database does not answer right now. Orders already accepted are safe. Try again in a few seconds.",
        icon=":material/cloud_off:",
    )
