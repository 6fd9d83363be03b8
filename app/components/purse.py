"""A portfolio's cash of each currency and what its trader may do with it."""

import secrets

import streamlit as st

from app import formats, room
from app.components.deeds import clear, do
from app.components.table import Row, table
from trading.services import fx, wallet
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
                st.session_state.pop("ask_key")
                clear("ask_amount", "ask_memo", "ask_sure")

            do(ask, f"Asked for {amount} {portfolio.currency}. An admin decides.")


def convert(who: Actor, portfolio: Portfolio) -> None:
    """Ask for a price, see it, take it within five seconds."""
    with st.container(border=True):
        st.markdown("**Convert**")
        ways = [way for pair in fx.pairs(room.floor(), who) for way in (pair, pair[::-1])]
        sell, buy = st.selectbox("From, to", ways, format_func=lambda way: f"{way[0]} to {way[1]}", key="fx_way")
        amount = st.text_input(f"Amount ({sell})", key="fx_amount", placeholder="1,000.00").replace(",", "").strip()
        if st.button("Show the price", disabled=not amount, key="fx_ask"):
            st.session_state["fx_key"] = secrets.token_urlsafe(16)

            def ask() -> None:
                st.session_state["fx_quote"] = fx.quote(room.floor(), who, portfolio.id, sell, buy, amount)

            do(ask, "")
        shown: fx.Quote | None = st.session_state.get("fx_quote")
        if shown is None or (shown.sell, shown.buy) != (sell, buy):
            st.caption("The floor converts at the bid or ask of the listed pair. A price holds for five seconds.")
            return
        sold, bought = formats.money(shown.sold, shown.sell), formats.money(shown.bought, shown.buy)
        st.markdown(f"{sold} bring **{bought}** at {shown.pair} {formats.price(shown.rate)}")
        if st.button(f"Convert {sold} now", type="primary", key="fx_take"):
            taken = st.session_state.pop("fx_quote")

            def take() -> None:
                fx.convert(
                    room.floor(),
                    who,
                    portfolio.id,
                    taken.sell,
                    taken.buy,
                    f"{taken.sold:f}",
                    f"{taken.rate:f}",
                    taken.quoted_ns,
                    st.session_state["fx_key"],
                )

            do(take, f"{sold} converted to {taken.buy}.")


def reset(who: Actor, portfolio: Portfolio) -> None:
    """Begin anew, by typing the portfolio's name."""
    with st.expander("Begin anew"):
        st.caption(
            "The portfolio becomes an archive: its statements stay. A new one of the same name begins with the cash "
            "that this one was opened with. Open, worked and scheduled orders have to be cancelled first."
        )
        typed = st.text_input(f"Type its name: {portfolio.name}", key="reset_name")
        if st.button("Archive it and begin anew", disabled=typed.strip() != portfolio.name, key="reset_portfolio"):
            do(lambda: wallet.reset(room.floor(), who, portfolio.id, typed), f"{portfolio.name} begins anew.")
