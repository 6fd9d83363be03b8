"""What a year realised, lot by lot, and what it brought in dividends: for a portfolio and its tax return.

Days are those of the instrument's exchange. Fees and taxes of a trade are part of cost and proceeds. Wash sales are not
modelled: no loss is deferred because the same instrument was bought within 30 days. What closes a short sale is
short-term (26 USC 1233 knows exceptions, which are not modelled either). Cash paid for a fraction by a split is a
disposal whose cost stays with the shares, so that all of it is gain; it has the term of the oldest lot.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from io import StringIO
from typing import Any

from trading.domain.money import minor_to_decimal
from trading.domain.tax import is_long_term
from trading.market.sessions import CONTINUOUS, zone_of
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

_READ = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.OBSERVER: Reach.GRANTED, Role.SYSTEM: Reach.ANY}
CSV_COLUMNS = (
    "kind",
    "symbol",
    "quantity",
    "acquired",
    "disposed",
    "term",
    "proceeds",
    "cost",
    "gain",
    "withheld",
    "currency",
)


@dataclass(frozen=True, slots=True)
class Disposal:
    """A part of a lot that was closed (``what``: sale, short sale, cash in lieu); money in units of ``currency``."""

    what: str
    symbol: str
    currency: str
    quantity: Decimal
    acquired: date
    disposed: date
    long_term: bool
    proceeds: Decimal
    cost: Decimal

    @property
    def gain(self) -> Decimal:
        """What it realised."""
        return self.proceeds - self.cost


@dataclass(frozen=True, slots=True)
class Dividend:
    """A dividend on ``quantity`` shares; negative was paid on a short position. ``withheld`` is part of ``amount``."""

    symbol: str
    currency: str
    paid: date
    quantity: Decimal
    amount: Decimal
    withheld: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums of a report in one currency."""

    currency: str
    short_term: Decimal
    long_term: Decimal
    dividends: Decimal
    withheld: Decimal

    @property
    def realised(self) -> Decimal:
        """Gains of both terms."""
        return self.short_term + self.long_term


@dataclass(frozen=True, slots=True)
class TaxReport:
    """One calendar year of a portfolio."""

    year: int
    disposals: Sequence[Disposal]
    dividends: Sequence[Dividend]
    totals: Sequence[Totals]


@dataclass(frozen=True, slots=True)
class OpenLot:
    """What is left of a lot: ``cost`` is what was paid for it, of a short one what it brought."""

    symbol: str
    currency: str
    acquired: date
    quantity: Decimal
    cost: Decimal
    short: bool
    long_term: bool
    splits: int


@operation(_READ)
def report(floor: Floor, actor: Actor, portfolio_id: int, year: int) -> TaxReport:
    """The year's disposals and dividends, by day, and their sums for each currency."""
    store = floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries
    disposals = [line for row in store.disposals(portfolio_id) if (line := _disposal(row)).disposed.year == year]
    dividends: list[Dividend] = []
    for row in store.action_effects(portfolio_id):
        if row["kind"] == "dividend":
            paid = _dividend(row)
            dividends += [paid] if paid.paid.year == year else []
        elif row["cash"] or row["dropped"]:
            line = _in_lieu(row)
            disposals += [line] if line.disposed.year == year else []
    disposals.sort(key=lambda line: (line.disposed, line.symbol, line.acquired))
    dividends.sort(key=lambda line: (line.paid, line.symbol))
    currencies = sorted({line.currency for line in disposals} | {line.currency for line in dividends})
    return TaxReport(year, disposals, dividends, [_totals(each, disposals, dividends) for each in currencies])


@operation(_READ)
def years(floor: Floor, actor: Actor, portfolio_id: int) -> list[int]:
    """Years in which there is something to report, newest first."""
    store = floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries
    days = [_day(row["disposed_ts_ns"], row["calendar"]) for row in store.disposals(portfolio_id)]
    days += [_day(row["ts_ns"], row["calendar"]) for row in store.action_effects(portfolio_id) if _counts(row)]
    return sorted({day.year for day in days}, reverse=True)


@operation(_READ)
def open_lots(floor: Floor, actor: Actor, portfolio_id: int) -> list[OpenLot]:
    """What is held by lots, oldest first, and of which term a sale today would be."""
    store = floor.observer.of(actor.session_token) if actor.role is Role.OBSERVER else floor.queries
    now_ns = floor.clock.now_ns()
    found = []
    for row in store.open_lots(portfolio_id):
        acquired, today = _day(row["acquired_ts_ns"], row["calendar"]), _day(now_ns, row["calendar"])
        found.append(
            OpenLot(
                row["symbol"],
                row["currency"],
                acquired,
                row["lots"] * row["lot_size"],
                minor_to_decimal(row["cost"], row["scale"]),
                row["short"],
                not row["short"] and is_long_term(acquired, today),
                row["splits"],
            )
        )
    return found


def to_csv(told: TaxReport) -> str:
    """The report as CSV (comma, a header), a line a disposal and a dividend; amounts with the currency's decimals."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for line in told.disposals:
        term = "long" if line.long_term else "short"
        money = (line.proceeds, line.cost, line.gain, "")
        lot = (f"{line.quantity:f}", line.acquired, line.disposed, term)
        writer.writerow((line.what, line.symbol, *lot, *money, line.currency))
    for paid in told.dividends:
        held = (f"{paid.quantity:f}", "", paid.paid, "")
        writer.writerow(("dividend", paid.symbol, *held, paid.amount, "", "", paid.withheld, paid.currency))
    return out.getvalue()


def _day(ts_ns: int, calendar: str | None) -> date:
    zone: tzinfo = zone_of(calendar or CONTINUOUS)
    return datetime.fromtimestamp(ts_ns // 10**9, UTC).astimezone(zone).date()


def _counts(row: dict[str, Any]) -> bool:
    """Whether what an action did belongs into a report: a split without cash does not."""
    return bool(row["kind"] == "dividend" or row["cash"] or row["dropped"])


def _disposal(row: dict[str, Any]) -> Disposal:
    opened, closed = _day(row["acquired_ts_ns"], row["calendar"]), _day(row["disposed_ts_ns"], row["calendar"])
    return Disposal(
        "short sale" if row["short"] else "sale",
        row["symbol"],
        row["currency"],
        row["quantity_lots"] * row["lot_size"],
        opened,
        closed,
        not row["short"] and is_long_term(opened, closed),
        minor_to_decimal(row["proceeds"], row["scale"]),
        minor_to_decimal(row["cost"], row["scale"]),
    )


def _in_lieu(row: dict[str, Any]) -> Disposal:
    """Cash for a fraction. A short pays it: that is cost, and what a position that is gone had brought is proceeds."""
    opened, closed = _day(row["oldest_ts_ns"], row["calendar"]), _day(row["ts_ns"], row["calendar"])
    short = row["lots_before"] < 0
    proceeds, cost = (row["dropped"], -row["cash"]) if short else (row["cash"], row["dropped"])
    exact = abs(row["lots_before"]) * row["lot_size"] * row["numerator"] / row["denominator"]
    return Disposal(
        "cash in lieu",
        row["symbol"],
        row["currency"],
        exact - abs(row["lots_after"]) * row["lot_size"],
        opened,
        closed,
        not short and is_long_term(opened, closed),
        minor_to_decimal(proceeds, row["scale"]),
        minor_to_decimal(cost, row["scale"]),
    )


def _dividend(row: dict[str, Any]) -> Dividend:
    return Dividend(
        row["symbol"],
        row["currency"],
        _day(row["ts_ns"], row["calendar"]),
        row["lots_before"] * row["lot_size"],
        minor_to_decimal(row["cash"], row["scale"]),
        minor_to_decimal(row["tax"], row["scale"]),
    )


def _totals(currency: str, disposals: Sequence[Disposal], dividends: Sequence[Dividend]) -> Totals:
    gains = [line for line in disposals if line.currency == currency]
    paid = [line for line in dividends if line.currency == currency]
    zero = Decimal(0)
    return Totals(
        currency,
        sum((line.gain for line in gains if not line.long_term), zero),
        sum((line.gain for line in gains if line.long_term), zero),
        sum((line.amount for line in paid), zero),
        sum((line.withheld for line in paid), zero),
    )
