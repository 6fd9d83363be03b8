"""Limits by themselves: at the limit passes, one over is refused, the strictest of all counts."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain import risk
from trading.domain.orders import Refusal
from trading.domain.risk import Exposure, LimitSet, RiskLimits, strictest

NOW_NS = 1_790_000_000_000_000_000
TODAY_NS = NOW_NS - NOW_NS % risk.DAY_NS
SECOND_NS = 1_000_000_000
FIGURES = [each.name for each in fields(LimitSet) if each.name not in ("scope", "allows")]
SCOPES = ("tier:basic", "user:7", "portfolio:3", "instrument:5")


def limited(**figures: int) -> RiskLimits:
    return strictest(1, [LimitSet("portfolio:3", **figures)])


def numbers(refusal: Refusal | None) -> tuple[str, str, str]:
    assert refusal is not None
    return refusal.numbers["limit"], refusal.numbers["asked"], refusal.numbers["now"]


def test_an_order_at_its_limit_passes_and_one_over_is_refused() -> None:
    limits = limited(max_order_lots=100, max_order_notional=1_000_000)
    assert risk.size_breach(limits, 100) is None
    assert numbers(risk.size_breach(limits, 101)) == ("100", "101", "0")
    assert risk.notional_breach(limits, 1_000_000) is None
    refused = risk.notional_breach(limits, 1_000_001)
    assert numbers(refused) == ("1000000", "1000001", "0")
    assert refused is not None
    assert (refused.code, refused.numbers["scope"]) == ("max_order_notional", "portfolio:3")


def test_a_position_counts_what_is_held_and_all_that_is_on_order_on_its_side() -> None:
    limits = limited(max_position_lots=100, max_position_notional=10_000)
    exposure = Exposure(buying_lots=30, selling_lots=5)
    assert risk.opening_lots(exposure, True, 40) == 70
    assert risk.opening_lots(exposure, False, -40) == 45
    assert risk.opening_lots(exposure, False, 40) == 5  # a long position is no part of a short one
    assert list(risk.position_breaches(limits, 100, 70, 10_000, 7_000)) == []
    over = list(risk.position_breaches(limits, 101, 70, 10_001, 7_000))
    assert [(each.code, *numbers(each)) for each in over] == [
        ("max_position", "100", "101", "70"),
        ("max_position_notional", "10000", "10001", "7000"),
    ]


def test_open_orders_of_a_portfolio_and_of_all_of_its_users_are_two_limits() -> None:
    limits = strictest(1, [LimitSet("tier:basic", max_open_orders=10), LimitSet("portfolio:3", max_open_orders=5)])
    assert risk.open_orders_breach(limits, Exposure(other_orders=5), 4, 1) is None
    own = risk.open_orders_breach(limits, Exposure(), 3, 3)
    assert own is not None
    assert (numbers(own), own.numbers["scope"]) == (("5", "6", "3"), "portfolio:3")
    everywhere = risk.open_orders_breach(limits, Exposure(other_orders=6), 4, 1)
    assert everywhere is not None
    assert (numbers(everywhere), everywhere.numbers["scope"]) == (
        ("10", "11", "10"),
        "tier:basic",
    )


@pytest.mark.parametrize(
    ("ages_s", "new", "sent"),
    [
        ([1, 2, 59.9], 1, 10),  # the tenth newest is within the minute: ten are
        ([1, 2, 60], 1, None),  # it has just left the window: nine are, and one more is ten
        ([1, 59, 61], 2, None),  # nine and two would be eleven, but only nine are within: see the next
        ([1, 59, 59.5], 2, 10),
        ([1, 59, 61], 3, 9),
        ([61, 62, 63], 3, None),
        ([], 3, None),
    ],
)
def test_orders_within_a_minute_are_counted_to_the_nanosecond(ages_s: list[float], new: int, sent: int | None) -> None:
    recent = tuple(NOW_NS - int(age * SECOND_NS) for age in ages_s)
    refused = risk.rate_breach(limited(max_orders_per_minute=10), Exposure(recent_ns=recent), new, NOW_NS)
    if ages_s == [1, 59, 61] and new == 2:
        assert numbers(refused) == ("10", "11", "9")
    elif sent is None:
        assert refused is None
    else:
        assert numbers(refused) == ("10", str(sent + new), str(sent))


def test_a_loss_counts_for_the_day_it_was_made_on() -> None:
    limits = limited(max_daily_loss=500)
    lost = Exposure(day_ns=TODAY_NS, day_equity=10_000, equity=9_500)
    assert list(risk.opening_breaches(limits, lost, NOW_NS)) == []
    more = Exposure(day_ns=TODAY_NS, day_equity=10_000, equity=9_499)
    assert [(each.code, *numbers(each)) for each in risk.opening_breaches(limits, more, NOW_NS)] == [
        ("max_daily_loss", "500", "501", "501")
    ]
    yesterday = Exposure(day_ns=TODAY_NS - risk.DAY_NS, day_equity=10_000, equity=5_000)
    assert list(risk.opening_breaches(limits, yesterday, NOW_NS)) == []


def test_a_restricted_instrument_may_be_closed_unless_nobody_may_trade_it() -> None:
    assert risk.ban_breach(Exposure(), True) is None
    assert risk.ban_breach(Exposure(ban=("free", "over")), True) is None
    opening = risk.ban_breach(Exposure(ban=("no_opening", "earnings")), True)
    assert opening is not None
    assert opening.code == "restricted"
    assert "earnings" in opening.reason
    assert risk.ban_breach(Exposure(ban=("no_opening", "earnings")), False) is None
    assert risk.ban_breach(Exposure(ban=("no_trading", "sanctions")), False) is not None


def test_a_list_of_instruments_and_a_tripped_breaker_stop_what_opens() -> None:
    limits = strictest(1, [LimitSet("tier:basic", allows=True), LimitSet("user:7", allows=False)])
    found = list(risk.opening_breaches(limits, Exposure(drawdown_ppm=213_400), NOW_NS))
    assert [(each.code, each.numbers) for each in found] == [
        ("instrument_not_allowed", {"scope": "user:7"}),
        ("drawdown", {"drawdown_ppm": "213400"}),
    ]
    assert "21.3 %" in found[1].reason


SETS = st.lists(
    st.builds(
        LimitSet,
        scope=st.sampled_from(SCOPES),
        **{name: st.none() | st.integers(1, 1000) for name in FIGURES},  # type: ignore[arg-type]
        allows=st.none() | st.booleans(),
    ),
    max_size=4,
    unique_by=lambda each: each.scope,
)


@given(sets=SETS)
def test_the_strictest_of_all_that_apply_counts(sets: list[LimitSet]) -> None:
    limits = strictest(9, sets)
    for name in FIGURES:
        if name in ("max_open_orders", "max_orders_per_minute"):
            kinds = {name: ("portfolio:3", "instrument:5"), name.replace("max_", "max_user_"): ("tier:basic", "user:7")}
        else:
            kinds = {name: SCOPES}
        for figure, scopes in kinds.items():
            named = {each.scope: value for each in sets if each.scope in scopes and (value := getattr(each, name))}
            if named:
                assert getattr(limits, figure) == min(named.values())
                assert named[limits.scopes[figure]] == min(named.values())
            else:
                assert getattr(limits, figure) == (risk.BAND_PPM if figure == "price_band_ppm" else None)
    assert set(limits.not_allowed) == {each.scope for each in sets if each.allows is False}
