"""What a row of the ledger names must be there, though no foreign key asks for each row."""

import psycopg
import pytest
from trading_floor import TradingFloor


@pytest.fixture
def traded(floor: TradingFloor) -> TradingFloor:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10")
    floor.run_broker()
    floor.quote("100.10", "100.20")
    floor.accepted("sell", "4")
    floor.run_broker()
    floor.accepted("buy", "1", "90.00", take_profit="120.00")
    return floor


# Columns moved to where nothing is; a fill that is new but for its portfolio needs another count too.
MOVED = {
    "transfer": ("portfolio_id", "debit_id", "credit_id", "asset_id"),
    "fill": ("order_id", "portfolio_id n"),
    "order_event": ("order_id",),
    "lot": ("order_id", "input_seq", "n"),
    "lot_close": ("lot_id", "order_id", "input_seq", "n"),
    "orders": ("portfolio_id", "instrument_id", "instrument_version", "actor_id", "group_id"),
    "hold": ("order_id", "account_id order_id", "asset_id order_id"),
    "command": ("order_id input_seq",),
}


@pytest.mark.parametrize(("table", "moved"), [(table, names) for table, each in MOVED.items() for names in each])
def test_a_row_that_names_what_is_not_there_is_refused(traded: TradingFloor, table: str, moved: str) -> None:
    columns = [
        row[0]
        for row in traded.query(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and attidentity = '' and attgenerated = '' and attname <> 'public_id'",
            table,
        )
    ]
    values = ", ".join(f"{name} + 900000" if name in moved.split() else name for name in columns)
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match=f"a row of {table} names what is not there"):
        traded.query(
            f"insert into {table} ({', '.join(columns)})"
            f" select {values} from {table} order by {moved.split()[0]} limit 1"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "delete from account",
        "update account set asset_id = 1",
        "delete from portfolio",
        "delete from orders",
        "delete from lot",
        "update lot set n = 7",
        "truncate orders cascade",
        "update portfolio set owner_id = 1",
        "delete from instrument_version",
        "update app_user set id = default",
    ],
)
def test_what_rows_name_can_not_go_away(traded: TradingFloor, statement: str) -> None:
    with pytest.raises(psycopg.Error, match="history is kept"):
        traded.query(statement)
