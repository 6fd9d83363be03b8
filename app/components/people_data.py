"""A person's data handed out, a person erased, and how long what is over is kept."""

import streamlit as st

from app import room
from app.components.deeds import do
from trading.services import compliance, people
from trading.services.access import Actor
from trading.services.ports.people import User

_KEPT = {
    "sessions": "Sessions after their end",
    "login_attempts": "Counts of wrong passwords",
    "idempotency_keys": "Keys against doing something twice",
    "outbox": "Screen events that were sent",
    "access_marks": "Marks of looks (the trail keeps the look)",
    "monitor_cycles": "Cycles of the monitoring loop",
    "process_logs": "Rotated logs of the processes",
}


def show(who: Actor) -> None:
    """Export and erasure at the left, retention at the right."""
    left, right = st.columns(2, gap="large")
    users = {user.id: user for user in people.users(room.floor(), who)}
    with left:
        picked = st.selectbox("Person", list(users), format_func=lambda key: _name(users[key]), key="person")
        if picked is not None:
            _export(who, users[picked])
            _erase(who, users[picked])
    with right:
        _retention(who)


def _name(user: User) -> str:
    return f"{user.display_name} · {user.username}"


def _export(who: Actor, user: User) -> None:
    with st.container(border=True):
        st.markdown("**Everything about a person**")
        st.caption("A zip with a file of JSON lines for each table. Handing it out leaves a row in the audit trail.")
        if st.button("Make the file", key=f"export_{user.id}"):
            content = compliance.export_person(room.floor(), who, user.id)
            st.download_button(
                f"Save {len(content):,} bytes", content, f"person-{user.id}.zip", icon=":material/download:"
            )


def _erase(who: Actor, user: User) -> None:
    with st.container(border=True):
        st.markdown("**Erase a person**")
        st.caption(
            "The login ends for ever; names, origins and sessions go. Orders, the ledger and the audit trail stay, "
            "under a pseudonym. It cannot be taken back and is refused while orders are open or accounts hold anything."
        )
        typed = st.text_input(f"Type {user.username} to confirm", key=f"erase_name_{user.id}")
        if st.button("Erase for ever", key=f"erase_{user.id}", type="primary", disabled=typed != user.username):
            do(
                lambda: compliance.erase_person(room.floor(), who, user.id, typed),
                f"The person is erased and known as erased-{user.id}.",
            )


def _retention(who: Actor) -> None:
    floor = room.floor()
    policies = compliance.retention(floor, who)
    with st.form("retention", enter_to_submit=False):
        st.markdown("**How long what is over is kept**")
        st.caption("In days. The ledger, orders, fills and the audit trail are kept for ever.")
        days = {
            what: int(
                st.number_input(_KEPT[what], policy.days_min, compliance.DAYS_MAX, policy.days, key=f"keep_{what}")
            )
            for what, policy in policies.items()
        }
        if st.form_submit_button("Keep it so"):

            def set_all() -> None:
                for what, policy in policies.items():
                    if days[what] != policy.days:
                        compliance.set_retention(floor, who, what, days[what])

            do(set_all, "It is deleted after its time from now on.")
