"""History as records of the tape, and played: the same records in the same order, whatever the clock and the speed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replayed import NOW_NS, SECOND_NS, Levels, books_after, played

from trading.adapters.sources import recordings
from trading.domain.errors import Invalid
from trading.market import replay
from trading.market.bar_table import FileRefused
from trading.market.bars import MINUTE_NS, bars_of_ticks
from trading.market.recordings import Target, merged, with_books
from trading.market.replay import Recording
from trading.market.ticks import DEPTH, GAP, MORE, OPENED, QUOTE, RESET, TICK, TRADE, Ticks

START_NS = 1_700_000_000 * SECOND_NS
TARGET = Target(7, tick_size=0.01, lot_size=0.001, spread_ticks=4, size_lots=50)
CONTENT = [name for name in TICK.names or () if name not in ("ts_ns", "kind", "seq")]


def quotes(*seconds: float) -> Ticks:
    """Quotes at these seconds, each bid one tick above the one before."""
    count = len(seconds)
    ticks = TARGET.quotes(
        START_NS + (np.array(seconds) * SECOND_NS).astype(np.int64),
        100 + 0.01 * np.arange(count),
        100.02 + 0.01 * np.arange(count),
        np.full(count, 0.5),
        np.full(count, 0.25),
    )
    return ticks


def at(seconds: float) -> int:
    return NOW_NS + int(seconds * SECOND_NS)


# Playing ------------------------------------------------------------------------------------------------------------


def test_records_come_at_their_distance_and_the_tape_carries_the_time_of_publishing() -> None:
    recording = Recording.of(quotes(0, 1, 1.5, 4))
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=1.0, paused=False)
    playback, first = played(recording, playback, 0)
    assert first["kind"].tolist() == [QUOTE | GAP | OPENED]
    playback, then = played(recording, playback, 0.5, 1.6, 2, 3.9, 4)
    assert ((then["ts_ns"] - NOW_NS) / SECOND_NS).tolist() == [1, 1.5, 4]
    assert then["kind"].tolist() == [QUOTE] * 3
    assert then["bid_ticks"].tolist() == [10001, 10002, 10003]
    assert replay.is_over(recording, playback)
    assert len(played(recording, playback, 5)[1]) == 0


def test_a_pause_holds_everything_and_going_on_is_no_gap() -> None:
    recording = Recording.of(quotes(0, 1, 2, 3))
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=1.0, paused=False)
    playback, _ = played(recording, playback, 1.5)
    playback = replay.pause(recording, playback, at(1.5))
    playback, none = played(recording, playback, 2, 50)
    assert len(none) == 0
    assert replay.position_ns(recording, playback, at(50)) == START_NS + int(1.5 * SECOND_NS)
    playback = replay.play(recording, playback, at(100))
    playback, rest = played(recording, playback, 100.4, 100.5, 101.5)
    assert ((rest["ts_ns"] - NOW_NS) / SECOND_NS).tolist() == [100.5, 101.5]
    assert not (rest["kind"] & GAP).any()


def test_the_speed_can_change_at_any_time() -> None:
    recording = Recording.of(quotes(*range(100)))
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=10.0, paused=False)
    playback, first = played(recording, playback, 1)
    assert len(first) == 11
    playback = replay.at_speed(recording, playback, 0.5, at(1))
    playback, slow = played(recording, playback, 3, 5)
    assert ((slow["ts_ns"] - NOW_NS) / SECOND_NS).tolist() == [3, 5]
    playback = replay.at_speed(recording, playback, 1000, at(5))
    playback, rest = played(recording, playback, 5.2)
    assert len(rest) == 87
    for speed in (0, -1, 1e9, float("nan")):
        with pytest.raises(Invalid):
            replay.at_speed(recording, playback, speed, at(6))


def test_a_seek_is_a_gap_that_begins_with_the_quote_that_holds_there() -> None:
    recording = Recording.of(quotes(0, 10, 20, 30))
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=1.0, paused=False)
    playback, _ = played(recording, playback, 1)
    playback, there = played(recording, replay.seek(recording, playback, START_NS + 25 * SECOND_NS, at(2)), 2, 7)
    assert there["bid_ticks"].tolist() == [10002, 10003]
    assert there["kind"].tolist() == [QUOTE | GAP | OPENED, QUOTE]
    assert ((there["ts_ns"] - NOW_NS) / SECOND_NS).tolist() == [2, 7]
    back = replay.seek(recording, playback, START_NS, at(8))
    back, again = played(recording, back, 8)
    assert (again["bid_ticks"].tolist(), again["kind"].tolist()) == ([10000], [QUOTE | GAP | OPENED])
    for outside_s in (-1, 31):
        with pytest.raises(Invalid):
            replay.seek(recording, back, START_NS + outside_s * SECOND_NS, at(9))


def test_more_than_can_be_taken_at_once_is_played_later_and_never_torn() -> None:
    count = replay.DUE_MAX + 10
    ticks = quotes(*([0] * count + [1]))
    recording = Recording.of(ticks)
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=1.0, paused=False)
    playback, first = played(recording, playback, 5)
    assert len(first) == count, "all of one moment"
    assert replay.position_ns(recording, playback, at(5)) == START_NS, "the replay is behind its speed"
    playback, rest = played(recording, playback, 5.5, 6)
    assert len(rest) == 1


@given(data=st.data())
def test_however_it_is_played_the_records_are_those_stored_in_their_order(data: st.DataObject) -> None:
    gaps_s = data.draw(st.lists(st.sampled_from([0.0, 0.001, 0.5, 3.0, 60.0]), min_size=1, max_size=60))
    ticks = quotes(*np.cumsum(gaps_s))
    recording = Recording.of(ticks)
    now_ns = NOW_NS
    playback = replay.begin(recording, now_ns, from_ns=None, speed=1.0, paused=data.draw(st.booleans()))
    parts = [ticks[:0]]
    for _ in range(data.draw(st.integers(0, 20))):
        now_ns += data.draw(st.integers(0, 20 * SECOND_NS))
        match data.draw(st.sampled_from(["advance", "pause", "play", "speed"])):
            case "pause":
                playback = replay.pause(recording, playback, now_ns)
            case "play":
                playback = replay.play(recording, playback, now_ns)
            case "speed":
                playback = replay.at_speed(recording, playback, data.draw(st.floats(0.01, 1000)), now_ns)
        playback, some = replay.advance(recording, playback, now_ns)
        assert (some["ts_ns"] <= now_ns).all()
        parts.append(some)
    playback = replay.play(recording, replay.at_speed(recording, playback, 1000, now_ns), now_ns)
    parts.append(replay.advance(recording, playback, now_ns + 100 * SECOND_NS)[1])
    given_out = np.concatenate(parts)
    assert given_out[CONTENT].tolist() == ticks[CONTENT].tolist()
    assert (np.diff(given_out["ts_ns"]) >= 0).all(), "time does not go back on the tape"
    assert (given_out["kind"] & GAP).tolist() == [GAP] + [0] * (len(ticks) - 1)


def test_records_that_go_back_in_time_or_are_none_are_refused() -> None:
    for ticks in (quotes(), quotes(1, 0)):
        with pytest.raises(Invalid):
            Recording.of(ticks)


# Books --------------------------------------------------------------------------------------------------------------


def capture(seconds: int = 8, levels: int = 30, seed: int = 4) -> pd.DataFrame:
    """Updates of a book around 100, ten a second, as a capture has them: snapshot, then new totals."""
    random = np.random.default_rng(seed)
    rows = [
        (0, 0.0, "snapshot", side, round(100 + sign * 0.01 * (place + 1), 2), 1.0 + place)
        for side, sign in (("bid", -1), ("ask", 1))
        for place in range(levels)
    ]
    for number in range(1, seconds * 10):
        for _ in range(3):
            side, sign = ("bid", -1) if random.random() < 0.5 else ("ask", 1)
            price = round(100 + sign * 0.01 * int(random.integers(1, levels)), 2)
            rows.append((number, number / 10, "update", side, price, float(random.choice([0.0, 0.5, 2.0]))))
    frame = pd.DataFrame(rows, columns=["seq", "at_s", "type", "side", "price", "size"])
    ids = {"first_id": frame["seq"], "last_id": frame["seq"], "prev_id": frame["seq"] - 1}
    return frame.assign(recv_ns=START_NS + (frame["at_s"] * SECOND_NS).astype("int64"), **ids)


def plain_books(frame: pd.DataFrame, target: Target) -> list[tuple[Levels, Levels]]:
    """The ten best levels of each side after each update, by sorting everything every time."""
    sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    found = []
    for _, rows in frame.groupby("seq"):
        for row in rows.itertuples():
            sides[row.side][row.price] = row.size
        best = [
            {round(price / target.tick_size): round(sides[side][price] / target.lot_size) for price in prices[:10]}
            for side, reverse in (("bid", True), ("ask", False))
            for prices in [sorted((p for p, size in sides[side].items() if size > 0), reverse=reverse)]
        ]
        found.append((best[0], best[1]))
    return found


def book_recording(frame: pd.DataFrame, folder: Path, target: Target = TARGET) -> Ticks:
    path = folder / "XYZ_depth.parquet"
    frame.drop(columns="at_s").to_parquet(path)
    return recordings.read([path], target)


def test_updates_of_a_book_become_its_ten_best_levels_and_quotes_of_the_best(tmp_path: Path) -> None:
    frame = capture()
    ticks = book_recording(frame, tmp_path)
    expected = plain_books(frame, TARGET)
    last = {}
    for record_book, ts_ns in zip(books_after(ticks), ends(ticks), strict=True):
        last[ts_ns] = record_book
    current = last[START_NS]
    for number, book in enumerate(expected):
        current = last.get(START_NS + int(number / 10 * SECOND_NS), current)
        assert current == book
    quoted = ticks[(ticks["kind"] & QUOTE) != 0]
    assert quoted["bid_ticks"][0] == 9999
    assert (np.diff(np.flatnonzero(ticks["kind"] & RESET)) > 0).all()
    resets_ns = ticks["ts_ns"][(ticks["kind"] & RESET) != 0]
    assert (np.diff(resets_ns) <= 1.1 * SECOND_NS).all(), "told whole every second"


def ends(ticks: Ticks) -> list[int]:
    """Times of whole updates of depth."""
    kind = ticks["kind"]
    return ticks["ts_ns"][((kind & DEPTH) != 0) & ((kind & MORE) == 0)].tolist()


def test_a_book_keeps_its_updates_whole_among_trades_of_the_same_moment(tmp_path: Path) -> None:
    depth = book_recording(capture(), tmp_path)
    stamps = np.unique(depth["ts_ns"])
    ones = np.ones(len(stamps))
    prints = TARGET.trades(stamps, 100 * ones, ones, np.zeros(len(stamps), dtype=np.int64))
    ticks = merged([depth, prints])
    assert len(ticks) == len(depth) + len(prints)
    assert not (ticks["kind"][np.flatnonzero(ticks["kind"] & MORE) + 1] & TRADE).any()
    assert books_after(ticks) == books_after(depth)


def level_recording(folder: Path, *rows: tuple[int, int, str, str, float, float, int]) -> Ticks:
    """(seq, time, type, side, price, size, id); an id that skips one is a gap."""
    frame = pd.DataFrame(rows, columns=["seq", "recv_ns", "type", "side", "price", "size", "last_id"])
    frame.assign(first_id=frame["last_id"], prev_id=-1).to_parquet(folder / "XYZ.parquet")
    return recordings.read([folder / "XYZ.parquet"], TARGET)


def test_where_updates_are_missing_the_book_is_empty_until_the_next_snapshot(tmp_path: Path) -> None:
    ticks = level_recording(
        tmp_path,
        (1, START_NS, "snapshot", "bid", 99.99, 1.0, 10),
        (1, START_NS, "snapshot", "ask", 100.01, 1.0, 10),
        (2, START_NS + 1, "update", "bid", 99.98, 1.0, 15),
        (3, START_NS + 2, "update", "bid", 99.97, 1.0, 16),
        (4, START_NS + 3, "snapshot", "bid", 99.95, 1.0, 20),
        (5, START_NS + 4, "update", "ask", 100.05, 1.0, 21),
    )
    assert books_after(ticks) == [
        ({9999: 1000}, {10001: 1000}), ({}, {}), ({9995: 1000}, {}), ({9995: 1000}, {10005: 1000}),
    ]  # fmt: skip
    assert ticks["bid_ticks"][(ticks["kind"] & QUOTE) != 0].tolist() == [9999, 0, 9995, 9995]


def test_single_orders_add_up_to_levels(tmp_path: Path) -> None:
    path = tmp_path / "XYZ_l3.csv.gz"
    rows = [
        ("1700000000.5", "2023-11-14T22:13:20Z", "snapshot", "bid", "a", "99.90", "1.5", ""),
        ("1700000000.5", "2023-11-14T22:13:20Z", "snapshot", "bid", "b", "99.90", "0.5", ""),
        ("1700000000.5", "2023-11-14T22:13:20Z", "snapshot", "ask", "c", "100.10", "2", ""),
        ("1700000001.5", "1700000001000", "new", "ask", "d", "100.05", "1", "7"),
        ("1700000002.5", "1700000002000", "change", "bid", "a", "", "0.25", "8"),
        ("1700000003.5", "1700000003000", "cancel", "ask", "d", "", "", "9"),
    ]
    names = ["recv_s", "exch_time", "type", "side", "order_id", "price", "size", "nonce"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    found = books_after(recordings.read([path], TARGET))
    assert found[0] == ({9990: 2000}, {10010: 2000})
    assert ({9990: 2000}, {10005: 1000, 10010: 2000}) in found
    assert found[-1] == ({9990: 750}, {10010: 2000})


def test_updates_heard_before_the_snapshot_count_only_where_they_are_newer(tmp_path: Path) -> None:
    ticks = level_recording(
        tmp_path,
        (1, START_NS - 2, "update", "bid", 99.99, 7.0, 9),
        (2, START_NS - 1, "update", "bid", 99.98, 8.0, 11),
        (3, START_NS, "snapshot", "bid", 99.99, 1.0, 10),
        (3, START_NS, "snapshot", "ask", 100.01, 2.0, 10),
        (4, START_NS + 5, "update", "ask", 100.01, 0.0, 12),
    )
    assert books_after(ticks) == [
        ({9999: 1000}, {10001: 2000}),
        ({9999: 1000, 9998: 8000}, {10001: 2000}),
        ({9999: 1000, 9998: 8000}, {}),
    ]
    assert ticks["ts_ns"].min() == START_NS


@pytest.mark.parametrize("offset_s", [0.0, 0.05, 3.35, 7.5])
def test_after_a_seek_the_whole_book_is_told_first(tmp_path: Path, offset_s: float) -> None:
    recording = Recording.of(book_recording(capture(), tmp_path))
    to_ns = START_NS + int(offset_s * SECOND_NS)
    playback = replay.begin(recording, NOW_NS, from_ns=to_ns, speed=1.0, paused=False)
    playback, told = played(recording, playback, 0)
    past = recording.ticks[: playback.at]
    assert books_after(told)[-1] == books_after(past)[-1]
    assert told["kind"][0] & GAP
    assert not told["kind"][0] & DEPTH, "engines read gap and session before any level"
    first_depth = told["kind"][(told["kind"] & DEPTH) != 0][0]
    assert first_depth & RESET


def test_a_slow_replay_tells_the_whole_book_every_second_all_the_same(tmp_path: Path) -> None:
    recording = Recording.of(book_recording(capture(), tmp_path))
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=0.01, paused=False)
    playback, told = played(recording, playback, *np.arange(0, 30, 0.25))
    resets_ns = np.unique(told["ts_ns"][(told["kind"] & RESET) != 0])
    assert len(resets_ns) >= 29
    assert books_after(told)[-1] == books_after(recording.ticks[: playback.at])[-1]
    assert not (told["kind"][1:] & GAP).any()


def test_quotes_alone_are_told_as_books_of_one_level_too() -> None:
    both = TARGET.quotes(
        START_NS + np.arange(3), np.array([1.0, 1.1, np.nan]), np.array([1.2, 1.3, 1.4]), np.ones(3), np.ones(3)
    )
    prints = TARGET.trades(START_NS + np.arange(3), np.full(3, 1.1), np.ones(3), np.zeros(3, dtype=np.int64))
    ticks = with_books(merged([both, prints]))
    assert ticks["kind"].tolist() == [DEPTH | RESET, QUOTE, TRADE] * 3
    assert books_after(ticks) == [({100: 1000}, {120: 1000}), ({110: 1000}, {130: 1000}), ({}, {140: 1000})]
    assert with_books(ticks) is ticks


def test_the_wait_for_the_next_record_goes_by_the_speed() -> None:
    recording = Recording.of(quotes(0, 10))
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=4.0, paused=False)
    assert replay.wait_ns(recording, playback, at(0)) == 0
    playback, _ = played(recording, playback, 0)
    assert replay.wait_ns(recording, playback, at(0.5)) == 2 * SECOND_NS
    assert replay.wait_ns(recording, replay.pause(recording, playback, at(1)), at(1)) is None
    playback, _ = played(recording, playback, 3)
    assert replay.wait_ns(recording, playback, at(3)) is None


# Files --------------------------------------------------------------------------------------------------------------


def bars_file(folder: Path, **columns: list[float]) -> Path:
    path = folder / "ABC.csv"
    stamps = pd.date_range("2024-03-01T10:00Z", periods=len(columns["close"]), freq="1min")
    pd.DataFrame({"ts": stamps.strftime("%Y-%m-%dT%H:%M:%SZ"), **columns}).to_csv(path, index=False)
    return path


def test_a_bar_is_played_as_open_the_nearer_end_the_other_close_with_quotes_around(tmp_path: Path) -> None:
    path = bars_file(
        tmp_path,
        open=[10.0, 11.0], high=[10.2, 12.0], low=[9.0, 10.9], close=[9.5, 11.5], volume=[0.103, 0.002],
    )  # fmt: skip
    ticks = recordings.read([path], TARGET)
    assert ticks["trade_ticks"].tolist() == [1000, 1020, 900, 950, 1100, 1090, 1200, 1150]
    assert ticks["trade_lots"].tolist() == [25, 25, 25, 28, 1, 1, 1, 1]
    assert ((ticks["ts_ns"] - ticks["ts_ns"][0]) / SECOND_NS).tolist() == [0, 15, 30, 45, 60, 75, 90, 105]
    assert (ticks["kind"] == QUOTE | TRADE).all()
    assert (ticks["ask_ticks"] - ticks["bid_ticks"] == TARGET.spread_ticks).all()
    assert (ticks["bid_ticks"] <= ticks["trade_ticks"]).all()
    assert (ticks["trade_ticks"] <= ticks["ask_ticks"]).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_bars_of_replayed_bars_are_the_bars(seed: int) -> None:
    random = np.random.default_rng(seed)
    open_, close = random.integers(50, 200, (2, 40))
    high, low = (
        np.maximum(open_, close) + random.integers(0, 9, 40),
        np.minimum(open_, close) - random.integers(0, 9, 40),
    )
    starts = START_NS // MINUTE_NS * MINUTE_NS + np.cumsum(random.integers(1, 4, 40)) * MINUTE_NS
    prices = {"open": open_, "high": high, "low": low, "close": close}
    lots = random.integers(4, 99, 40)
    ticks = TARGET.bars(starts, MINUTE_NS, {name: values / 100 for name, values in prices.items()}, lots / 1000)
    ticks["seq"] = np.arange(1, len(ticks) + 1)
    bars = bars_of_ticks(ticks, "M1")
    for name, values in (*prices.items(), ("ts_ns", starts), ("volume", lots)):
        assert bars[name].tolist() == values.tolist(), name


def test_bars_of_quotes_become_quotes_in_the_order_of_their_bid(tmp_path: Path) -> None:
    columns = {f"{side}_{name}": [price + plus] for side, plus in (("bid", 0.0), ("ask", 0.05))
               for name, price in (("open", 10.0), ("high", 10.5), ("low", 9.9), ("close", 10.4))}  # fmt: skip
    path = tmp_path / "ABC_quote.csv"
    pd.DataFrame({"ts": ["2024-03-01T10:00:00Z"], **columns}).to_csv(path, index=False)
    ticks = recordings.read([path], TARGET)
    assert ticks["bid_ticks"].tolist() == [1000, 990, 1050, 1040]
    assert ticks["ask_ticks"].tolist() == [1005, 995, 1055, 1045]
    assert (ticks["kind"] == QUOTE).all()
    assert (ticks["bid_lots"] == TARGET.size_lots).all()


def test_prices_off_the_grid_make_no_quote_better_and_no_size_vanishes() -> None:
    ticks = TARGET.quotes(
        np.array([1, 2, 3]),
        np.array([100.019, 57000.01, np.nan]),
        np.array([100.021, 57000.03, 7.0]),
        np.array([0.0001, 1.0, 1.0]),
        np.array([0.0029, 0.0, 2.0]),
    )
    assert ticks["bid_ticks"].tolist() == [10001, 5700001, 0]
    assert ticks["ask_ticks"].tolist() == [10003, 0, 700]
    assert ticks["bid_lots"].tolist() == [1, 1000, 0]
    assert ticks["ask_lots"].tolist() == [2, 0, 2000]


def test_quotes_and_trades_of_several_files_are_one_recording_by_time(tmp_path: Path) -> None:
    stamps = START_NS + np.array([3, 1, 2]) * SECOND_NS
    pd.DataFrame({"recv_ns": stamps, "bid": [3.0, 1.0, 2.0], "ask": [3.1, 1.1, 2.1]}).to_parquet(tmp_path / "q.parquet")
    pd.DataFrame(
        {"ts_ns": stamps + 1, "price": [3.1, 1.0, 2.0], "size": [1.0, 0.0, 0.5], "aggressor": ["buy", "buy", "sell"]}
    ).to_parquet(tmp_path / "t.parquet")
    ticks = recordings.read([tmp_path / "q.parquet", tmp_path / "t.parquet"], TARGET)
    assert ticks["kind"].tolist() == [QUOTE, QUOTE, TRADE, QUOTE, TRADE]
    assert ticks["bid_ticks"].tolist() == [100, 200, 0, 300, 0]
    assert ticks["aggressor"].tolist() == [0, 0, -1, 0, 1]


def test_files_that_cannot_be_replayed_are_refused_by_name(tmp_path: Path) -> None:
    def refused(name: str, **columns: list[object]) -> str:
        pd.DataFrame(columns).to_parquet(tmp_path / name)
        with pytest.raises(FileRefused) as refusal:
            recordings.read([tmp_path / name], TARGET)
        return refusal.value.code

    assert refused("a.parquet", price=[1.0], size=[1.0]) == "no_date_column"
    assert refused("b.parquet", ts_ns=[1], side=["bid"], price=[1.0], size=[1.0]) == "not_a_capture"
    ids = {name: [1] for name in ("seq", "recv_ns", "first_id", "last_id", "prev_id")}
    assert refused("c.parquet", side=["bid"], price=[1.0], size=[1.0], type=["update"], **ids) == "no_snapshot"
    assert refused("d.parquet", ts=["nonsense"], bid=[1.0], ask=[1.0]) == "bad_date"
    assert refused("e.parquet", ts=["2024-01-01"], x=[1.0]) == "no_price_columns"
    two = {name: [1.0, 1.0] for name in ("open", "high", "low", "close")}
    assert refused("f.parquet", symbol=["A", "B"], ts=["2024-01-01", "2024-01-02"], **two) == "many_symbols"
    with pytest.raises(FileRefused):
        recordings.read([tmp_path / "none.csv"], TARGET)
