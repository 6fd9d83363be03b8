"""The monitoring loop over a broker elsewhere and over the floor's own: what it finds, repairs and leaves alone."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from fakes.broker_exchange import FakeExchange
from fakes.broker_server import KEY, FakeBrokerServer, Faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trading_floor import TradingFloor

from trading.adapters.brokers.remote import RemoteBrokerage
from trading.domain.brokerage import NewOrder
from trading.domain.errors import Conflict, Forbidden, Invalid, NotFound
from trading.domain.monitoring import FairSource, Plan, Step
from trading.domain.orders import OrderState, OrderType, Side, TimeInForce
from trading.services import halt, monitoring
from trading.services.access import SYSTEM, Actor, Role
from trading.services.monitoring import AccountView
from trading.services.ports.monitoring import CycleReport

RECORDS = ("broker_order", "broker_execution", "broker_book", "broker_write")


class Watched:
    """Tina's account at a broker elsewhere, with 100,000 dollars; AAPL at 99.99 to 100.00 there."""

    def __init__(self, floor: TradingFloor) -> None:
        self.floor, self.aapl = floor, floor.aapl
        self.exchange = FakeExchange([floor.aapl, floor.instrument("MSFT")], 100_000_00)
        self.server = FakeBrokerServer(self.exchange)
        floor.broker_keys["elsewhere"] = KEY
        self.portfolio = floor.portfolio
        self.account = monitoring.open_account(
            floor.floor, SYSTEM, self.portfolio, "Elsewhere", "remote", self.server.url, "elsewhere"
        )
        self.switch(set(Step))
        self.quote(9_999, 10_000)

    def close(self) -> None:
        self.server.close()

    def switch(self, steps: set[Step], enabled: bool = True) -> None:
        monitoring.switch(self.floor.floor, self.floor.trader, self.portfolio, self.account, enabled, steps)

    def plan(self, **terms: Any) -> None:
        plan = Plan(self.aapl.id, **terms)
        monitoring.set_plan(self.floor.floor, self.floor.trader, self.portfolio, self.account, plan)

    def quote(self, bid: int, ask: int, lots: int = 1000) -> None:
        with self.server.lock:
            self.exchange.quote(self.aapl.id, bid, ask, lots)

    def send(self, side: str, lots: int, limit: int | None = None, key: str = "by-hand", tif: str = "gtc") -> str:
        """The owner trades at the broker, not through the loop."""
        kind = OrderType.MARKET if limit is None else OrderType.LIMIT
        broker = RemoteBrokerage(self.server.url, KEY, [self.aapl])
        order = broker.submit(NewOrder(key, self.aapl, Side(side), kind, lots, limit, TimeInForce(tif)))
        broker.close()
        return order.order_id  # type: ignore[union-attr]

    def cycle(self, wait_s: float = 60) -> CycleReport:
        self.floor.clock.advance(wait_s)
        return monitoring.run_now(self.floor.floor, self.floor.trader, self.portfolio, self.account)

    def view(self) -> AccountView:
        return monitoring.view(self.floor.floor, self.floor.trader, self.portfolio, self.account)

    def records(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that is recorded of the account, as rows; moments of the clock are left out."""
        rows = {}
        for table in RECORDS:
            found = self.floor.query(
                f"select to_jsonb(t) - '{{seen_ts_ns,over_ts_ns,begun_ts_ns,settled_ts_ns}}'::text[]"
                f" from {table} t where account_id = %s order by 1",
                self.account,
            )
            rows[table] = found
        return rows

    def open_at_broker(self) -> list[tuple[str, str, int, int | None, int | None]]:
        return [
            (each.side, each.type, each.quantity_lots - each.filled_lots, each.limit_ticks, each.stop_ticks)
            for each in self.exchange.open()
        ]

    def assert_quiet(self, wait_s: float = 60) -> None:
        """Another cycle asks for nothing, records nothing, and finds no difference."""
        told = "select count(*) from audit where action <> 'monitoring.run_now'"
        writes, records, audit = self.exchange.writes, self.records(), self.floor.query(told)
        report = self.cycle(wait_s)
        assert report.ok, report
        assert (report.asked, self.exchange.writes) == (0, writes)
        assert self.records() == records
        assert self.floor.query(told) == audit
        assert figures(report)[Step.COMPARE] == (0, 0)


def figures(report: CycleReport) -> dict[Step, tuple[int, int]]:
    return {each.step: (each.found, each.done) for each in report.steps}


@pytest.fixture
def watched(floor: TradingFloor) -> Iterator[Watched]:
    own = Watched(floor)
    yield own
    own.close()


def test_a_missing_stop_a_rejected_order_and_an_unknown_fill_are_repaired_in_one_cycle(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000, replacements_max=1)
    rejected = watched.send("buy", 3, 9_900, key="late-reject")
    assert watched.cycle().ok
    watched.exchange.end(rejected, OrderState.REJECTED, "margin desk")
    watched.exchange.trade_elsewhere(watched.aapl.id, Side.BUY, 10, 10_000)
    report = watched.cycle()
    assert report.ok, report
    found = figures(report)
    assert found[Step.COMPARE] == (3, 3)  # the rejected order, the unknown order and its fill
    assert found[Step.PROTECT] == (1, 1)
    assert found[Step.DROP] == (1, 1)
    assert found[Step.REPLACE] == (1, 1)
    # 10 at 100.00 were bought: the stop is 5 % below; the rejected order is there again on its own terms.
    assert sorted(watched.open_at_broker()) == [("buy", "limit", 3, 9_900, None), ("sell", "stop", 10, None, 9_500)]
    (book,) = watched.view().books
    assert (book.position_lots, book.cost, book.realised) == (10, 1_000_00, 0)
    assert rejected not in {each.order.order_id for each in watched.view().orders}
    watched.assert_quiet()


def test_a_stop_and_a_take_profit_that_are_both_missing_become_a_pair(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000, take_profit_ppm=100_000)
    watched.send("buy", 10)
    assert watched.cycle().ok
    assert watched.open_at_broker() == [("sell", "stop", 10, None, 9_500), ("sell", "limit", 10, 11_000, None)]
    purposes = {each.order.type: each.purpose for each in watched.view().orders if each.order.side is Side.SELL}
    assert purposes == {OrderType.STOP: "stop_loss", OrderType.LIMIT: "take_profit"}
    watched.assert_quiet()


def test_a_limit_order_that_holds_the_shares_becomes_a_pair_with_the_stop_that_is_missing(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000)
    watched.send("buy", 10)
    watched.send("sell", 10, 10_700, key="mine")
    assert watched.cycle().ok
    assert watched.open_at_broker() == [("sell", "stop", 10, None, 9_500), ("sell", "limit", 10, 10_700, None)]
    watched.assert_quiet()


def test_a_stop_that_somebody_cancelled_is_placed_again_and_one_that_has_no_position_is_cancelled(
    watched: Watched,
) -> None:
    watched.plan(stop_loss_ppm=50_000)
    watched.send("buy", 10)
    watched.cycle()
    (stop,) = watched.exchange.open()
    watched.exchange.end(stop.order_id, OrderState.CANCELLED, "by hand")
    assert figures(watched.cycle())[Step.PROTECT] == (1, 1)
    assert watched.open_at_broker() == [("sell", "stop", 10, None, 9_500)]
    watched.exchange.trade_elsewhere(watched.aapl.id, Side.SELL, 10, 10_100)
    assert figures(watched.cycle())[Step.PROTECT] == (1, 1)
    assert watched.open_at_broker() == []
    (book,) = watched.view().books
    assert (book.position_lots, book.realised) == (0, 10_00)
    watched.assert_quiet()


def test_a_stop_that_the_broker_refuses_is_tried_again_as_often_as_the_plan_says_and_no_more(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000, replacements_max=2)
    watched.exchange.trade_elsewhere(watched.aapl.id, Side.BUY, 10, 10_000)
    watched.exchange.rest_elsewhere(watched.aapl.id, Side.SELL, 10, 9_000)
    blocked = watched.exchange.open()[0]
    watched.exchange.orders[blocked.order_id] = replace(blocked, type=OrderType.TRAILING_STOP, limit_ticks=None)
    report = watched.cycle()
    assert watched.exchange.writes == 3  # once, and twice again
    assert figures(report)[Step.REPLACE] == (2, 0)
    assert figures(report)[Step.DROP] == (3, 3)
    watched.assert_quiet()


def test_a_resting_entry_follows_the_middle_of_the_quote_within_its_limits(watched: Watched) -> None:
    def follow(bid: str, ask: str) -> tuple[int, int]:
        watched.floor.quoted(bid, ask)  # the floor's own market is where the middle comes from
        return figures(watched.cycle(1))[Step.REPRICE]

    watched.plan(fair_source=FairSource.MID, fair_edge_ticks=5, move_least_ticks=3, move_most_ppm=10_000)
    watched.send("buy", 10, 9_900)
    assert follow("99.40", "99.50") == (1, 1)
    assert watched.open_at_broker() == [("buy", "limit", 10, 9_940, None)]
    assert follow("99.41", "99.51") == (0, 0)  # a tick is not worth it
    assert follow("120.00", "120.02") == (1, 1)
    assert watched.open_at_broker() == [("buy", "limit", 10, 9_999, None)]  # one percent of 99.00 and no more
    assert follow("99.40", "99.50") == (1, 1)
    assert watched.open_at_broker() == [("buy", "limit", 10, 9_940, None)]
    watched.assert_quiet(1)
    watched.floor.quoted("99.00", "99.10")
    assert figures(watched.cycle(6))[Step.REPRICE] == (0, 0)  # that quote is too old


def test_a_model_s_price_moves_orders_while_it_lives(watched: Watched) -> None:
    watched.plan(fair_source=FairSource.MODEL, move_most_ppm=50_000)
    watched.send("buy", 10, 9_900)
    watched.cycle()
    monitoring.state_fair_price(watched.floor.floor, SYSTEM, "AAPL", "98.00", "walk-forward", 90)
    assert figures(watched.cycle())[Step.REPRICE] == (1, 1)
    assert watched.open_at_broker() == [("buy", "limit", 10, 9_800, None)]
    watched.floor.clock.advance(60)
    watched.assert_quiet()


def test_an_entry_that_expired_is_entered_again_as_often_as_the_plan_says(watched: Watched) -> None:
    watched.plan(reentries_max=1)
    first = watched.send("buy", 10, 9_900, tif="day")
    watched.cycle()
    watched.exchange.end(first, OrderState.EXPIRED, "day")
    assert figures(watched.cycle())[Step.REENTER] == (1, 1)
    assert watched.open_at_broker() == [("buy", "limit", 10, 9_900, None)]
    watched.assert_quiet()
    watched.exchange.end(watched.exchange.open()[0].order_id, OrderState.EXPIRED, "day")
    assert figures(watched.cycle())[Step.REENTER] == (0, 0)
    assert watched.open_at_broker() == []


def test_what_was_over_before_the_plan_was_stated_stays_over(watched: Watched) -> None:
    order = watched.send("buy", 10, 9_900, tif="day")
    watched.cycle()
    watched.exchange.end(order, OrderState.EXPIRED, "day")
    watched.cycle()
    watched.floor.clock.advance(1)
    watched.plan(reentries_max=5, replacements_max=5)
    assert watched.cycle().asked == 0


def test_without_a_plan_nothing_is_ever_asked_of_the_broker(watched: Watched) -> None:
    watched.send("buy", 10)
    watched.exchange.end(watched.send("buy", 1, 9_000, key="two"), OrderState.REJECTED)
    before = watched.exchange.writes
    assert watched.cycle().asked == 0
    assert watched.exchange.writes == before
    watched.assert_quiet()


def test_a_step_that_is_off_finds_and_does_not_do(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000)
    watched.send("buy", 10)
    watched.switch(set(Step) - {Step.PROTECT})
    report = watched.cycle()
    states = {each.step: each.state for each in report.steps}
    assert (states[Step.PROTECT], figures(report)[Step.PROTECT]) == ("off", (1, 0))
    assert watched.open_at_broker() == []
    watched.switch(set(Step))
    assert figures(watched.cycle())[Step.PROTECT] == (1, 1)


def test_a_broker_that_is_away_fails_the_fetch_and_the_rest_waits(watched: Watched) -> None:
    watched.server.faults = Faults(error_every=1)
    report = watched.cycle()
    assert [each.state for each in report.steps] == ["failed"] + ["skipped"] * 8
    assert "broker_away" in report.steps[0].error
    watched.server.faults = Faults()
    assert watched.cycle().ok


def test_a_rough_wire_changes_nothing_about_the_end(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000, take_profit_ppm=50_000)
    watched.send("buy", 10)
    watched.server.faults = Faults(lost_every=4, error_every=6, late_error_every=9, twice=True)
    watched.cycle()
    watched.server.faults = Faults()
    assert watched.cycle().ok
    assert watched.open_at_broker() == [("sell", "stop", 10, None, 9_500), ("sell", "limit", 10, 10_500, None)]
    watched.assert_quiet()


def test_a_position_that_no_fill_explains_is_shown_and_not_touched(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000)
    watched.exchange.lots[watched.aapl.id] = 7
    report = watched.cycle()
    compared = next(each for each in report.steps if each.step is Step.COMPARE)
    assert (compared.found, compared.done) == (1, 0)
    assert compared.detail["differences"][0]["kind"] == "position"
    assert watched.open_at_broker() == []


def test_the_kill_switch_stops_the_loop_elsewhere_too(watched: Watched) -> None:
    watched.plan(stop_loss_ppm=50_000, replacements_max=1)
    rejected = watched.send("buy", 3, 9_900)
    watched.send("buy", 10, key="two")
    watched.switch({Step.ORDERS, Step.PNL, Step.COMPARE})
    watched.cycle()
    watched.exchange.end(rejected, OrderState.REJECTED)
    watched.switch(set(Step))
    halt.set_mode(watched.floor.floor, SYSTEM, "floor", "halted", "a drill")
    assert watched.cycle().asked == 0
    halt.set_mode(watched.floor.floor, SYSTEM, "floor", "reducing", "a drill")
    watched.cycle()
    assert watched.open_at_broker() == [("sell", "stop", 10, None, 9_500)]
    halt.set_mode(watched.floor.floor, SYSTEM, "floor", "running", "over")
    watched.cycle()
    assert ("buy", "limit", 3, 9_900, None) in watched.open_at_broker()


class Killed(BaseException):
    """The process is gone: nothing that would tidy up runs on."""


class Mortal:
    """A store or a broker whose n-th call, of all that share ``calls``, never comes back: before or after the deed."""

    def __init__(self, real: Any, calls: Iterator[int], dies_at: int, after: bool) -> None:
        self._real, self._calls, self._dies_at, self._after = real, calls, dies_at, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if not callable(real) or name in ("locked", "open"):
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            dies = next(self._calls) == self._dies_at
            if dies and not self._after:
                raise Killed
            answer = real(*args, **kwargs)
            if dies:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_cycle_that_is_killed_anywhere_ends_where_an_undisturbed_one_does(watched: Watched, after: bool) -> None:
    from trading.services.monitoring_cycle import run_cycle

    def stage(key: str) -> None:
        """Ten shares more without a stop, and an entry that was turned down."""
        rejected = watched.send("buy", 2, 9_800, key=f"{key}-rejected")
        watched.cycle()
        watched.exchange.end(rejected, OrderState.REJECTED)
        watched.exchange.trade_elsewhere(watched.aapl.id, Side.BUY, 10, 10_000)

    watched.plan(stop_loss_ppm=50_000, replacements_max=1)
    floor, kills = watched.floor.floor, 0
    for n in range(3, 60, 3):
        stage(str(n))
        account = floor.monitoring.account(watched.portfolio, watched.account)
        assert account is not None
        calls = count(1)
        with floor.brokers.open(floor, account) as broker:
            store = Mortal(floor.monitoring, calls, n, after)
            try:
                run_cycle(replace(floor, monitoring=store), account, Mortal(broker, calls, n, after), "")  # type: ignore[arg-type]
                ended = True
            except Killed:
                kills, ended = kills + 1, False
        assert watched.cycle().ok
        # One stop for all that is held, never two; the rejected entry is there again, once.
        stops = [each for each in watched.open_at_broker() if each[1] == "stop"]
        assert sum(each[2] for each in stops) == watched.exchange.lots[watched.aapl.id]
        again = [each for each in watched.exchange.open() if each.limit_ticks == 9_800]
        assert len(again) == 1
        watched.assert_quiet()
        watched.exchange.end(again[0].order_id, OrderState.CANCELLED, "by hand")
        if ended:
            break
    assert kills >= 8


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "rest", "telephone", "reject", "expire", "cancel", "quote"]),
        st.integers(1, 20),
        st.integers(-30, 30),
    ),
    max_size=12,
)


def shake(watched: Watched, moves: list[tuple[str, int, int]], round_no: int) -> None:
    """Things happen at the broker while nobody looks."""
    exchange, aapl = watched.exchange, watched.aapl.id
    for n, (move, lots, off) in enumerate(moves):
        working = exchange.open()
        if move in ("buy", "sell", "rest"):
            limit = 9_900 + off if move == "rest" else None
            side = "sell" if move == "sell" else "buy"
            with suppress(AttributeError):  # refused: there is no order to speak of
                watched.send(side, lots, limit, key=f"hand-{round_no}-{n}")
        elif move == "telephone":
            side = Side.SELL if off < 0 and exchange.lots[aapl] - exchange.held_lots(aapl) >= lots else Side.BUY
            exchange.trade_elsewhere(aapl, side, lots, 10_000 + off)
        elif move == "quote":
            exchange.quote(aapl, 9_999 + off, 10_000 + off, lots)
        elif working:
            ends = {"reject": OrderState.REJECTED, "expire": OrderState.EXPIRED, "cancel": OrderState.CANCELLED}
            order = working[lots % len(working)]
            if move != "reject" or order.filled_lots == 0:
                exchange.end(order.order_id, ends[move], "by the broker")


def test_whatever_happened_at_the_broker_one_cycle_later_the_record_is_clean_and_the_next_does_nothing(
    watched: Watched,
) -> None:
    rounds = iter(range(1_000))
    watched.plan(stop_loss_ppm=50_000, take_profit_ppm=30_000, reentries_max=1, replacements_max=1)

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(MOVES)
    def one_round(moves: list[tuple[str, int, int]]) -> None:
        watched.quote(9_999, 10_000)
        shake(watched, moves, next(rounds))
        watched.cycle()
        watched.assert_quiet()
        held = watched.exchange.lots[watched.aapl.id]
        stops = sum(each[2] for each in watched.open_at_broker() if each[1] == "stop")
        assert held <= stops

    one_round()


# The floor's own broker -----------------------------------------------------------------------------------------------


def test_the_floor_s_own_account_is_watched_in_the_same_way(rich: TradingFloor) -> None:
    floor, trader, portfolio = rich.floor, rich.trader, rich.portfolio
    account = monitoring.open_account(floor, SYSTEM, portfolio, "Own", "paper")
    monitoring.switch(floor, trader, portfolio, account, True, set(Step))
    plan = Plan(rich.aapl.id, stop_loss_ppm=50_000, take_profit_ppm=100_000)
    monitoring.set_plan(floor, trader, portfolio, account, plan)
    report = monitoring.run_now(floor, trader, portfolio, account)
    assert report.ok, report
    assert figures(report)[Step.PROTECT] == (1, 1)
    rich.run_broker()
    # 100 at 100.00 and a dollar: 10,001 dollars; 5 % below and 10 % above 100.01, rounded away.
    assert rich.query("select type, stop_ticks, limit_ticks, state from orders where side = 'sell' order by id") == [
        ("stop", 9_500, None, "pending_trigger"),
        ("limit", None, 11_002, "working"),
    ]
    after = monitoring.run_now(floor, trader, portfolio, account)
    assert (after.asked, after.ok) == (0, True)
    again = monitoring.run_now(floor, trader, portfolio, account)
    assert (again.asked, figures(again)[Step.ORDERS], figures(again)[Step.COMPARE]) == (0, (0, 0), (0, 0))
    (book,) = monitoring.view(floor, trader, portfolio, account).books
    assert (book.position_lots, book.cost) == (100, 1_000_100)
    rich.check()


def test_accounts_are_run_when_their_time_has_come_and_one_that_fails_holds_up_nobody(watched: Watched) -> None:
    floor = watched.floor.floor
    watched.floor.broker_keys.clear()
    own = monitoring.open_account(floor, SYSTEM, watched.portfolio, "Own", "paper")
    monitoring.switch(floor, SYSTEM, watched.portfolio, own, True, set(Step), 30)
    (told,) = monitoring.run_due(floor, SYSTEM)
    assert "no_key" in told
    assert [each.ok for each in monitoring.view(floor, SYSTEM, watched.portfolio, own).cycles] == [True]
    assert monitoring.run_due(floor, SYSTEM) == []
    watched.floor.clock.advance(31)
    assert monitoring.run_due(floor, SYSTEM) == []
    assert len(monitoring.view(floor, SYSTEM, watched.portfolio, own).cycles) == 2
    assert len(watched.view().cycles) == 1


def test_two_cycles_of_one_account_never_run_at_the_same_time(watched: Watched) -> None:
    with watched.floor.floor.monitoring.locked(watched.account), pytest.raises(Conflict) as refused:
        watched.cycle()
    assert refused.value.code == "cycle_running"
    assert watched.cycle().ok


def test_an_account_is_opened_switched_and_run_by_those_who_may(watched: Watched) -> None:
    floor = watched.floor.floor
    theo, other = watched.floor.add_trader("theo", "100.00")
    with pytest.raises(Forbidden):
        monitoring.open_account(floor, watched.floor.trader, watched.portfolio, "Mine", "paper")
    with pytest.raises(Forbidden):
        monitoring.view(floor, theo, watched.portfolio, watched.account)
    with pytest.raises(NotFound):  # his portfolio, not his account
        monitoring.view(floor, theo, other, watched.account)
    assert [each.id for each in monitoring.accounts(floor, theo)] == []
    admin = Actor(floor.people.create_user("adam", "Adam", "admin", "no-password", 0).id, "adam", Role.ADMIN)
    assert [each.id for each in monitoring.accounts(floor, admin)] == [watched.account]
    watched.switch(set(Step), enabled=False)
    with pytest.raises(Invalid) as off:
        watched.cycle()
    assert off.value.code == "account_off"
    assert monitoring.run_due(floor, SYSTEM) == []
    actions = [row[0] for row in watched.floor.query("select action from audit where action like 'monitoring%%'")]
    assert actions.count("monitoring.switch") == 2
    assert "monitoring.open_account" in actions


def test_an_address_over_which_a_key_would_travel_in_the_open_is_refused(floor: TradingFloor) -> None:
    with pytest.raises(Invalid) as refused:
        monitoring.open_account(floor.floor, SYSTEM, floor.portfolio, "A", "remote", "http://broker.example", "k")
    assert refused.value.code == "not_https"
