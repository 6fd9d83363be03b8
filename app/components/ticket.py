"""The order ticket: what it costs while it is typed, one idempotency key an order, refusals in plain words."""

import secrets
from html import escape

import streamlit as st

from app import formats, room
from app.components.live import quote_line
from trading.domain.errors import Conflict, TradefloorError
from trading.domain.instruments import Instrument
from trading.domain.money import minor_to_decimal
from trading.domain.orders import Acceptance, OrderType, Refusal, Side, Ticket, TimeInForce
from trading.services import desk

_SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
_TYPES = {OrderType.MARKET: "Market", OrderType.LIMIT: "Limit"}


def ticket(instrument: Instrument, portfolio_id: int, reference: str | None) -> None:
    """The ticket for one instrument; its texts stay while prices move."""
    quote_line(instrument.symbol, "", reference, small=True)
    st.session_state.setdefault("ticket_key", secrets.token_urlsafe(16))
    side = st.segmented_control(
        "Side", list(Side), format_func=_SIDES.get, default=Side.BUY, key="ticket_side", required=True, width="stretch"
    )
    kind = st.segmented_control(
        "Type",
        list(OrderType),
        format_func=_TYPES.get,
        default=OrderType.MARKET,
        key="ticket_type",
        required=True,
        width="stretch",
    )
    left, right = st.columns(2)
    lot = formats.quantity(instrument.lot_size)
    left.text_input("Quantity", "10", key=f"ticket_quantity_{instrument.symbol}", help=f"In steps of {lot}")
    if kind == OrderType.LIMIT:
        right.text_input(
            f"Limit price ({instrument.currency.code})",
            key=f"ticket_limit_{instrument.symbol}",
            placeholder="the most you pay" if side == Side.BUY else "the least you take",
            help=f"In steps of {formats.price(instrument.tick_size)}",
        )
    (right if kind == OrderType.MARKET else st).selectbox(
        "Good for",
        list(TimeInForce),
        index=1,
        format_func=lambda tif: formats.TIF_CODES[tif],
        key="ticket_tif",
        help="Day: until the end of today. GTC: until you cancel it. IOC: what can trade at once, the rest is dropped.",
    )
    asked = _asked(instrument)
    answer = desk.preview(room.floor(), room.actor(), portfolio_id, asked)
    _cost(answer, instrument, asked)
    key = st.session_state["ticket_key"]
    # The key is part of the button's identity: a second click on the same button is the same order.
    st.button(
        f"{_SIDES[asked.side]} {asked.quantity or '…'} {instrument.symbol}",
        key=f"send_{key}",
        type="primary",
        width="stretch",
        disabled=isinstance(answer, Refusal),
        on_click=_send,
        args=(instrument, portfolio_id, key),
    )
    _last_answer()


def _asked(instrument: Instrument) -> Ticket:
    state = st.session_state
    kind = state.get("ticket_type") or OrderType.MARKET
    limit = (state.get(f"ticket_limit_{instrument.symbol}") or "").strip().replace(",", "")
    return Ticket(
        symbol=instrument.symbol,
        side=state.get("ticket_side") or Side.BUY,
        type=kind,
        quantity=(state.get(f"ticket_quantity_{instrument.symbol}") or "").strip().replace(",", ""),
        limit_price=limit if kind == OrderType.LIMIT and limit else None,
        time_in_force=state.get("ticket_tif") or TimeInForce.GTC,
        venue=instrument.venue,
    )


def _cost(answer: desk.Preview | Refusal, instrument: Instrument, asked: Ticket) -> None:
    """What the order costs, or why it would be refused; as high either way, so that nothing below it jumps."""
    if isinstance(answer, Refusal):
        ready = asked.quantity and (asked.type == OrderType.MARKET or asked.limit_price)
        why = explain(answer, instrument) if ready else "Fill in quantity and price to see what the order costs."
        st.html(f'<div class="tf-cost"><p class="{"warn" if ready else "dim"}">{escape(why)}</p></div>')
        return
    currency, scale = instrument.currency.code, instrument.currency.scale

    def cash(minor: int) -> str:
        return formats.money(minor_to_decimal(minor, scale), currency)

    buys = asked.side == Side.BUY
    lines = [
        (f"{'Cost' if buys else 'Proceeds'} at {formats.price(answer.estimated_price)}", answer.estimated_notional),
        ("Fee, at most", answer.fee_at_most),
        ("Held until filled", answer.cash_hold),
        ("Cash left to spend", answer.cash_after_hold),
    ]
    rows = "".join(f"<div><span>{label}</span><b>{cash(minor)}</b></div>" for label, minor in lines)
    worst = f"Never fills at {'more' if buys else 'less'} than {formats.price(answer.protection_price)}."
    st.html(f'<div class="tf-cost">{rows}<span>{worst}</span></div>')


def _send(instrument: Instrument, portfolio_id: int, key: str) -> None:
    """Submit once; the key is renewed only after an answer: a lost answer is asked for again, not ordered twice."""
    asked = _asked(instrument)
    try:
        answer: Acceptance | Refusal = desk.submit(room.floor(), room.actor(), portfolio_id, asked, key)
    except Conflict as error:
        answer = Refusal(error.code, "This ticket was sent already. Look at your orders before you send another.")
    except TradefloorError as error:
        st.session_state["ticket_answer"] = Refusal(error.code, f"Not sent: {error}. Your ticket is still here.")
        return
    st.session_state["ticket_key"] = secrets.token_urlsafe(16)
    said = f"{_SIDES[asked.side]} {asked.quantity} {asked.symbol}"
    st.session_state["ticket_answer"] = (
        f"{said}: order {answer.order_id} accepted."
        if isinstance(answer, Acceptance)
        else Refusal(answer.code, explain(answer, instrument))
    )


def _last_answer() -> None:
    """What became of the last ticket; its place is kept free before, so that nothing below it jumps."""
    answer = st.session_state.get("ticket_answer", "")
    tone, sign, words = "dim", "", ""
    if isinstance(answer, Refusal):
        tone, sign, words = "down", "✕ ", f"{answer.reason} ({answer.code})"
    elif answer:
        tone, sign, words = "up", "✓ ", answer
    st.html(f'<div class="tf-said {tone}" role="status">{sign}{escape(words)}</div>')


def explain(refusal: Refusal, instrument: Instrument) -> str:
    """A refusal in words, with money where the reason speaks of money."""
    if refusal.code != "insufficient_cash":
        return refusal.reason
    scale, currency = instrument.currency.scale, instrument.currency.code
    needed, available = (
        formats.money(minor_to_decimal(int(refusal.numbers[name]), scale), currency) for name in ("needed", "available")
    )
    return f"Not enough cash: this order holds {needed}, you have {available} to spend."
