"""Anything that people, the market and crashes may do to a floor, in any order: the rules by which it is done.

Real services, database and broker (`TradingFloor`). After every step the books are whole; when a run ends they are
worked out again by `oracle_books`, and the broker's inputs are replayed from the first.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from oracle_books import Conversion, differences, may_leave
from trading_floor import TradingFloor

from trading.domain.errors import Invalid
from trading.domain.orders import Acceptance, OrderType, Refusal, Side, Ticket
from trading.market.ticks import Ticks
from trading.services import actions, fx, halt, ledger, night, schedules, wallet
from trading.services.access import SYSTEM, Actor, Role

SYMBOLS = {"AAPL": 10_000, "ETHUSD": 38_155}
"""Where each trades at first, in cents. A thousandth of an ether at a cent is a fraction of a cent: cash is rounded."""
EURO, EUROS_TICK = 110_000, Decimal("0.00001")
"""What a euro costs at first, in ticks."""
OPENING = Decimal("20000.00")
CENT = Decimal("0.01")
BOOK = ("bid", "ask")
MIA, EMIL = 2, 3
"""Who is on margin, and whose base currency is the euro."""
PLAIN = ("market", "limit", "marketable", "ioc", "fok", "day", "gtd", "post_only")
WAITING = ("stop", "stop_limit", "trail", "trail_percent")
GROUPS = ("bracket", "oco")

symbols = st.sampled_from(sorted(SYMBOLS))
traders = st.integers(0, 3)
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
        st.tuples(traders, symbols, sides, st.sampled_from(kinds), sizes, near, far), min_size=2, max_size=5
    )


def refused(call: Callable[[], object]) -> str:
    """The code of a refusal, empty where there was none."""
    try:
        call()
    except Invalid as error:
        return error.code
    return ""


class FloorMachine(RuleBasedStateMachine):
    """Two traders with cash, one on margin, one with euros; two admins, two instruments and a pair of currencies."""

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
        emil = people.create_user("emil", "Emil", "trader", "no-password", 0)
        euros = people.create_portfolio(emil.id, "Main", "cash", "EUR", 0).id
        ledger.deposit(self.floor.floor, SYSTEM, euros, str(OPENING), "opening-emil")
        self.traders.append((Actor(emil.id, "emil", Role.TRADER), euros))
        self.admins = [
            Actor(people.create_user(name, name.title(), "admin", "no-password", 0).id, name, Role.ADMIN)
            for name in ("ada", "alf")
        ]
        self.paid_in = {portfolio: OPENING for _, portfolio in self.traders}
        self.middle, self.euro = dict(SYMBOLS), EURO
        self.conversions: list[Conversion] = []
        self.keys = count(1)
        self.orders: list[tuple[int, int, str]] = []  # trader, order, symbol
        self.asked: dict[str, tuple[tuple[Any, ...], dict[str, Any], Acceptance | Refusal]] = {}
        self.convert(EMIL, True, "12000.00", 0, 0)
        for symbol in SYMBOLS:
            self.quote(symbol, [0], 1, 500)
            for who in range(4):
                self.order(who, symbol, "buy", "marketable", 40, 2, 5)
        self.turn()

    def teardown(self) -> None:
        if not hasattr(self, "floor"):
            return
        try:
            self.floor.run_broker()
            self.floor.check()
            assert self.floor.query("select count(*) from command where input_seq is null") == [(0,)]
            assert differences(self.floor.query, self.paid_in, self.conversions) == []
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
        """What is scheduled goes to the desk, once, however often it is looked for."""
        self.floor.clock.advance(hours * 3600 + 1)
        for _ in range(2):
            schedules.fire_due(self.floor.floor, SYSTEM, "always")
        self.floor.run_broker()
        runs = "select count(*) - count(distinct (schedule_id, due_ns)), count(*) from schedule_firing"
        assert self.floor.query(runs)[0][0] == 0

    # People -----------------------------------------------------------------------------------------------------------

    # Several rules, so that few runs are without any: Hypothesis leaves some rules out of each.

    @rule(tickets=tickets(PLAIN), lots=st.integers(0, 3000))
    def plain_orders(self, tickets: list[Drawn], lots: int) -> None:
        self.send(tickets)
        for symbol in SYMBOLS:
            self.quote(symbol, [0], 1, lots)

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
        has, held = self.floor.shares(symbol, self.traders[who][1])
        if has and (has > 0) == (side == "sell"):  # what closes is often all there is
            lots = min(lots, abs(has) - held) or lots
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
        who, order, symbol = self.newest(which)
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
        who, order, _ = self.newest(which)
        self.floor.cancel(order, self.traders[who])

    def newest(self, which: int) -> tuple[int, int, str]:
        """One of the last dozen orders."""
        return self.orders[-1 - which % min(len(self.orders), 12)]

    @rule(who=traders, amount=money)
    def deposit(self, who: int, amount: str) -> None:
        portfolio = self.traders[who][1]
        ledger.deposit(self.floor.floor, SYSTEM, portfolio, amount, f"in-{next(self.keys)}")
        self.paid_in[portfolio] += Decimal(amount)

    @rule(who=traders, amount=money | st.sampled_from(("all", "more")))
    def withdraw(self, who: int, amount: str) -> None:
        portfolio = self.traders[who][1]
        most = self.may_leave(who, "EUR" if who == EMIL else "USD")
        if not amount[0].isdigit():
            amount = str(max((most or Decimal(0)) + CENT * (amount == "more"), CENT))
        key = f"out-{next(self.keys)}"
        code = refused(lambda: ledger.withdraw(self.floor.floor, SYSTEM, portfolio, amount, key))
        if self.went_through(who, amount, most, code, "not_settled"):
            self.paid_in[portfolio] -= Decimal(amount)

    @rule(who=traders, sells_euros=st.booleans(), amount=money, drift=moves, slip=st.integers(-5, 5))
    def convert(self, who: int, sells_euros: bool, amount: str, drift: int, slip: int) -> None:
        """At the price that was shown, or a better one; of what may leave."""
        owner, floor = self.traders[who], self.floor.floor
        sell, buy = ("EUR", "USD") if sells_euros else ("USD", "EUR")
        self.euros_quoted(drift)
        shown = fx.quote(floor, *owner, sell, buy, amount)
        rate = self.euros_quoted(slip)[0 if sells_euros else 1]
        most, worse = self.may_leave(who, sell), rate < shown.rate if sells_euros else rate > shown.rate
        asked = (*owner, sell, buy, amount, f"{shown.rate:f}", shown.quoted_ns, f"fx-{next(self.keys)}")
        code = refused(lambda: fx.convert(floor, *asked))
        assert (code == "quote_moved") == worse
        if not worse and self.went_through(who, amount, most, code, "halted"):
            self.conversions.append(Conversion(owner[1], sell, buy, Decimal(amount), rate, sells_euros))

    def euros_quoted(self, move: int) -> tuple[Decimal, Decimal]:
        """A price of the euro; the broker has no need of it."""
        self.euro = max(50_000, self.euro + move)
        bid, ask = ((self.euro + away) * EUROS_TICK for away in (-1, 1))
        self.floor.quoted(str(bid), str(ask), 1000, "EURUSD")
        return bid, ask

    def may_leave(self, who: int, currency: str) -> Decimal | None:
        """What is neither held nor required, by the oracle; None where that is not known."""
        prices = {
            key: tuple(Decimal(int(row[f"{side}_ticks"][0])) * CENT * bool(row[f"{side}_lots"][0]) for side in BOOK)
            for key, row in self.floor.bus.newest.items()
        }
        return may_leave(self.floor.query, self.traders[who][1], currency, prices, on_margin=who == MIA)

    def went_through(self, who: int, amount: str, most: Decimal | None, code: str, besides: str) -> bool:
        """With the right answer: what may leave does; of more, or where it is not known, nothing; ``besides`` aside."""
        if not code:
            assert most is not None
            assert Decimal(amount) <= most
            return True
        expected = [besides]
        if most is None:
            expected.append("no_mark")
        elif Decimal(amount) > most:
            expected.append("insufficient_margin" if who == MIA else "insufficient_cash")
        acted = "select instrument_id, max(applied_ts_ns) from corporate_action where state = 'applied' group by 1"
        if who == MIA and any(self.floor.bus.newest[key]["ts_ns"][0] <= at for key, at in self.floor.query(acted)):
            expected.append("corporate_action")
        assert code in expected
        return False

    @rule(tickets=tickets(("limit", "marketable")), seconds=st.integers(1, 40_000))
    def schedule(self, tickets: list[Drawn], seconds: int) -> None:
        """Orders for later; the clock's rule sends them."""
        at = datetime.fromtimestamp(self.floor.clock.ns / 1e9, UTC) + timedelta(seconds=seconds)
        for who, symbol, side, _, lots, near, _ in tickets:
            price = self.cents(symbol, near if side == "buy" else -near)
            ticket = Ticket(symbol, Side(side), OrderType.LIMIT, self.quantity(symbol, lots), price)
            timing = schedules.Timing(at=at.isoformat(), grace_s=86_400)
            made = schedules.create(self.floor.floor, *self.traders[who], ticket, timing, f"later-{next(self.keys)}")
            assert isinstance(made, schedules.Schedule), made

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
