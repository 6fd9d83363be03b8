"""Frames of bars for tests of validation, written the way a person writes a table."""

import pandas as pd

from trading.market.bar_table import BarKind
from trading.market.validation import Validation, validate

NOW = pd.Timestamp("2026-11-20T09:00:00Z")


def bars(*lines: str, columns: str = "open high low close volume") -> pd.DataFrame:
    """Rows such as ``"2013-02-08 10 11 9 10.5 1000"``; ``nan`` and ``inf`` as floats know them."""
    cells = [line.split() for line in lines]
    frame = pd.DataFrame({"row": range(1, len(cells) + 1)})
    frame["ts"] = pd.to_datetime([line[0] for line in cells], utc=True, format="ISO8601").as_unit("ns")
    for at, name in enumerate(columns.split(), start=1):
        frame[name] = [float(line[at]) for line in cells]
    return frame


def judged(frame: pd.DataFrame, kind: BarKind = BarKind.TRADE, *, date_only: bool = True) -> Validation:
    return validate(frame, kind, now=NOW, date_only=date_only)


def said(outcome: Validation) -> dict[int, list[str]]:
    """Rules by row."""
    rules: dict[int, list[str]] = {}
    for finding in outcome.findings:
        rules.setdefault(finding.row, []).append(finding.rule)
    return rules
