"""What validation says about a table: findings with a rule, a severity, a row and a plain reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """What a finding does: put the row aside, or only say so."""

    QUARANTINE = "quarantine"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """A named rule. ``meaning`` is one sentence for reports and documents."""

    name: str
    severity: Severity
    meaning: str


_Q, _W = Severity.QUARANTINE, Severity.WARNING
RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("field_count", _Q, "the row has more or fewer fields than the header"),
        Rule("bad_date", _Q, "the date is missing or is not a date"),
        Rule("bad_symbol", _Q, "the symbol is missing or cannot be one"),
        Rule("not_a_number", _Q, "a price or volume is text that is not a number"),
        Rule("missing_value", _Q, "a price, or the volume where the file has one, is missing"),
        Rule("not_finite", _Q, "a price or volume is infinite or too large for a number"),
        Rule("not_positive", _Q, "a price is zero or negative"),
        Rule("negative_volume", _Q, "a volume or size is negative"),
        Rule("ohlc_order", _Q, "low <= open, close <= high does not hold"),
        Rule("crossed_quote", _Q, "the bar closes with its bid above its ask"),
        Rule("future_date", _Q, "the bar starts in the future"),
        Rule("time_order", _Q, "the row's date does not fit between its neighbours' dates"),
        Rule("duplicate", _Q, "the row repeats an earlier one in every value"),
        Rule("conflicting_duplicate", _Q, "several rows give different values for one time; none can be trusted"),
        Rule("copied_bar", _Q, "all prices equal those of a later bar, beyond chance: it holds data from its future"),
        Rule("repeated_bar", _W, "all prices equal those of a later bar, as may happen by chance"),
        Rule("partly_copied_bar", _W, "three prices equal those of a later bar, beyond chance"),
        Rule("newest_first", _W, "the file runs newest first; its rows are stored oldest first"),
        Rule("naive_time", _W, "the times carry no time zone; they are taken as UTC"),
        Rule("long_gap", _W, "a much longer time than usual passed since the bar before"),
        Rule("large_move", _W, "the close moved so far that an unadjusted split or spin-off is possible"),
        Rule("zero_volume", _W, "the volume is zero although the price moved, in a file that reports volume"),
        Rule("revision", _W, "the lake held other values for this time; the newer file's values replace them"),
    )
}  # fmt: skip
RULES_VERSION = 1
"""Grows with every change of what a rule accepts; a file judged by older rules is judged again when it comes back."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's word on one row. ``row`` counts from 1 without the header; ``date`` is ISO text, or as in the file."""

    rule: str
    row: int
    date: str
    reason: str
    symbol: str = ""

    @property
    def severity(self) -> Severity:
        """The rule's."""
        return RULES[self.rule].severity


def by_rule(findings: Iterable[Finding], limit: int) -> dict[str, Any]:
    """Findings grouped for a report: ``{rule: {severity, meaning, count, rows: [{row, date, reason, symbol?}]}}``.

    ``rows`` lists the first ``limit`` of each rule by row; ``count`` counts all.
    """
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.rule, []).append(finding)
    report: dict[str, Any] = {}
    for name, rule in RULES.items():
        group = sorted(groups.get(name, ()), key=lambda finding: finding.row)
        if group:
            rows = [
                {"row": f.row, "date": f.date, "reason": f.reason} | ({"symbol": f.symbol} if f.symbol else {})
                for f in group[:limit]
            ]
            report[name] = {
                "severity": str(rule.severity),
                "meaning": rule.meaning,
                "count": len(group),
                "rows": rows,
            }
    return report
