"""Real captures, played."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from replayed import BTC, NOW_NS, books_after, played

from trading.adapters.sources import recordings
from trading.market import replay
from trading.market.replay import Recording
from trading.market.ticks import QUOTE, TRADE


@pytest.mark.shared_data
def test_real_quotes_and_trades_are_given_out_as_they_were_stored(shared_data: Path) -> None:
    files = [shared_data / "ticks" / f"BTCUSDT_binance-spot_20240808_{kind}.parquet" for kind in ("bbo", "trades")]
    recording = Recording.of(recordings.read(files, BTC))
    stored = [pd.read_parquet(file).sort_values("recv_ns", kind="stable") for file in files]
    playback = replay.begin(recording, NOW_NS, from_ns=None, speed=100.0, paused=False)
    playback, told = played(recording, playback, *np.arange(0, 7, 0.02))
    assert replay.is_over(recording, playback)
    quoted, traded = (told[(told["kind"] & bit) != 0] for bit in (QUOTE, TRADE))
    assert len(quoted) == len(stored[0])
    np.testing.assert_allclose(quoted["bid_ticks"] * BTC.tick_size, stored[0]["bid"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(quoted["ask_ticks"] * BTC.tick_size, stored[0]["ask"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(traded["trade_ticks"] * BTC.tick_size, stored[1]["price"], rtol=0, atol=1e-6)
    expected = np.where(stored[1]["aggressor"] == "buy", 1, -1)
    assert traded["aggressor"].tolist() == expected.tolist()


@pytest.mark.shared_data
def test_real_single_orders_make_a_book_that_never_crosses(shared_data: Path) -> None:
    ticks = recordings.read([shared_data / "ticks" / "ETHAUD_independentreserve_l3.csv.gz"], BTC)
    best = [(max(bids), min(asks)) for bids, asks in books_after(ticks)]
    assert len(best) > 100
    assert all(bid < ask for bid, ask in best)


@pytest.mark.shared_data
def test_the_best_of_a_real_book_is_the_quote_that_was_recorded_beside_it(shared_data: Path) -> None:
    depth, bbo = (
        shared_data / "ticks" / f"BTCUSDT_binance-spot_20240808_{kind}.parquet" for kind in ("depth_l2", "bbo")
    )
    ticks = recordings.read([depth], BTC)
    books = books_after(ticks)
    best = [(max(bids), min(asks)) for bids, asks in books]
    assert all(bid < ask for bid, ask in best)
    assert all(len(bids) == len(asks) == 10 for bids, asks in books)
    rows = pd.read_parquet(bbo)
    recorded = set(zip(np.rint(rows["bid"] * 100).astype(int), np.rint(rows["ask"] * 100).astype(int), strict=True))
    share = np.mean([pair in recorded for pair in best])
    assert share > 0.99, f"{share:.2%} of the book's best were quoted"
