"""Booking what is due: the simulated venue is halted and moved once, whatever is repeated."""

import json
from collections.abc import Iterator
from datetime import date
from math import prod
from pathlib import Path

import pytest
from shared_servers import Database
from trading_floor import TradingFloor

from trading.config import Settings
from trading.processes import action_job
from trading.services import actions
from trading.services.access import SYSTEM

DAY = date(2026, 9, 18)


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    own.quote("99.99", "100.01")
    yield own
    own.close()


def asked(settings: Settings) -> list[tuple[str, str, float | None]]:
    found = [json.loads(path.read_text()) for path in (settings.data_dir / "market" / "scenarios").glob("*.json")]
    return sorted((each["name"], each["symbol"], each["size"]) for each in found)


def test_a_due_split_halts_the_instrument_moves_its_price_once_and_is_booked(
    floor: TradingFloor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action_job, "SETTLE_S", 0.0)
    floor.accepted("buy", "10")
    floor.run_broker()
    action = actions.enter_split(floor.floor, SYSTEM, "AAPL", DAY, 4, 1)
    run, now_ns = action_job.job(settings), floor.clock.now_ns()
    assert run(floor.floor, now_ns) == "asked for AAPL"
    assert asked(settings) == [("gap", "AAPL", pytest.approx(-0.75)), ("halt", "AAPL", None)]
    floor.query(
        "update corporate_action set state = 'pending' where id = %s", action
    )  # as if killed before the booking
    floor.query("delete from command where kind = 'action'")
    assert run(floor.floor, now_ns) == "asked for AAPL"
    assert len(asked(settings)) == 2, "the price has moved already"
    floor.run_broker()
    assert floor.shares() == (40, 0)
    assert run(floor.floor, now_ns) == ""


def test_a_dividend_takes_its_part_of_the_price(floor: TradingFloor) -> None:
    action = actions.enter_dividend(floor.floor, SYSTEM, "AAPL", DAY, "2.50")
    (row,) = floor.floor.actions.actions(1, action)
    assert list(action_job.jumps(row, 10_000)) == [pytest.approx(-0.025)]


@pytest.mark.parametrize(("new", "old"), [(7, 1), (100, 1), (1, 50), (3, 2)])
def test_the_jumps_make_the_ratio_together(floor: TradingFloor, new: int, old: int) -> None:
    action = actions.enter_split(floor.floor, SYSTEM, "AAPL", DAY, new, old)
    (row,) = floor.floor.actions.actions(1, action)
    sizes = list(action_job.jumps(row, 10_000))
    assert prod(1 + size for size in sizes) == pytest.approx(old / new)
    assert all(-0.9 <= size <= 9.0 for size in sizes)
