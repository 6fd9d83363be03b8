"""What the database refuses as a row, rule by rule."""

import psycopg
import pytest
from trading_floor import TradingFloor

BROKEN = {
    "orders": {
        "side": "side = 'up'",
        "type": "type = 'odd'",
        "effect": "effect = 'both'",
        "tif": "tif = 'ever'",
        "quantity": "quantity_lots = 0",
        "filled": "filled_lots = quantity_lots + 1",
        "protection": "protection_ticks = 0",
        "limit_ticks": "type = 'limit', limit_ticks = 0",
        "stop_ticks": "type = 'stop', stop_ticks = 0",
        "trail_ticks": "type = 'trailing_stop', stop_ticks = 1, trail = 0",
        "trail_ppm": "type = 'trailing_stop', stop_ticks = 1, trail_ppm = 1000000",
        "limit": "type = 'limit', limit_ticks = null",
        "stop": "type = 'stop', stop_ticks = null",
        "trail": "type = 'trailing_stop', stop_ticks = 1",
        "post_only": "post_only = true",
        "expires": "tif = 'gtd', expires_ns = null",
        "group_role": "group_id = 1, group_role = 'odd'",
        "group": "group_id = 1, group_role = null",
        "strategy": "strategy = '-'",
        "child": "parent_id = 1, child_n = null",
        "reserve_ppm": "reserve_ppm = 1000001, reserve_ticks = 0",
        "reserve_ticks": "reserve_ppm = 0, reserve_ticks = -1",
        "reserve": "reserve_ppm = 0, reserve_ticks = null",
    },
    "account": {
        "kind": "kind = 'odd'",
        "portfolio": "portfolio_id = null",
        "summed": "kind = 'fees', portfolio_id = null, posted = 1",
        "held": "held = -1",
        "floor": "posted = 0, held = 1, floor_zero = true",
    },
    "hold": {
        "leg": "leg = 'both'",
        "amount": "amount = 0",
        "used": "used = -1",
        "released": "released = -1",
        "spent": "used = amount, released = 1",
        "resolved": "used = 0, released = 0, resolved = true",
    },
    "transfer": {
        "amount": "amount = 0",
        "sides": "debit_id = credit_id",
        "kind": "kind = 'odd'",
    },
    "fill": {
        "side": "side = 'up'",
        "price": "price_ticks = 0",
        "quantity": "quantity_lots = 0",
        "notional": "notional = -1",
        "fee": "fee = -1, tax = -1",
        "tax": "tax = fee + 1",
        "liquidity": "liquidity = 'odd'",
    },
    "lot": {
        "quantity": "quantity_lots = -1",
        "remaining": "remaining_lots = quantity_lots + 1",
        "cost": "remaining_cost = cost + 1",
    },
}


@pytest.fixture
def traded(floor: TradingFloor) -> TradingFloor:
    floor.quote("99.99", "100.00")
    floor.accepted("buy", "10")
    floor.run_broker()
    return floor


def copy_with(floor: TradingFloor, table: str, changes: dict[str, str]) -> None:
    """Insert a copy of the table's first row of the fixture, in which ``changes`` stand."""
    columns = [
        row[0]
        for row in floor.query(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and attidentity = '' and attgenerated = '' and attname <> 'public_id'",
            table,
        )
    ]
    assert set(changes) <= set(columns)
    values = ", ".join(changes.get(name, name) for name in columns)
    only = "where kind = 'portfolio'" if table == "account" else ""
    floor.query(f"insert into {table} ({', '.join(columns)}) select {values} from {table} {only} limit 1")


@pytest.mark.parametrize("table", BROKEN)
def test_a_row_that_breaks_a_rule_is_refused(traded: TradingFloor, table: str) -> None:
    for rule, broken in BROKEN[table].items():
        changes = dict(each.split(" = ", 1) for each in broken.split(", "))
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            copy_with(traded, table, changes)
        assert refused.value.diag.constraint_name == f"{table}_{rule}"


def test_each_rule_is_broken_by_a_row_here(traded: TradingFloor) -> None:
    for table, rules in BROKEN.items():
        ((source,),) = traded.query("select prosrc from pg_proc where oid = to_regprocedure(%s)", f"is_sound({table})")
        assert str(source).count(" then '") == len(rules), table


def test_the_same_row_unbroken_is_taken(traded: TradingFloor) -> None:
    copy_with(traded, "orders", {})
    copy_with(traded, "transfer", {})


def test_a_changed_row_is_held_to_the_rules_too(traded: TradingFloor) -> None:
    for change in ("orders set filled_lots = -1", "account set held = -1", "hold set used = -1", "lot set cost = -1"):
        with pytest.raises(psycopg.errors.CheckViolation):
            traded.query(f"update {change}")
