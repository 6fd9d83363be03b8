"""The order ticket: what it costs while it is typed, one idempotency key an order, refusals in plain words."""

import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import formats, room
from app.components.live import quote_line
from app.components.scheduled import schedule_this
from app.components.worked import work_it
from trading.domain.errors import Conflict, TradefloorError
from trading.domain.instruments import Instrument
from trading.domain.money import minor_to_decimal
from trading.domain.orders import (
    CONDITIONAL,
    PRICED,
    STOPPED,
    Acceptance,
    Effect,
    OrderType,
    Refusal,
    Side,
    Ticket,
    TimeInForce,
)
from trading.services import desk

_SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
_HINTS = {
    OrderType.MARKET: "Trades at once at the best price on offer.",
    OrderType.LIMIT: "Waits until it can trade at your price or better.",
    OrderType.STOP: "Waits for its stop price to trade, then trades at market.",
    OrderType.STOP_LIMIT: "Waits for its stop price to trade, then is a limit order.",
    OrderType.TRAILING_STOP: "A stop that follows the market at a distance and never goes back.",
}
_GOOD_FOR = (
    "Day: until the end of today. GTC: until you cancel it. Until: until a time you choose. IOC: what can trade at "
    "once, the rest is dropped. FOK: all at once or nothing."
)
_AMOUNT, _PERCENT = "Amount", "Percent"
_OF_MONEY = frozenset({"max_order_notional", "max_position_notional", "max_daily_loss"})
_UNREADY = "Fill in quantity and price to see what the order costs."


def ticket(instrument: Instrument, portfolio_id: int, reference: str | None, *, on_margin: bool = False) -> None:
    """The ticket for one instrument, with the fields of the type that is chosen; its texts stay while prices move.

    ``on_margin`` a sale may open a position, and have exits.
    """
    quote_line(instrument.symbol, "", reference, small=True)
    st.session_state.setdefault("ticket_key", secrets.token_urlsafe(16))
    side = st.segmented_control(
        "Side",
        list(Side),
        format_func=_SIDES.__getitem__,
        default=Side.BUY,
        key="ticket_side",
        required=True,
        width="stretch",
    )
    left, right = st.columns(2)
    kind = left.selectbox("Type", [*OrderType], format_func=formats.TYPES.__getitem__, key="ticket_type")
    side = side or Side.BUY
    _life(right, kind)
    st.caption(_HINTS[kind])
    left, right = st.columns(2)
    lot = formats.quantity(instrument.lot_size)
    first = "10" if Decimal(10) % instrument.lot_size == 0 else f"{instrument.lot_size.normalize():f}"
    left.text_input("Quantity", first, key=f"ticket_quantity_{instrument.symbol}", help=f"In steps of {lot}")
    _prices(instrument, side, kind, right)
    st.session_state["ticket_exits"] = on_margin or side == Side.BUY
    _linked(instrument, side, kind)
    asked = _asked(instrument)
    answer = desk.preview(room.floor(), room.actor(), portfolio_id, asked)
    _cost(answer, instrument, asked)
    # Who schedules or works the order must not send it at once by the button that is always there.
    if not (st.session_state.get("schedule_open") or st.session_state.get("work_open")):
        _send_button(asked, instrument, portfolio_id, is_refused=bool(desk.refusals_of(answer)))
    _last_answer()
    schedule_this(asked, portfolio_id)
    work_it(asked, portfolio_id)


def _send_button(asked: Ticket, instrument: Instrument, portfolio_id: int, *, is_refused: bool) -> None:
    key = st.session_state["ticket_key"]
    # The key is part of the button's identity: a second click on the same button is the same order.
    st.button(
        f"{_SIDES[asked.side]} {asked.quantity or '…'} {instrument.symbol}",
        key=f"send_{key}",
        type="primary",
        width="stretch",
        disabled=is_refused,
        on_click=_send,
        args=(instrument, portfolio_id, key),
    )


def _life(place: DeltaGenerator, kind: OrderType) -> None:
    """How long the order lives; a type that waits for a trigger cannot be immediate."""
    lives = [tif for tif in TimeInForce if kind not in CONDITIONAL or tif not in (TimeInForce.IOC, TimeInForce.FOK)]
    tif = place.selectbox(
        "Good for",
        lives,
        index=1,
        format_func=lambda tif: formats.TIF_CODES[tif],
        key=f"ticket_tif_{kind in CONDITIONAL}",
        help=_GOOD_FOR,
    )
    if tif == TimeInForce.GTD:
        tomorrow = datetime.now(formats.zone()) + timedelta(days=1)
        st.datetime_input("Until", tomorrow.replace(minute=0, second=0, microsecond=0), key="ticket_until")


def _prices(instrument: Instrument, side: Side, kind: OrderType, place: DeltaGenerator) -> None:
    """The prices that the type has, the first of them in ``place``."""
    step, buys = formats.price(instrument.tick_size), side == Side.BUY
    if kind in STOPPED:
        _price(place, instrument, "stop", "Stop price", "above the market" if buys else "below the market", step)
    if kind == OrderType.TRAILING_STOP:
        how = st.session_state.get("ticket_trail_by") or _AMOUNT
        label, hint = (
            (f"Distance ({instrument.currency.code})", "e.g. 1.50") if how == _AMOUNT else ("Distance (%)", "e.g. 2")
        )
        place.text_input(label, key=f"ticket_trail_{instrument.symbol}_{how}", placeholder=hint)
        st.segmented_control(
            "Trail by", [_AMOUNT, _PERCENT], default=_AMOUNT, key="ticket_trail_by", required=True, width="stretch"
        )
    if kind in PRICED:
        where = place if kind == OrderType.LIMIT else st.container()
        _price(where, instrument, "limit", "Limit price", "the most you pay" if buys else "the least you take", step)
    if kind == OrderType.LIMIT:
        st.checkbox("Post-only", key="ticket_post_only", help="Rests in the book, or is rejected if it would trade.")


def _linked(instrument: Instrument, side: Side, kind: OrderType) -> None:
    """Exits of an order that opens, or the limit order beside a stop."""
    step = formats.price(instrument.tick_size)
    if st.session_state["ticket_exits"]:
        hints, does = ("above your price", "below your price"), "sell what this order buys"
        if side == Side.SELL:
            hints, does = hints[::-1], "buy back what this order sells short"
        with st.expander("Take profit, stop loss"):
            st.caption(f"Exits that {does}. When one trades, the other gives up as much.")
            left, right = st.columns(2)
            _price(left, instrument, "take_profit", "Take profit", hints[0], step)
            _price(right, instrument, "stop_loss", "Stop loss", hints[1], step)
    if kind in CONDITIONAL:
        with st.expander("One cancels other"):
            st.caption("A limit order beside the stop. What one trades, the other gives up.")
            hint = "below the market" if side == Side.BUY else "above the market"
            _price(st.container(), instrument, "oco_limit", "Other order's limit", hint, step)


def _price(place: DeltaGenerator, instrument: Instrument, name: str, label: str, hint: str, step: str) -> None:
    place.text_input(
        f"{label} ({instrument.currency.code})",
        key=f"ticket_{name}_{instrument.symbol}",
        placeholder=hint,
        help=f"In steps of {step}",
    )


def _asked(instrument: Instrument) -> Ticket:
    """The ticket as its fields stand; fields that the chosen type does not have say nothing."""
    state = st.session_state
    kind = state.get("ticket_type") or OrderType.MARKET
    side = state.get("ticket_side") or Side.BUY
    tif = state.get(f"ticket_tif_{kind in CONDITIONAL}") or TimeInForce.GTC
    how = state.get("ticket_trail_by") or _AMOUNT

    def typed(name: str, *, used: bool) -> str | None:
        text = (state.get(f"ticket_{name}") or "").strip().replace(",", "")
        return text if used and text else None

    symbol, trails = instrument.symbol, kind == OrderType.TRAILING_STOP
    until = state.get("ticket_until") if tif == TimeInForce.GTD else None
    return Ticket(
        symbol=symbol,
        side=side,
        type=kind,
        quantity=typed(f"quantity_{symbol}", used=True) or "",
        limit_price=typed(f"limit_{symbol}", used=kind in PRICED),
        time_in_force=tif,
        venue=instrument.venue,
        stop_price=typed(f"stop_{symbol}", used=kind in STOPPED),
        trail=typed(f"trail_{symbol}_{_AMOUNT}", used=trails and how == _AMOUNT),
        trail_percent=typed(f"trail_{symbol}_{_PERCENT}", used=trails and how == _PERCENT),
        post_only=kind == OrderType.LIMIT and bool(state.get("ticket_post_only")),
        expires_at=None if until is None else until.replace(tzinfo=formats.zone()).isoformat(),
        take_profit=typed(f"take_profit_{symbol}", used=bool(state.get("ticket_exits"))),
        stop_loss=typed(f"stop_loss_{symbol}", used=bool(state.get("ticket_exits"))),
        oco_limit=typed(f"oco_limit_{symbol}", used=kind in CONDITIONAL),
    )


def _ready(asked: Ticket) -> bool:
    """Whether everything has been typed that the order needs."""
    return bool(
        asked.quantity
        and (asked.type not in PRICED or asked.limit_price)
        and (asked.type not in STOPPED or asked.stop_price)
        and (asked.type != OrderType.TRAILING_STOP or asked.trail or asked.trail_percent)
    )


def _cost(answer: desk.Preview | Refusal, instrument: Instrument, asked: Ticket) -> None:
    """What the order costs, or why it would be refused; as high either way, so that nothing below it jumps."""
    refusals = desk.refusals_of(answer)
    ready = _ready(asked)
    whys = [explain(each, instrument) for each in refusals] if ready else [_UNREADY]
    warned = "".join(f'<p class="{"warn" if ready else "dim"}">{escape(why)}</p>' for why in whys)
    if isinstance(answer, Refusal):
        st.html(f'<div class="tf-cost">{warned}</div>')
        return
    currency, scale = instrument.currency.code, instrument.currency.scale

    def cash(minor: int) -> str:
        return formats.money(minor_to_decimal(minor, scale), currency)

    buys = asked.side == Side.BUY
    lines = [
        (f"{'Cost' if buys else 'Proceeds'} at {formats.price(answer.estimated_price)}", answer.estimated_notional),
        *_charges(answer),
        *_covered(answer),
    ]
    rows = "".join(f"<div><span>{label}</span><b>{cash(minor)}</b></div>" for label, minor in lines)
    worst = f"Never fills at {'more' if buys else 'less'} than {formats.price(answer.protection_price)}."
    st.html(
        f'<div class="tf-cost">{rows}<span>{worst}{escape(_others(asked))}</span>{warned if refusals else ""}</div>'
    )


def _covered(answer: desk.Preview) -> list[tuple[str, int]]:
    """What covers the order: cash that is held, or on margin what is reserved of the equity."""
    if answer.initial_requirement is None:
        return [("Held until filled", answer.cash_hold), ("Cash left to spend", answer.cash_after_hold)]
    powers = (("Buying power", answer.buying_power), ("Buying power after it", answer.buying_power_after))
    reserved = [("Reserved of your equity", answer.initial_requirement)] if answer.effect is Effect.OPEN else []
    return [*reserved, *((label, minor) for label, minor in powers if minor is not None)]


def _charges(answer: desk.Preview) -> list[tuple[str, int]]:
    """The fee, and what it is made of where the schedule names more than the commission."""
    named = [(f"· {line.name}", line.amount) for line in answer.charges if len(answer.charges) > 1]
    return [("Fees and taxes, at most" if named else "Fee, at most", answer.fee_at_most), *named]


def _others(asked: Ticket) -> str:
    """The orders that come with this one, in words: they may stand in a part of the ticket that is folded up."""
    exits = {"take profit": asked.take_profit, "stop loss": asked.stop_loss}
    said = " or ".join(f"{name} {at}" for name, at in exits.items() if at)
    if said:
        return f" Then {'sells what it bought' if asked.side == Side.BUY else 'buys back what it sold'}: {said}."
    return f" Comes with a limit order at {asked.oco_limit}: one cancels the other." if asked.oco_limit else ""


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
        f"{said}: order {answer.order_id}{_with(answer)} accepted."
        if isinstance(answer, Acceptance)
        else Refusal(answer.code, explain(answer, instrument))
    )


def _with(answer: Acceptance) -> str:
    others = [str(order_id) for order_id in answer.group if order_id != answer.order_id]
    return f" with {' and '.join(others)}" if others else ""


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
    """A refusal in words, with money where the reason speaks of money, and with the numbers of a limit."""
    scale, currency = instrument.currency.scale, instrument.currency.code
    if "limit" in refusal.numbers and "asked" in refusal.numbers:
        most, asked = (
            formats.money(minor_to_decimal(int(refusal.numbers[name]), scale), currency)
            if refusal.code in _OF_MONEY
            else f"{int(refusal.numbers[name]):,}"
            for name in ("limit", "asked")
        )
        return f"{refusal.reason} At most {most}, this comes to {asked}."
    if refusal.code not in ("insufficient_cash", "insufficient_margin"):
        return refusal.reason
    needed, available = (
        formats.money(minor_to_decimal(int(refusal.numbers[name]), scale), currency) for name in ("needed", "available")
    )
    if refusal.code == "insufficient_margin":
        return f"Not enough margin: this order reserves {needed} of your equity, {available} is free."
    return f"Not enough cash: this order holds {needed}, you have {available} to spend."
