"""Accounts at brokers: the last cycles step by step, what differed, the switches, and what the loop may do."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import streamlit as st

from app import formats, frame, room
from app.components.deeds import do, told
from app.components.table import Row, table
from trading.domain.instruments import Instrument
from trading.domain.money import minor_to_decimal
from trading.domain.monitoring import FairSource, Plan, Step
from trading.services import monitoring, people
from trading.services.access import Actor, Role
from trading.services.monitoring import AccountView
from trading.services.ports.monitoring import BrokerAccount, StepReport

STEPS = {
    Step.FETCH: "Read the account",
    Step.COMPARE: "Compare with the record",
    Step.PNL: "Profit and loss, first in first out",
    Step.ORDERS: "Bring the record up to date",
    Step.PROTECT: "Place missing stop loss and take profit",
    Step.REPRICE: "Move orders to the fair price",
    Step.DROP: "Drop rejected orders",
    Step.REENTER: "Enter again what expired",
    Step.REPLACE: "Place again what was rejected",
}
_STATES = {"done": ("Done", "up"), "off": ("Off", "dim"), "skipped": ("Skipped", "warn"), "failed": ("Failed", "down")}
_KINDS = {
    "unknown_order": "An order that was not recorded",
    "order_changed": "An order changed",
    "unknown_fill": "A fill that was not recorded",
    "position": "A position that no fill explains",
}
_FAIR = {FairSource.OFF: "Leave them", FairSource.MID: "Middle of the quote", FairSource.MODEL: "A model's price"}


def show(who: Actor) -> None:
    """The account that was picked, and for an admin a form for a new one."""
    told()
    found = {each.id: each for each in monitoring.accounts(room.floor(), who)}
    if found:
        picked = st.selectbox(
            "Account",
            list(found),
            format_func=lambda key: f"{found[key].name} · {found[key].owner} · {found[key].portfolio}",
            key="broker_account",
        )
        _account(who, found[picked])
    else:
        st.info(
            "No broker account is watched yet. " + ("Open one below." if who.role is Role.ADMIN else "Ask an admin.")
        )
    if who.role is Role.ADMIN:
        _open(who)


def _account(who: Actor, account: BrokerAccount) -> None:
    view = monitoring.view(room.floor(), who, account.portfolio_id, account.id)
    left, right = st.columns([2.2, 1], gap="large")
    with left:
        _cycles(view)
        _differences(view)
        _holdings(view)
    with right:
        _switches(who, view)
        if who.role is Role.TRADER:
            _plan(who, view)


def _cycles(view: AccountView) -> None:
    now_ns = room.now_ns()
    newest = view.cycles[0] if view.cycles else None
    frame.strip(
        [
            ("State", ("On", "up") if view.account.enabled else ("Off", "down")),
            ("Every", f"{view.account.cycle_s} s"),
            ("Last cycle", formats.moment(newest.ts_ns, now_ns) if newest else "–"),
            ("Asked of the broker", str(newest.asked) if newest else "–"),
        ]
    )
    st.subheader("Last cycle", anchor=False)
    rows = [_step_row(step) for step in newest.steps] if newest else []
    table("monitor_steps", ["Step", "Result", ">Found", ">Done", ">ms", "=Trouble"], rows, "No cycle has run yet.")
    st.subheader("Cycles before", anchor=False)
    rows = [
        Row(
            [
                formats.moment(each.ts_ns, now_ns),
                ("Well", "up") if each.ok else ("Not well", "down"),
                str(each.asked),
                str(each.took_ms),
                (each.by or "the clock", "dim"),
            ]
        )
        for each in view.cycles[1:]
    ]
    table("monitor_cycles", ["When", "Result", ">Asked", ">ms", "By"], rows, "None yet.")


def _step_row(step: StepReport) -> Row:
    figures = [str(step.found), str(step.done), str(step.took_ms)]
    return Row([(STEPS[step.step], "strong"), _STATES[step.state], *figures, (step.error, "warn")])


def _differences(view: AccountView) -> None:
    st.subheader("Differences that the last cycle met", anchor=False)
    compared = [step for step in view.cycles[0].steps if step.step is Step.COMPARE] if view.cycles else []
    rows = [
        Row(
            [
                (_KINDS.get(each["kind"], each["kind"]), "strong"),
                *difference(each, view.instruments),
                ("Repaired", "up") if each["repairable"] else ("For a person to look at", "down"),
            ]
        )
        for step in compared
        for each in step.detail.get("differences", [])
    ]
    table(
        "monitor_differences", ["What", "Where", "Recorded", "At the broker", ""], rows, "The record is what is there."
    )


def difference(each: Mapping[str, str], instruments: Mapping[int, Instrument]) -> tuple[str, str, str]:
    """Where it is, what is recorded and what the broker has; a position by its symbol and in units."""
    instrument = None
    if each["kind"] == "position":
        instrument = instruments.get(int(each["subject"].removeprefix("instrument ")))
    if instrument is None:
        return each["subject"], each["recorded"], each["broker"]
    held = [instrument.quantity(int(each[name].removesuffix(" lots"))) for name in ("recorded", "broker")]
    return instrument.symbol, formats.quantity(held[0]), formats.quantity(held[1])


def _holdings(view: AccountView) -> None:
    st.subheader("Positions and open orders, as recorded", anchor=False)
    rows = []
    for book in view.books:
        instrument = view.instruments[book.instrument_id]
        money = instrument.currency
        rows.append(
            Row(
                [
                    (instrument.symbol, "strong"),
                    formats.quantity(instrument.quantity(book.position_lots)),
                    formats.money(minor_to_decimal(book.cost, money.scale), money.code),
                    formats.gain(minor_to_decimal(book.realised, money.scale), money.code),
                ]
            )
        )
    table("monitor_books", ["Instrument", ">Position", ">Cost", ">Realised"], rows, "Nothing has traded.")
    rows = []
    for each in view.orders:
        order, instrument = each.order, view.instruments[each.order.instrument_id]
        ticks = order.limit_ticks or order.stop_ticks
        rows.append(
            Row(
                [
                    (instrument.symbol, "strong"),
                    f"{order.side.capitalize()} {formats.TYPES[order.type].lower()}",
                    formats.quantity(instrument.quantity(order.quantity_lots)),
                    formats.price(None if ticks is None else instrument.price(ticks)),
                    formats.state(order.state),
                    (each.purpose.replace("_", " "), "dim"),
                ]
            )
        )
    table("monitor_orders", ["Instrument", "Order", ">Quantity", ">Price", "State", "For"], rows, "No orders.")


def _switches(who: Actor, view: AccountView) -> None:
    account, floor = view.account, room.floor()
    with st.container(border=True):
        st.markdown("**Switches**")
        if st.button("Run now", key="monitor_run", disabled=not account.enabled, icon=":material/play_arrow:"):
            do(
                lambda: monitoring.run_now(floor, who, account.portfolio_id, account.id),
                "A cycle has run; its steps are on the left.",
            )
        key = f"monitor_{account.id}"
        enabled = st.toggle("The loop watches this account", account.enabled, key=f"{key}_on")
        steps = [
            step
            for step, name in STEPS.items()
            if step is not Step.FETCH and st.checkbox(name, step in account.steps, key=f"{key}_{step}")
        ]
        cycle_s = st.number_input("Seconds between cycles", 5, 86_400, account.cycle_s, key=f"{key}_cycle")
        sure = st.checkbox("I mean it", key=f"{key}_sure")
        if st.button("Switch", key=f"{key}_switch", type="primary", disabled=not sure):
            do(
                lambda: monitoring.switch(floor, who, account.portfolio_id, account.id, enabled, steps, int(cycle_s)),
                f"{account.name} is {'on' if enabled else 'off'} now.",
            )


def _plan(who: Actor, view: AccountView) -> None:
    """What the owner lets the loop do about an instrument."""
    account, floor = view.account, room.floor()
    with st.container(border=True):
        st.markdown("**What the loop may do**")
        st.caption("Nothing is placed, moved or repeated without a plan for the instrument.")
        picked = st.selectbox(
            "Instrument",
            list(view.instruments),
            format_func=lambda key: view.instruments[key].symbol + (" · planned" if key in view.plans else ""),
            key="plan_instrument",
        )
        old = view.plans.get(picked, Plan(picked))
        key = f"plan_{account.id}_{picked}"
        stop = st.text_input("Stop loss, % from the cost", _percent(old.stop_loss_ppm), key=f"{key}_stop")
        take = st.text_input("Take profit, % from the cost", _percent(old.take_profit_ppm), key=f"{key}_take")
        fair = st.selectbox(
            "Move resting entries to",
            list(_FAIR),
            list(_FAIR).index(old.fair_source),
            _FAIR.__getitem__,
            key=f"{key}_fair",
        )
        edge = st.number_input("Ticks away from it", 0, 10_000, old.fair_edge_ticks, key=f"{key}_edge")
        most = st.text_input("Never further than, %", _percent(old.move_most_ppm), key=f"{key}_most")
        enter = st.number_input("Enter again after expiry, times", 0, 100, old.reentries_max, key=f"{key}_enter")
        again = st.number_input("Place again after a reject, times", 0, 100, old.replacements_max, key=f"{key}_again")
        try:
            plan = Plan(
                picked, _ppm(stop), _ppm(take), fair, int(edge), old.move_least_ticks, _ppm(most) or 0, int(enter),
                int(again),
            )  # fmt: skip
        except InvalidOperation:
            st.error("A distance is a number of percent, such as 2.5.")
            return
        sure = st.checkbox("The loop may do this in my name", key=f"{key}_sure")
        if st.button("State the plan", key=f"{key}_set", disabled=not sure):
            do(lambda: monitoring.set_plan(floor, who, account.portfolio_id, account.id, plan), "The plan stands.")
        if picked in view.plans and st.button("Take the plan back", key=f"{key}_clear"):
            do(
                lambda: monitoring.clear_plan(floor, who, account.portfolio_id, account.id, picked),
                "There is no plan for it any more. Orders that are open stay.",
            )


def _percent(ppm: int | None) -> str:
    return "" if ppm is None else f"{(Decimal(ppm) / 10_000).normalize():f}"


def _ppm(percent: str) -> int | None:
    return int(Decimal(percent) * 10_000) if percent.strip() else None


def _open(who: Actor) -> None:
    floor = room.floor()
    portfolios = {each.id: each for each in people.portfolios(floor, who)}
    with st.form("open_broker_account", clear_on_submit=True, enter_to_submit=False):
        st.markdown("**Watch another account**")
        portfolio = st.selectbox(
            "File it under",
            list(portfolios),
            format_func=lambda key: f"{portfolios[key].name} · {portfolios[key].owner}",
        )
        name = st.text_input("Name of the account")
        remote = st.radio(
            "Where it is",
            [False, True],
            format_func=lambda is_remote: "At another broker" if is_remote else "Here, on paper",
        )
        address = st.text_input("Address of the other broker", placeholder="https://…")
        key_name = st.text_input("Name of its key in the floor's secrets")
        st.caption("It starts switched off. The key itself comes in by `tradefloor keys set NAME` and is never shown.")
        if st.form_submit_button("Open", disabled=not portfolios) and portfolio is not None:
            do(
                lambda: monitoring.open_account(
                    floor, who, portfolio, name, "remote" if remote else "paper", address if remote else "",
                    key_name if remote else "",
                ),
                f"{name} is there, switched off.",
            )  # fmt: skip
