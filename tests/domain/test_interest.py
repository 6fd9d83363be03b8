"""Interest on margin debt: day count, rate and rounding."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.interest import accrual, charges, day_basis, interest_of


def test_ten_thousand_dollars_for_thirty_days_at_eight_and_a_quarter_percent() -> None:
    # 10,000.00 x 0.0825 x 30 / 360 = 68.75
    assert interest_of(accrual(1_000_000, 82_500, 30), day_basis("USD")) == 6_875


def test_other_currencies_count_365_days() -> None:
    # 10,000.00 x 0.0825 x 30 / 365 = 67.8082...
    assert day_basis("INR") == 365
    assert interest_of(accrual(1_000_000, 82_500, 30), 365) == 6_781


def test_days_are_rounded_on_their_total() -> None:
    assert charges([accrual(1_000_000, 82_500)] * 3, 360) == [229, 229, 230]


def test_a_changed_debt_and_rate_add_up_exactly() -> None:
    parts = accrual(1_000_000, 82_500, 10) + accrual(400_000, 90_000, 20)
    assert interest_of(parts, 360) == 2_292 + 2_000  # 22.9166... and 20.00 are 42.9166...


@pytest.mark.parametrize("wrong", [(-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_a_credit_is_no_debt(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not negative"):
        accrual(*wrong)


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 300_000)), max_size=60),
    st.sampled_from([360, 365]),
    st.integers(0, 60),
)
def test_posts_sum_to_the_rounded_total_however_the_days_are_split(
    days: list[tuple[int, int]], basis: int, cut: int
) -> None:
    parts = [accrual(debt, rate) for debt, rate in days]
    first = charges(parts[:cut], basis)
    rest = charges(parts[cut:], basis, sum(parts[:cut]))
    assert first + rest == charges(parts, basis)
    exact = sum((Fraction(debt * rate, 10**6 * basis) for debt, rate in days), Fraction(0))
    assert sum(first + rest) == round(exact), "Fraction rounds half to even too"
