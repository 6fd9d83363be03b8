"""Anything that people, the market and crashes may do to a floor, in any order: after every step the books are whole.

The rules are in `floor_rules`. ``FLOOR_RUNS`` and ``FLOOR_STEPS`` size a run; with ``FLOOR_MINUTES`` it looks for new
examples for as long (``make soak SOAK=floor``).
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from floor_rules import EMIL, MIA, OPENING, FloorMachine
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from shared_servers import Database
from trading_floor import TradingFloor

RUNS = int(os.environ.get("FLOOR_RUNS", "10"))
STEPS = int(os.environ.get("FLOOR_STEPS", "60"))
MINUTES = float(os.environ.get("FLOOR_MINUTES", "0"))


@pytest.fixture
def make_floor(make_database: Callable[[], Database], tmp_path: Path) -> Callable[[], TradingFloor]:
    return lambda: TradingFloor(make_database(), tmp_path / "lake", str(OPENING))


def test_longs_and_shorts_on_margin_through_actions_close_outs_and_conversions(
    make_floor: Callable[[], TradingFloor],
) -> None:
    """Steps that random runs seldom take all of; whole after each, and by the oracle at the end."""
    machine = FloorMachine()
    machine.make_floor = make_floor
    machine.open()
    floor = machine.floor
    steps: list[Callable[[], None]] = [
        lambda: machine.margin_meets_the_market("AAPL", "sell", 110, True),
        lambda: machine.corporate_action((1, 1), "0.333", "26.375", "AAPL"),
        lambda: machine.corporate_action((3, 2), "1", "0", "AAPL"),
        lambda: machine.margin_meets_the_market("AAPL", "buy", 40, True),
        machine.broker_dies,
        lambda: machine.ask_for_cash(0, "10000.01", "yes"),
        lambda: machine.switch(2, None, "halted"),
        lambda: machine.switch(2, None, "running"),
        lambda: machine.deposit(MIA, "30000.00"),
        lambda: machine.margin_meets_the_market("AAPL", "sell", 75, True),
        lambda: machine.withdraw(MIA, "more"),
        lambda: machine.convert(MIA, False, "300.00", 3, -1),
        lambda: machine.convert(MIA, True, "100.00", -5, 2),
        lambda: machine.convert(MIA, True, "200.00", 0, -3),
        lambda: machine.withdraw(MIA, "all"),
        lambda: machine.convert(MIA, False, "0.10", 0, 0),
        lambda: machine.deposit(EMIL, "250.00"),
        lambda: machine.schedule([(EMIL, "AAPL", "sell", "marketable", 3, 2, 5)], 30),
        lambda: machine.time_passes(0.01),
        lambda: machine.margin_meets_the_market("ETHUSD", "sell", 165, False),
        lambda: machine.corporate_action((1, 8), "1", "0", "AAPL"),
        machine.turn,
    ]
    try:
        for step in steps:
            step()
            machine.books_are_whole()
        assert floor.query("select count(*) > 1 from lot where short") == [(True,)]
        assert floor.query("select count(*) >= 2 from action_effect where lots_before < 0") == [(True,)]
        assert floor.query("select 1 from margin_event where kind = 'close_out'")
        assert floor.query("select count(*) from cash_request where state = 'approved'") == [(1,)]
        assert [(done.portfolio, done.sell) for done in machine.conversions[1:]] == [
            (machine.traders[MIA][1], sell) for sell in ("USD", "EUR")
        ]
        refusals = "select code, count(*) from audit where result = 'refused' and action ~ '^(fx|ledger)'"
        assert floor.query(f"{refusals} group by 1 order by 1") == [("insufficient_margin", 2), ("quote_moved", 1)]
        assert floor.query("select outcome from schedule_firing") == [("accepted",)]
    finally:
        machine.teardown()


def test_a_close_out_waits_for_the_quote_that_is_missing(make_floor: Callable[[], TradingFloor]) -> None:
    """A broker that died in the middle of one, and whose tape was lost, knows no price of what is left."""
    machine = FloorMachine()
    machine.make_floor = make_floor
    machine.open()
    try:
        machine.margin_meets_the_market("AAPL", "buy", 40, False)
        machine.broker_dies()
        machine.unseen_quote("AAPL", 0, 1, 0)
        machine.corporate_action((1, 1), "0.001", "0", "ETHUSD")
        machine.tape_is_lost()
        machine.books_are_whole()
        machine.quote("AAPL", [0], 1, 2000)
    finally:
        machine.teardown()


@pytest.mark.timeout(0)
def test_whatever_happens_the_books_are_whole(make_floor: Callable[[], TradingFloor]) -> None:
    machine = type("Machine", (FloorMachine,), {"make_floor": staticmethod(make_floor)})
    looks = settings(
        max_examples=RUNS, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=looks)
    until = time.monotonic() + 60 * MINUTES
    while time.monotonic() < until:
        run_state_machine_as_test(machine, settings=settings(looks, derandomize=False, print_blob=True))
