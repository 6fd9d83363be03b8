"""A portfolio to look at: equity, returns, positions, and the ledger behind each figure."""

from datetime import timedelta

import streamlit as st

from app import charts, formats, frame, room
from app.components import holdings, margin
from trading.services import queries
from trading.services.performance import drawdowns, monthly_returns
from trading.services.ports.people import Portfolio


@st.fragment(run_every=timedelta(seconds=5))
@frame.guarded
def overview(portfolio: Portfolio) -> None:
    """Equity and what it came from, new every five seconds."""
    points = queries.equity_curve(room.floor(), room.actor(), portfolio.id)
    now, currency = points[-1], portfolio.currency
    gained = charts.total_return(points)
    frame.strip(
        [
            ("Equity", formats.money(now.equity, currency)),
            ("Cash", formats.money(now.cash, currency)),
            ("Positions", formats.money(now.positions, currency)),
            ("Return since start", formats.share(gained)),
            ("Deepest drawdown", formats.percent(min(drawdowns(points), default=0.0))),
        ]
    )
    margin.show(portfolio.id)
    st.markdown("**Equity**")
    st.plotly_chart(charts.equity(points, f"equity-{portfolio.id}", currency), config=charts.CONFIG, key="equity")
    left, right = st.columns([1, 1], gap="large")
    with left:
        st.markdown("**Drawdown**")
        st.plotly_chart(charts.drawdown(points, f"down-{portfolio.id}"), config=charts.CONFIG, key="drawdown")
    with right:
        st.markdown("**Monthly returns, in percent**")
        st.plotly_chart(charts.months(monthly_returns(points)), config=charts.CONFIG, key="months")
        st.caption("Time-weighted: deposits and withdrawals do not count as gain. Months are UTC.")


who = room.actor()
found = room.portfolio(who)
if found is None:
    st.info(
        "No portfolio is open to you yet. Ask an admin of the floor to share one with you."
        if who.role == "observer"
        else "There is no portfolio yet. An admin opens one under People.",
        icon=":material/visibility:",
    )
else:
    st.subheader(f"{found.name} · {found.owner}", anchor=False)
    overview(found)
    holdings.show(found)
