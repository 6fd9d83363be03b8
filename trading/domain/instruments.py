"""Instruments: tick and lot sizes, currency, fee schedule, each row versioned."""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from trading.domain.fees import FeeSchedule
from trading.domain.money import Asset, div_half_even, to_units


@dataclass(frozen=True, slots=True)
class Instrument:
    """One version of a tradable instrument of a venue.

    Prices are whole ticks of ``tick_size`` units of ``currency``; quantities whole lots of ``lot_size``.
    ``asset`` is the ledger asset that counts its lots (scale 0: one minor unit is one lot). ``value_ratio`` is the
    minor units of currency for one tick times one lot, as an exact ratio.
    """

    id: int
    version: int
    symbol: str
    venue: str
    name: str
    asset: Asset
    currency: Asset
    tick_size: Decimal
    lot_size: Decimal
    max_order_lots: int
    fee: FeeSchedule
    value_ratio: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        value = self.tick_size * self.lot_size * (Decimal(10) ** self.currency.scale)
        object.__setattr__(self, "value_ratio", value.as_integer_ratio())

    def notional(self, price_lot_ticks: int) -> int:
        """Cash in minor units for a sum of price_ticks × quantity_lots, rounded half-even once on the sum."""
        numerator, denominator = self.value_ratio
        return div_half_even(price_lot_ticks * numerator, denominator)

    def value(self, price_ticks: int, lots: Fraction) -> int:
        """Cash in minor units for a part of a lot, or several, rounded half-even once."""
        numerator, denominator = self.value_ratio
        return div_half_even(price_ticks * numerator * lots.numerator, denominator * lots.denominator)

    def price_to_ticks(self, price: str | int | Decimal) -> int:
        """Whole ticks of a price; an off-tick price is refused with `Invalid`."""
        return to_units(price, self.tick_size, "price")

    def quantity_to_lots(self, quantity: str | int | Decimal) -> int:
        """Whole lots of a quantity; a fraction of a lot is refused with `Invalid`."""
        return to_units(quantity, self.lot_size, "quantity")

    def price(self, ticks: int) -> Decimal:
        """The price of a number of ticks."""
        return ticks * self.tick_size

    def quantity(self, lots: int) -> Decimal:
        """The quantity of a number of lots."""
        return lots * self.lot_size
