"""Statements of a period: they start from a balance, list what moved, and end in a balance; the arithmetic is checked.

A period is [from, to) in ns UTC. Amounts are Decimal in units of their asset. A statement is a reading of the ledger as
of one moment: the same period reads the same again, except where it reaches beyond now.
"""

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trading.domain.errors import Invalid
from trading.domain.money import ledger_to_decimal
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.queries import QueryStore

LINES_MAX = 20_000
"""Lines that one statement lists; totals and balances are of all."""
KEEP_AFTER_NS = 3_600_000_000_000
"""A day's balances are kept this long after it ended, when nothing is booked into it any more."""
DAY_NS = 86_400_000_000_000

_READ = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.OBSERVER: Reach.GRANTED, Role.SYSTEM: Reach.ANY}


@dataclass(frozen=True, slots=True)
class Total:
    """What one kind of line brought in and took out."""

    kind: str
    lines: int
    received: Decimal
    paid: Decimal


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of an asset, with the balance after it."""

    id: int
    group_id: int
    ts_ns: int
    kind: str
    amount: Decimal
    balance: Decimal
    order_id: int | None
    memo: str


@dataclass(frozen=True, slots=True)
class AssetStatement:
    """One asset of a portfolio over the period."""

    asset: str
    is_money: bool
    opening: Decimal
    closing: Decimal
    totals: Sequence[Total]
    lines: Sequence[StatementLine]

    @property
    def agrees(self) -> bool:
        """Whether opening and all lines lead to the closing balance, which was found without them."""
        return self.opening + sum((t.received - t.paid for t in self.totals), Decimal(0)) == self.closing


@dataclass(frozen=True, slots=True)
class Statement:
    """Assets that had a balance or a line. ``listed`` of ``lines`` are shown where there are very many."""

    portfolio_id: int
    from_ns: int
    to_ns: int
    assets: Sequence[AssetStatement]
    lines: int
    listed: int

    @property
    def agrees(self) -> bool:
        """Whether each asset's arithmetic does."""
        return all(each.agrees for each in self.assets)


@operation(_READ)
def period(floor: Floor, actor: Actor, portfolio_id: int, from_ns: int, to_ns: int) -> Statement:
    """The statement of [from, to); `Invalid` with code ``bad_period`` where it does not run forward."""
    if not -(2**62) < from_ns < to_ns < 2**62:
        raise Invalid("a period begins before it ends", "bad_period")
    found = _store(floor, actor).statement(portfolio_id, from_ns, to_ns, LINES_MAX)
    totals: dict[int, list[Any]] = {}
    lines: dict[int, list[Any]] = {}
    for row in found["totals"]:
        totals.setdefault(row["account_id"], []).append(row)
    for row in found["lines"]:
        lines.setdefault(row["account_id"], []).append(row)
    assets = [
        _asset(end, totals.get(end["account_id"], []), lines.get(end["account_id"], []))
        for end in found["ends"]
        if end["opening"] or end["closing"] or end["account_id"] in totals
    ]
    count = sum(row["lines"] for row in found["totals"])
    return Statement(portfolio_id, from_ns, to_ns, assets, count, len(found["lines"]))


@operation(_READ)
def first_line_ns(floor: Floor, actor: Actor, portfolio_id: int) -> int | None:
    """When the portfolio's first line was booked; None where there is none yet."""
    return _store(floor, actor).first_line_ns(portfolio_id)


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def keep_balances(floor: Floor, actor: Actor) -> int:
    """Keep the balances of the last UTC day that is over for an hour: statements need not count from the start.

    Returns how many were kept; safe to repeat.
    """
    day_ns = (floor.clock.now_ns() - KEEP_AFTER_NS) // DAY_NS * DAY_NS
    return floor.ledger.keep_balances(day_ns)


def month_ns(year: int, month: int) -> tuple[int, int]:
    """The first moment of a month and of the next, UTC.

    >>> month_ns(1970, 1)
    (0, 2678400000000000)
    """
    first = datetime(year, month, 1, tzinfo=UTC)
    after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(first.timestamp()) * 10**9, int(after.timestamp()) * 10**9


# To take away -------------------------------------------------------------------------------------------------------


def as_csv(statement: Statement) -> str:
    """One row a line, with rows for the balances at both ends. No cell of text is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["asset", "time_utc", "kind", "amount", "balance", "line", "group", "order", "memo"])
    for each in statement.assets:
        asset = plain_text(each.asset)
        writer.writerow([asset, utc(statement.from_ns), "opening balance", "", f"{each.opening:f}", "", "", "", ""])
        for line in each.lines:
            writer.writerow(
                [
                    asset,
                    utc(line.ts_ns),
                    line.kind,
                    f"{line.amount:f}",
                    f"{line.balance:f}",
                    line.id,
                    line.group_id,
                    line.order_id or "",
                    plain_text(line.memo),
                ]
            )
        writer.writerow([asset, utc(statement.to_ns), "closing balance", "", f"{each.closing:f}", "", "", "", ""])
    return out.getvalue()


def as_html(statement: Statement, title: str) -> str:
    """The statement as one page to print."""
    parts = []
    for each in statement.assets:
        rows = "".join(
            f"<tr><td>{utc(line.ts_ns)}</td><td>{html.escape(line.kind)}</td><td>{html.escape(line.memo)}</td>"
            f"<td class=n>{line.amount:,f}</td><td class=n>{line.balance:,f}</td></tr>"
            for line in each.lines
        )
        totals = "".join(
            f"<tr><td></td><td>{html.escape(total.kind)}</td><td>{total.lines} lines</td>"
            f"<td class=n>{total.received - total.paid:,f}</td><td></td></tr>"
            for total in each.totals
        )
        parts.append(
            f"<h2>{html.escape(each.asset)}</h2><table><thead><tr><th>Time, UTC</th><th>What</th><th>Memo</th>"
            f"<th class=n>Amount</th><th class=n>Balance</th></tr></thead><tbody>"
            f"<tr><td>{utc(statement.from_ns)}</td><td>Opening balance</td><td></td><td></td>"
            f"<td class=n>{each.opening:,f}</td></tr>{rows}"
            f"<tr><td>{utc(statement.to_ns)}</td><td>Closing balance</td><td></td><td></td>"
            f"<td class=n>{each.closing:,f}</td></tr></tbody><tfoot>{totals}</tfoot></table>"
        )
    short = f"<p>The first {statement.listed:,} of {statement.lines:,} lines are listed.</p>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{html.escape(title)}</title><style>body{{font:13px/1.5 system-ui,sans-serif;margin:2rem}}"
        "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:2px 8px;border-bottom:1px solid #ddd}"
        ".n{text-align:right;font-variant-numeric:tabular-nums}thead{display:table-header-group}"
        f"tr{{break-inside:avoid}}</style><h1>{html.escape(title)}</h1>"
        f"<p>From {utc(statement.from_ns)} up to {utc(statement.to_ns)}, UTC.</p>"
        + ("" if statement.listed == statement.lines else short)
        + "".join(parts)
        + "</html>"
    )


def plain_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula (OWASP, "CSV Injection").

    >>> plain_text("=cmd()")
    "'=cmd()"
    """
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def utc(ts_ns: int) -> str:
    """``2026-11-20 14:03:22``."""
    return f"{datetime.fromtimestamp(ts_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


def _store(floor: Floor, actor: Actor) -> QueryStore:
    return floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries


def _asset(end: Any, totals: Sequence[Any], rows: Sequence[Any]) -> AssetStatement:
    def units(amount: int) -> Decimal:
        return ledger_to_decimal(amount, end["scale"], end["lot_size"])

    lines, balance = [], end["opening"]
    for row in rows:
        balance += row["amount"]
        lines.append(
            StatementLine(
                row["id"],
                row["group_id"],
                row["ts_ns"],
                row["kind"],
                units(row["amount"]),
                units(balance),
                row["order_id"],
                row["memo"],
            )
        )
    return AssetStatement(
        end["asset"],
        end["asset_kind"] == "currency",
        units(end["opening"]),
        units(end["closing"]),
        [Total(each["kind"], each["lines"], units(each["received"]), units(each["paid"])) for each in totals],
        lines,
    )
