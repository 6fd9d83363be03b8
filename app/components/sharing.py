"""Who may look at which portfolio."""

import streamlit as st

from app import formats, room
from app.components.deeds import do
from app.components.table import Row, table
from trading.services import people
from trading.services.access import Actor


def show(who: Actor) -> None:
    """Grants at the left, a new one at the right."""
    floor, now = room.floor(), room.floor().clock.now()
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        rows = [
            Row(
                [
                    (each["observer"], "strong"),
                    each["portfolio"],
                    each["owner"],
                    formats.ago(each["granted_at"], now),
                ],
                id=f"{each['portfolio_id']}/{each['observer_id']}",
                action="Take back",
                confirm="Really take back?",
            )
            for each in people.grants(floor, who)
        ]

        def take_back(row_id: str) -> None:
            portfolio_id, observer_id = (int(part) for part in row_id.split("/"))
            people.revoke_grant(floor, room.actor(), portfolio_id, observer_id)

        empty = "Nothing is shared yet. Choose an observer and a portfolio."
        table("grants", ["Observer", "Portfolio", "Owner", "Since"], rows, empty, on_action=take_back)
    observers = {user.id: user for user in people.users(floor, who) if user.role == "observer"}
    portfolios = {each.id: each for each in people.portfolios(floor, who)}
    with right, st.form("share", enter_to_submit=False):
        st.markdown("**Share a portfolio**")
        observer = st.selectbox("With", list(observers), format_func=lambda key: observers[key].display_name)
        chosen = st.selectbox(
            "Portfolio", list(portfolios), format_func=lambda key: f"{portfolios[key].name} · {portfolios[key].owner}"
        )
        ready = bool(observers and portfolios)
        if not ready:
            st.caption("This needs an observer's login and a portfolio.")
        if st.form_submit_button("Share", disabled=not ready) and observer and chosen:
            do(
                lambda: people.grant(floor, who, chosen, observer),
                f"{observers[observer].display_name} can see it now.",
            )
