"""What screens read, and that observers read it on a database role of their own."""

from decimal import Decimal

import pytest
from trading_floor import TradingFloor

from trading.adapters.postgres.query_store import ObserverSessions, PostgresQueries
from trading.domain.errors import Forbidden, NotFound
from trading.services import ledger, people, queries
from trading.services.access import SYSTEM, Actor
from trading.services.people import Login

PASSWORD = "correct horse battery"


@pytest.fixture
def traded(floor: TradingFloor) -> TradingFloor:
    """100 bought at 100.00 in two fills, 40 sold at 110.00; the quote is now 120.00 / 120.10."""
    floor.quote("99.90", "100.00", lots=60)
    floor.accepted("buy", "100")
    floor.run_broker()
    floor.quote("99.90", "100.00", lots=60)
    floor.quote("110.00", "110.10", lots=500)
    floor.accepted("sell", "40")
    floor.run_broker()
    floor.quote("120.00", "120.10", lots=500)
    return floor


def observer(floor: TradingFloor, name: str = "oli") -> Actor:
    user = people.create_user(floor.floor, SYSTEM, name, name.title(), "observer", PASSWORD)
    login = people.login(floor.floor, name, PASSWORD, "test", "pytest")
    assert isinstance(login, Login)
    # Row level security judges sessions by the database's own clock, not by the one that stands still here.
    floor.query("update app_session set expires_at = now() + interval '1 hour' where user_id = %s", user.id)
    return people.actor_of(floor.floor, login.token, "test")


def test_a_position_is_marked_at_the_bid_with_fees_in_its_cost(traded: TradingFloor) -> None:
    [held] = queries.positions(traded.floor, traded.trader, traded.portfolio)
    assert (held.symbol, held.venue, held.quantity, held.mark) == ("AAPL", "SIM", Decimal(60), Decimal("120.00"))
    assert held.value == Decimal("7200.00")
    # The first lot, 60 for 6,000.00, bore the least fee of 1.00; the 40 sold are two thirds of it: 4,000.67.
    assert held.cost == Decimal("6000.33")
    assert held.average_cost == Decimal("100.0055")
    assert held.unrealised == Decimal("1199.67")
    # They went for 4,400.00 less 1.00.
    assert queries.realised(traded.floor, traded.trader, traded.portfolio) == held.realised == Decimal("398.33")


def test_equity_is_cash_and_positions_and_equals_what_was_made(traded: TradingFloor) -> None:
    [money] = queries.cash(traded.floor, traded.trader, traded.portfolio)
    assert (money.currency, money.total, money.held) == ("USD", Decimal("94398.00"), Decimal(0))
    now = queries.equity_curve(traded.floor, traded.trader, traded.portfolio)[-1]
    assert now.equity == Decimal("101598.00") == Decimal(100_000) + Decimal("1199.67") + Decimal("398.33")
    assert (now.cash, now.positions) == (Decimal("94398.00"), Decimal("7200.00"))


def test_without_a_quote_nothing_is_made_up(traded: TradingFloor) -> None:
    traded.bus.newest.clear()
    [held] = queries.positions(traded.floor, traded.trader, traded.portfolio)
    assert (held.mark, held.value, held.unrealised) == (None, None, None)
    assert queries.equity_curve(traded.floor, traded.trader, traded.portfolio)[-1].positions == held.cost


def test_deposits_between_marks_are_no_return(floor: TradingFloor) -> None:
    curve = queries.equity_curve(floor.floor, floor.trader, floor.portfolio)
    assert sum(each.flow for each in curve) == Decimal(100_000)
    assert [each.value for each in queries.returns(floor.floor, floor.trader, floor.portfolio)] == [0]


def test_an_order_is_followed_from_ticket_to_ledger_lines(traded: TradingFloor) -> None:
    lines = queries.orders(traded.floor, traded.trader, traded.portfolio)
    assert [(line.side, line.state, line.quantity) for line in lines] == [
        ("sell", "filled", Decimal(40)),
        ("buy", "filled", Decimal(100)),
    ]
    told = queries.order(traded.floor, traded.trader, traded.portfolio, lines[-1].id)
    assert [(e.source, e.target) for e in told.events] == [
        ("new", "accepted"),
        ("accepted", "partially_filled"),
        ("partially_filled", "filled"),
    ]
    [hold] = told.holds
    assert (hold.amount, hold.used, hold.released, hold.waiting) == (
        Decimal("10501.00"),
        Decimal("10001.00"),
        Decimal("500.00"),
        Decimal("0.00"),
    )
    assert [(f.quantity, f.price, f.rule, f.bid, f.ask, f.displayed) for f in told.fills] == [
        (Decimal(60), Decimal("100.00"), "quote", Decimal("99.90"), Decimal("100.00"), Decimal(60)),
        (Decimal(40), Decimal("100.00"), "quote", Decimal("99.90"), Decimal("100.00"), Decimal(60)),
    ]
    assert sum(line.amount for line in told.ledger if line.is_money) == Decimal("-10001.00")
    assert sum(line.amount for line in told.ledger if not line.is_money) == Decimal(100)
    assert told.order.average_price == Decimal("100.00")


def test_the_statement_runs_up_to_the_balances(traded: TradingFloor) -> None:
    lines = queries.statement(traded.floor, traded.trader, traded.portfolio)
    assert lines[-1].kind == "deposit"
    newest = {}
    for line in lines:
        newest.setdefault(line.asset, line.balance)
    assert newest == {"USD": Decimal("94398.00"), "SIM:AAPL": Decimal(60)}


def test_each_line_has_the_balance_after_it_however_few_are_read_and_whatever_is_kept(rich: TradingFloor) -> None:
    orders = []
    for day in range(4):
        rich.quote("99.50", "99.60")
        orders.append(rich.accepted("sell", "5").order_id)
        orders.append(rich.accepted("buy", "30", "99.00").order_id)
        rich.run_broker()
        rich.quote("98.80", "98.90", lots=20)  # a part today, the rest tomorrow
        ledger.deposit(rich.floor, SYSTEM, rich.portfolio, "7.00", f"day-{day}")
        rich.clock.advance(86_400)
        if day in (1, 2):
            rich.floor.ledger.keep_balances(rich.clock.now_ns() - 3_600 * 10**9)
    balances: dict[str, int] = {}
    known = []
    for number, order, asset, amount in rich.query(
        "select t.id, t.order_id, s.code, case when a.id = t.credit_id then t.amount else -t.amount end"
        " from transfer t join account a on a.id in (t.debit_id, t.credit_id) and a.kind = 'portfolio'"
        " join asset s on s.id = t.asset_id where t.portfolio_id = %s order by t.id",
        rich.portfolio,
    ):
        balances[asset] = balances.get(asset, 0) + amount
        known.append((number, order, asset, amount, balances[asset]))

    def read(limit: int, order: int | None = None) -> list[tuple[object, ...]]:
        rows = rich.floor.queries.ledger(rich.portfolio, limit, order)
        return [tuple(row[name] for name in ("id", "order_id", "asset", "amount", "balance")) for row in rows]

    assert len(known) > 30
    for limit in (1, 2, 7, len(known), 500):
        assert read(limit) == known[::-1][:limit]
    for order in orders:
        own = [line for line in known[::-1] if line[1] == order]
        assert read(500, order) == own
        assert read(2, order) == own[:2]


def test_an_order_of_another_portfolio_is_not_there(traded: TradingFloor) -> None:
    other, portfolio = traded.add_trader("otto", "1000")
    mine = queries.orders(traded.floor, traded.trader, traded.portfolio)[0].id
    with pytest.raises(NotFound):
        queries.order(traded.floor, other, portfolio, mine)
    with pytest.raises(Forbidden):
        queries.order(traded.floor, other, traded.portfolio, mine)


def test_an_observer_reads_what_is_granted_and_the_figures_are_the_traders(traded: TradingFloor) -> None:
    watcher = observer(traded)
    with pytest.raises(Forbidden):
        queries.cash(traded.floor, watcher, traded.portfolio)
    people.grant(traded.floor, SYSTEM, traded.portfolio, watcher.user_id)
    for read in (queries.cash, queries.positions, queries.orders, queries.fills, queries.statement, queries.realised):
        assert read(traded.floor, watcher, traded.portfolio) == read(traded.floor, traded.trader, traded.portfolio)
    order_id = queries.orders(traded.floor, watcher, traded.portfolio)[0].id
    assert queries.order(traded.floor, watcher, traded.portfolio, order_id) == queries.order(
        traded.floor, traded.trader, traded.portfolio, order_id
    )


def test_the_observers_role_sees_nothing_beyond_the_grants_even_when_asked_directly(traded: TradingFloor) -> None:
    watcher = observer(traded)
    people.grant(traded.floor, SYSTEM, traded.portfolio, watcher.user_id)
    _, other = traded.add_trader("otto", "1000")
    store = traded.floor.observer.of(watcher.session_token)
    assert store.cash(traded.portfolio) != []
    assert store.cash(other) == store.ledger(other, 10) == store.orders(other, False, 10) == []
    people.logout(traded.floor, watcher.session_token)
    assert store.cash(traded.portfolio) == store.fills(traded.portfolio, 10) == []


def test_a_session_does_not_stay_on_the_connection_it_used(traded: TradingFloor) -> None:
    watcher = observer(traded)
    people.grant(traded.floor, SYSTEM, traded.portfolio, watcher.user_id)
    pool = traded._observer_pool
    for _ in range(4):
        assert ObserverSessions(pool).of(watcher.session_token).cash(traded.portfolio) != []
        assert PostgresQueries(pool).cash(traded.portfolio) == []


def test_process_health_and_reconciliations_are_the_admins(traded: TradingFloor) -> None:
    assert queries.processes(traded.floor, SYSTEM) == []
    traded.check()
    assert queries.reconciliations(traded.floor, SYSTEM)[0]["ok"] is True
    with pytest.raises(Forbidden):
        queries.processes(traded.floor, traded.trader)
