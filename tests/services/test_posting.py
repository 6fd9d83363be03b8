"""Groups of ledger lines: all or none, once for each key, conserved, and never below a floor."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trading_floor import TradingFloor

from trading.domain.errors import Conflict, Invalid, NotFound
from trading.services import ledger
from trading.services.access import SYSTEM, Actor, Role
from trading.services.ports.desk import Line, Posting

KEYS = count(1)
INT64_MAX = 2**63 - 1


def assets(floor: TradingFloor) -> dict[str, int]:
    return dict(floor.query("select code, id from asset"))  # type: ignore[arg-type]


def posting(portfolio: int, lines: Sequence[tuple[int, int, str, str]], key: str | None = None) -> Posting:
    kept = tuple(Line(*line) for line in lines)
    return Posting(0, portfolio, "test.post", key or f"k{next(KEYS)}", kept, "", "test", 1)


def balances(floor: TradingFloor, portfolio: int | None = None) -> dict[str, int]:
    found = floor.query(
        "select s.code, a.posted from account a join asset s on s.id = a.asset_id where a.portfolio_id = %s",
        portfolio or floor.portfolio,
    )
    return dict(found)  # type: ignore[arg-type]


def test_lines_of_two_currencies_are_one_group(floor: TradingFloor) -> None:
    usd, eur = assets(floor)["USD"], assets(floor)["EUR"]
    group = floor.floor.ledger.post(posting(floor.portfolio, [(usd, -11_000, "fx", "fx"), (eur, 10_000, "fx", "fx")]))
    assert balances(floor) == {"USD": 9_989_000, "EUR": 10_000}
    assert floor.query("select count(*), count(distinct asset_id) from transfer where group_id = %s", group) == [(2, 2)]
    assert floor.query("select detail -> 'amounts' from audit where action = 'test.post'") == [([-11_000, 10_000],)]
    floor.check()


def test_a_group_of_which_one_line_is_too_large_moves_nothing_and_says_by_how_much(floor: TradingFloor) -> None:
    usd, eur = assets(floor)["USD"], assets(floor)["EUR"]
    group = posting(floor.portfolio, [(eur, 100, "fx", "fx"), (usd, -10_000_001, "fx", "fx")])
    for _ in range(2):  # the refusal is the key's answer
        with pytest.raises(Invalid, match=r"only 100,000\.00 USD are available, 100,000\.01 are needed") as refused:
            floor.floor.ledger.post(group)
        assert refused.value.code == "insufficient_cash"
    assert balances(floor) == {"USD": 10_000_000, "EUR": 0}
    assert floor.query("select code, detail ->> 'needed' from audit where result = 'refused'") == [
        ("insufficient_cash", "10000001")
    ]


def test_lines_of_one_asset_are_judged_by_their_sum(floor: TradingFloor) -> None:
    usd = assets(floor)["USD"]
    floor.floor.ledger.post(
        posting(
            floor.portfolio, [(usd, -15_000_000, "deposits", "withdrawal"), (usd, 9_000_000, "deposits", "deposit")]
        )
    )
    assert balances(floor) == {"USD": 4_000_000}
    floor.check()


def test_the_database_itself_keeps_the_floor_of_an_account(floor: TradingFloor) -> None:
    with (
        psycopg.connect(floor.database.dsn(), autocommit=True) as superuser,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        superuser.execute("update account set posted = -1 where portfolio_id = %s", (floor.portfolio,))


def test_a_balance_beyond_int64_is_refused(floor: TradingFloor) -> None:
    usd = assets(floor)["USD"]
    with pytest.raises(Invalid) as refused:
        floor.floor.ledger.post(posting(floor.portfolio, [(usd, INT64_MAX, "deposits", "deposit")]))
    assert refused.value.code == "out_of_range"
    with pytest.raises(Invalid):
        floor.floor.ledger.post(
            posting(floor.portfolio, [(usd, INT64_MAX, "deposits", "deposit"), (usd, 1, "deposits", "deposit")])
        )
    assert balances(floor) == {"USD": 10_000_000}


def test_a_line_against_an_account_that_is_not_there_books_nothing(floor: TradingFloor) -> None:
    usd = assets(floor)["USD"]
    with pytest.raises(NotFound):
        floor.floor.ledger.post(posting(floor.portfolio, [(usd, 1, "treasure", "deposit")]))
    assert balances(floor) == {"USD": 10_000_000}


def test_a_hundred_threads_with_one_key_post_once(floor: TradingFloor) -> None:
    usd = assets(floor)["USD"]
    same = posting(floor.portfolio, [(usd, 100, "deposits", "deposit")], "same")
    with ThreadPoolExecutor(12) as threads:
        groups = set(threads.map(lambda _: floor.floor.ledger.post(same), range(100)))
    assert len(groups) == 1
    assert balances(floor) == {"USD": 10_000_100}
    with pytest.raises(Conflict):
        floor.floor.ledger.post(posting(floor.portfolio, [(usd, 101, "deposits", "deposit")], "same"))
    floor.check()


def test_a_person_alone_posts_up_to_the_limit_and_no_cent_more(floor: TradingFloor) -> None:
    admin = Actor(floor.floor.people.create_user("adam", "Adam", "admin", "no-password", 0).id, "adam", Role.ADMIN)
    ledger.deposit(floor.floor, admin, floor.portfolio, "10000.00", "at")
    with pytest.raises(Invalid, match=r"above 10,000\.00 USD") as refused:
        ledger.deposit(floor.floor, admin, floor.portfolio, "10000.01", "above")
    assert refused.value.code == "second_admin_needed"
    assert floor.query("select count(*) from audit where code = 'second_admin_needed'") == [(1,)]


LINES = st.lists(
    st.tuples(st.sampled_from(["USD", "EUR", "GBP"]), st.integers(-1_000, 1_000).filter(bool)), min_size=1, max_size=4
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(LINES, min_size=1, max_size=6))
def test_any_groups_conserve_money_and_never_spend_what_is_not_there(floor: TradingFloor, groups: Any) -> None:
    known = assets(floor)
    _, portfolio = floor.add_trader(f"t{next(KEYS)}", "0")
    expected: dict[str, int] = {}
    for group in groups:
        after = dict(expected)
        for code, amount in group:
            after[code] = after.get(code, 0) + amount
        try:
            floor.floor.ledger.post(posting(portfolio, [(known[code], amount, "fx", "fx") for code, amount in group]))
        except Invalid:
            assert min(after.values()) < 0
        else:
            expected = after
            assert min(after.values()) >= 0
    assert {code: net for code, net in balances(floor, portfolio).items() if net} == {
        code: net for code, net in expected.items() if net
    }
    floor.check()


@pytest.mark.parametrize("memo", ["back\\slash \\x41 \\101", "zwölf Ärzte", "'; drop table transfer", "\\"])
def test_any_memo_is_kept_and_hashed_as_it_is(floor: TradingFloor, memo: str) -> None:
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "1.00", "k", memo)
    assert floor.query("select memo from transfer order by id desc limit 1") == [(memo,)]
    floor.check()
