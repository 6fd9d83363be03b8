"""The night: every fill proven by replay, the log moved to the lake."""

import psycopg
import pytest
from trading_floor import TradingFloor

from trading.services import night, verify
from trading.services.access import SYSTEM


@pytest.fixture
def traded(floor: TradingFloor) -> TradingFloor:
    """A day with quotes, trades, partial fills, a cancel and a restart."""
    floor.quote("99.99", "100.00", lots=6)
    floor.accepted("buy", "10")
    floor.accepted("buy", "5", "99.50")
    floor.run_broker()
    floor.broker.snapshot(floor.clock.now_ns())
    floor.quote("99.40", "99.45")
    floor.restart_broker()
    floor.quote("99.90", "99.95")
    floor.accepted("sell", "7")
    floor.run_broker()
    return floor


def test_a_replay_of_the_days_inputs_gives_the_booked_fills(traded: TradingFloor) -> None:
    parity = night.replay(traded.floor, SYSTEM)
    assert parity.ok
    assert (parity.first_seq, parity.fills) == (1, traded.query("select count(*) from fill")[0][0])
    assert parity.inputs == traded.query("select input_seq from broker_cursor")[0][0]
    assert parity.fills >= 4


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("update fill set price_ticks = price_ticks + 1 where side = 'sell'", "fill"),
        ("delete from fill where side = 'sell'", "fill"),
        ("update input_log set out_hash = '\\x00'", "outputs"),
        ("update input_log set state_hash = '\\x00'", "chain"),
        (
            "delete from input_log where first_seq = (select first_seq from input_log order by 1 offset 1 limit 1)",
            "end",
        ),
    ],
)
def test_a_difference_is_a_break(traded: TradingFloor, damage: str, check: str) -> None:
    with psycopg.connect(traded.database.dsn(), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(damage.encode())
    parity = night.replay(traded.floor, SYSTEM)
    assert not parity.ok
    assert check in {found["check"] for found in parity.breaks}


def test_the_log_moves_to_the_lake_behind_a_snapshot_and_the_rest_still_replays(traded: TradingFloor) -> None:
    before = traded.broker.engine.save()
    assert night.archive_log(traded.floor, SYSTEM) == 0  # nothing is an hour old
    traded.clock.advance(2 * 3600)
    traded.broker.snapshot(traded.clock.now_ns() - 3601 * 10**9)
    moved = night.archive_log(traded.floor, SYSTEM)
    assert moved > 0
    assert traded.floor.lake.read("log_segments")["first_seq"].min() == 1
    assert night.replay(traded.floor, SYSTEM).ok
    traded.restart_broker()
    assert traded.broker.engine.save() == before
    traded.quote("99.90", "99.95")
    traded.run_broker()
    parity = night.replay(traded.floor, SYSTEM)
    assert parity.ok
    assert parity.inputs == 1
    assert verify.run(traded.floor, SYSTEM).ok
    assert night.archive_log(traded.floor, SYSTEM) == 0


def test_nothing_is_dropped_that_no_segment_covers(traded: TradingFloor) -> None:
    last = traded.query("select max(input_seq) from snapshot")[0][0]
    with pytest.raises(psycopg.Error, match="no segment covers"):
        traded.floor.log.drop_archived(1, last)


def test_files_that_nothing_names_are_removed_and_what_is_live_stays(traded: TradingFloor) -> None:
    traded.clock.advance(2 * 3600)
    traded.broker.snapshot(traded.clock.now_ns() - 3601 * 10**9)
    night.archive_log(traded.floor, SYSTEM)
    assert night.tidy_lake(traded.floor, SYSTEM) == 0
    assert len(traded.floor.lake.read("log_segments")) > 0
