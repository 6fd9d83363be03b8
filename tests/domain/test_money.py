from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.errors import Invalid
from trading.domain.money import div_half_even, minor_to_decimal, parse_decimal, to_units


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_rounding_is_half_even_as_decimal_has_it(numerator: int, denominator: int) -> None:
    from decimal import localcontext

    with localcontext() as context:
        context.prec = 80
        exact = Decimal(numerator) / Decimal(denominator)
        assert div_half_even(numerator, denominator) == int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@pytest.mark.parametrize(("numerator", "expected"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2)])
def test_halves_go_to_the_even_neighbour(numerator: int, expected: int) -> None:
    assert div_half_even(numerator, 2) == expected


@pytest.mark.parametrize("text", ["", "ten", "1,5", "nan", "inf", "-inf", "1e400", "0x10", "1 2", "١٢a"])
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_decimal(text, "amount")


def test_more_precision_than_a_unit_has_is_refused_not_rounded() -> None:
    assert to_units("1.25", Decimal("0.05"), "price") == 25
    with pytest.raises(Invalid, match="multiple"):
        to_units("1.26", Decimal("0.05"), "price")
    with pytest.raises(Invalid, match="range"):
        to_units("99999999999999999999", Decimal(1), "quantity")


def test_minor_units_show_all_their_places() -> None:
    assert str(minor_to_decimal(100, 2)) == "1.00"
