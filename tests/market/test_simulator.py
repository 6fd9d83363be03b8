"""The simulated venue: its tape is what its engine's book shows, deterministic, and shaped by the profiles."""

import hashlib
import json
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from trading.market.profiles import PROFILES
from trading.market.simulator import Simulator
from trading.market.ticks import CLOSED, DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TICK, TRADE, Ticks

START_NS = 1_750_000_000 * 10**9
STEP_NS = 100_000_000
Book = dict[int, tuple[dict[int, int], dict[int, int]]]


def simulator(seed: int = 7, count: int = len(PROFILES), **settings: object) -> Simulator:
    settings.setdefault("start_ns", START_NS)
    return Simulator(range(1, count + 1), PROFILES[:count], seed=seed, **settings)  # type: ignore[arg-type]


def run(own: Simulator, steps: int, step_ns: int = STEP_NS) -> Ticks:
    parts = [np.empty(0, dtype=TICK)]
    parts += [own.advance(own.prices.ts_ns + step_ns) for _ in range(steps)]
    return np.concatenate(parts)


def digest(ticks: Ticks) -> str:
    return hashlib.sha256(ticks.tobytes()).hexdigest()


def replayed(books: Book, ticks: Ticks) -> Book:
    """Depth records applied as any reader of the tape would; the books after them."""
    for tick in ticks[(ticks["kind"] & DEPTH) != 0]:
        sides = books.setdefault(int(tick["instrument_id"]), ({}, {}))
        if tick["kind"] & RESET:
            sides[0].clear()
            sides[1].clear()
        for book, name in zip(sides, ("bid", "ask"), strict=True):
            price, lots = int(tick[f"{name}_ticks"]), int(tick[f"{name}_lots"])
            if lots > 0:
                book[price] = lots
            elif lots == 0:
                del book[price]
    return books


@pytest.fixture(scope="module")
def minutes() -> tuple[Simulator, Ticks]:
    """Three minutes of every instrument, from the first record on."""
    own = simulator(seed=5)
    return own, run(own, 1_800)


def test_the_same_seed_and_times_give_the_same_bytes_and_another_seed_does_not() -> None:
    runs = [digest(run(simulator(seed), 200)) for seed in (7, 7, 8)]
    assert runs[0] == runs[1] != runs[2]


def test_a_saved_state_goes_on_to_the_same_bytes() -> None:
    own, loaded = simulator(), simulator(start_ns=1)
    run(own, 200)
    loaded.load(json.loads(json.dumps(own.dump())))
    assert digest(run(own, 200)) == digest(run(loaded, 200))


def test_depth_on_the_tape_is_the_depth_of_the_book() -> None:
    own, books = simulator(seed=3, count=13), Book()
    for _ in range(30):
        replayed(books, run(own, 20))
        orders = own._engine.open_orders()
        for place in range(13):
            for side in (0, 1):
                rows = orders[(orders["symbol"] == place) & (orders["side"] == side)]
                prices = np.unique(rows["price"])[:: 1 if side else -1][:10]
                shown = {int(price): int(rows["qty"][rows["price"] == price].sum()) for price in prices}
                assert books[place + 1][side] == shown
                assert len(shown) == 10


def test_records_are_well_formed(minutes: tuple[Simulator, Ticks]) -> None:
    _, ticks = minutes
    assert (np.diff(ticks["ts_ns"]) >= 0).all(), "in order of time, over the steps too"
    kinds = ticks["kind"] & (QUOTE | TRADE | DEPTH | OPENED | CLOSED)
    assert set(kinds.tolist()) == {QUOTE, TRADE, DEPTH}, "each thing is a record of its own"
    quotes = ticks[(ticks["kind"] & QUOTE) != 0]
    assert (quotes["bid_ticks"] < quotes["ask_ticks"]).all()
    assert (quotes["bid_ticks"] >= 1).all()
    assert (quotes["bid_lots"] >= 1).all()
    assert (quotes["ask_lots"] >= 1).all()
    trades = ticks[(ticks["kind"] & TRADE) != 0]
    assert set(trades["aggressor"].tolist()) == {1, -1}
    assert (trades["trade_lots"] >= 1).all()
    assert not ticks["trade_lots"][(ticks["kind"] & TRADE) == 0].any()
    assert not ticks["seq"].any(), "numbers come with publishing"


def test_an_update_ends_with_the_quote_that_its_depth_shows(minutes: tuple[Simulator, Ticks]) -> None:
    _, ticks = minutes
    own = ticks[ticks["instrument_id"] == 1]
    books = Book()
    more, ts_ns = False, own["ts_ns"][0]
    for tick in own:
        if more:
            assert tick["kind"] & DEPTH, "an update is not torn apart"
            assert tick["ts_ns"] == ts_ns
        more, ts_ns = bool(tick["kind"] & MORE), tick["ts_ns"]
        replayed(books, np.array([tick], dtype=TICK))
        if tick["kind"] & QUOTE:
            bids, asks = books[1]
            assert (max(bids), bids[max(bids)]) == (tick["bid_ticks"], tick["bid_lots"])
            assert (min(asks), asks[min(asks)]) == (tick["ask_ticks"], tick["ask_lots"])
    assert not more


def test_trades_happen_at_prices_that_were_shown(minutes: tuple[Simulator, Ticks]) -> None:
    _, ticks = minutes
    books, outside, count = Book(), 0, 0
    for tick in ticks[ticks["instrument_id"] == 9]:
        replayed(books, np.array([tick], dtype=TICK))
        if tick["kind"] & TRADE:
            bids, asks = books[9]
            count += 1
            outside += int(tick["trade_ticks"]) not in (asks if tick["aggressor"] == 1 else bids)
    assert count > 100
    # A maker who follows the fair price through somebody's order trades at a price that was not shown for his side.
    assert outside < 0.1 * count


def test_the_first_step_shows_every_instrument_at_its_profile_price() -> None:
    ticks = simulator().advance(START_NS + 1)
    quotes = ticks[(ticks["kind"] & QUOTE) != 0]
    assert sorted(quotes["instrument_id"]) == list(range(1, len(PROFILES) + 1))
    for tick in quotes:
        profile = PROFILES[tick["instrument_id"] - 1]
        assert tick["bid_ticks"] <= profile.start_ticks <= tick["ask_ticks"]
    assert ((ticks["kind"] & RESET) != 0).sum() == len(PROFILES)


def test_a_time_that_is_not_later_changes_nothing() -> None:
    own = simulator(count=3)
    run(own, 10)
    before = own.dump()
    for ts_ns in (own.prices.ts_ns, own.prices.ts_ns - 1):
        assert len(own.advance(ts_ns)) == 0
    assert own.dump() == before


def test_each_instrument_shows_its_whole_depth_at_least_every_second(minutes: tuple[Simulator, Ticks]) -> None:
    _, ticks = minutes
    for instrument_id in range(1, len(PROFILES) + 1):
        shown = ticks[(ticks["instrument_id"] == instrument_id) & ((ticks["kind"] & RESET) != 0)]["ts_ns"]
        assert np.diff(shown).max() <= 10**9 + STEP_NS


def test_rate_spread_size_and_volume_are_those_asked_for(minutes: tuple[Simulator, Ticks]) -> None:
    own, ticks = minutes
    seconds = 1_800 * STEP_NS / 1e9
    updates = np.unique(ticks[["instrument_id", "ts_ns"]])
    assert len(updates) / len(PROFILES) / seconds == pytest.approx(4, rel=0.15)
    spreads, sizes, volumes = [], [], []
    for instrument_id, profile in enumerate(PROFILES, 1):
        mine = ticks[ticks["instrument_id"] == instrument_id]
        quotes = mine[(mine["kind"] & QUOTE) != 0]
        spreads.append(np.median(quotes["ask_ticks"] - quotes["bid_ticks"]) / profile.spread_ticks)
        sizes.append(np.median(quotes["bid_lots"]) / profile.size_lots)
        volumes.append(mine["trade_lots"].sum() / seconds / own.listed.volume_per_s[instrument_id - 1])
    assert min(spreads) >= 0.5
    assert max(spreads) <= 2
    assert np.median(spreads) == pytest.approx(1, abs=0.15)
    assert 0.7 < np.median(sizes) < 1.6
    assert np.median(volumes) == pytest.approx(1, abs=0.25)


def test_the_middle_of_the_quotes_follows_the_fair_price(minutes: tuple[Simulator, Ticks]) -> None:
    own, ticks = minutes
    fair = own.model.ticks(own.prices.log_price)
    for instrument_id, profile in enumerate(PROFILES, 1):
        last = ticks[(ticks["instrument_id"] == instrument_id) & ((ticks["kind"] & QUOTE) != 0)][-1]
        middle = (last["bid_ticks"] + last["ask_ticks"]) / 2
        usual = profile.daily_volatility * profile.start_ticks * np.sqrt(1 / 86_400)
        assert abs(middle - fair[instrument_id - 1]) < 3 * profile.spread_ticks + 6 * usual, profile.symbol


def test_what_one_has_bought_another_has_sold() -> None:
    own = simulator(seed=9, count=13, ticks_per_s=50)
    run(own, 500, 20_000_000)
    assert own._crowd.position.any(axis=1).all()
    assert own._crowd.position.sum(axis=1).tolist() == [0] * 13


@pytest.mark.parametrize("way", [1, -1])
def test_makers_who_hold_much_quote_so_that_they_get_rid_of_it(way: int) -> None:
    flat, full = simulator(seed=9, count=13), simulator(seed=9, count=13)
    for own in (flat, full):
        run(own, 5)
    full._crowd.position[:, :3] += (way * 4 * full.size_lots[:, None]).astype(np.int64)
    for own in (flat, full):
        run(own, 20)
    moved = (full._crowd.bid - flat._crowd.bid) * -way
    wide = np.array([profile.spread_ticks > 2 for profile in PROFILES[:13]])
    assert (moved[wide] > 0).all(), "lower where they are long, higher where they are short"


def test_takers_go_on_in_their_direction(minutes: tuple[Simulator, Ticks]) -> None:
    _, ticks = minutes
    found = []
    for instrument_id in range(1, len(PROFILES) + 1):
        trades = ticks[(ticks["instrument_id"] == instrument_id) & ((ticks["kind"] & TRADE) != 0)]
        signs = trades["aggressor"].astype(float)
        found.append(np.corrcoef(signs[:-1], signs[1:])[0, 1])
    assert np.mean(found) > 0.1


def test_what_may_be_missing_is_marked_once_and_followed_by_the_whole_depth() -> None:
    own = simulator()
    run(own, 10)
    own.move_to(own.prices)
    after = own.advance(own.prices.ts_ns + STEP_NS)
    marked = after[(after["kind"] & GAP) != 0]
    assert sorted(marked["instrument_id"]) == list(range(1, len(PROFILES) + 1))
    assert ((after["kind"] & RESET) != 0).sum() == len(PROFILES)
    for instrument_id in marked["instrument_id"]:
        assert after[after["instrument_id"] == instrument_id][0]["kind"] & GAP, "the first record"
    assert ((run(own, 20)["kind"] & GAP) == 0).all()


def test_an_instrument_that_is_new_since_the_save_starts_at_its_profile_price() -> None:
    fewer, more = simulator(count=2), simulator(count=3)
    run(fewer, 100)
    more.load(json.loads(json.dumps(fewer.dump())))
    assert (more.prices.log_price[:2] == fewer.prices.log_price).all()
    assert np.exp(more.prices.log_price[2]) == pytest.approx(float(PROFILES[2].start_price))
    ticks = more.advance(more.prices.ts_ns + STEP_NS)
    assert ((ticks["kind"] & RESET) != 0).sum() == 3


def test_prices_of_a_state_of_the_first_version_are_kept() -> None:
    own = simulator(count=3)
    rows = {"AAPL": [6.0, 0.1, 0.0, 77], "MSFT": [3.3, -0.1, 0.0, 99]}
    own.load({"v": 1, "step": 12, "ts_ns": START_NS, "lost": False, "instruments": rows})
    assert own.prices.log_price[:2].tolist() == [6.0, 3.3]
    quotes = own.advance(START_NS + STEP_NS)
    first = quotes[(quotes["instrument_id"] == 1) & ((quotes["kind"] & QUOTE) != 0)][0]
    assert first["bid_ticks"] == pytest.approx(np.exp(6.0) * 100, rel=1e-3)


def test_books_that_cannot_be_taken_back_are_quoted_anew() -> None:
    own, other = simulator(count=3), simulator(count=3)
    run(own, 50)
    saved = {**own.dump(), "engine": "AAAA"}
    other.load(saved)
    ticks = other.advance(other.prices.ts_ns + STEP_NS)
    assert ((ticks["kind"] & RESET) != 0).sum() == 3
    assert (other.prices.log_price != 0).all()


def test_by_real_hours_a_stock_closes_and_opens_with_a_gap_in_price_and_bitcoin_never_does() -> None:
    zone = ZoneInfo("America/New_York")
    close_ns, open_ns = (
        int(datetime(2026, 11, day, hour, minute, tzinfo=zone).timestamp()) * 10**9
        for day, hour, minute in ((20, 16, 0), (23, 9, 30))
    )
    own = simulator(count=13, hours="real", start_ns=close_ns - 5 * 10**9)
    before = run(own, 49)
    at_close = run(own, 1)
    marks = at_close[(at_close["kind"] & CLOSED) != 0]
    assert sorted(marks["instrument_id"]) == list(range(1, 9)), "the stocks, not the currencies nor the crypto"
    assert not run(own, 100)["instrument_id"].min() < 9
    own.advance(open_ns - 10 * 10**9)
    quiet = run(own, 99)
    assert set(quiet["instrument_id"].tolist()) == set(range(9, 14)), "the FX week began on Sunday evening"
    opening = run(own, 1)
    stock = opening[opening["instrument_id"] == 1]
    assert stock["kind"][0] == OPENED
    assert stock["kind"][1] == DEPTH | RESET | MORE
    assert stock["kind"][-1] == QUOTE
    last = before[(before["instrument_id"] == 1) & ((before["kind"] & QUOTE) != 0)][-1]
    assert stock["bid_ticks"][-1] != last["bid_ticks"]
    assert not (before["kind"] & (OPENED | CLOSED)).any()


def test_a_market_that_is_closed_when_the_venue_starts_says_so_and_opens_later() -> None:
    open_ns = int(datetime(2026, 11, 23, 9, 30, tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9
    own = simulator(count=3, hours="real", start_ns=open_ns - 10**9)
    own.lost[:] = True
    assert run(own, 9)["kind"].tolist() == [CLOSED | GAP] * 3
    opening = run(own, 1)
    for instrument_id in (1, 2, 3):
        assert opening[opening["instrument_id"] == instrument_id]["kind"][0] == OPENED


@pytest.mark.parametrize("wrong", [{"ticks_per_s": 0}, {"speed": -1.0}])
def test_a_rate_or_speed_that_is_not_positive_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        simulator(count=2, **wrong)
