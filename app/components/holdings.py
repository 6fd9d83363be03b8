"""What a portfolio holds and how it came to that: positions, lots, fills, the statement, orders, tax, margin calls."""

from datetime import timedelta

import streamlit as st

from app import frame
from app.components import blotter, margin, tax
from trading.services.ports.people import Portfolio


@st.fragment(run_every=timedelta(seconds=5))
@frame.guarded
def show(portfolio: Portfolio) -> None:
    """Positions, fills and the ledger statement."""
    view = st.segmented_control(
        "Show",
        [
            "Positions",
            "Lots",
            "Fills",
            "Statement",
            "Orders",
            "Tax",
            *(["Margin calls"] if portfolio.kind == "margin" else []),
        ],
        default="Positions",
        key="holdings",
        label_visibility="collapsed",
        required=True,
    )
    if view == "Positions":
        blotter.positions(portfolio.id, "No positions: the portfolio is all in cash.")
    elif view == "Lots":
        tax.lots(portfolio.id)
    elif view == "Tax":
        tax.report(portfolio.id)
    elif view == "Fills":
        blotter.fills(portfolio.id)
    elif view == "Margin calls":
        margin.calls(portfolio.id)
    elif view == "Statement":
        st.caption("Every movement of cash and shares. Cash and positions above are the last balance of each asset.")
        blotter.cash(portfolio.id)
    else:
        blotter.orders(portfolio.id, open_only=False, actions=False)
