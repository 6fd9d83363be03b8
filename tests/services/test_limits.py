"""Limits at the desk: each with a worked example and its boundary; who sets them; what is left of them."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trading_floor import TradingFloor, refusal

from trading.domain.errors import Invalid, NotFound
from trading.domain.orders import Acceptance, Effect, OrderType, Refusal, Side, Terms, Ticket
from trading.domain.risk import DAY_NS, Exposure, LimitSet, strictest
from trading.services import desk, limits
from trading.services.access import SYSTEM
from trading.services.order_limits import limit_refusals
from trading.services.ports.desk import Decision, DeskContext
from trading.services.ports.risk import Figures
from trading.services.tickets import BestQuote, judge

STANDARD = Figures(max_order_notional=100_000_000, max_open_orders=200, price_band_ppm=50_000)


def limit(floor: TradingFloor, scope: str, **figures: object) -> None:
    limits.set_limits(floor.floor, SYSTEM, scope, Figures(**figures), "a test")  # type: ignore[arg-type]


def refused(answer: object) -> tuple[str, str, str, str]:
    assert isinstance(answer, Refusal), answer
    return answer.code, answer.numbers["limit"], answer.numbers["asked"], answer.numbers["now"]


def mark(floor: TradingFloor, equity: int, portfolio: int | None = None) -> None:
    """The broker's mark of what a portfolio is worth, in cents."""
    ts_ns = floor.clock.now_ns()
    floor.query("select mark_equity(%s, %s, %s, 0)", portfolio or floor.portfolio, ts_ns, equity)
    floor.clock.advance(60)


def test_each_limit_of_an_order_lets_through_what_is_at_it_and_refuses_one_more(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    own, shares = f"portfolio:{floor.portfolio}", f"instrument:{floor.aapl.id}"
    limit(floor, shares, max_order_lots=50)
    assert refused(floor.order("buy", "51", "99.00")) == ("max_order_quantity", "50", "51", "0")
    floor.accepted("buy", "50", "99.00")
    limit(floor, own, max_order_notional=198_000)
    assert refused(floor.order("buy", "20", "99.01")) == ("max_order_notional", "198000", "198020", "0")
    floor.accepted("buy", "20", "99.00")
    # Held nothing, 70 on order: 80 may be reached.
    limit(floor, own, max_position_lots=80)
    assert refused(floor.order("buy", "11", "99.00")) == ("max_position", "80", "81", "70")
    ten = floor.accepted("buy", "10", "99.00")
    # 80 on order are worth 8,000.00 at the ask.
    limit(floor, own, max_position_notional=810_000)
    assert refused(floor.order("buy", "2", "99.00")) == ("max_position_notional", "810000", "820000", "800000")
    assert refused(floor.modify(ten.order_id, quantity="12")) == (
        "max_position_notional", "810000", "820000", "800000",
    )  # fmt: skip
    floor.accepted("buy", "1", "99.00")
    limit(floor, own, max_open_orders=5)
    floor.accepted("buy", "1", "99.00")
    assert refused(floor.order("buy", "1", "99.00")) == ("max_open_orders", "5", "6", "5")
    limit(floor, f"user:{floor.trader.user_id}", price_band_ppm=10_000)
    limit(floor, own)
    assert refusal(floor.order("buy", "1", "101.01")) == "price_band"
    floor.accepted("buy", "1", "101.00")
    versions = floor.query("select limit_version from orders order by id")
    assert versions == sorted(versions)
    assert versions[-1] == floor.query("select max(id) from risk_limit")[0]
    floor.check()


def test_orders_in_a_minute_slide_with_the_clock_and_a_user_has_one_count_for_all_portfolios(
    floor: TradingFloor,
) -> None:
    floor.quote("99.99", "100.00")
    second = floor.floor.people.create_portfolio(floor.trader.user_id, "Second", "cash", "USD", 0)
    floor.query("select account_of(%s, a.id) from asset a where code = 'USD'", second.id)
    limit(floor, f"user:{floor.trader.user_id}", max_orders_per_minute=4)
    limit(floor, f"portfolio:{floor.portfolio}", max_orders_per_minute=3)
    first = floor.clock.now_ns()
    for _ in range(3):
        floor.accepted("buy", "1", "99.00")
        floor.clock.advance(1)
    assert refused(floor.order("buy", "1", "99.00")) == ("max_order_rate", "3", "4", "3")
    limit(floor, f"portfolio:{floor.portfolio}")
    floor.accepted("buy", "1", "99.00")
    other = floor.order("buy", "1", "99.00", who=(floor.trader, second.id))
    assert refused(other) == ("max_order_rate", "4", "5", "4")
    floor.clock.advance((first + 60_000_000_000 - floor.clock.now_ns()) / 1e9 - 0.001)
    assert refusal(floor.order("buy", "1", "99.00")) == "max_order_rate"
    floor.clock.advance(0.001)
    floor.accepted("buy", "1", "99.00")
    # A bracket is three orders; refusals count for nothing.
    floor.clock.advance(60)
    floor.accepted("buy", "1", "99.00", take_profit="110.00", stop_loss="90.00")
    bracket = floor.order("buy", "1", "99.00", take_profit="110.00", stop_loss="90.00")
    assert refused(bracket) == ("max_order_rate", "4", "6", "3")


def test_the_loss_of_a_day_and_the_drawdown_stop_what_opens_and_nothing_that_closes(rich: TradingFloor) -> None:
    own = f"portfolio:{rich.portfolio}"
    limit(rich, own, max_daily_loss=100_000, max_drawdown_ppm=100_000)
    mark(rich, 10_000_000)
    mark(rich, 9_900_000)  # 1,000.00 lost: at the limit
    rich.quote("99.99", "100.00")
    rich.accepted("buy", "1")
    mark(rich, 9_899_999)
    rich.quote("99.99", "100.00")
    assert refused(rich.order("buy", "1")) == ("max_daily_loss", "100000", "100001", "100001")
    rich.accepted("sell", "1")
    mark(rich, 9_000_000)  # a tenth below the peak: at the limit
    limit(rich, own, max_drawdown_ppm=100_000)
    rich.quote("99.99", "100.00")
    rich.accepted("buy", "1")
    mark(rich, 8_999_900)
    rich.quote("99.99", "100.00")
    assert refusal(rich.order("buy", "1")) == "drawdown"
    rich.accepted("sell", "1")
    # It stays tripped whatever the market does, until somebody takes it back and says why.
    mark(rich, 12_000_000)
    rich.quote("99.99", "100.00")
    assert refusal(rich.order("buy", "1")) == "drawdown"
    limits.reset_drawdown(rich.floor, SYSTEM, rich.portfolio, "talked to her")
    rich.accepted("buy", "1")
    with pytest.raises(Invalid, match="not tripped"):
        limits.reset_drawdown(rich.floor, SYSTEM, rich.portfolio, "again")
    trail = rich.query(
        "select action, code from audit where action in ('risk.drawdown', 'limits.reset_drawdown') order by id"
    )
    assert trail == [
        ("risk.drawdown", "drawdown"),
        ("limits.reset_drawdown", ""),
        ("limits.reset_drawdown", "not_tripped"),
    ]


def test_money_paid_in_is_no_gain_and_money_paid_out_no_loss(floor: TradingFloor) -> None:
    def state() -> tuple[int, int]:
        return floor.query("select day_equity, peak_equity from risk_state where portfolio_id = %s", floor.portfolio)[0]  # type: ignore[return-value]

    from trading.services import ledger

    mark(floor, 10_000_000)
    assert state() == (10_000_000, 10_000_000)
    mark(floor, 8_000_000)  # a fifth lost
    ledger.withdraw(floor.floor, SYSTEM, floor.portfolio, "40000.00", "out", "")
    floor.clock.advance(1)
    mark(floor, 4_000_000)
    assert state() == (6_000_000, 5_000_000)  # 20,000.00 lost today, and still a fifth below the peak
    floor.clock.advance(DAY_NS / 1e9)
    mark(floor, 3_900_000)
    assert state() == (4_000_000, 5_000_000)


def test_lists_of_instruments_and_restrictions(rich: TradingFloor) -> None:
    msft = rich.instrument("MSFT")
    rich.quote("29.99", "30.00", symbol="MSFT")
    limit(rich, f"user:{rich.trader.user_id}", instruments=(msft.id,))
    assert refusal(rich.order("buy", "1")) == "instrument_not_allowed"
    rich.accepted("sell", "1")
    rich.accepted("buy", "1", symbol="MSFT")
    limits.restrict(rich.floor, SYSTEM, msft.id, "no_opening", "a deal is near")
    answer = rich.order("buy", "1", symbol="MSFT")
    assert refusal(answer) == "restricted"
    assert isinstance(answer, Refusal)
    assert "a deal is near" in answer.reason
    rich.run_broker()
    rich.accepted("sell", "1", symbol="MSFT", limit="31.00")
    limits.restrict(rich.floor, SYSTEM, msft.id, "no_trading", "sanctions")
    assert refusal(rich.order("sell", "1", symbol="MSFT")) == "restricted"
    assert [each.symbol for each in limits.restrictions(rich.floor, rich.trader)] == ["MSFT"]
    limits.restrict(rich.floor, SYSTEM, msft.id, "free", "over")
    assert limits.restrictions(rich.floor, rich.trader) == []
    assert [each.mode for each in limits.restriction_history(rich.floor, SYSTEM, msft.id)] == [
        "free", "no_trading", "no_opening",
    ]  # fmt: skip


def test_a_tier_is_a_set_of_limits_and_every_version_names_who_set_it_and_why(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    admin = floor.floor.people.create_user("adam", "Adam", "admin", "no-password", 0)
    actor = replace(SYSTEM, user_id=admin.id)
    user = floor.trader.user_id
    limits.set_limits(floor.floor, actor, "tier:intern", replace(STANDARD, max_order_lots=5), "new people")
    limits.set_tier(floor.floor, actor, user, "intern", "first week")
    assert limits.tier_of(floor.floor, SYSTEM, user) == "intern"
    assert refused(floor.order("buy", "6", "99.00")) == ("max_order_quantity", "5", "6", "0")
    limits.set_limits(floor.floor, actor, "tier:intern", replace(STANDARD, max_order_lots=6), "did well")
    floor.accepted("buy", "6", "99.00")
    told = limits.history(floor.floor, SYSTEM, "tier:intern")
    assert [(each.version, each.set_by, each.reason, each.figures.max_order_lots) for each in told] == [
        (2, "adam", "did well", 6),
        (1, "adam", "new people", 5),
    ]
    assert "tier:intern" in {each.scope for each in limits.current(floor.floor, SYSTEM)}
    assert floor.query("select action, subject from audit where starts_with(action, 'limits.') order by id") == [
        ("limits.set", "tier:intern"),
        ("limits.set_tier", f"user:{user}"),
        ("limits.set", "tier:intern"),
    ]


@pytest.mark.parametrize(
    ("scope", "figures", "reason", "code"),
    [
        ("tier:Intern", STANDARD, "x", "unknown_scope"),
        ("floor", STANDARD, "x", "unknown_scope"),
        ("tier:intern", Figures(max_open_orders=1), "x", "limit_missing"),
        ("instrument:1", Figures(max_open_orders=1), "x", "limit_not_used"),
        ("user:1", Figures(max_open_orders=0), "x", "bad_limit"),
        ("user:1", Figures(max_drawdown_ppm=1_000_000), "x", "bad_limit"),
        ("user:1", Figures(max_daily_loss=2**62), "x", "bad_limit"),
        ("user:1", Figures(instruments=(999_999,)), "x", "unknown_instrument"),
        ("user:1", STANDARD, "  ", "reason_missing"),
    ],
)
def test_limits_that_cannot_be_are_not_set(
    wide_floor: TradingFloor, scope: str, figures: Figures, reason: str, code: str
) -> None:
    with pytest.raises(Invalid) as error:
        limits.set_limits(wide_floor.floor, SYSTEM, scope, figures, reason)
    assert error.value.code == code


def test_limits_of_nobody_and_tiers_that_are_not_there_are_not_found(wide_floor: TradingFloor) -> None:
    calls: list[Callable[[], object]] = [
        lambda: limits.set_limits(wide_floor.floor, SYSTEM, "user:987654", STANDARD, "x"),
        lambda: limits.set_tier(wide_floor.floor, SYSTEM, wide_floor.trader.user_id, "nobles", "x"),
        lambda: limits.restrict(wide_floor.floor, SYSTEM, 987654, "no_trading", "x"),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_one_sees_ones_own_limits_and_how_much_of_each_is_used(rich: TradingFloor) -> None:
    own = f"portfolio:{rich.portfolio}"
    limit(rich, own, max_position_notional=2_000_000, max_orders_per_minute=10, max_daily_loss=100_000)
    mark(rich, 10_000_000)
    mark(rich, 9_940_000)
    rich.accepted("buy", "1", "99.00")
    told = limits.own(rich.floor, rich.trader, rich.portfolio)
    assert told.tier == "standard"
    assert told.tripped_ppm is None
    assert {each.name: (each.limit, each.used, each.scope) for each in told.uses} == {
        "max_order_notional": (100_000_000, None, "tier:standard"),
        "price_band_ppm": (50_000, None, "tier:standard"),
        "max_position_notional": (2_000_000, 999_900, own),
        "max_user_open_orders": (200, 1, "tier:standard"),
        "max_orders_per_minute": (10, 1, own),
        "max_daily_loss": (100_000, 60_000, own),
    }


def test_a_preview_names_everything_that_would_be_refused_and_what_it_would_cost(rich: TradingFloor) -> None:
    limit(rich, f"portfolio:{rich.portfolio}", max_order_notional=1_000, max_position_lots=100, max_open_orders=1)
    mark(rich, 10_000_000)
    rich.query("update risk_state set tripped_ppm = 1, tripped_ts_ns = 1")
    rich.quote("99.99", "100.00")
    ticket = Ticket("AAPL", Side.BUY, OrderType.MARKET, "2000")
    told = desk.preview(rich.floor, rich.trader, rich.portfolio, ticket)
    assert isinstance(told, desk.Preview)
    assert told.estimated_notional == 20_000_000
    codes = [each.code for each in told.refusals]
    assert codes == ["max_order_notional", "max_position", "drawdown", "insufficient_cash"]
    answer = rich.order("buy", "2000")
    assert answer == told.refusals[0]


@pytest.mark.parametrize("what", ["rate", "open"])
def test_eight_threads_never_get_beyond_a_limit(floor: TradingFloor, what: str) -> None:
    """Four threads in each of two portfolios of one user, whose limit is of both together."""
    floor.quote("99.99", "100.00")
    second = floor.floor.people.create_portfolio(floor.trader.user_id, "Second", "cash", "USD", 0)
    from trading.services import ledger

    ledger.deposit(floor.floor, SYSTEM, second.id, "100000.00", "second")
    user = f"user:{floor.trader.user_id}"
    limit(floor, user, **({"max_orders_per_minute": 15} if what == "rate" else {"max_open_orders": 15}))
    answers: list[object] = []

    def send(portfolio: int) -> None:
        for _ in range(5):
            answers.append(floor.order("buy", "1", "99.00", who=(floor.trader, portfolio)))

    threads = [threading.Thread(target=send, args=((floor.portfolio, second.id)[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = sum(isinstance(answer, Acceptance) for answer in answers)
    others = {refusal(answer) for answer in answers if not isinstance(answer, Acceptance)}
    assert (accepted, others) == (15, {"max_order_rate" if what == "rate" else "max_open_orders"})
    assert floor.query("select count(*) from orders") == [(15,)]


@pytest.fixture(scope="module")
def context_of(request: pytest.FixtureRequest) -> DeskContext:
    """What the desk reads for AAPL, with nothing held."""
    floor: TradingFloor = request.getfixturevalue("wide_floor")
    found = floor.floor.desk.context(floor.trader.user_id, floor.portfolio, "AAPL", "SIM")
    assert found is not None
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(1, 500),
    lots=st.integers(1, 500),
    most=st.integers(1, 400),
    loss=st.integers(0, 10_000),
    tripped=st.booleans(),
)
def test_an_order_that_reduces_passes_every_limit_of_positions_and_losses(
    context_of: DeskContext, position: int, lots: int, most: int, loss: int, tripped: bool
) -> None:
    figures = dict.fromkeys(("max_position_lots", "max_position_notional", "max_daily_loss"), most)
    context = replace(
        context_of,
        position_lots=position,
        limits=strictest(1, [LimitSet("user:1", **figures, allows=False)]),  # type: ignore[arg-type]
        exposure=Exposure(day_ns=0, day_equity=10_000, equity=10_000 - loss, drawdown_ppm=1 if tripped else None),
    )
    order = Decision(
        Side.SELL, Effect.CLOSE, Ticket.time_in_force, lots, Terms(OrderType.LIMIT, 10_000, 10_000), 0, 0, 0
    )  # type: ignore[arg-type]
    assert list(limit_refusals(context, [order], 10_000, 1)) == []
    opening = replace(order, side=Side.BUY, effect=Effect.OPEN)
    assert list(limit_refusals(context, [opening], 10_000, 1)) != []
    ticket = Ticket("AAPL", Side.SELL, OrderType.LIMIT, str(lots), "100.00")
    codes = {each.code for each in judge(context, ticket, BestQuote(9_999, 10_000), 1).refusals}
    assert codes <= {"insufficient_position", "insufficient_cash"}
