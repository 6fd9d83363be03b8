"""Interest on margin debt: a day's debt, a yearly rate, a day count, rounded once on the cumulative total. Pure.

Day count: US dollars by actual days over 360 (ISDA 2006 Definitions 4.16(e), "Actual/360", as US money markets quote);
every other currency by actual days over 365 (4.16(d), "Actual/365 (Fixed)", the custom of sterling and rupee).
Simple interest; what has been posted is debt from then on. The rate is a row of ``debt_rate`` that names its source.

Worked example: a debt of 10,000.00 USD at 8.25 % for a day is 10,000 x 0.0825 / 360 = 2.2916... Three days are 6.875:
posted are 2.29, 2.29 and 2.30 (half-even of the totals 2.29, 4.58, 6.88), not three times 2.29 = 6.87.
"""

from collections.abc import Iterable

from trading.domain.money import div_half_even

PPM = 1_000_000
_ACTUAL_360 = frozenset({"USD"})


def day_basis(currency_code: str) -> int:
    """Days of the year by which interest in a currency is counted."""
    return 360 if currency_code in _ACTUAL_360 else 365


def accrual(debt: int, annual_ppm: int, days: int = 1) -> int:
    """Interest of ``days`` on a debt in minor units, exact: in parts of 1 / (10^6 x basis) of a minor unit.

    These parts add up over days, debts and rates; `interest_of` makes money of their sum. No debt, no interest:
    ``debt`` below zero raises ValueError.

    >>> interest_of(accrual(1_000_000, 82_500, 30), day_basis("USD"))  # 10,000.00 for 30 days at 8.25 %
    6875
    """
    if debt < 0 or annual_ppm < 0 or days < 0:
        raise ValueError("debt, rate and days are not negative")
    return debt * annual_ppm * days


def interest_of(parts: int, basis: int) -> int:
    """Minor units for a sum of `accrual`, half-even."""
    return div_half_even(parts, PPM * basis)


def charges(day_parts: Iterable[int], basis: int, before: int = 0) -> list[int]:
    """What to post each day so that the posts sum to the rounded total; ``before`` are the parts already posted for.

    >>> charges([accrual(1_000_000, 82_500)] * 3, 360)
    [229, 229, 230]
    """
    posted: list[int] = []
    total = before
    for parts in day_parts:
        known, total = interest_of(total, basis), total + parts
        posted.append(interest_of(total, basis) - known)
    return posted
