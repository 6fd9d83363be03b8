"""What a portfolio holds by lots, what it realised in a year, and what splits and dividends did to it."""

import streamlit as st

from app import formats, frame, room
from app.components.table import Row, table
from trading.services import tax_report

_UNMODELLED = (
    "Long term is more than a year, the day after the purchase being the first that counts. "
    "Wash sales are not modelled."
)


def lots(portfolio_id: int) -> None:
    """Open lots, oldest first."""
    rows = [
        Row(
            [
                (lot.symbol, "strong"),
                lot.acquired.isoformat(),
                formats.quantity(-lot.quantity if lot.short else lot.quantity),
                formats.money(lot.cost, lot.currency),
                "Short" if lot.short else "Long term" if lot.long_term else "Short term",
                f"{lot.splits}" if lot.splits else "",
            ]
        )
        for lot in tax_report.open_lots(room.floor(), room.actor(), portfolio_id)
    ]
    columns = ["Symbol", "Acquired", ">Quantity", ">Cost", "If sold today", ">Splits"]
    table("open_lots", columns, rows, "No open lots: the portfolio is all in cash.")
    st.caption("First in, first out. The cost of a short lot is what its sale brought.")


def report(portfolio_id: int) -> None:
    """A year's disposals and dividends with their sums, and the same as a file."""
    floor, who = room.floor(), room.actor()
    years = tax_report.years(floor, who, portfolio_id)
    if not years:
        st.info("Nothing has been realised and no dividend was paid yet.", icon=":material/receipt:")
        return
    year = st.selectbox("Year", years, key="tax_year")
    told = tax_report.report(floor, who, portfolio_id, year)
    for sums in told.totals:
        frame.strip(
            [
                ("Realised", formats.gain(sums.realised, sums.currency)),
                ("Short term", formats.gain(sums.short_term, sums.currency)),
                ("Long term", formats.gain(sums.long_term, sums.currency)),
                ("Dividends", formats.money(sums.dividends, sums.currency)),
                ("Withheld", formats.money(sums.withheld, sums.currency)),
            ]
        )
    rows = [
        Row(
            [
                (line.symbol, "strong"),
                line.what.capitalize(),
                formats.quantity(line.quantity),
                line.acquired.isoformat(),
                line.disposed.isoformat(),
                "Long" if line.long_term else "Short",
                formats.money(line.proceeds, line.currency),
                formats.money(line.cost, line.currency),
                formats.gain(line.gain, line.currency),
            ]
        )
        for line in told.disposals
    ]
    columns = ["Symbol", "What", ">Quantity", "Acquired", "Disposed", "Term", ">Proceeds", ">Cost", ">Gain"]
    table("tax_lines", columns, rows, "Nothing was realised in this year.")
    paid = [
        Row(
            [
                (line.symbol, "strong"),
                line.paid.isoformat(),
                formats.quantity(line.quantity),
                formats.gain(line.amount, line.currency),
                formats.money(line.withheld, line.currency),
            ]
        )
        for line in told.dividends
    ]
    if paid:
        table("tax_dividends", ["Symbol", "Ex-date", ">Held", ">Dividend", ">Withheld"], paid, "")
    name = f"tax-{portfolio_id}-{year}.csv"
    st.download_button("Save as CSV", tax_report.to_csv(told), name, "text/csv", icon=":material/download:")
    st.caption(_UNMODELLED)
