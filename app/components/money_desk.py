"""Portfolios and their cash: open one, pay in, pay out, each with a second look; from where on it takes two admins."""

import secrets
from decimal import Decimal, InvalidOperation

import streamlit as st

from app import formats, room
from app.components import money_waiting
from app.components.deeds import clear, do
from app.components.table import Row, table
from trading.services import ledger, people, queries, wallet
from trading.services.access import Actor
from trading.services.ports.people import Portfolio

_KINDS = {"cash": "Cash: no debt, no shorts", "margin": "Margin: debt and short sales"}
_KIND_HELP = "A margin portfolio may borrow and sell short; below its requirement positions are closed. It stays so."


def show(who: Actor) -> None:
    """Portfolios and what waits at the left; deposit, withdrawal and a new portfolio at the right."""
    floor = room.floor()
    found = list(people.portfolios(floor, who))
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        money_waiting.decide(who)
        rows = []
        for each in found:
            money = queries.cash(floor, who, each.id)
            rows.append(
                Row(
                    [
                        (each.name, "strong"),
                        each.owner,
                        each.kind.capitalize(),
                        formats.money(sum((line.total for line in money), Decimal(0)), each.currency),
                        formats.money(sum((line.held for line in money), Decimal(0)), each.currency),
                        formats.money(sum((line.available for line in money), Decimal(0)), each.currency),
                    ]
                )
            )
        columns = ["Portfolio", "Owner", "Kind", ">Cash", ">Held", ">To spend"]
        table("portfolios", columns, rows, "No portfolios yet. Open one for a trader.")
        st.markdown("**Above this much it takes a second admin**")
        limits = wallet.limits(floor, who)
        of_currency = [
            Row([(limit.currency, "strong"), formats.money(limit.above, limit.currency), _set_when(limit)])
            for limit in limits
        ]
        table("cash_limits", ["Currency", ">Above", "Version"], of_currency, "No currencies yet.")
    with right:
        _cash(who, found)
        _open(who)
        _lower(who, {limit.currency: limit for limit in limits})


def _set_when(limit: wallet.Limit) -> str:
    return str(limit.version) if limit.version else "as shipped"


def _lower(who: Actor, limits: dict[str, wallet.Limit]) -> None:
    if not limits:
        return
    with st.container(border=True):
        st.markdown("**Lower a limit**")
        currency = st.selectbox("Currency", list(limits), key="lower_currency")
        amount = st.text_input(
            f"A second admin above ({currency})", f"{limits[currency].above:f}", key=f"lower_{currency}"
        )
        st.caption("An admin can only lower it: otherwise one admin could raise it and need no second one.")
        sure = st.checkbox(
            f"Yes: {amount or '…'} {currency} from now on, and I cannot raise it again", key="lower_sure"
        )
        if st.button("Lower it", disabled=not (sure and amount.strip()), key="lower_limit"):

            def keep() -> None:
                wallet.set_limit(room.floor(), who, currency, amount.replace(",", "").strip())
                clear("lower_sure")

            do(keep, f"Above {amount} {currency} a second admin has to agree.")


def _cash(who: Actor, found: list[Portfolio]) -> None:
    if not found:
        return
    with st.container(border=True):
        st.markdown("**Pay in or out**")
        by_id = {each.id: each for each in found}
        chosen = by_id[
            st.selectbox("Portfolio", list(by_id), format_func=lambda key: f"{by_id[key].name} · {by_id[key].owner}")
        ]
        out = st.segmented_control("What", ["Deposit", "Withdrawal"], default="Deposit", required=True, key="cash_kind")
        amount = st.text_input(f"Amount ({chosen.currency})", key="cash_amount", placeholder="10,000.00")
        memo = st.text_input("Memo", key="cash_memo", placeholder="kept with the ledger line")
        large = _is_large(who, amount, chosen.currency)
        if large:
            st.caption("Above the limit of one admin: another one has to agree before it is booked.")
        sure = st.checkbox(f"Yes: {out.lower()} {amount or '…'} {chosen.currency}, {chosen.name}", key="cash_sure")
        key = st.session_state.setdefault("cash_key", secrets.token_urlsafe(16))
        if st.button("Book it", type="primary", disabled=not (sure and amount.strip()), key=f"book_{key}"):
            post = ledger.deposit if out == "Deposit" else ledger.withdraw
            text = amount.replace(",", "").strip()

            def book() -> None:
                if large:
                    wallet.request(room.floor(), who, chosen.id, out.lower(), text, key, memo)
                else:
                    post(room.floor(), who, chosen.id, text, key, memo)
                st.session_state.pop("cash_key")
                clear("cash_amount", "cash_memo", "cash_sure")

            done = "waits for another admin" if large else "booked"
            do(book, f"{out} of {amount} {chosen.currency} {done} for {chosen.name}.")


def _is_large(who: Actor, amount: str, currency: str) -> bool:
    limits = {limit.currency: limit.above for limit in wallet.limits(room.floor(), who)}
    try:
        return Decimal(amount.replace(",", "").strip()) > limits[currency]
    except InvalidOperation:
        return False  # no number, or NaN: the posting itself says what is wrong with it


def _open(who: Actor) -> None:
    traders = {user.id: user for user in people.users(room.floor(), who) if user.role == "trader"}
    with st.form("open_portfolio", clear_on_submit=True, enter_to_submit=False):
        st.markdown("**Open a portfolio**")
        if not traders:
            st.caption("A portfolio belongs to a trader. Add one under Logins first.")
        owner = st.selectbox("Trader", list(traders), format_func=lambda key: traders[key].display_name)
        name = st.text_input("Name of the portfolio")
        kind = st.selectbox("Kind", list(_KINDS), format_func=_KINDS.__getitem__, help=_KIND_HELP)
        if st.form_submit_button("Open", disabled=not traders) and owner:
            do(
                lambda: people.create_portfolio(room.floor(), who, owner, name, kind=kind),
                f"Portfolio {name.strip()} is open.",
            )
