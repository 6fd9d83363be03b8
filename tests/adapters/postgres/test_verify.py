"""`verify` names what is broken. Each break is made by hand, past every guard."""

import psycopg
import pytest
from trading_floor import TradingFloor

from trading.services import verify
from trading.services.access import SYSTEM

# How it is broken, and the checks that must name it.
BREAKS = {
    "a cent more on an account": ("update account set posted = posted + 1 where kind = 'portfolio'", {"balance"}),
    "a cent less held": ("update account set held = held - 1 where held > 0", {"held"}),
    "a transfer's amount": (
        "update transfer set amount = amount + 1 where kind = 'fee'",
        {"balance", "fill_transfers", "ledger_block"},
    ),
    "a transfer lost": ("delete from transfer where kind = 'fee'", {"balance", "fill_transfers", "ledger_block"}),
    "a fill beyond protection": (
        "update fill set price_ticks = 20000 where side = 'buy'",
        {"protection", "order_totals"},
    ),
    "a fill lost": (
        "delete from fill where side = 'sell'",
        {"orphan_transfer", "order_totals", "position_fills"},
    ),
    "a share too many in a lot": ("update lot set remaining_lots = remaining_lots + 1", {"lot", "position_lots"}),
    "an order's state": (
        "update orders set state = 'filled' where state = 'working'",
        {"order_state", "order_events", "hold_resolved", "open_orders"},
    ),
    "a share of a pair let go": (
        "update hold set released = released + 1 where leg = 'asset' and not resolved",
        {"sale_hold", "held"},
    ),
    "a hold let go before the second of a pair": (
        "update hold set released = amount - used, resolved = true where leg = 'asset' and not resolved",
        {"sale_hold", "held"},
    ),
    "a price nobody asked for": ("update orders set limit_ticks = 9900 where state = 'working'", {"order_terms"}),
    "an open order counted twice": ("update order_count set open_orders = open_orders + 1", {"open_orders"}),
    "an order's fee": ("update orders set fee = fee + 1 where state = 'filled'", {"order_totals"}),
    "an event lost": ("delete from order_event where target = 'filled'", {"order_events"}),
    "an event that starts elsewhere": (
        "update order_event set source = 'working' where target = 'accepted'",
        {"order_chain"},
    ),
    "an input lost": (
        "delete from input_log where first_seq = (select first_seq from input_log order by 1 offset 1 limit 1)",
        {"input_log"},
    ),
    "the cursor moved": ("update broker_cursor set input_seq = input_seq + 1", {"cursor"}),
    "why a fill happened": ("update fill set why = why || '{\"bid_ticks\": 1}' where side = 'buy'", {"ledger_block"}),
    "who booked a transfer": ("update transfer set actor_id = 7 where kind = 'fee'", {"ledger_block"}),
    "a block lost": (
        "update ledger_block set id = id + 1 where id = (select max(id) from ledger_block)",
        {"block_chain"},
    ),
    "a block forged": ("update ledger_block set root = '\\x00'", {"ledger_block", "block_chain"}),
}
# These need every row there is.
ONLY_IN_FULL = {"position_fills"}


def test_a_sound_floor_has_no_breaks(floor: TradingFloor) -> None:
    report = verify.run(floor.floor, SYSTEM)
    assert report.ok
    assert report.counts["transfer"] == 7
    assert report.counts["fill"] == 2
    assert floor.query("select scope, ok from reconciliation") == [("verify", True), ("verify", True)]


@pytest.mark.parametrize("how", BREAKS)
def test_a_break_is_named(floor: TradingFloor, how: str) -> None:
    statement, expected = BREAKS[how]
    with psycopg.connect(floor.database.dsn(), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # no triggers, no foreign keys
        connection.execute(statement.encode())
    report = verify.run_new(floor.floor, SYSTEM)
    assert not report.ok
    assert {found["check"] for found in report.breaks} >= expected - ONLY_IN_FULL
    report = verify.run(floor.floor, SYSTEM)
    assert not report.ok
    assert {found["check"] for found in report.breaks} >= expected
    assert floor.query("select ok from reconciliation order by id desc limit 1") == [(False,)]


def test_what_was_checked_is_not_looked_at_again_until_the_full_check(floor: TradingFloor) -> None:
    assert verify.run_new(floor.floor, SYSTEM).counts["transfer"] > 0
    while (again := verify.run_new(floor.floor, SYSTEM)).counts["transfer"]:
        pass  # other tests on the same server hold the horizon back for a moment
    assert again.ok
    with psycopg.connect(floor.database.dsn(), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update transfer set memo = 'other' where kind = 'deposit'")
    assert verify.run_new(floor.floor, SYSTEM).ok
    assert {found["check"] for found in verify.run(floor.floor, SYSTEM).breaks} == {"ledger_block"}


def test_a_byte_flipped_in_the_file_of_the_ledger_is_named(floor: TradingFloor) -> None:
    with psycopg.connect(floor.database.dsn(), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("alter table transfer alter column leaf drop expression")  # as a byte in the file would do
        connection.execute("update transfer set ts_ns = ts_ns + 1 where id = 1")
    assert {"check": "leaf", "subject": "transfer:1"}.items() <= verify.run(floor.floor, SYSTEM).breaks[0].items()


def test_a_check_with_very_many_breaks_names_the_first_and_counts_the_others(floor: TradingFloor) -> None:
    with psycopg.connect(floor.database.dsn(), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into input_log (first_seq, last_seq, epoch, engine_rev, ts_ns, inputs, out_hash, state_hash)"
            " select 1000 + 2 * n, 1000 + 2 * n, 1, 1, 0, '', '', '' from generate_series(1, 150) n"
        )
    report = verify.run(floor.floor, SYSTEM)
    assert len([found for found in report.breaks if found["check"] == "input_log"]) == 100
    assert report.counts["more_breaks"] == 50
