"""The head of the chain lies outside the database: who rewrites the whole chain is named."""

from pathlib import Path

import psycopg
import pytest
from shared_servers import Database
from trading_floor import TradingFloor

from trading.adapters.head_file import HeadFile
from trading.services import ledger, verify
from trading.services.access import SYSTEM
from trading.services.ports.desk import Head

# As a superuser would: every block again with a right root and a right hash, so that the chain agrees with itself.
REWRITE = """do $$
declare b ledger_block; prev bytea := ''; begin
    for b in select * from ledger_block order by id loop
        update ledger_block l set prev_hash = prev, root = r.root, hash = sha256(prev || r.root || b.fills_root)
            from (select sha256(coalesce(string_agg(leaf, ''::bytea order by id), '')) as root from transfer
                  where xid >= b.xid_from and xid < b.xid_to) r
            where l.id = b.id returning l.hash into prev;
    end loop;
end $$"""


def sealed(floor: TradingFloor) -> None:
    """Transactions of other tests on the same server hold the seal back for a moment."""
    while floor.query("select coalesce(sum(transfers), 0) < (select count(*) from transfer) from ledger_block")[0][0]:
        floor.store.seal(floor.clock.now())


@pytest.mark.parametrize("how", ["rewritten", "cut off"])
def test_a_chain_that_was_rewritten_whole_or_cut_off_is_named(floor: TradingFloor, how: str) -> None:
    sealed(floor)
    assert verify.keep_head(floor.floor, SYSTEM) is not None
    with psycopg.connect(floor.database.dsn(), autocommit=True) as superuser:
        superuser.execute("set session_replication_role = replica")
        if how == "rewritten":
            superuser.execute("update transfer set memo = 'something else'")
            superuser.execute(REWRITE)
            assert floor.floor.verify.all().breaks == ()  # the database alone can't know
        else:
            superuser.execute("delete from ledger_block")
    for report in (verify.run_new(floor.floor, SYSTEM), verify.run(floor.floor, SYSTEM)):
        assert "ledger_head" in {found["check"] for found in report.breaks}


def test_a_head_is_written_each_hour_and_at_once_when_the_floor_closes(floor: TradingFloor) -> None:
    sealed(floor)
    first = verify.keep_head(floor.floor, SYSTEM)
    ledger.deposit(floor.floor, SYSTEM, floor.portfolio, "1.00", "k")
    sealed(floor)
    assert verify.keep_head(floor.floor, SYSTEM) is None
    floor.clock.advance(3600)
    second = verify.keep_head(floor.floor, SYSTEM)
    assert first is not None
    assert second is not None
    assert second > first
    assert verify.keep_head(floor.floor, SYSTEM, at_once=True) is None  # it is there already
    assert [head.block_id for head in floor.floor.heads.heads()] == [first, second]
    floor.check()


def test_a_line_cut_short_by_a_crash_is_not_a_head_and_hides_no_later_one(tmp_path: Path) -> None:
    file = HeadFile(tmp_path / "heads.jsonl")
    assert file.heads() == []
    one, two = Head(1, "aa", 5), Head(2, "bb", 6)
    file.append(one)
    with (tmp_path / "heads.jsonl").open("a") as broken:
        broken.write('{"v": 1, "block": 9, "ha')
    assert file.heads() == [one]
    file.append(two)
    assert file.heads() == [one, two]


def test_a_quiet_check_that_finds_nothing_is_kept_once_an_hour(floor: TradingFloor, database: Database) -> None:
    verify.run(floor.floor, SYSTEM)
    for _ in range(3):
        verify.run_new(floor.floor, SYSTEM, quiet=True)
    floor.clock.advance(3601)
    verify.run_new(floor.floor, SYSTEM, quiet=True)
    assert floor.query("select count(*) from reconciliation where scope = 'new'") == [(2,)]
