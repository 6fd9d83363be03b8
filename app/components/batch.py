"""Many orders at once: a table goes in, each row gets its verdict, then all or each are sent under one key."""

import secrets
from collections.abc import Sequence
from html import escape

import streamlit as st

from app import formats, room
from app.components.table import Row, table
from trading.domain.errors import Conflict, Invalid, TradefloorError
from trading.domain.money import minor_to_decimal
from trading.domain.orders import Acceptance, Refusal, Ticket
from trading.services import batches, desk
from trading.services.batch_file import BYTES_MAX, COLUMNS, FileRow, read_tickets
from trading.services.ports.batches import BatchMode

EXAMPLE = "symbol,side,type,quantity,limit_price\nAAPL,buy,limit,10,99.50\nMSFT,buy,market,5,"
_MODES = {BatchMode.ALL: "All or none", BatchMode.EACH: "Each by itself"}
_SHOWN = ("symbol", "side", "type", "quantity", "limit_price", "stop_price", "time_in_force")


def show(portfolio_id: int) -> None:
    """Take a table, show what each row would do, send it."""
    st.session_state.setdefault("batch_key", secrets.token_urlsafe(16))
    sent = st.session_state.setdefault("batch_sent", 0)
    left, right = st.columns([1, 1], gap="large")
    with left:
        uploaded = st.file_uploader("A CSV file", type=["csv", "txt"], max_upload_size=1, key=f"batch_file_{sent}")
        typed = st.text_area("Or paste rows here", key="batch_text", placeholder=EXAMPLE, height=180)
    with right:
        st.caption(f"The first row names the columns: {', '.join(COLUMNS)}. The first four are needed.")
        mode = st.segmented_control(
            "How",
            list(BatchMode),
            format_func=_MODES.__getitem__,
            default=BatchMode.ALL,
            key="batch_mode",
            required=True,
        )
        st.caption("All or none: one refused row stops the whole batch. Each by itself: the other rows are sent.")
    content: bytes | str = uploaded.read(BYTES_MAX + 1) if uploaded is not None else typed
    _last_answer()
    if not content.strip():
        st.info("Nothing to send yet. Upload a file or paste rows; nothing is sent before you press the button.")
        return
    try:
        rows = read_tickets(content)
    except Invalid as error:
        _say(f"This is not a table of orders: {error}. ({error.code})", good=False)
        return
    _preview(portfolio_id, rows, mode or BatchMode.ALL)


def _preview(portfolio_id: int, rows: Sequence[FileRow], mode: BatchMode) -> None:
    tickets = [row.ticket for row in rows if isinstance(row.ticket, Ticket)]
    judged = iter(batches.preview(room.floor(), room.actor(), portfolio_id, tickets).answers if tickets else ())
    verdicts = [next(judged) if isinstance(row.ticket, Ticket) else row.ticket for row in rows]
    refused = sum(isinstance(verdict, Refusal) for verdict in verdicts)
    _verdicts(rows, verdicts)
    unread = len(rows) - len(tickets)
    if unread:
        what = "1 row is no order" if unread == 1 else f"{unread} rows are no orders"
        st.warning(f"{what}. Mend or remove it first.", icon=":material/edit:")
    elif refused:
        what = "the whole batch would be refused" if mode is BatchMode.ALL else "these would not be sent"
        st.warning(f"{refused} of {len(rows)} rows would be refused: {what}.", icon=":material/block:")
    key = st.session_state["batch_key"]
    sent = len(rows) - (refused if mode is BatchMode.EACH else 0)
    st.button(
        f"Send {sent} order{'' if sent == 1 else 's'}",
        key=f"batch_send_{key}",
        type="primary",
        disabled=bool(unread) or (bool(refused) and (mode is BatchMode.ALL or refused == len(rows))),
        on_click=_send,
        args=(portfolio_id, tickets, mode, key),
    )


def _verdicts(rows: Sequence[FileRow], verdicts: Sequence[Acceptance | Refusal]) -> None:
    scales = {
        each.symbol: (each.currency.scale, each.currency.code) for each in desk.instruments(room.floor(), room.actor())
    }
    lines = []
    for row, verdict in zip(rows, verdicts, strict=True):
        if isinstance(verdict, Refusal):
            said = (f"✕ {verdict.reason} ({verdict.code})", "down")
        else:
            scale, currency = scales.get(row.cells["symbol"], (2, "USD"))
            said = (f"✓ holds {formats.money(minor_to_decimal(verdict.cash_held, scale), currency)}", "up")
        lines.append(Row([(str(row.line), "dim"), *(row.cells.get(name, "") for name in _SHOWN), said]))
    heads = [name.replace("_", " ").capitalize() for name in _SHOWN]
    table("batch_rows", ["Line", *heads, "=Verdict"], lines, "No rows.")


def _send(portfolio_id: int, tickets: Sequence[Ticket], mode: BatchMode, key: str) -> None:
    """Send once; the key is renewed only after an answer, so that a lost one is asked for again."""
    try:
        answer = batches.submit(room.floor(), room.actor(), portfolio_id, tickets, mode, key)
    except Conflict as error:
        st.session_state["batch_answer"] = (False, f"This batch was sent already ({error.code}). Look at your orders.")
        return
    except TradefloorError as error:
        st.session_state["batch_answer"] = (False, f"Not sent: {error}. Your rows are still here.")
        return
    st.session_state["batch_key"] = secrets.token_urlsafe(16)
    refused = [
        f"row {place}: {each.reason} ({each.code})"
        for place, each in enumerate(answer.answers, 1)
        if isinstance(each, Refusal)
    ]
    if answer.accepted:  # the rows are orders now: another click must not send them again
        st.session_state["batch_text"] = ""
        st.session_state["batch_sent"] += 1
    said = f"{answer.accepted} of {len(tickets)} orders accepted."
    st.session_state["batch_answer"] = (bool(answer.accepted), " ".join([said, *refused]))


def _last_answer() -> None:
    answer = st.session_state.get("batch_answer")
    if answer is not None:
        good, words = answer
        _say(words, good=good)


def _say(words: str, *, good: bool) -> None:
    """As plain text: parts of it come out of somebody's file."""
    tone, sign = ("up", "✓") if good else ("down", "✕")
    st.html(f'<div class="tf-said {tone}" role="status">{sign} {escape(words)}</div>')
