"""Conversion: at the price shown or better, or not at all; both legs or none; equity in the base currency at mid."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_servers import Database
from trading_floor import TradingFloor

from trading.domain.errors import Conflict, Invalid, NotFound
from trading.domain.fx import converted
from trading.services import fx, halt, queries, settled, wallet
from trading.services.access import SYSTEM


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    own.quote("1.08340", "1.08350", symbol="EURUSD")
    yield own
    own.check()
    own.close()


def ask(floor: TradingFloor, sell: str, buy: str, amount: str) -> fx.Quote:
    return fx.quote(floor.floor, floor.trader, floor.portfolio, sell, buy, amount)


def take(floor: TradingFloor, quote: fx.Quote, key: str = "k") -> int:
    return fx.convert(
        floor.floor, floor.trader, floor.portfolio, quote.sell, quote.buy, f"{quote.sold:f}", f"{quote.rate:f}",
        quote.quoted_ns, key,
    )  # fmt: skip


def purses(floor: TradingFloor) -> dict[str, Decimal]:
    return {each.currency: each.total for each in wallet.cash(floor.floor, floor.trader, floor.portfolio)}


def test_dollars_become_euros_at_the_ask_and_euros_dollars_at_the_bid(floor: TradingFloor) -> None:
    quote = ask(floor, "USD", "EUR", "1000.00")
    assert (quote.pair, quote.rate, quote.bought) == ("EURUSD", Decimal("1.08350"), Decimal("922.93"))
    group = take(floor, quote)
    assert purses(floor) == {"USD": Decimal("99000.00"), "EUR": Decimal("922.93")}
    assert floor.query(
        "select d.kind, c.kind, t.amount, t.kind, t.memo from transfer t join account d on d.id = t.debit_id"
        " join account c on c.id = t.credit_id where t.group_id = %s order by t.id",
        group,
    ) == [
        ("portfolio", "fx", 100_000, "fx", "EURUSD ask 1.08350"),
        ("fx", "portfolio", 92_293, "fx", "EURUSD ask 1.08350"),
    ]
    take(floor, ask(floor, "EUR", "USD", "100.00"), "back")
    assert purses(floor) == {"USD": Decimal("99108.34"), "EUR": Decimal("822.93")}


def test_a_worse_price_is_refused_and_a_better_one_taken(floor: TradingFloor) -> None:
    quote = ask(floor, "USD", "EUR", "1000.00")
    floor.quote("1.08350", "1.08360", symbol="EURUSD")
    with pytest.raises(Invalid, match=r"was 1\.08350 and is 1\.08360 now") as refused:
        take(floor, quote)
    assert refused.value.code == "quote_moved"
    assert purses(floor) == {"USD": Decimal(100_000)}
    floor.quote("1.07990", "1.08000", symbol="EURUSD")
    take(floor, quote)
    assert purses(floor)["EUR"] == Decimal("925.93")


def test_a_price_lives_five_seconds_and_no_quote_no_price(floor: TradingFloor) -> None:
    quote = ask(floor, "USD", "EUR", "1000.00")
    floor.clock.advance(4)
    floor.quote("1.08340", "1.08350", symbol="EURUSD")
    floor.clock.advance(1.1)
    with pytest.raises(Invalid) as refused:
        take(floor, quote)
    assert refused.value.code == "quote_moved"
    floor.clock.advance(5)
    with pytest.raises(Invalid) as refused:
        ask(floor, "USD", "EUR", "1000.00")
    assert refused.value.code == "no_quote"


def test_the_same_key_converts_once_whatever_the_price_is_by_then(floor: TradingFloor) -> None:
    quote = ask(floor, "USD", "EUR", "1000.00")
    first = take(floor, quote)
    floor.quote("1.20000", "1.20010", symbol="EURUSD")
    floor.clock.advance(60)
    assert take(floor, quote) == first
    assert purses(floor)["EUR"] == Decimal("922.93")
    floor.quote("1.20000", "1.20010", symbol="EURUSD")
    with pytest.raises(Conflict):
        take(floor, ask(floor, "USD", "EUR", "1.00"))


@pytest.mark.parametrize(
    ("sell", "buy", "amount", "code"),
    [
        ("USD", "EUR", "100000.01", "insufficient_cash"),
        ("EUR", "USD", "0.01", "insufficient_cash"),
        ("EUR", "GBP", "1.00", "no_pair"),
        ("USD", "USD", "1.00", "no_pair"),
        ("USD", "EUR", "0", "not_positive"),
        ("USD", "EUR", "0.001", "off_step"),
        ("USD", "EUR", "nan", "not_a_number"),
    ],
)
def test_what_can_not_be_converted_moves_nothing(
    floor: TradingFloor, sell: str, buy: str, amount: str, code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        take(floor, ask(floor, sell, buy, amount))
    assert refused.value.code == code
    assert {name: total for name, total in purses(floor).items() if total} == {"USD": Decimal(100_000)}


def test_an_unknown_currency_is_not_found(floor: TradingFloor) -> None:
    with pytest.raises(NotFound):
        ask(floor, "XAU", "USD", "1")


def test_a_halted_floor_converts_nothing(floor: TradingFloor) -> None:
    quote = ask(floor, "USD", "EUR", "1.00")
    halt.set_mode(floor.floor, SYSTEM, "floor", "halted", "drill")
    with pytest.raises(Invalid, match="drill") as refused:
        take(floor, quote)
    assert refused.value.code == "halted"


def test_equity_counts_other_currencies_at_mid_and_proceeds_settle_in_two_days(floor: TradingFloor) -> None:
    take(floor, ask(floor, "USD", "EUR", "10835.00"))
    point = queries.equity_curve(floor.floor, floor.trader, floor.portfolio)[-1]
    assert point.equity == Decimal("99999.50")  # 10,000.00 EUR at 1.08345, half the spread lost
    floor.store.mark_equity(floor.clock.now_ns(), floor.broker.marks())
    assert floor.query("select cash from equity_mark order by ts_ns desc limit 1") == [(9_999_950,)]
    waits = settled.unsettled(floor.floor, floor.floor.queries, floor.portfolio)
    assert waits["EUR"].amount == Decimal("10000.00")


@given(
    amount=st.integers(1, 10**15),
    ticks=st.integers(1, 10**7),
    sells_base=st.booleans(),
    scales=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_a_conversion_is_the_nearest_minor_unit(
    amount: int, ticks: int, sells_base: bool, scales: tuple[int, int]
) -> None:
    price = ticks * Decimal("0.00001")
    found = converted(amount, *scales, price, sells_base)
    exact = (Decimal(amount).scaleb(-scales[0]) * price) if sells_base else None
    if exact is not None:
        assert abs(Decimal(found).scaleb(-scales[1]) - exact) <= Decimal(1).scaleb(-scales[1]) / 2
    else:
        paid = Decimal(found).scaleb(-scales[1]) * price
        assert abs(paid - Decimal(amount).scaleb(-scales[0])) <= Decimal(1).scaleb(-scales[1]) / 2 * price
