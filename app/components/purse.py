"""A portfolio's cash of each currency and what its trader may do with it."""

import secrets

import streamlit as st

from app import formats, room
from app.components.deeds import do
from app.components.table import Row, table
from trading.services import wallet
from trading.services.access import Actor
from trading.services.ports.people import Portfolio


def cash(who: Actor, portfolio: Portfolio) -> None:
    """Cash of each currency: all, held, not settled, what may leave."""
    rows = []
    for line in wallet.cash(room.floor(), who, portfolio.id):
        settles = "" if line.settles_ns is None else f"{formats.date_time(line.settles_ns)}"
        rows.append(
            Row(
                [
                    (line.currency, "strong"),
                    formats.money(line.total, line.currency),
                    formats.money(line.held, line.currency),
                    formats.money(line.available, line.currency),
                    formats.money(line.unsettled, line.currency),
                    (settles, "dim"),
                    formats.money(line.withdrawable, line.currency),
                ]
            )
        )
    columns = ["Currency", ">Cash", ">Held", ">To spend", ">Not settled", "Settled by", ">Can be withdrawn"]
    table("purse", columns, rows, "No cash yet. An admin's deposit will be the first.")
    st.caption(
        "Held is what open orders and waiting withdrawals reserve. Proceeds trade at once and leave when settled."
    )


def withdraw(who: Actor, portfolio: Portfolio) -> None:
    """Ask for a withdrawal, with a second look."""
    with st.container(border=True):
        st.markdown("**Ask for a withdrawal**")
        amount = st.text_input(f"Amount ({portfolio.currency})", key="ask_amount", placeholder="1,000.00")
        memo = st.text_input("Memo", key="ask_memo", placeholder="kept with the request")
        sure = st.checkbox(f"Yes: withdraw {amount or '…'} {portfolio.currency}", key="ask_sure")
        st.caption("The amount is held until an admin has decided, for three days at most.")
        key = st.session_state.setdefault("ask_key", secrets.token_urlsafe(16))
        if st.button("Ask", type="primary", disabled=not (sure and amount.strip()), key="ask_withdrawal"):
            text = amount.replace(",", "").strip()

            def ask() -> None:
                wallet.request(room.floor(), who, portfolio.id, "withdrawal", text, key, memo)
                for used in ("ask_key", "ask_amount", "ask_memo", "ask_sure"):
                    st.session_state.pop(used, None)

            do(ask, f"Asked for {amount} {portfolio.currency}. An admin decides.")
    said = st.session_state.pop("people_said", None)
    if said:
        st.success(said, icon=":material/check_circle:")
