"""An order that follows another is judged on what was read for that one: what must hold all the same."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trading_floor import TradingFloor, refusal

from trading.adapters.postgres import desk_store
from trading.domain.errors import Conflict
from trading.domain.orders import OrderType, Refusal, Side, Ticket, TimeInForce
from trading.domain.risk import LimitSet, strictest
from trading.services import actions, batches, halt, ledger, limits
from trading.services.access import SYSTEM
from trading.services.ports.batches import BatchMode
from trading.services.ports.desk import DeskContext
from trading.services.ports.risk import Figures
from trading.services.tickets import BestQuote, decide


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each order that was judged on what is remembered: whether it was taken so."""
    found: list[bool] = []
    original = desk_store.PostgresDesk._submit_covered

    def noted(*args: object) -> object:
        answer = original(*args)  # type: ignore[arg-type]
        found.append(answer is not None)
        return answer

    monkeypatch.setattr(desk_store.PostgresDesk, "_submit_covered", noted)
    return found


@pytest.fixture
def warm(floor: TradingFloor, taken: list[bool]) -> TradingFloor:
    """What an order of AAPL is judged on has been read, and one order was taken without reading it again."""
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "1", "99.00")
    floor.accepted("buy", "1", "99.00")
    assert taken == [True]
    return floor


def test_the_second_order_writes_what_the_first_wrote(warm: TradingFloor) -> None:
    rows = warm.query(
        "select to_jsonb(o) - array['id', 'public_id', 'accepted_ts_ns', 'updated_ts_ns'], h.leg, h.account_id,"
        " h.asset_id, h.amount, e.source, e.target, e.cause, e.actor, c.kind, a.action, a.result, a.origin,"
        " a.detail - 'order_id' - 'public_id', k.answer = a.detail"
        " from orders o join hold h on h.order_id = o.id join order_event e on e.order_id = o.id"
        " join command c on c.order_id = o.id join audit a on a.subject = 'order:' || o.id"
        " join idempotency_key k on k.answer ->> 'order_id' = o.id::text order by o.id"
    )
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert rows[1][-1] is True
    warm.check()


@pytest.mark.parametrize(
    "ticket",
    [
        {"side": "buy", "quantity": "3"},
        {"side": "sell", "quantity": "2"},
        {"side": "buy", "quantity": "1", "limit": "99.50", "tif": "ioc"},
        {"side": "sell", "quantity": "1", "limit": "100.40", "post_only": True},
        {"side": "sell", "quantity": "1", "stop_price": "98.00"},
        {"side": "buy", "quantity": "1", "limit": "101.50", "stop_price": "101.00"},
        {"side": "sell", "quantity": "1", "trail": "1.00"},
        {"side": "sell", "quantity": "1", "trail_percent": "1.5", "strategy": "drift"},
        {"side": "buy", "quantity": "1", "limit": "99.00", "tif": "gtd", "expires_at": "2026-12-01T00:00"},
        {"side": "buy", "quantity": "1", "limit": "99.00", "tif": "day"},
    ],
    ids=str,
)
def test_the_broker_is_told_the_same_of_an_order_however_it_was_judged(
    floor: TradingFloor, taken: list[bool], ticket: dict[str, str]
) -> None:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10")
    floor.run_broker()
    floor.quote("99.99", "100.00")
    floor.accepted(**ticket)
    assert taken == [True]
    floor.floor.desk._remembered.clear()  # type: ignore[attr-defined]
    floor.accepted(**ticket)
    assert taken == [True]
    short, long = floor.store.waiting_commands(10)
    assert set(short.payload) - {"side"} < set(long.payload)
    said = {name: long.payload[name] for name in short.payload}
    assert short.payload | {"order_id": 0} == said | {"order_id": 0}
    left_out = {name: value for name, value in long.payload.items() if name not in short.payload}
    assert left_out.items() <= {"strategy": ticket.get("strategy"), "link": "", "link_order_id": 0}.items()
    assert short.order is not None
    assert long.order is not None
    assert replace(short.order, id=0) == replace(long.order, id=0)
    floor.run_broker()
    floor.check()


STANDARD = Figures(max_order_notional=100_000_000, max_open_orders=200, price_band_ppm=50_000)
CHANGES: dict[str, tuple[Callable[[TradingFloor], object], str]] = {
    "a limit of the user": (
        lambda kit: limits.set_limits(
            kit.floor, SYSTEM, f"user:{kit.trader.user_id}", Figures(max_order_notional=100), "a test"
        ),
        "max_order_notional",
    ),
    "a limit of the tier": (
        lambda kit: limits.set_limits(
            kit.floor, SYSTEM, "tier:standard", replace(STANDARD, max_order_notional=100), "a test"
        ),
        "max_order_notional",
    ),
    "another tier": (
        lambda kit: kit.query("update app_user set tier = 'tight' where id = %s", kit.trader.user_id),
        "max_order_notional",
    ),
    "a restricted instrument": (
        lambda kit: limits.restrict(kit.floor, SYSTEM, kit.aapl.id, "no_opening", "a test"),
        "restricted",
    ),
    "a halt of the portfolio": (
        lambda kit: halt.set_mode(kit.floor, SYSTEM, f"portfolio:{kit.portfolio}", "reducing", "a test"),
        "halted",
    ),
    "other terms": (
        lambda kit: kit.query(
            "insert into instrument_version select (jsonb_populate_record(v, %s)).*"
            " from instrument_version v where instrument_id = %s",
            '{"version": 2, "max_order_lots": 1}',
            kit.aapl.id,
        ),
        "too_large",
    ),
    "an archive": (
        lambda kit: kit.query("update portfolio set archived_at = now() where id = %s", kit.portfolio),
        "portfolio_archived",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_rule_that_changes_counts_from_the_next_order_on(warm: TradingFloor, change: str) -> None:
    warm.query("insert into risk_tier (name) values ('tight')")
    limits.set_limits(warm.floor, SYSTEM, "tier:tight", replace(STANDARD, max_order_notional=100), "a test")
    warm.accepted("buy", "2", "99.00")
    do, code = CHANGES[change]
    do(warm)
    answer = warm.order("buy", "2", "99.00")
    assert refusal(answer) == code


def test_a_corporate_action_that_was_asked_for_keeps_orders_out_until_it_is_booked(warm: TradingFloor) -> None:
    number = actions.enter_split(warm.floor, SYSTEM, "AAPL", date(2030, 1, 2), 2, 1, reference_price="100.00")
    actions.book(warm.floor, SYSTEM, number)
    assert refusal(warm.order("buy", "1", "99.00")) == "corporate_action"


def test_a_change_counts_once_it_is_committed_and_not_before(warm: TradingFloor, taken: list[bool]) -> None:
    with psycopg.connect(warm.database.dsn()) as connection:
        connection.execute(
            "insert into risk_limit (user_id, version, max_order_notional) values (%s, 1, 100)", (warm.trader.user_id,)
        )
        warm.accepted("buy", "1", "99.00")
        warm.floor.desk._remembered.clear()  # type: ignore[attr-defined]
        warm.accepted("buy", "1", "99.00")  # reads all anew, while the change is under way
        connection.commit()
    assert refusal(warm.order("buy", "1", "99.00")) == "max_order_notional"


def test_what_is_not_covered_any_more_is_refused_with_the_numbers_and_nothing_stays(warm: TradingFloor) -> None:
    warm.accepted("buy", "990", "99.00")
    answer = warm.order("buy", "900", "99.00")
    assert isinstance(answer, Refusal)
    assert answer.code == "insufficient_cash"
    assert set(answer.numbers) == {"needed", "available"}
    assert refusal(warm.order("sell", "1", "101.00")) == "insufficient_position"
    assert warm.query("select count(*) from command") == [(3,)]
    assert warm.held() == (warm.query("select sum(amount) from hold")[0][0] / Decimal(100), 0)
    warm.check()


def test_room_for_open_orders_is_counted_over_all_portfolios_of_the_user(warm: TradingFloor, taken: list[bool]) -> None:
    second = warm.floor.people.create_portfolio(warm.trader.user_id, "Second", "cash", "USD", 0).id
    ledger.deposit(warm.floor, SYSTEM, second, "1000.00", "second")
    limits.set_limits(warm.floor, SYSTEM, f"user:{warm.trader.user_id}", Figures(max_open_orders=5), "a test")
    warm.accepted("buy", "1", "99.00")
    other = (warm.trader, second)
    first = warm.accepted("buy", "1", "99.00", who=other)
    taken.clear()
    warm.accepted("buy", "1", "99.00", who=other)
    assert taken == [True]
    assert refusal(warm.order("buy", "1", "99.00", who=other)) == "max_open_orders"
    assert refusal(warm.order("buy", "1", "99.00")) == "max_open_orders"
    warm.cancel(first.order_id, who=other)
    warm.run_broker()
    warm.accepted("buy", "1", "99.00")
    assert warm.query("select portfolio_id, open_orders from order_count where owner_id = %s order by 1",
                      warm.trader.user_id) == [(warm.portfolio, 4), (second, 1)]  # fmt: skip
    warm.check()


def test_a_key_is_used_once_however_the_order_is_judged(warm: TradingFloor, taken: list[bool]) -> None:
    first = warm.accepted("buy", "1", "99.00", key="again")
    assert warm.order("buy", "1", "99.00", key="again") == first
    warm.floor.desk._remembered.clear()  # type: ignore[attr-defined]
    assert warm.order("buy", "1", "99.00", key="again") == first
    with pytest.raises(Conflict, match="used for another"):
        warm.order("buy", "2", "99.00", key="again")
    assert taken == [True, True, False]
    assert warm.query("select count(*) from orders") == [(3,)]


def test_of_many_calls_with_one_key_one_becomes_an_order(warm: TradingFloor) -> None:
    answers: list[object] = []

    def call() -> None:
        try:
            answers.append(warm.order("buy", "1", "99.00", key="many"))
        except Conflict as error:
            answers.append(error)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer for answer in answers if not isinstance(answer, Conflict)}) == 1
    assert warm.query("select count(*) from orders") == [(3,)]
    warm.check()


def test_screens_are_told_of_every_order_that_is_accepted(warm: TradingFloor) -> None:
    warm.bus.events.clear()
    bracket = warm.accepted("buy", "1", "99.00", take_profit="120.00", stop_loss="80.00")
    single = warm.accepted("buy", "1", "99.00")
    tickets = [Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1", "99.00", TimeInForce.GTC) for _ in range(2)]
    batches.submit(warm.floor, warm.trader, warm.portfolio, tickets, BatchMode.ALL, "batch")
    ids = [row[0] for row in warm.query("select id from orders order by id")]
    assert [event["order_id"] for event in warm.bus.events] == [*bracket.order_ids, single.order_id, *ids[-2:]]
    assert {(event["topic"], event["state"], event["portfolio_id"]) for event in warm.bus.events} == {
        ("order", "accepted", warm.portfolio)
    }


# What may be left out, as a property ----------------------------------------------------------------------------------

FIGURES = {
    "max_order_lots": st.integers(1, 200),
    "max_order_notional": st.integers(1_000, 5_000_000),
    "max_open_orders": st.integers(1, 10),
    "price_band_ppm": st.integers(1_000, 200_000),
}


@st.composite
def contexts(draw: st.DrawFn, context: DeskContext) -> DeskContext:
    """Any state of a cash portfolio under any limits of those that are judged on what is remembered."""
    figures = {name: draw(st.none() | each) for name, each in FIGURES.items()}
    scope = draw(st.sampled_from(["tier:standard", "user:1", "portfolio:1"]))
    return replace(
        context,
        cash_available=draw(st.integers(0, 3_000_000)),
        position_lots=draw(st.integers(0, 300)),
        position_held=0,
        open_orders=draw(st.integers(0, 10)),
        exposure=replace(context.exposure, other_orders=draw(st.integers(0, 10))),
        limits=strictest(1, [LimitSet(scope, **figures)]),
        halts=draw(st.sampled_from([{}, {"floor": "reducing"}, {"portfolio:1": "halted"}])),
    )


TICKETS = st.builds(
    Ticket,
    st.just("AAPL"),
    st.sampled_from(Side),
    st.sampled_from([OrderType.MARKET, OrderType.LIMIT]),
    st.integers(-1, 400).map(str),
    st.none() | st.integers(9_000, 11_000).map(lambda cents: str(Decimal(cents) / 100)),
    st.sampled_from([TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC]),
)
MOVING = {"insufficient_cash", "insufficient_position", "max_open_orders"}
"""What the database looks at itself when it takes an order."""


def test_what_is_decided_without_the_amounts_is_what_is_decided_with_them(floor: TradingFloor) -> None:
    context = floor.floor.desk.context(floor.trader.user_id, floor.portfolio, "AAPL", "SIM")
    assert context is not None

    @settings(max_examples=300, deadline=None)
    @given(contexts(context), TICKETS)
    def same(now: DeskContext, ticket: Ticket) -> None:
        remembered = now.if_covered()
        assert remembered is not None
        quote = BestQuote(9_999, 10_000)
        full, short = decide(now, ticket, quote, 0), decide(remembered, ticket, quote, 0)
        if isinstance(full, Refusal) and full.code in MOVING:
            assert not isinstance(short, Refusal) or short.code not in MOVING
        else:
            assert short == full

    same()


@pytest.mark.parametrize(
    "figures",
    [
        {"max_orders_per_minute": 5},
        {"max_position_lots": 5},
        {"max_position_notional": 5},
        {"max_daily_loss": 5},
        {"max_drawdown_ppm": 5},
    ],
    ids=str,
)
def test_limits_that_move_with_each_order_or_mark_are_read_for_each(
    warm: TradingFloor, taken: list[bool], figures: dict[str, int]
) -> None:
    limits.set_limits(warm.floor, SYSTEM, f"portfolio:{warm.portfolio}", Figures(**figures), "a test")  # type: ignore[arg-type]
    warm.order("buy", "1", "99.00")
    taken.clear()
    warm.order("buy", "1", "99.00")
    assert taken == []
