"""Which ticks the broker looks at for margin: never one too few."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trading.domain import margin
from trading.domain.instruments import FeeSchedule, Instrument
from trading.domain.margin import REG_T, Holding, Mark
from trading.domain.money import Asset
from trading.market.ticks import QUOTE, TICK, TRADE, Ticks
from trading.services.margin_watch import MarginWatch
from trading.services.ports.broker import MarginAccount

USD = Asset(1, "USD", 2)


def share(number: int) -> Instrument:
    asset, fee = Asset(10 + number, f"SIM:{number}", 0), FeeSchedule(1, 0, 0, 0)
    return Instrument(number, 1, f"S{number}", "SIM", "", asset, USD, Decimal("0.01"), Decimal("1"), 10**9, fee)


def account(portfolio: int, cash: int, lots: dict[int, int], state: str = "met") -> MarginAccount:
    holdings = {number: Holding(share(number), count, REG_T) for number, count in lots.items()}
    return MarginAccount(portfolio, 1, USD.id, 100 + portfolio, cash, state, holdings, {})


def quotes(rows: Sequence[tuple[int, int]]) -> Ticks:
    """A quote a row: instrument and bid; the ask is two ticks above."""
    ticks = np.zeros(len(rows), TICK)
    for at, (number, bid) in enumerate(rows):
        ticks[at]["instrument_id"], ticks[at]["kind"], ticks[at]["seq"] = number, QUOTE, at + 1
        ticks[at]["bid_ticks"], ticks[at]["ask_ticks"] = bid, bid + 2
        ticks[at]["bid_lots"] = ticks[at]["ask_lots"] = 100
    return ticks


def see(watch: MarginWatch, ticks: Ticks) -> None:
    for row in ticks:
        quote = tuple(int(row[name]) for name in ("seq", "ts_ns", "bid_ticks", "ask_ticks", "bid_lots", "ask_lots"))
        watch.seen(int(row["instrument_id"]), quote)


def judged(watch: MarginWatch) -> None:
    for key in list(watch.due):
        watch.looked(key)


def test_nothing_to_watch_takes_all_ticks_at_once() -> None:
    assert MarginWatch().stop(quotes([(1, 100)] * 7), set()) == 7


def test_a_tick_that_may_fill_a_margin_order_is_the_last_of_its_run() -> None:
    assert MarginWatch().stop(quotes([(1, 100), (2, 100), (3, 100)]), {2}) == 2


def test_small_moves_pass_and_the_first_large_one_stops() -> None:
    watch = MarginWatch()
    watch.load([account(1, -500_000, {1: 100})])
    see(watch, quotes([(1, 10_000)]))
    judged(watch)
    # Equity 5,000.00, maintenance 2,500.00: a share of the cushion for 100 lots is some 25.00 a share.
    assert watch.stop(quotes([(1, 9_900), (2, 1), (1, 7_600), (1, 7_400), (1, 7_000)]), set()) == 4
    prints = quotes([(1, 100), (1, 100)])
    prints["kind"] = TRADE
    assert watch.stop(prints, set()) == 2
    assert not watch.due


def test_with_a_call_in_force_every_quote_of_its_instruments_matters() -> None:
    watch = MarginWatch()
    watch.load([account(1, -500_000, {1: 100, 2: -5}, state="call")])
    see(watch, quotes([(1, 10_000), (2, 10_000)]))
    judged(watch)
    assert watch.stop(quotes([(3, 1), (1, 10_000), (2, 10_000)]), set()) == 2
    assert watch.stop(quotes([(3, 1), (2, 10_000)]), set()) == 2


def test_a_side_that_is_empty_keeps_its_last_price() -> None:
    watch = MarginWatch()
    watch.load([account(1, 0, {1: 10})])
    see(watch, quotes([(1, 10_000)]))
    empty = quotes([(1, 0)])
    empty["bid_lots"] = 0
    see(watch, empty)
    assert watch.mark(1) == Mark(10_000, 2)


MOVES = st.lists(st.tuples(st.integers(1, 3), st.integers(1_000, 20_000)), min_size=1, max_size=40)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**7), st.dictionaries(st.integers(1, 3), st.integers(-500, 500).filter(bool), max_size=3)
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(5_000, 15_000),
    MOVES,
)
def test_no_account_is_below_maintenance_between_two_stops(
    rows: list[tuple[int, dict[int, int]]], start: int, moves: list[tuple[int, int]]
) -> None:
    marks = {number: Mark(start, start + 2) for number in (1, 2, 3)}
    accounts = []
    for number, (cushion, lots) in enumerate(rows, 1):
        bare = account(number, 0, lots)
        worth = margin.assess(0, list(bare.holdings.values()), marks)
        assert worth is not None
        bare.cash = cushion - worth.cushion
        accounts.append(bare)
    watch = MarginWatch()
    watch.load(accounts)
    see(watch, quotes([(1, start), (2, start), (3, start)]))
    judged(watch)
    ticks = quotes(moves)
    while len(ticks):
        taken, ticks = ticks[: watch.stop(ticks, set())], ticks[watch.stop(ticks, set()) :]
        for row in taken:
            marks[int(row["instrument_id"])] = Mark(int(row["bid_ticks"]), int(row["ask_ticks"]))
            before = {
                each.portfolio_id: margin.assess(each.cash, list(each.holdings.values()), marks) for each in accounts
            }
            if row["seq"] != taken[-1]["seq"]:
                assert all(worth is not None and worth.cushion >= 0 for worth in before.values())
        see(watch, taken)
        low = {key for key, worth in before.items() if worth is not None and worth.cushion < 0}
        assert low <= {key for key, _ in watch.due}, "an account below maintenance is looked at"
        if low:
            return
        judged(watch)
