"""What the database itself refuses, whoever forgets to ask."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from trading_floor import TradingFloor

HISTORY = (
    "transfer",
    "fill",
    "order_event",
    "audit",
    "lot_close",
    "ledger_block",
    "reconciliation",
    "input_log",
    "hold",
)
OBSERVED = (
    "portfolio",
    "account",
    "transfer",
    "orders",
    "order_event",
    "hold",
    "fill",
    "lot",
    "lot_close",
    "equity_mark",
)


@pytest.fixture
def observer(floor: TradingFloor) -> Iterator[Connection[tuple[object, ...]]]:
    store = floor.floor.people
    _, other = floor.add_trader("theo", "5000.00")
    olga = store.create_user("olga", "Olga", "observer", "no-password", 0)
    store.grant(floor.portfolio, olga.id, 0)
    store.open_session(olga.id, "olgas-token", floor.clock.now().replace(year=2090), "test")
    floor.query("select mark_equity(%s, 1, 2, 3)", floor.portfolio)
    floor.query("select mark_equity(%s, 1, 2, 3)", other)
    with psycopg.connect(floor.database.dsn("tf_observer"), autocommit=True) as connection:
        yield connection


def portfolios_seen(connection: Connection[tuple[object, ...]]) -> set[object]:
    return {row[0] for row in connection.execute("select id from portfolio")}


def test_no_login_can_edit_history(floor: TradingFloor) -> None:
    for role in ("tf_app", "tf_broker", "tf_observer"):
        with psycopg.connect(floor.database.dsn(role), autocommit=True) as connection:
            for table in HISTORY:
                column = floor.query(
                    "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
                    " and attidentity = '' and attgenerated = '' limit 1",
                    table,
                )[0][0]
                for deed in (f"update {table} set {column} = {column}", f"delete from {table}", f"truncate {table}"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(deed.encode())


def test_even_the_owner_of_the_tables_is_stopped_by_a_trigger(floor: TradingFloor) -> None:
    with psycopg.connect(floor.database.dsn(), autocommit=True) as connection:
        connection.execute("set role tf_owner")
        for table in ("transfer", "fill", "order_event", "audit", "ledger_block", "lot_close"):
            for statement in (f"delete from {table}", f"truncate {table} cascade"):
                with pytest.raises(psycopg.Error, match="history is kept"):
                    connection.execute(statement.encode())


def test_the_app_can_not_write_money_or_orders_past_the_functions(floor: TradingFloor) -> None:
    with psycopg.connect(floor.database.dsn("tf_app"), autocommit=True) as connection:
        for statement in (
            "update account set posted = posted + 100",
            "insert into account (asset_id, kind, portfolio_id, floor_zero) values (1, 'portfolio', 1, false)",
            "update orders set filled_lots = 1",
            "insert into transfer (group_id, asset_id, debit_id, credit_id, amount, kind, portfolio_id, ts_ns)"
            " values (1, 1, 1, 2, 5, 'deposit', 1, 1)",
            "select commit_batch(1, 1, 1, 1, 1, '', '', '', '{}')",
            "update halt_state set mode = 'running'",
            "update broker_lease set epoch = 99",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_broker_can_not_accept_orders_or_deposit(floor: TradingFloor) -> None:
    with psycopg.connect(floor.database.dsn("tf_broker"), autocommit=True) as connection:
        for statement in (
            "select post_cash(0, 'deposit', 1, 100, 'k', '', '', '', 0)",
            "select desk_accept(1, 'x', 'k', '', 'o', '{}')",
            "insert into app_user (username, display_name, role, password_hash) values ('evil', 'E', 'admin', 'x')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_an_observer_sees_the_granted_portfolio_alone(
    floor: TradingFloor, observer: Connection[tuple[object, ...]]
) -> None:
    observer.execute("select set_config('tradefloor.session', 'olgas-token', false)")
    for table in OBSERVED:
        seen = observer.execute(f"select count(*) from {table}".encode()).fetchone()
        mine = {
            "portfolio": "id = %s",
            "order_event": "order_id in (select id from orders where portfolio_id = %s)",
            "hold": "order_id in (select id from orders where portfolio_id = %s)",
        }.get(table, "portfolio_id = %s")
        assert seen == floor.query(f"select count(*) from {table} where {mine}", floor.portfolio)[0], table
        assert seen != (0,), table


def test_without_a_session_an_observer_sees_nothing(observer: Connection[tuple[object, ...]]) -> None:
    assert portfolios_seen(observer) == set()
    observer.execute("select set_config('tradefloor.session', 'made-up', false)")
    assert portfolios_seen(observer) == set()


@pytest.mark.parametrize(
    "end",
    [
        "update app_session set revoked_at = now()",
        "update app_session set expires_at = now() - interval '1 second'",
        "update app_user set disabled_at = now() where username = 'olga'",
        "update app_user set role = 'trader' where username = 'olga'",
        "delete from portfolio_grant",
    ],
)
def test_a_session_that_ended_shows_nothing_from_the_next_query_on(
    floor: TradingFloor, observer: Connection[tuple[object, ...]], end: str
) -> None:
    observer.execute("select set_config('tradefloor.session', 'olgas-token', false)")
    assert portfolios_seen(observer) == {floor.portfolio}
    floor.query(end)
    assert portfolios_seen(observer) == set()


def test_an_observer_can_read_no_secret_and_write_nothing(observer: Connection[tuple[object, ...]]) -> None:
    observer.execute("select set_config('tradefloor.session', 'olgas-token', false)")
    for statement in (
        "select password_hash from app_user",
        "select * from app_session",
        "select * from audit",
        "select * from idempotency_key",
        "insert into portfolio_grant values (2, 1)",
        "update portfolio set name = 'mine'",
        "select set_halt(0, 'floor', 'halted', '', '', 0)",
        "select * from setting",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            observer.execute(statement.encode())


def test_a_writer_that_forgets_to_ask_is_stopped_by_the_kill_switch(floor: TradingFloor) -> None:
    floor.query("select set_halt(0, 'floor', 'halted', 'test', 'test', 0)")
    for table in ("orders", "fill"):
        copy = f"insert into {table} select * from {table} limit 1"
        if table == "orders":
            copy = (
                "insert into orders (portfolio_id, instrument_id, instrument_version, limit_version, side, type,"
                " effect, tif, quantity_lots, protection_ticks, state, actor_id, accepted_ts_ns, updated_ts_ns)"
                " select portfolio_id, instrument_id, 1, 1, 'buy', 'market', 'open', 'gtc', 1, 1, 'accepted',"
                " actor_id, 1, 1"
                " from orders limit 1"
            )
        else:
            copy = "insert into fill select * from fill where false"
        with pytest.raises(psycopg.Error) as refused:
            floor.query(copy)
        assert refused.value.sqlstate == "TF001"


def test_a_missing_kill_switch_row_means_halted(floor: TradingFloor) -> None:
    floor.query("delete from halt_state")
    with pytest.raises(psycopg.Error, match="HALTED"):
        floor.query("insert into fill select * from fill where false")


def test_an_order_can_not_take_a_way_that_the_table_does_not_have(floor: TradingFloor) -> None:
    with pytest.raises(psycopg.Error, match="may not become"):
        floor.query("update orders set state = 'working' where state = 'filled'")
    with pytest.raises(psycopg.Error, match="not rewritten"):
        floor.query("update orders set side = 'sell'")
    with pytest.raises(psycopg.Error, match="that is over does not change"):
        floor.query("update orders set quantity_lots = 100 where state = 'filled'")
