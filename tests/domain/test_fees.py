"""Schedules of fees and taxes: worked examples to the cent and to the paisa, and what is no schedule."""

from dataclasses import replace

import pytest

from trading.domain.errors import Invalid
from trading.domain.fees import (
    COMMISSION,
    LISTED,
    Basis,
    Charge,
    FeeSchedule,
    Levy,
    charges_of_json,
    charges_to_json,
    check,
)
from trading.domain.orders import Side


def lines(schedule: FeeSchedule, side: Side, lots: int, notional: int) -> dict[str, int]:
    return {line.name: line.amount for line in schedule.lines(side, lots, notional)}


def test_a_delivery_bought_in_india_for_a_lakh() -> None:
    # 100 shares at 1,000.00 INR: 20.00 brokerage (0.3 % would be 300), STT 100.00, exchange 2.97, SEBI 0.10,
    # GST 18 % of 23.07 = 4.15, stamp duty 15.00
    fee = LISTED["in_equity_delivery"]
    told = lines(fee, Side.BUY, 100, 10_000_000)
    assert told == {
        COMMISSION: 2_000,
        "STT": 10_000,
        "exchange charge": 297,
        "SEBI fee": 10,
        "GST": 415,
        "stamp duty": 1_500,
    }
    assert fee.total(Side.BUY, 100, 10_000_000) == 14_222
    assert {line.name for line in fee.lines(Side.BUY, 1, 1) if line.levy is Levy.TAX} == {"STT", "GST", "stamp duty"}


def test_an_intraday_sale_in_india_has_stt_and_no_stamp_duty() -> None:
    # 50 at 400.00 INR: 0.03 % of 20,000 = 6.00; STT 5.00; exchange 0.594 -> 0.59; SEBI 0.02; GST 18 % of 6.61 = 1.19
    told = lines(LISTED["in_equity_intraday"], Side.SELL, 50, 2_000_000)
    assert told == {COMMISSION: 600, "STT": 500, "exchange charge": 59, "SEBI fee": 2, "GST": 119}


def test_the_sebi_fee_is_ten_rupees_a_crore() -> None:
    assert lines(LISTED["in_equity_delivery"], Side.BUY, 1, 1_00_00_000_00)["SEBI fee"] == 10_00


def test_a_us_sale_pays_the_sec_and_the_taf_and_a_purchase_neither() -> None:
    # 1,000 shares at 250.00 USD: 5.00 commission, SEC 27.80 a million of 250,000 = 6.95, TAF 0.166 -> 0.17
    assert lines(LISTED["us_equity"], Side.SELL, 1_000, 25_000_000) == {COMMISSION: 500, "SEC fee": 695, "TAF": 17}
    assert lines(LISTED["us_equity"], Side.BUY, 1_000, 25_000_000) == {COMMISSION: 500}
    assert lines(LISTED["us_equity"], Side.SELL, 100_000, 100)["TAF"] == 830, "at most 8.30 a trade"


def test_what_rests_in_the_book_pays_the_makers_rate() -> None:
    fee = LISTED["crypto_maker_taker"]
    assert fee.total(Side.BUY, 3, 30_000, (10_000, 20_000)) == 90  # 0.4 % of 100.00 and 0.25 % of 200.00
    assert fee.total(Side.BUY, 3, 30_000) == 120, "unknown: the higher rate"


def test_a_schedule_without_charges_costs_what_it_did() -> None:
    fee = FeeSchedule(1, 500, 20, 100)
    assert [fee.total(Side.BUY, lots, notional) for lots, notional in ((0, 0), (10, 100_000), (1_000, 10**7))] == [
        0,
        100,
        700,
    ]


def test_charges_are_read_back_as_they_were_written() -> None:
    for schedule in LISTED.values():
        assert charges_of_json(charges_to_json(check(schedule).charges)) == schedule.charges
    with pytest.raises(Invalid, match="not a schedule"):
        charges_of_json([{"name": "x"}])


@pytest.mark.parametrize(
    "charges",
    [
        (Charge("", Levy.TAX, Basis.NOTIONAL, 1),),
        (Charge(COMMISSION, Levy.FEE, Basis.NOTIONAL, 1),),
        (Charge("a", Levy.FEE, Basis.LINES, 1, of=("b",)), Charge("b", Levy.FEE, Basis.NOTIONAL, 1)),
        (Charge("a", Levy.FEE, Basis.LINES, 1),),
        (Charge("a", Levy.FEE, Basis.NOTIONAL, -1),),
        (Charge("a", Levy.FEE, Basis.NOTIONAL, 1, minimum=5, maximum=4),),
        (Charge("a", Levy.FEE, Basis.NOTIONAL, 600_000_000),),
    ],
)
def test_what_is_no_schedule_is_refused(charges: tuple[Charge, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        check(replace(FeeSchedule(1, 0, 0, 0), charges=charges))
    assert refused.value.code == "bad_schedule"
