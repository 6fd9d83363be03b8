"""Anything that people, the market and crashes may do to a floor, in any order: after every step the books are whole.

Real services, database and broker (`TradingFloor`). After each run the books are worked out again by `oracle_books`,
and the broker's inputs are replayed from the first. ``FLOOR_RUNS`` and ``FLOOR_STEPS`` size it; with ``FLOOR_MINUTES``
it looks for new examples for as long (``make soak SOAK=floor``).
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oracle_books import differences
from shared_servers import Database
from trading_floor import TradingFloor

from trading.domain.errors import Invalid
from trading.domain.orders import Acceptance, Refusal
from trading.market.ticks import Ticks
from trading.services import actions, halt, ledger, night, wallet
from trading.services.access import SYSTEM, Actor, Role

RUNS = int(os.environ.get("FLOOR_RUNS", "16"))
STEPS = int(os.environ.get("FLOOR_STEPS", "40"))
MINUTES = float(os.environ.get("FLOOR_MINUTES", "0"))
SYMBOLS = {"AAPL": 10_000, "ETHUSD": 38_155}
"""Where each trades at first, in cents. A thousandth of an ether at a cent is a fraction of a cent: cash is rounded."""
OPENING = Decimal("20000.00")
PLAIN = ("market", "limit", "marketable", "ioc", "fok", "day", "gtd", "post_only")
WAITING = ("stop", "stop_limit", "trail", "trail_percent")
GROUPS = ("bracket", "oco")

symbols = st.sampled_from(sorted(SYMBOLS))
traders = st.integers(0, 2)
sides = st.sampled_from(("buy", "sell"))
sizes = st.one_of(st.integers(1, 30), st.integers(1, 3000))
walks = st.lists(st.integers(-60, 60), min_size=1, max_size=4)
moves, spreads = st.integers(-60, 60), st.integers(1, 15)
near, far = st.integers(1, 12), st.integers(5, 60)
which = st.integers(0, 10**6)
money = st.decimals("0.01", "3000.00", places=2).map(str)

Drawn = tuple[int, str, str, str, int, int, int]
"""Trader, symbol, side, kind, lots, and how far from the middle its prices are, in cents."""


def tickets(kinds: tuple[str, ...]) -> st.SearchStrategy[list[Drawn]]:
    return st.lists(
        st.tuples(traders, symbols, sides, st.sampled_from(kinds), sizes, near, far), min_size=1, max_size=4
    )


class FloorMachine(RuleBasedStateMachine):
    """Two traders with cash and one on margin, two admins, two instruments."""

    make_floor: Callable[[], TradingFloor]

    @initialize()
    def open(self) -> None:
        self.floor = self.make_floor()
        self.traders = [
            (self.floor.trader, self.floor.portfolio),
            self.floor.add_trader("omar", str(OPENING)),
            self.floor.add_trader("mia", str(OPENING), kind="margin"),
        ]
        people = self.floor.floor.people
        self.admins = [
            Actor(people.create_user(name, name.title(), "admin", "no-password", 0).id, name, Role.ADMIN)
            for name in ("ada", "alf")
        ]
        self.paid_in = {portfolio: OPENING for _, portfolio in self.traders}
        self.middle = dict(SYMBOLS)
        self.keys = count(1)
        self.orders: list[tuple[int, int, str]] = []  # trader, order, symbol
        self.asked: dict[str, tuple[tuple[Any, ...], dict[str, Any], Acceptance | Refusal]] = {}
        for symbol in SYMBOLS:
            self.quote(symbol, [0], 1, 500)
            for who in (0, 1, 2):
                self.order(who, symbol, "buy", "marketable", 40, 2, 5)
        self.turn()

    def teardown(self) -> None:
        if not hasattr(self, "floor"):
            return
        try:
            self.floor.run_broker()
            self.floor.check()
            assert self.floor.query("select count(*) from command where input_seq is null") == [(0,)]
            assert differences(self.floor.query, self.paid_in) == []
            parity = night.replay(self.floor.floor, SYSTEM)
            assert parity.ok, parity.breaks[:3]
        finally:
            self.floor.close()
            with psycopg.connect(self.floor.database.servers.dsn(), autocommit=True) as connection:
                connection.execute(f"drop database {self.floor.database.name} with (force)".encode())

    @invariant()
    def books_are_whole(self) -> None:
        if hasattr(self, "floor"):
            self.floor.check()

    # The market -------------------------------------------------------------------------------------------------------

    @rule(symbol=symbols, walk=walks, spread=spreads, lots=st.integers(0, 3000))
    def quote(self, symbol: str, walk: list[int], spread: int, lots: int) -> None:
        for move in walk:
            self.floor.run_broker(self._quoted(symbol, move, spread, lots))

    @rule(symbol=symbols, move=moves, spread=spreads, lots=st.integers(0, 3000))
    def unseen_quote(self, symbol: str, move: int, spread: int, lots: int) -> None:
        """The desk has seen it; the broker never does, and finds a gap when the next one comes."""
        self._quoted(symbol, move, spread, lots)

    def _quoted(self, symbol: str, move: int, spread: int, lots: int) -> Ticks:
        self.middle[symbol] = max(1000, self.middle[symbol] + move)
        return self.floor.quoted(self.cents(symbol, -spread), self.cents(symbol, spread), lots, symbol)

    @rule(symbol=symbols, side=sides, percent=st.sampled_from((40, 55, 75, 110, 135, 165)), seen=st.booleans())
    def margin_meets_the_market(self, symbol: str, side: str, percent: int, seen: bool) -> None:
        """Mia takes one and a half times her cash, long or short; then the price moves, as far as a close-out."""
        self.quote(symbol, [0], 1, 200_000)
        has = self.floor.shares(symbol, self.traders[2][1])[0]
        if has and (has > 0) == (side == "sell"):
            self.order(2, symbol, side, "marketable", abs(has), 2, 5)
            self.turn()
        lots = 3_000_000 * (1 if symbol == "AAPL" else 1000) // self.middle[symbol]
        self.order(2, symbol, side, "marketable", lots, 2, 5)
        self.turn()
        move = self.middle[symbol] * percent // 100 - self.middle[symbol]
        if seen:
            self.quote(symbol, [move], 1, 2000)
        else:
            self.unseen_quote(symbol, move, 1, 2000)
        self.quote(symbol, [0], 1, 2000)

    @rule(
        ratio=st.sampled_from(((1, 1), (1, 1), (2, 1), (3, 2), (1, 8))),
        amount=st.decimals("0.001", "2.5", places=3).map(str),
        tax=st.sampled_from(("0", "26.375")),
        symbol=symbols,
    )
    def corporate_action(self, ratio: tuple[int, int], amount: str, tax: str, symbol: str) -> None:
        """A split, or a dividend where nothing is split."""
        floor, day, (new, old) = self.floor.floor, date(2026, 9, 21) + timedelta(days=next(self.keys)), ratio
        if new == old:
            self.act(actions.enter_dividend(floor, SYSTEM, symbol, day, amount, tax_percent=tax))
            return
        price = self.cents(symbol, 0)
        self.act(actions.enter_split(floor, SYSTEM, symbol, day, new, old, reference_price=price))
        self.middle[symbol] = max(1000, min(self.middle[symbol] * old // new, 200_000))
        self.quote(symbol, [0], 1, 500)

    def act(self, action: int) -> None:
        actions.book(self.floor.floor, SYSTEM, action)
        self.turn()
        assert self.floor.query("select state from corporate_action where id = %s", action) == [("applied",)]

    @rule(symbol=symbols, away=st.integers(-40, 40), lots=sizes)
    def trade(self, symbol: str, away: int, lots: int) -> None:
        self.floor.trade(self.cents(symbol, away), lots, symbol)

    @rule()
    def tape_is_lost(self) -> None:
        self.floor.run_broker(gap="the tape was lost")

    @rule(hours=st.sampled_from((0.0, 0.01, 9.0, 24.0)))
    def time_passes(self, hours: float) -> None:
        self.floor.clock.advance(hours * 3600 + 1)
        self.floor.run_broker()

    # People -----------------------------------------------------------------------------------------------------------

    # Several rules, so that few runs are without any: Hypothesis leaves some rules out of each.

    @rule(tickets=tickets(PLAIN))
    def plain_orders(self, tickets: list[Drawn]) -> None:
        self.send(tickets)

    @rule(tickets=tickets(WAITING))
    def waiting_orders(self, tickets: list[Drawn]) -> None:
        self.send(tickets)

    @rule(tickets=tickets(GROUPS))
    def groups(self, tickets: list[Drawn]) -> None:
        self.send(tickets)

    @rule(tickets=tickets(PLAIN + WAITING + GROUPS), symbol=symbols, walk=walks, spread=spreads)
    def busy_moment(self, tickets: list[Drawn], symbol: str, walk: list[int], spread: int) -> None:
        self.quote(symbol, [0], 1, 500)
        self.send(tickets)
        self.quote(symbol, walk, spread, 2000)

    @rule(tickets=tickets(PLAIN + WAITING), symbol=symbols, away=st.integers(-40, 40), lots=sizes)
    def busy_print(self, tickets: list[Drawn], symbol: str, away: int, lots: int) -> None:
        self.quote(symbol, [0], 1, 500)
        self.send(tickets)
        self.trade(symbol, away, lots)

    def send(self, tickets: list[Drawn]) -> None:
        for who, symbol, side, kind, lots, near, far in tickets:
            self.order(who, symbol, "buy" if kind == "bracket" else side, kind, lots, near, far)

    def order(self, who: int, symbol: str, side: str, kind: str, lots: int, near: int, far: int) -> None:
        away = -1 if side == "buy" else 1  # where a passive price lies
        passive, through = self.cents(symbol, away * near), self.cents(symbol, -away * near)
        beyond = self.cents(symbol, -away * far)
        soon = (datetime.fromtimestamp(self.floor.clock.ns / 1e9, UTC) + timedelta(seconds=20 * near)).isoformat()
        limit, more = {
            "market": (None, {}),
            "limit": (passive, {}),
            "marketable": (through, {}),
            "ioc": (through, {"tif": "ioc"}),
            "fok": (through, {"tif": "fok"}),
            "day": (passive, {"tif": "day"}),
            "gtd": (passive, {"tif": "gtd", "expires_at": soon}),
            "post_only": (passive, {"post_only": True}),
            "stop": (None, {"stop_price": beyond}),
            "stop_limit": (self.cents(symbol, -away * (far + near - 6)), {"stop_price": beyond}),
            "trail": (None, {"trail": str(Decimal(far) / 100)}),
            "trail_percent": (None, {"trail_percent": str(Decimal(far) / 100)}),
            "bracket": (through, {"take_profit": self.cents(symbol, -away * (20 + far)),
                                  "stop_loss": self.cents(symbol, away * (20 + far))}),
            "oco": (None, {"stop_price": beyond, "oco_limit": passive}),
        }[kind]  # fmt: skip
        quantity = self.quantity(symbol, lots)
        arguments = (side, quantity, limit)
        more |= {"symbol": symbol, "who": self.traders[who], "key": f"order-{len(self.asked)}"}
        answer = self.floor.order(*arguments, **more)
        self.asked[more["key"]] = (arguments, more, answer)
        if isinstance(answer, Acceptance):
            self.orders += [(who, order, symbol) for order in answer.group or (answer.order_id,)]

    @precondition(lambda self: self.asked)
    @rule(which=which)
    def ask_again(self, which: int) -> None:
        """A retry is the same order, however long ago and whatever has become of it."""
        arguments, more, answer = self.asked[sorted(self.asked)[which % len(self.asked)]]
        assert self.floor.order(*arguments, **more) == answer

    @precondition(lambda self: self.orders)
    @rule(which=which, what=st.sampled_from(("quantity", "limit_price", "stop_price", "trail")), lots=sizes, away=far)
    def modify(self, which: int, what: str, lots: int, away: int) -> None:
        who, order, symbol = self.orders[which % len(self.orders)]
        new = {
            "quantity": self.quantity(symbol, lots),
            "limit_price": self.cents(symbol, away - 30),
            "stop_price": self.cents(symbol, 2 * away - 60),
            "trail": str(Decimal(away) / 100),
        }[what]
        self.floor.modify(order, who=self.traders[who], **{what: new})

    @precondition(lambda self: self.orders)
    @rule(which=which)
    def cancel(self, which: int) -> None:
        who, order, _ = self.orders[which % len(self.orders)]
        self.floor.cancel(order, self.traders[who])

    @rule(who=traders, amount=money)
    def deposit(self, who: int, amount: str) -> None:
        portfolio = self.traders[who][1]
        ledger.deposit(self.floor.floor, SYSTEM, portfolio, amount, f"in-{next(self.keys)}")
        self.paid_in[portfolio] += Decimal(amount)

    @rule(who=traders, amount=money)
    def withdraw(self, who: int, amount: str) -> None:
        portfolio = self.traders[who][1]
        posted, held = self.floor.cash(portfolio)
        if who == 2:  # what a margin portfolio may pay out depends on all of it
            try:
                ledger.withdraw(self.floor.floor, SYSTEM, portfolio, amount, f"out-{next(self.keys)}")
            except Invalid:
                return
            self.paid_in[portfolio] -= Decimal(amount)
            return
        if posted - held < Decimal(amount):
            with pytest.raises(Invalid, match="cash"):
                ledger.withdraw(self.floor.floor, SYSTEM, portfolio, amount, f"out-{next(self.keys)}")
            return
        ledger.withdraw(self.floor.floor, SYSTEM, portfolio, amount, f"out-{next(self.keys)}")
        self.paid_in[portfolio] -= Decimal(amount)

    @rule(who=traders, amount=st.one_of(money, st.just("10000.01")), verdict=st.sampled_from(("yes", "no", "back")))
    def ask_for_cash(self, who: int, amount: str, verdict: str) -> None:
        """A request holds its cash; a large one takes both admins."""
        actor, portfolio = self.traders[who]
        floor = self.floor.floor
        try:
            request = wallet.request(floor, actor, portfolio, "withdrawal", amount, f"ask-{next(self.keys)}")
        except Invalid:
            return
        self.books_are_whole()
        if verdict == "no":
            assert wallet.decline(floor, self.admins[0], request, "not today") == "declined"
        elif verdict == "back":
            assert wallet.take_back(floor, actor, request) == "withdrawn"
        else:
            answer = wallet.approve(floor, self.admins[0], request)
            if Decimal(amount) > 10_000:
                assert answer == "pending"
                answer = wallet.approve(floor, self.admins[1], request)
            assert answer == "approved"
            self.paid_in[portfolio] -= Decimal(amount)

    @rule(who=traders, symbol=st.none() | symbols, mode=st.sampled_from(("running", "halted", "running", "reducing")))
    def switch(self, who: int, symbol: str | None, mode: str) -> None:
        """A portfolio's switch, or an instrument's."""
        one = f"portfolio:{self.traders[who][1]}"
        scope = one if symbol is None else f"instrument:{self.floor.instrument(symbol).id}"
        halt.set_mode(self.floor.floor, SYSTEM, scope, mode, "a drill")

    # The broker -------------------------------------------------------------------------------------------------------

    @rule()
    def turn(self) -> None:
        self.floor.run_broker()

    @rule()
    def snapshot(self) -> None:
        self.floor.broker.snapshot(self.floor.clock.now_ns())

    @rule()
    def broker_dies(self) -> None:
        """Memory is gone, with the inputs that were not yet committed."""
        self.floor.restart_broker()

    # Words ------------------------------------------------------------------------------------------------------------

    def cents(self, symbol: str, away: int) -> str:
        return str(Decimal(self.middle[symbol] + away) / 100)

    @staticmethod
    def quantity(symbol: str, lots: int) -> str:
        return str(lots) if symbol == "AAPL" else str(Decimal(lots) / 1000)


@pytest.fixture
def make_floor(make_database: Callable[[], Database], tmp_path: Path) -> Callable[[], TradingFloor]:
    return lambda: TradingFloor(make_database(), tmp_path / "lake", str(OPENING))


def test_longs_and_shorts_on_margin_through_actions_and_close_outs(make_floor: Callable[[], TradingFloor]) -> None:
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
        lambda: machine.deposit(2, "30000.00"),
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
