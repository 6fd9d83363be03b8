"""Orders for later: once or by cron, sent when their time comes, exactly once each."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from killed_clerks import KilledClerks
from trading_floor import START_NS, TradingFloor, refusal

from trading.domain.errors import Conflict, Invalid, NotFound
from trading.domain.orders import OrderType, Refusal, Side, Ticket
from trading.services import halt, people, schedules
from trading.services.access import SYSTEM
from trading.services.ports.schedules import Outcome, Schedule, WhenClosed
from trading.services.schedules import Timing

MINUTE_NS = 60 * 10**9
LIMIT = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "10", "99.00")


def at(minutes: float) -> str:
    return datetime.fromtimestamp(START_NS / 1e9 + minutes * 60, UTC).isoformat()


class Desk:
    """A floor with its schedules."""

    def __init__(self, floor: TradingFloor) -> None:
        self.floor = floor
        floor.quote("99.99", "100.00")
        self.keys = iter(range(1000))

    def ask(self, timing: Timing, ticket: Ticket = LIMIT, key: str | None = None) -> Schedule | Refusal:
        key = key or f"s{next(self.keys)}"
        return schedules.create(self.floor.floor, self.floor.trader, self.floor.portfolio, ticket, timing, key)

    def made(self, timing: Timing, ticket: Ticket = LIMIT) -> Schedule:
        answer = self.ask(timing, ticket)
        assert isinstance(answer, Schedule), answer
        return answer

    def fire(self, minutes: float | None = None, hours: Any = "always") -> str:
        """The clerk's turn, so many minutes after the start."""
        if minutes is not None:
            self.floor.clock.ns = START_NS + int(minutes * MINUTE_NS)
            self.floor.quoted("99.99", "100.00")
        return schedules.fire_due(self.floor.floor, SYSTEM, hours)

    def told(self, schedule: Schedule) -> list[tuple[str, str, int]]:
        found = schedules.firings(self.floor.floor, self.floor.trader, self.floor.portfolio, schedule.id)
        return [(each.outcome, each.code, each.runs) for each in reversed(found)]

    def state(self, schedule: Schedule) -> str:
        found = schedules.listing(self.floor.floor, self.floor.trader, self.floor.portfolio, False)
        return next(each.state for each in found if each.id == schedule.id)

    def call(self, what: Callable[..., Refusal | None], schedule: Schedule) -> Refusal | None:
        return what(self.floor.floor, self.floor.trader, self.floor.portfolio, schedule.id)


@pytest.fixture
def desk(floor: TradingFloor) -> Desk:
    return Desk(floor)


def test_an_order_for_later_holds_nothing_until_its_time_and_is_then_an_order(desk: Desk) -> None:
    kept = desk.made(Timing(at=at(10)))
    assert desk.fire(9.9) == ""
    assert desk.floor.held() == (0, 0)
    assert desk.fire(10) == "1 accepted"
    assert desk.fire(10.1) == ""
    assert desk.told(kept) == [("accepted", "", 1)]
    assert desk.state(kept) == "done"
    assert desk.floor.query("select actor_id from orders") == [(desk.floor.trader.user_id,)]
    assert desk.floor.query("select key from idempotency_key where operation = 'desk.submit'") == [
        (f"schedule:{kept.id}:{kept.next_due_ns}",)
    ]
    desk.floor.run_broker()
    assert desk.floor.query("select state from orders") == [("working",)]
    desk.floor.check()


def test_cron_runs_again_and_again_in_the_exchanges_zone(desk: Desk) -> None:
    kept = desk.made(Timing(cron="*/10 * * * *"))
    assert kept.zone == "America/New_York"
    first = kept.next_due_ns
    assert first is not None
    minutes = (first - START_NS) / MINUTE_NS
    for n in range(3):
        assert desk.fire(minutes + 10 * n) == "1 accepted"
    assert desk.told(kept) == [("accepted", "", 1)] * 3
    assert desk.floor.query("select count(*) from orders") == [(3,)]
    assert desk.state(kept) == "active"
    desk.floor.check()


def test_a_time_without_offset_is_local_to_the_exchange(desk: Desk) -> None:
    told = schedules.preview(
        desk.floor.floor, desk.floor.trader, desk.floor.portfolio, LIMIT, Timing(at="2027-03-14T02:30")
    )
    assert isinstance(told, schedules.Upcoming)
    # That night clocks in New York go from 02:00 EST to 03:00 EDT.
    assert datetime.fromtimestamp(told.runs_ns[0] / 1e9, UTC).isoformat() == "2027-03-14T07:00:00+00:00"


def test_what_can_never_be_sent_is_refused_at_once(desk: Desk) -> None:
    assert refusal(desk.ask(Timing(at=at(-1)))) == "schedule_past"
    assert refusal(desk.ask(Timing(at="2029-01-01T00:00"))) == "schedule_too_far"
    assert refusal(desk.ask(Timing(at="tomorrow"))) == "bad_time"
    assert refusal(desk.ask(Timing(at=at(1), cron="* * * * *"))) == "bad_time"
    assert refusal(desk.ask(Timing())) == "bad_time"
    assert refusal(desk.ask(Timing(cron="61 * * * *"))) == "bad_cron"
    assert refusal(desk.ask(Timing(cron="0 0 31 2 *"))) == "schedule_never"
    assert refusal(desk.ask(Timing(at=at(1), grace_s=0))) == "bad_grace"
    assert refusal(desk.ask(Timing(at=at(1)), Ticket("NA", Side.BUY, OrderType.MARKET, "1"))) == "unknown_instrument"
    assert refusal(desk.ask(Timing(at=at(1)), Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1"))) == "limit_missing"
    assert refusal(desk.ask(Timing(at=at(1)), Ticket("AAPL", Side.BUY, OrderType.MARKET, "1e400"))) == "out_of_range"
    assert desk.floor.query("select count(*) from schedule") == [(0,)]


def test_what_only_the_moment_can_tell_is_asked_at_the_moment(desk: Desk) -> None:
    kept = desk.made(Timing(at=at(1)), Ticket("AAPL", Side.BUY, OrderType.LIMIT, "5000", "99.00"))
    far = desk.made(Timing(at=at(2)), Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1", "150.00"))
    halted = desk.made(Timing(at=at(3)))
    assert desk.fire(1) == "1 refused"
    assert desk.fire(2) == "1 refused"
    halt.set_mode(desk.floor.floor, SYSTEM, "floor", "halted", "a drill")
    assert desk.fire(3) == "1 refused"
    told = [desk.told(each)[0][1] for each in (kept, far, halted)]
    assert told == ["insufficient_cash", "price_band", "halted"]
    desk.floor.check()


def test_the_owners_rights_are_those_of_the_moment(desk: Desk) -> None:
    disabled = desk.made(Timing(cron="*/10 * * * *"))
    people.set_disabled(desk.floor.floor, SYSTEM, desk.floor.trader.user_id, True)
    assert desk.fire((disabled.next_due_ns - START_NS) / MINUTE_NS) == "1 refused"  # type: ignore[operator]
    people.set_disabled(desk.floor.floor, SYSTEM, desk.floor.trader.user_id, False)
    people.set_role(desk.floor.floor, SYSTEM, desk.floor.trader.user_id, "observer")
    assert desk.fire((disabled.next_due_ns - START_NS) / MINUTE_NS + 10) == "1 refused"  # type: ignore[operator]
    told = desk.floor.query("select code from schedule_firing order by due_ns")
    assert told == [("owner_disabled",), ("forbidden",)]
    assert desk.floor.query("select count(*) from orders") == [(0,)]
    assert desk.floor.query("select count(*) from audit where action = 'schedules.fire' and result = 'refused'") == [
        (2,)
    ]


def test_a_run_is_late_within_its_grace_and_missed_behind_it(desk: Desk) -> None:
    late, missed = desk.made(Timing(at=at(10), grace_s=120)), desk.made(Timing(at=at(10), grace_s=30))
    assert desk.fire(11) == "1 accepted, 1 missed"
    assert (desk.told(late), desk.told(missed)) == ([("accepted", "", 1)], [("missed", "missed", 1)])
    often = desk.made(Timing(cron="* * * * *"))
    # A day later: all but the run of this very minute are missed, in one line of the history.
    assert desk.fire(11 + 1440) == "1 missed"
    assert desk.fire() == "1 accepted"
    assert desk.fire() == ""
    first, second = desk.told(often)
    assert first[0] == Outcome.MISSED
    assert first[2] == 1439
    assert second == ("accepted", "", 1)


def test_a_closed_exchange_is_skipped_or_waited_for_as_asked(desk: Desk) -> None:
    sunday = "2026-09-27T12:00"
    skip = desk.made(Timing(at=sunday))
    send = desk.made(Timing(at=sunday, when_closed=WhenClosed.SEND))
    minutes = (skip.next_due_ns - START_NS) / MINUTE_NS  # type: ignore[operator]
    assert desk.fire(minutes, hours="real") == "1 accepted, 1 skipped"
    assert (desk.told(skip), desk.told(send)) == ([("skipped", "market_closed", 1)], [("accepted", "", 1)])


def test_pause_resume_and_cancel(desk: Desk) -> None:
    kept = desk.made(Timing(cron="*/10 * * * *"))
    minutes = (kept.next_due_ns - START_NS) / MINUTE_NS  # type: ignore[operator]
    assert desk.call(schedules.pause, kept) is None
    assert refusal(desk.call(schedules.pause, kept)) == "schedule_state"
    assert desk.fire(minutes + 25) == ""
    assert desk.call(schedules.resume, kept) is None
    assert desk.fire() == ""  # what fell into the pause is not made up
    assert desk.fire(minutes + 30) == "1 accepted"
    assert desk.call(schedules.cancel, kept) is None
    assert desk.fire(minutes + 50) == ""
    assert refusal(desk.call(schedules.resume, kept)) == "schedule_state"
    assert refusal(desk.call(schedules.cancel, kept)) == "schedule_state"
    once = desk.made(Timing(at=at(minutes + 60)))
    assert desk.call(schedules.pause, once) is None
    assert desk.fire(minutes + 61) == ""
    assert refusal(desk.call(schedules.resume, once)) == "schedule_past"
    with pytest.raises(NotFound):
        schedules.cancel(desk.floor.floor, desk.floor.trader, desk.floor.portfolio, 999)


def test_a_key_is_one_schedule_and_a_portfolio_has_a_hundred_at_most(desk: Desk) -> None:
    first = desk.ask(Timing(at=at(1)), key="one")
    assert desk.ask(Timing(at=at(1)), key="one") == first
    with pytest.raises(Conflict):
        desk.ask(Timing(at=at(2)), key="one")
    for n in range(99):
        desk.made(Timing(at=at(n + 2)))
    assert refusal(desk.ask(Timing(at=at(1)), key="more")) == "too_many_schedules"
    assert refusal(desk.ask(Timing(at=at(1)), key="more")) == "too_many_schedules"


def test_nobody_else_can_use_the_clerks_keys(desk: Desk) -> None:
    kept = desk.made(Timing(at=at(1)))
    with pytest.raises(Invalid):
        desk.floor.order("buy", "1", "99.00", key=f"schedule:{kept.id}:{kept.next_due_ns}")


def test_a_clerk_killed_between_sending_and_writing_it_down_does_not_send_again(desk: Desk) -> None:
    kept = desk.made(Timing(at=at(1)))
    fired, store = [], desk.floor.floor.schedules
    desk.floor.clock.ns = START_NS + MINUTE_NS
    [run] = store.due(desk.floor.clock.now_ns(), 10)
    fired.append(schedules._submitted(desk.floor.floor, run))
    # Its successor comes an hour later, far behind the grace: there is an order, so nothing was missed.
    assert desk.fire(61) == "1 accepted"
    assert desk.told(kept) == [("accepted", "", 1)]
    assert desk.floor.query("select count(*) from orders") == [(1,)]


def thirty_fall_due(desk: Desk, first: int) -> None:
    for n in range(first, first + 30):
        ticket = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1", f"{90 + n / 100:.2f}")
        desk.made(Timing(at=at(1 + n % 30), grace_s=86_400), ticket)
    desk.floor.query("update schedule set next_due_ns = %s + id where state = 'active'", time.time_ns())


def test_killed_at_random_while_firing_no_run_is_doubled_and_none_is_lost(
    desk: Desk, environment: dict[str, str]
) -> None:
    """Thirty schedules fall due at once, and thirty more where they were sent before the clerk had died three times."""
    floor, made = desk.floor, 0
    clerks = KilledClerks(environment, "schedules", "fire_due(floor, SYSTEM, 'always')", seed=7)
    try:
        deadline = time.monotonic() + 120
        while (waits := floor.query("select 1 from schedule where state = 'active' limit 1")) or clerks.kills < 3:
            assert time.monotonic() < deadline
            if not waits:
                thirty_fall_due(desk, made)
                made += 30
            clerks.live_and_die(0.05, 0.3)
    finally:
        clerks.close()
    assert floor.query("select count(*), count(distinct order_id) from schedule_firing") == [(made, made)]
    assert floor.query("select count(*) from orders") == [(made,)]
    assert floor.query("select count(*) from schedule where state = 'done'") == [(made,)]
    floor.check()
