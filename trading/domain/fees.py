"""Fees and taxes of an order: a commission and named charges, each line rounded on the order's cumulative totals.

Every line is a function of what the order has traded so far that never falls, rounded half-even once. What a fill is
charged is the difference of that function before and after it, so many small fills cost what one would, line by line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from trading.domain.errors import Invalid
from trading.domain.money import div_half_even
from trading.domain.orders import Side

COMMISSION = "commission"
"""The name of a schedule's first line."""
BILLION = 1_000_000_000
_PPB_OF_PPM = 1000
_SHARE_MOST_PPB = BILLION // 2
"""All that grows with the notional may take half of it: a sale's proceeds must cover it."""


class Levy(StrEnum):
    """Whom a charge is for: the broker and the exchange, or the state."""

    FEE = "fee"
    TAX = "tax"


class Basis(StrEnum):
    """What a charge's rate is applied to: the notional, the lots, or what other lines come to (a tax on fees)."""

    NOTIONAL = "notional"
    LOTS = "lots"
    LINES = "lines"


@dataclass(frozen=True, slots=True)
class Charge:
    """One named line of a schedule.

    ``rate_ppb`` is parts per billion of the basis; of lots it is billionths of a minor unit a lot. ``side`` None is
    both. ``minimum`` and ``maximum`` bound it for one order that fills at all, in minor units; a rate of 0 with a
    minimum is a fixed charge an order. ``of`` names the lines before it that a charge on lines is reckoned on.
    """

    name: str
    levy: Levy
    basis: Basis
    rate_ppb: int
    side: Side | None = None
    minimum: int = 0
    maximum: int | None = None
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """What a line comes to, in minor units."""

    name: str
    levy: Levy
    amount: int


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """What trading one instrument version costs: a commission, after a US retail broker's fixed plan, and charges.

    ``per_lot_millis`` is thousandths of a minor unit of currency for each lot, ``rate_ppm`` parts per million of the
    notional, ``minimum`` and ``maximum`` bounds for an order that fills at all, in minor units. ``maker_ppm``, where
    there is one, is the rate of what rested in the book and ``rate_ppm`` that of what took from it.
    """

    version: int
    per_lot_millis: int
    rate_ppm: int
    minimum: int
    maximum: int | None = None
    maker_ppm: int | None = None
    charges: tuple[Charge, ...] = ()

    def total(self, side: Side, lots: int, notional: int, made: tuple[int, int] | None = None) -> int:
        """Fees and taxes in minor units on an order's cumulative filled lots and notional.

        ``made`` is the notional that took and the one that rested, each rounded by itself; it matters only where there
        is a ``maker_ppm``. Without it all is charged at the higher of the two rates.
        """
        if not self.charges:
            return self._commission(lots, notional, made)
        return sum(line.amount for line in self.lines(side, lots, notional, made))

    def at_most(self, side: Side, lots: int, notional: int) -> int:
        """An upper bound of `total` for fills of up to ``lots`` and ``notional``, however they come about."""
        if self.maker_ppm is not None:
            notional += 1  # taken and made are rounded apart
        return self.total(side, lots, notional)

    def lines(self, side: Side, lots: int, notional: int, made: tuple[int, int] | None = None) -> tuple[Line, ...]:
        """`total` by lines, the commission first; charges of the other side are left out."""
        if lots == 0:
            return ()
        told = [Line(COMMISSION, Levy.FEE, self._commission(lots, notional, made))]
        known = {COMMISSION: told[0].amount}
        for charge in self._charged(side):
            amount = known[charge.name] = _amount(charge, lots, notional, known)
            told.append(Line(charge.name, charge.levy, amount))
        return tuple(told)

    def shortfall(self, least: int) -> int:
        """By how much the lines of one fill of a sale may exceed its proceeds of ``least``, rounding alone counted."""
        if not self.charges:
            return 0
        rounded = 1 + sum(charge.basis is not Basis.LOTS for charge in self._charged(Side.SELL))
        return max(0, rounded - max(0, least) // 2)

    def again(self, side: Side) -> int:
        """The most that one order more costs for the same fills: its own minimums, caps and roundings."""
        if not self.charges and self.maximum is None and self.maker_ppm is None:
            return self.minimum
        own = {COMMISSION: self.minimum + (self.maximum or 0) + 1}
        for charge in self._charged(side):
            share = -(-charge.rate_ppb * sum(own[name] for name in charge.of if name in own) // BILLION)
            own[charge.name] = share + charge.minimum + (charge.maximum or 0) + 1
        return sum(own.values()) + 1

    def _charged(self, side: Side) -> Sequence[Charge]:
        return [charge for charge in self.charges if charge.side is None or charge.side is side]

    def _commission(self, lots: int, notional: int, made: tuple[int, int] | None) -> int:
        if lots == 0:
            return 0
        if self.maker_ppm is None:
            by_value = notional * self.rate_ppm
        elif made is None:
            by_value = notional * max(self.rate_ppm, self.maker_ppm)
        else:
            by_value = made[0] * self.rate_ppm + made[1] * self.maker_ppm
        raw = max(self.minimum, div_half_even(lots * self.per_lot_millis * 1000 + by_value, 1_000_000))
        return raw if self.maximum is None else min(raw, self.maximum)


def _amount(charge: Charge, lots: int, notional: int, known: Mapping[str, int]) -> int:
    if charge.basis is Basis.NOTIONAL:
        basis = notional
    elif charge.basis is Basis.LOTS:
        basis = lots
    else:
        basis = sum(known.get(name, 0) for name in charge.of)
    raw = max(charge.minimum, div_half_even(basis * charge.rate_ppb, BILLION))
    return raw if charge.maximum is None else min(raw, charge.maximum)


def grown(before: Sequence[Line], after: Sequence[Line]) -> tuple[Line, ...]:
    """What a fill is charged: lines after it less those before it, without the ones that stayed."""
    had = {line.name: line.amount for line in before}
    told = (Line(line.name, line.levy, line.amount - had.get(line.name, 0)) for line in after)
    return tuple(line for line in told if line.amount)


def check(schedule: FeeSchedule) -> FeeSchedule:
    """The schedule, where it is one. Raises `Invalid` with code ``bad_schedule``."""
    numbers = [schedule.per_lot_millis, schedule.rate_ppm, schedule.minimum]
    numbers += [number for number in (schedule.maximum, schedule.maker_ppm) if number is not None]
    names = [COMMISSION]
    share = {COMMISSION: max(schedule.rate_ppm, schedule.maker_ppm or 0) * _PPB_OF_PPM}
    for charge in schedule.charges:
        numbers += [charge.rate_ppb, charge.minimum, charge.maximum or 0]
        if not charge.name.strip() or len(charge.name) > 40 or charge.name in names:
            raise Invalid(f"every charge needs a name of its own: {charge.name[:40]!r}", "bad_schedule")
        if (charge.basis is Basis.LINES) != bool(charge.of) or not set(charge.of) <= set(names):
            raise Invalid(f"{charge.name} must name lines before it if it is a charge on lines", "bad_schedule")
        if charge.maximum is not None and charge.maximum < charge.minimum:
            raise Invalid(f"{charge.name} has a maximum below its minimum", "bad_schedule")
        on_value = BILLION if charge.basis is Basis.NOTIONAL else sum(share[name] for name in charge.of)
        share[charge.name] = 0 if charge.basis is Basis.LOTS else charge.rate_ppb * on_value // BILLION
        names.append(charge.name)
    if min(numbers) < 0 or max(numbers) > 10**15:
        raise Invalid("rates and amounts are whole numbers from 0 on", "bad_schedule")
    if schedule.maximum is not None and schedule.maximum < schedule.minimum:
        raise Invalid("the commission has a maximum below its minimum", "bad_schedule")
    if sum(share.values()) > _SHARE_MOST_PPB:
        raise Invalid("the charges together take more than half of the notional", "bad_schedule")
    return schedule


def charges_to_json(charges: Sequence[Charge]) -> list[dict[str, Any]]:
    """Charges as a JSON array."""
    return [asdict(charge) for charge in charges]


def charges_of_json(rows: Sequence[Mapping[str, Any]]) -> tuple[Charge, ...]:
    """Inverse of `charges_to_json`. Raises `Invalid` with code ``bad_schedule``."""
    try:
        return tuple(
            Charge(
                name=str(row["name"]),
                levy=Levy(row["levy"]),
                basis=Basis(row["basis"]),
                rate_ppb=int(row["rate_ppb"]),
                side=None if row.get("side") is None else Side(row["side"]),
                minimum=int(row.get("minimum", 0)),
                maximum=None if row.get("maximum") is None else int(row["maximum"]),
                of=tuple(str(name) for name in row.get("of", ())),
            )
            for row in rows
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"not a schedule of charges: {error}", "bad_schedule") from None


def _tax(name: str, rate_ppb: int, side: Side | None = None) -> Charge:
    return Charge(name, Levy.TAX, Basis.NOTIONAL, rate_ppb, side)


_GST_ON = (COMMISSION, "exchange charge", "SEBI fee")


def _india(stt: tuple[Charge, ...], stamp_ppb: int) -> tuple[Charge, ...]:
    """NSE cash market from October 2024: exchange charge 0.00297 %, SEBI 10 INR a crore, GST 18 % on the fees."""
    return (
        *stt,
        Charge("exchange charge", Levy.FEE, Basis.NOTIONAL, 29_700),
        Charge("SEBI fee", Levy.FEE, Basis.NOTIONAL, 1_000),
        Charge("GST", Levy.TAX, Basis.LINES, 180_000_000, of=_GST_ON),
        _tax("stamp duty", stamp_ppb, Side.BUY),
    )


LISTED: Mapping[str, FeeSchedule] = {
    "us_equity": FeeSchedule(
        1,
        500,
        0,
        100,
        charges=(
            _tax("SEC fee", 27_800, Side.SELL),
            Charge("TAF", Levy.FEE, Basis.LOTS, 16_600_000, Side.SELL, maximum=830),
        ),
    ),
    "in_equity_delivery": FeeSchedule(1, 0, 3_000, 0, 2_000, charges=_india((_tax("STT", 1_000_000),), 150_000)),
    "in_equity_intraday": FeeSchedule(1, 0, 300, 0, 2_000, charges=_india((_tax("STT", 250_000, Side.SELL),), 30_000)),
    "crypto_maker_taker": FeeSchedule(1, 0, 4_000, 1, maker_ppm=2_500),
}
"""Schedules by name, in minor units of the instrument's currency.

``us_equity``: half a cent a share, at least a dollar; on sales the SEC's fee of 27.80 USD a million (section 31, from
May 2024) and FINRA's trading activity fee of 0.000166 USD a share, at most 8.30 USD a trade (2024). ``in_equity_*``: a
discount broker's 0.3 % (delivery) or 0.03 % (intraday), at most 20 INR an order; STT 0.1 % on both sides of a
delivery, 0.025 % on an intraday sale; stamp duty 0.015 % and 0.003 % on purchases. Statutory rates change: they are
set here as of the dates named, and an admin can set others.
"""
