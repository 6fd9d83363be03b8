"""Delays of orders: what a setting means, and that a command keeps its delay."""

import pytest

from trading.domain.errors import Invalid
from trading.exchange.draws import draw_unit
from trading.exchange.latency import DELAY_MS_MAX, Latency, parse_latency

MS = 1_000_000


def test_none_and_fixed_are_the_same_for_every_command() -> None:
    assert {parse_latency("none", 5).delay_ns(n) for n in range(50)} == {0}
    assert {parse_latency("fixed:12.5").delay_ns(n) for n in range(50)} == {12_500_000}


def test_a_lognormal_has_the_median_and_the_99th_percentile_it_was_given() -> None:
    drawn = sorted(parse_latency("lognormal:20,200", seed=3).delay_ns(n) for n in range(20_000))
    assert drawn[0] > 0
    assert drawn[10_000] == pytest.approx(20 * MS, rel=0.05)
    assert drawn[19_800] == pytest.approx(200 * MS, rel=0.10)


def test_a_delay_belongs_to_seed_and_command_and_to_nothing_else() -> None:
    delays = [Latency(5, 50, seed=1).delay_ns(n) for n in range(100)]
    assert [Latency(5, 50, seed=1).delay_ns(n) for n in reversed(range(100))] == delays[::-1]
    assert [Latency(5, 50, seed=2).delay_ns(n) for n in range(100)] != delays
    assert len(set(delays)) == 100


def test_no_delay_is_longer_than_a_minute() -> None:
    wild = Latency(1, DELAY_MS_MAX, seed=1)
    assert max(wild.delay_ns(n) for n in range(5000)) == DELAY_MS_MAX * MS


def test_draws_are_inside_the_unit_interval_and_do_not_run_into_each_other() -> None:
    drawn = [draw_unit(1, "a", n) for n in range(1000)]
    assert all(0.0 < u < 1.0 for u in drawn)
    assert sum(drawn) / 1000 == pytest.approx(0.5, abs=0.03)
    assert draw_unit(1, 23) != draw_unit(12, 3)


WRONG = "some none:1 fixed fixed: fixed:-1 fixed:1,2 fixed:x fixed:nan lognormal:1 lognormal:2,1 lognormal:0,1"


@pytest.mark.parametrize("text", ["", *WRONG.split(), "lognormal:1,inf", "lognormal:1,2,3"])
def test_a_setting_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_latency(text)
    assert refused.value.code == "bad_latency"
