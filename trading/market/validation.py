"""Validation of bars: a frame of one symbol in, the rows that may be used and findings with named rules out.

Nothing is repaired. A row is kept as it is or put aside with every reason that applies, and the rules that look at
several rows (order, duplicates, copies) judge only rows that are sound by themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trading.market.bar_table import BarKind
from trading.market.findings import Finding, Severity
from trading.market.validation_copies import copied_bars
from trading.market.validation_order import conflicts, out_of_order
from trading.market.validation_warnings import warnings

Mask = NDArray[np.bool_]

# Prices that were computed (adjusted, averaged) carry rounding noise of a few units in the last place of a float;
# an order that is broken by less than this share of the price is such noise and no defect.
ORDER_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Validation:
    """Outcome for one symbol: ``clean`` rows by ``ts``, all findings, the numbers of the rows put aside."""

    clean: pd.DataFrame
    findings: tuple[Finding, ...]
    quarantined_rows: tuple[int, ...]


def validate(
    rows: pd.DataFrame,
    kind: BarKind,
    *,
    now: pd.Timestamp,
    date_only: bool = True,
    faults: Sequence[Finding] = (),
    symbol: str = "",
) -> Validation:
    """Judge the rows of one symbol in file order.

    ``rows``: ``row`` (distinct, from 1), ``ts`` (``datetime64[ns, UTC]``, NaT where unreadable), the kind's prices and
    optional columns as float64, NaN where missing. ``now`` is the time of judging (UTC). ``faults`` are findings made
    earlier (by parsing) about these rows; rows they put aside stay aside. Raises `FileRefused` (``no_time_order``)
    where the rows have no order of time at all.
    """
    rows = rows.reset_index(drop=True)
    known = {finding.row for finding in faults if finding.severity is Severity.QUARANTINE}
    dates = date_texts(rows["ts"], date_only)
    findings = list(faults) + _row_findings(rows, kind, now, dates, symbol, known)
    aside = {finding.row for finding in findings if finding.severity is Severity.QUARANTINE}
    for judge in (out_of_order, conflicts, copied_bars):
        sound = rows[~rows["row"].isin(aside)]
        found = judge(sound, kind, dates.loc[sound.index], symbol)
        findings += found
        aside |= {finding.row for finding in found if finding.severity is Severity.QUARANTINE}
    clean = rows[~rows["row"].isin(aside)].sort_values("ts", kind="stable")
    in_file = rows["ts"].dropna()
    findings += warnings(clean, kind, dates.loc[clean.index], symbol, date_only, in_file)
    findings.sort(key=lambda finding: (finding.row, finding.rule))
    return Validation(clean.reset_index(drop=True), tuple(findings), tuple(sorted(aside)))


def date_texts(ts: pd.Series, date_only: bool) -> pd.Series:
    """Times as ISO text for reports: the date alone where the file has no time of day; empty for NaT."""
    text = ts.dt.strftime("%Y-%m-%d" if date_only else "%Y-%m-%dT%H:%M:%SZ")
    return text.astype("object").where(ts.notna(), "")


def _row_findings(
    rows: pd.DataFrame, kind: BarKind, now: pd.Timestamp, dates: pd.Series, symbol: str, known: set[int]
) -> list[Finding]:
    """Rules that judge a row by itself. A row keeps every reason that applies."""
    findings: list[Finding] = []
    numbers = rows["row"].to_numpy()

    def report(rule: str, mask: Mask, reason: str, columns: Sequence[str] = ()) -> None:
        for index in np.flatnonzero(mask):
            values = ", ".join(f"{name} {_plain(rows[name].iloc[index])}" for name in columns)
            text = f"{reason} ({values})" if values else reason
            findings.append(Finding(rule, int(numbers[index]), str(dates.iloc[index]), text, symbol))

    # Cells that parsing could not read are blank here; they have their finding already.
    unread = rows["row"].isin(known).to_numpy()
    for name in (*kind.prices, *_optional(rows, kind)):
        values = rows[name].to_numpy(dtype="float64")
        report("missing_value", np.isnan(values) & ~unread, f"{name} is missing")
        report("not_finite", np.isinf(values), f"{name} is not a finite number")
        if name in kind.prices or name == "adj_close":
            report("not_positive", values <= 0, f"{name} is not positive", (name,))
        else:
            report("negative_volume", values < 0, f"{name} is negative", (name,))
    for side in ("",) if kind is BarKind.TRADE else ("bid_", "ask_"):
        columns = tuple(side + price for price in ("open", "high", "low", "close"))
        report("ohlc_order", _breaks_order(rows, columns), _ORDER, columns)
    if kind is BarKind.QUOTE:
        crossed = (rows["bid_close"] > rows["ask_close"]).to_numpy()
        report("crossed_quote", crossed, "bid above ask at the close", ("bid_close", "ask_close"))
    report("future_date", (rows["ts"] > now).to_numpy(), f"the bar starts after {now:%Y-%m-%d %H:%M} UTC")
    return findings


_ORDER = "low <= open, close <= high does not hold"


def _optional(rows: pd.DataFrame, kind: BarKind) -> list[str]:
    """Optional columns that the file fills; one that is empty throughout is not reported by the source."""
    names = ("volume", "adj_close") if kind is BarKind.TRADE else ("bid_size", "ask_size")
    return [name for name in names if name in rows.columns and rows[name].notna().any()]


def _breaks_order(rows: pd.DataFrame, columns: Sequence[str]) -> Mask:
    """Rows whose present prices break low <= open, close <= high by more than float noise (NaN compares as fine)."""
    opened, high, low, close = (rows[name].to_numpy(dtype="float64") for name in columns)
    with np.errstate(invalid="ignore", over="ignore"):
        top = np.fmax(np.fmax(opened, close), low)
        bottom = np.fmin(np.fmin(opened, close), high)
        # The noise of each comparison is that of its own price: a mad high must not excuse a wrong low.
        broken: Mask = (top - high > ORDER_TOLERANCE * np.abs(top)) | (low - bottom > ORDER_TOLERANCE * np.abs(bottom))
    return broken


def _plain(value: float) -> str:
    return f"{value:.10g}"
