"""Long or short term: the day after the purchase is the first that counts."""

from datetime import date

import pytest

from trading.domain.tax import is_long_term


@pytest.mark.parametrize(
    ("bought", "sold", "long"),
    [
        (date(2015, 2, 5), date(2016, 2, 5), False),  # the example of Publication 550: a year, and not more
        (date(2015, 2, 5), date(2016, 2, 6), True),
        (date(2023, 2, 28), date(2024, 2, 29), False),  # the last day of a month: from the first of the 13th on
        (date(2023, 2, 28), date(2024, 3, 1), True),
        (date(2024, 2, 28), date(2025, 2, 28), False),
        (date(2024, 2, 28), date(2025, 3, 1), True),
        (date(2024, 2, 29), date(2025, 2, 28), False),
        (date(2024, 2, 29), date(2025, 3, 1), True),
        (date(2024, 12, 31), date(2025, 12, 31), False),
        (date(2024, 12, 31), date(2026, 1, 1), True),
        (date(2024, 5, 5), date(2024, 5, 5), False),
    ],
)
def test_more_than_a_year_counts_from_the_day_after(bought: date, sold: date, long: bool) -> None:
    assert is_long_term(bought, sold) is long
