"""Money and other quantities as whole minor units of an asset, all int64."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from trading.domain.errors import Invalid

INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Asset:
    """Something the ledger counts: a currency or the shares of an instrument.

    ``scale`` is the number of decimal places of a minor unit: 2 for USD (cents), 0 for whole shares.
    """

    id: int
    code: str
    scale: int


def div_half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded to the nearest integer, ties to the even one (IEEE 754 roundTiesToEven)."""
    if denominator <= 0:
        raise ValueError("denominator must be positive")
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        quotient += 1
    return quotient


def parse_decimal(text: str | int | Decimal, what: str) -> Decimal:
    """A finite decimal out of user input, or `Invalid` with code ``not_a_number``."""
    try:
        value = Decimal(str(text).strip())
    except InvalidOperation:
        raise Invalid(f"{what} is not a number: {str(text)[:40]!r}", "not_a_number") from None
    if not value.is_finite():
        raise Invalid(f"{what} is not a finite number", "not_a_number")
    if value and abs(value.adjusted()) > 30:
        raise Invalid(f"{what} is out of range", "out_of_range")
    return value


def to_units(text: str | int | Decimal, unit: Decimal, what: str) -> int:
    """How many whole ``unit`` (a tick, a lot, a cent) are in ``text``; more precision than the unit has is refused.

    Raises `Invalid` with code ``not_a_number``, ``off_step`` or ``out_of_range``.
    """
    value = parse_decimal(text, what)
    count, rest = divmod(value, unit)
    if rest != 0:
        raise Invalid(f"{what} {value} is not a multiple of {unit.normalize():f}", "off_step")
    if abs(count) > INT64_MAX:
        raise Invalid(f"{what} is out of range", "out_of_range")
    return int(count)


def minor_to_decimal(amount: int, scale: int) -> Decimal:
    """Minor units as a decimal with exactly ``scale`` places, for display."""
    return Decimal(amount).scaleb(-scale)


def ledger_to_decimal(amount: int, scale: int, lot_size: Decimal | None) -> Decimal:
    """What the ledger counts, in units of its asset: an instrument's lots by their size, money by its scale."""
    return minor_to_decimal(amount, scale) if lot_size is None else amount * lot_size
