"""Limits of tiers, users, portfolios and instruments: what is in force, a new version with its reason, the history."""

from decimal import Decimal

import streamlit as st

from app import formats, room
from app.components import limit_words as words
from app.components.deeds import do
from app.components.table import Cell, Row, table
from trading.services import desk, limits, people
from trading.services.access import Actor
from trading.services.ports.risk import Figures, LimitVersion

_KINDS = {"tier": "Tier", "user": "User", "portfolio": "Portfolio", "instrument": "Instrument"}
_NOT_OF_INSTRUMENTS = ("max_open_orders", "max_orders_per_minute", "max_daily_loss", "max_drawdown_ppm")


def show(who: Actor) -> None:
    """What is in force at the left; a new version at the right."""
    found = list(limits.current(room.floor(), who))
    left, right = st.columns([1.7, 1], gap="large")
    with right:
        scope = _scope(who)
        now = next((each.figures for each in found if each.scope == scope), Figures())
        _change(who, scope, now)
    with left:
        st.caption("Of all limits that apply to an order the strictest counts. What is empty says nothing.")
        columns = ["Of", "Name", "=Limits", ">Version", "Set by", "Since"]
        table("limits", columns, [_row(each) for each in found], "No limits yet.")
        if scope:
            st.markdown(f"**History of {scope.replace(':', ' ')}**")
            versions = limits.history(room.floor(), who, scope)
            rows = [
                Row([str(each.version), _said(each.figures), each.set_by, _when(each), each.reason])
                for each in versions
            ]
            table("limit_history", ["Version", "=Limits", "Set by", "Since", "=Why"], rows, "No limits of its own yet.")


def _row(each: LimitVersion) -> Row:
    kind = each.scope.partition(":")[0]
    cells: list[Cell] = [
        _KINDS[kind],
        (each.name, "strong"),
        _said(each.figures),
        str(each.version),
        each.set_by,
        _when(each),
    ]
    return Row(cells)


def _said(figures: Figures) -> str:
    said = [
        f"{words.NAMES[name]} {words.figure(name, value)}"
        for name in words.TYPED
        if (value := getattr(figures, name)) is not None
    ]
    if figures.instruments is not None:
        said.append(f"only {len(figures.instruments)} instruments")
    return ", ".join(said) or "none"


def _when(each: LimitVersion) -> str:
    return formats.date_time(int(each.set_at.timestamp() * 1e9))


def _scope(who: Actor) -> str:
    """Whose limits: picked by name."""
    floor = room.floor()
    kind = st.segmented_control(
        "Limits of", list(_KINDS), format_func=_KINDS.__getitem__, default="tier", key="limit_kind", required=True
    )
    if kind == "tier":
        name = st.selectbox("Tier", [*limits.tiers(floor, who), "a new one"], key="limit_tier")
        if name == "a new one":
            name = st.text_input("Its name", key="limit_new_tier", placeholder="small letters").strip()
        return f"tier:{name}" if name else ""
    if kind == "user":
        by_id = {each.id: each.username for each in people.users(floor, who)}
    elif kind == "portfolio":
        by_id = {each.id: f"{each.name} · {each.owner}" for each in people.portfolios(floor, who)}
    else:
        by_id = {each.id: each.symbol for each in desk.instruments(floor, who)}
    if not by_id:
        st.caption("There is none yet.")
        return ""
    return f"{kind}:{st.selectbox(_KINDS[kind], list(by_id), format_func=by_id.__getitem__, key=f'limit_{kind}')}"


def _change(who: Actor, scope: str, now: Figures) -> None:
    if not scope:
        return
    kind, _, _ = scope.partition(":")
    with st.form(f"limits_{scope}", enter_to_submit=False):
        st.markdown("**A new version**")
        texts = {}
        for name in words.TYPED:
            if kind == "instrument" and name in _NOT_OF_INSTRUMENTS:
                continue
            unit = " (%)" if name in words.SHARES else ""
            texts[name] = st.text_input(words.NAMES[name] + unit, words.typed(name, getattr(now, name)))
        chosen = _instruments(who, now) if kind != "instrument" else None
        reason = st.text_input("Why", placeholder="kept with the version")
        sure = st.checkbox("I mean it: this counts from the next order on")
        sent = st.form_submit_button("Set the limits", type="primary")
    if sent and not sure:
        st.warning("Tick the box to say that you mean it.")
    elif sent:

        def deed() -> None:
            figures = {name: words.parsed(name, text) for name, text in texts.items()}
            limits.set_limits(room.floor(), who, scope, Figures(**figures, instruments=chosen), reason)

        do(deed, f"New limits of {scope.replace(':', ' ')} are in force.")


def _instruments(who: Actor, now: Figures) -> tuple[int, ...] | None:
    by_id = {each.id: each.symbol for each in desk.instruments(room.floor(), who)}
    picked = st.multiselect(
        "Only these instruments (none picked: all)",
        list(by_id),
        list(now.instruments or ()),
        format_func=by_id.__getitem__,
    )
    return tuple(picked) or None


def tiers(who: Actor) -> None:
    """Who has which tier, and another one."""
    floor = room.floor()
    users = [user for user in people.users(floor, who) if user.role == "trader"]
    held = {user.id: limits.tier_of(floor, who, user.id) for user in users}
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        rows = [Row([(user.username, "strong"), user.display_name, held[user.id]]) for user in users]
        table("tiers", ["Login", "Name", "Tier"], rows, "No traders yet.")
    if not users:
        return
    with right, st.form("tier", enter_to_submit=False):
        st.markdown("**Another tier**")
        by_id = {user.id: user.username for user in users}
        user_id = st.selectbox("Trader", list(by_id), format_func=by_id.__getitem__)
        tier = st.selectbox("Tier", list(limits.tiers(floor, who)))
        reason = st.text_input("Why", placeholder="kept in the audit trail")
        if st.form_submit_button("Give the tier"):
            do(lambda: limits.set_tier(floor, who, user_id, tier, reason), f"{by_id[user_id]} has the tier {tier} now.")


def restricted(who: Actor) -> None:
    """The compliance list, and a change of it."""
    floor = room.floor()
    bans = {"no_opening": "May only be closed", "no_trading": "May not be traded", "free": "Free again"}
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        rows = [
            Row([(each.symbol, "strong"), bans[each.mode], each.reason, each.set_by,
                 formats.date_time(int(each.set_at.timestamp() * 1e9))])
            for each in limits.restrictions(floor, who)
        ]  # fmt: skip
        table("restricted", ["Symbol", "Rule", "=Why", "Set by", "Since"], rows, "No instrument is restricted.")
    with right, st.form("restrict", enter_to_submit=False):
        st.markdown("**Restrict, or free again**")
        by_id = {each.id: each.symbol for each in desk.instruments(floor, who)}
        instrument_id = st.selectbox("Instrument", list(by_id), format_func=by_id.__getitem__)
        ban = st.selectbox("Rule", list(bans), format_func=bans.__getitem__)
        reason = st.text_input("Why", placeholder="traders see it")
        if st.form_submit_button("Set the rule"):
            do(lambda: limits.restrict(floor, who, instrument_id, ban, reason), f"{by_id[instrument_id]}: {bans[ban]}.")


def losses(who: Actor) -> None:
    """Losses of the day and falls from the peak, as of the newest marks; a tripped breaker is taken back here."""
    floor = room.floor()
    found = list(limits.worth(floor, who))
    rows = []
    for each in found:
        unit = Decimal(1).scaleb(-each.scale)
        tripped = each.tripped_ppm is not None
        rows.append(
            Row(
                [
                    (each.name, "strong"),
                    each.owner,
                    formats.money(each.equity * unit, each.currency),
                    formats.gain((each.equity - each.day_equity) * unit, each.currency),
                    f"{each.drawdown_ppm / 10_000:.2f} %",
                    ("Tripped: only closing", "down") if tripped else ("", "dim"),
                ]
            )
        )
    columns = ["Portfolio", "Owner", ">Worth", ">Since the day began", ">Below the peak", "Breaker"]
    table("losses", columns, rows, "No portfolio has been marked yet. The broker marks them each minute.")
    by_id = {each.portfolio_id: f"{each.name} · {each.owner}" for each in found if each.tripped_ppm is not None}
    if by_id:
        with st.form("drawdown", enter_to_submit=False):
            st.markdown("**Take the breaker back**")
            portfolio_id = st.selectbox("Portfolio", list(by_id), format_func=by_id.__getitem__)
            reason = st.text_input("Why", placeholder="kept in the audit trail")
            if st.form_submit_button("It may open positions again"):
                done = f"{by_id[portfolio_id]} may open positions again; its peak is what it is worth now."
                do(lambda: limits.reset_drawdown(floor, who, portfolio_id, reason), done)
