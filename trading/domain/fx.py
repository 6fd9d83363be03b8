"""Conversion between currencies at the price of their pair. Pure; money is whole minor units, rounded half-even once.

A pair BASE/QUOTE, as EURUSD, has prices in units of QUOTE for one BASE. Who sells BASE gets the bid, who buys it pays
the ask. Worked example: EURUSD 1.08340 / 1.08350. 100.00 EUR bring 108.34 USD; 100.00 USD bring 92.29 EUR (/ 1.0835).
Reports add other currencies at the mid, (bid + ask) / 2.
"""

from decimal import Decimal

from trading.domain.money import div_half_even


def converted(amount: int, scale: int, into_scale: int, price: Decimal, sells_base: bool) -> int:
    """Minor units of the other currency for ``amount``: times the price where the base is sold, else divided by it.

    >>> converted(10_000, 2, 2, Decimal("1.0834"), sells_base=True)
    10834
    >>> converted(10_000, 2, 2, Decimal("1.0835"), sells_base=False)
    9229
    """
    numerator, denominator = price.as_integer_ratio()
    if not sells_base:
        numerator, denominator = denominator, numerator
    return div_half_even(amount * numerator * 10**into_scale, denominator * 10**scale)


def mid(bid_ticks: int, ask_ticks: int, tick_size: Decimal) -> Decimal | None:
    """Half-way between bid and ask; None without both."""
    return (bid_ticks + ask_ticks) * tick_size / 2 if bid_ticks > 0 and ask_ticks > 0 else None
