"""Interest on margin debt: what a margin portfolio owed at the end of a UTC day, booked once for that day.

The arithmetic, its day counts and its rounding are `trading.domain.interest`; rates are versions of ``debt_rate`` with
their source. Each day's line is the difference of rounded totals, so that the lines add up to the rounded whole.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from trading.domain.errors import Invalid
from trading.domain.interest import accrual, charges, day_basis
from trading.domain.money import minor_to_decimal, to_units
from trading.domain.orders import PPM_STEP
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.wallet import InterestDay

CATCH_UP_DAYS = 7
"""Days that `accrue_due` goes back to, after a floor was closed."""
SOURCE_MIN = 5


@dataclass(frozen=True, slots=True)
class DebtRate:
    """What debt in a currency costs: ``percent`` a year, None where it bears no interest; a day is 1/``basis`` year."""

    currency: str
    percent: Decimal | None
    basis: int
    version: int
    source: str
    set_at: datetime | None


_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def accrue_interest(floor: Floor, actor: Actor, day: date) -> int:
    """Book the interest of a UTC day that is over on every margin debt at its end; returns how many lines.

    Safe to repeat, and at the same time: a portfolio's currency is charged once for a day. Without a rate for its
    currency a debt bears no interest. `Invalid` with ``day_not_over``.
    """
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    now_ns = floor.clock.now_ns()
    end_ns = int(end.timestamp()) * 10**9
    if end_ns > now_ns:
        raise Invalid(f"{day} is not over", "day_not_over")
    lines = 0
    for debt in floor.wallet.debts(day, end_ns):
        basis = day_basis(debt["currency"])
        parts = accrual(-debt["balance"], debt["annual_ppm"])
        before = int(debt["before"])
        (booked,) = charges([parts], basis, before)
        owed = minor_to_decimal(-debt["balance"], debt["scale"])
        memo = f"{day}: {owed:,f} at {debt['annual_ppm'] * PPM_STEP:f} %, 1/{basis}"
        kept = InterestDay(
            debt["portfolio_id"],
            debt["asset_id"],
            day,
            debt["balance"],
            debt["annual_ppm"],
            before,
            parts,
            booked,
        )
        lines += floor.wallet.charge(kept, memo, now_ns) and booked > 0
    return lines


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def accrue_due(floor: Floor, actor: Actor) -> int:
    """Book what is due of the last days that are over; returns how many lines. Safe to repeat."""
    today = floor.clock.now().astimezone(UTC).date()
    return sum(accrue_interest(floor, actor, today - timedelta(days=n)) for n in range(CATCH_UP_DAYS, 0, -1))


@operation(dict.fromkeys(Role, Reach.NO_PORTFOLIO))
def rates(floor: Floor, actor: Actor) -> list[DebtRate]:
    """The rate of each currency that the floor keeps accounts in, also of those that have none."""
    return [
        DebtRate(
            row["currency"],
            None if row["version"] is None else row["annual_ppm"] * PPM_STEP,
            day_basis(row["currency"]),
            row["version"] or 0,
            row["source"] or "",
            row["set_at"],
        )
        for row in floor.wallet.rates()
    ]


@operation(_STAFF)
def set_rate(floor: Floor, actor: Actor, currency: str, percent: str, source: str) -> None:
    """A currency's yearly rate on debt from now on, in percent with at most four decimal places, and where it is from.

    `Invalid`: ``unknown_currency``, ``bad_rate``, and those of numbers.
    """
    if currency not in floor.ledger.currencies():
        raise Invalid(f"the floor keeps no accounts in {currency[:12]}", "unknown_currency")
    ppm = to_units(percent, PPM_STEP, "rate")
    if not 0 <= ppm <= 1_000_000:
        raise Invalid("a rate is between 0 and 100 percent a year", "bad_rate")
    if len(source.strip()) < SOURCE_MIN:
        raise Invalid("say where the rate comes from", "bad_rate")
    floor.wallet.set_rate(actor.user_id, currency, ppm, source.strip()[:300], actor.origin)
