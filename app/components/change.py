"""New terms for an open order, and its end: only the fields its type has, filled in with what they are now."""

import secrets

import streamlit as st

from app import formats, room
from trading.domain.errors import Conflict, TradefloorError
from trading.domain.orders import PRICED, STOPPED, Acceptance, Change, OrderType, Refusal
from trading.services import desk
from trading.services.queries import OrderLine

_FIELDS = {
    "quantity": "Quantity, in total",
    "limit_price": "Limit price",
    "stop_price": "Stop price",
    "trail": "Trail by (amount)",
    "trail_percent": "Trail by (%)",
}


def change(line: OrderLine, portfolio_id: int) -> None:
    """The form; what is left as it is does not change."""
    st.markdown("**Change or cancel**")
    now = terms(line)
    with st.form(f"change_{line.id}", border=False, enter_to_submit=False):
        columns = st.columns(len(now))
        for column, (name, value) in zip(columns, now.items(), strict=True):
            column.text_input(_FIELDS[name], value, key=f"change_{name}_{line.id}")
        st.caption(
            "A lower quantity at the same price keeps its place in the queue; any other change goes to its end."
            + (" The quantity of linked orders follows their fills." if line.group_role else "")
        )
        send, stop = st.columns(2)
        sent = send.form_submit_button("Send the change", type="primary", width="stretch")
        ended = stop.form_submit_button("Cancel this order", width="stretch")
    if sent:
        _say(_send(line, portfolio_id, now))
    elif ended:
        refusal = desk.cancel(room.floor(), room.actor(), portfolio_id, line.id)
        _say(refusal or f"Order {line.id}: cancel sent.")


def terms(line: OrderLine) -> dict[str, str]:
    """What can be changed of an order, as its form shows it."""
    kind = OrderType(line.type)
    waits = line.state in ("accepted", "pending_trigger")
    found = {"quantity": f"{line.quantity.normalize():f}"}
    if kind in PRICED and line.limit_price is not None:
        found["limit_price"] = f"{line.limit_price:f}"
    if kind in STOPPED and waits and line.stop_price is not None:
        found["stop_price"] = f"{line.stop_price:f}"
    if waits and line.trail is not None:
        found["trail"] = f"{line.trail:f}"
    if waits and line.trail_percent is not None:
        found["trail_percent"] = f"{line.trail_percent.normalize():f}"
    return found


def _send(line: OrderLine, portfolio_id: int, now: dict[str, str]) -> str | Refusal:
    typed = {name: st.session_state[f"change_{name}_{line.id}"].strip().replace(",", "") for name in now}
    changed = {name: value for name, value in typed.items() if value != now[name]}
    # One key for one set of terms: a second click on the same form is the same change.
    key = st.session_state.setdefault(f"change_key_{line.id}_{sorted(changed.items())}", secrets.token_urlsafe(16))
    try:
        answer = desk.modify(room.floor(), room.actor(), portfolio_id, line.id, Change(**changed), key)
    except Conflict as error:
        return Refusal(error.code, "This change was sent already.")
    except TradefloorError as error:
        return Refusal(error.code, f"Not sent: {error}.")
    if isinstance(answer, Acceptance):
        return f"Order {line.id}: change sent."
    del st.session_state[f"change_key_{line.id}_{sorted(changed.items())}"]
    return answer


def _say(answer: str | Refusal) -> None:
    if isinstance(answer, Refusal):
        st.warning(f"{answer.reason} ({answer.code})", icon=":material/block:")
    else:
        st.success(answer, icon=":material/check:")


def headline(line: OrderLine) -> str:
    """An order in one line: ``Buy 10 IBM at market``, ``Sell 5 AAPL, stop 95.00``."""
    word, _ = formats.side(line.side)
    what = f"{word} {formats.quantity(line.quantity)} {line.symbol}"
    if line.type == OrderType.MARKET:
        return f"{what} at market"
    if line.type == OrderType.LIMIT:
        return f"{what} at {formats.price(line.limit_price)} or better"
    words = formats.terms(line)
    return f"{what}, {words[:1].lower()}{words[1:]}"
