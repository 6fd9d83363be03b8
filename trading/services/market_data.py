"""What screens and strategies read of the simulated market: instruments, quotes, bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from threading import Lock

import numpy as np
import pandas as pd

from trading.domain.errors import Invalid, NotFound
from trading.domain.instruments import Instrument
from trading.market.adjust import Split, across, split_adjusted
from trading.market.bars import FRAME_NAMES, FRAMES, MINUTE_NS, Bars, unpack_bars
from trading.market.profiles import VENUE
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.actions import BookedSplit

EVERYONE = dict.fromkeys(Role, Reach.NO_PORTFOLIO)
STALE_S = 3.0
"""A quote older than this is shown as stale."""
DATASET = "sim_bars"
BARS_MAX = 5_000
SERIES_KEPT = 256
"""Series in memory at most, of some 0.3 MB."""
COLUMNS = ("ts", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Quote:
    """The newest quote of an instrument; prices and sizes are None where there is none. ``age_s`` counts to now."""

    instrument_id: int
    symbol: str
    name: str
    venue: str
    bid: Decimal | None
    ask: Decimal | None
    bid_size: Decimal | None
    ask_size: Decimal | None
    ts_ns: int | None
    age_s: float | None
    stale: bool


@operation(EVERYONE)
def instrument_list(floor: Floor, actor: Actor) -> Sequence[Instrument]:
    """Tradable instruments in their current version, by symbol."""
    return floor.desk.instruments(VENUE)


@operation(EVERYONE)
def quotes(floor: Floor, actor: Actor) -> list[Quote]:
    """The newest quote of each instrument, by symbol; one without a quote is stale."""
    now_ns, last = floor.clock.now_ns(), floor.bus.last_ticks()
    found = []
    for instrument in floor.desk.instruments(VENUE):
        ticks = last.get(instrument.id)
        if ticks is None or len(ticks) == 0:
            empty = (None, None, None, None, None, None)
            found.append(Quote(instrument.id, instrument.symbol, instrument.name, instrument.venue, *empty, True))
            continue
        tick = ticks[-1]
        bid_lots, ask_lots, ts_ns = int(tick["bid_lots"]), int(tick["ask_lots"]), int(tick["ts_ns"])
        age_s = max(0.0, (now_ns - ts_ns) / 1e9)
        found.append(
            Quote(
                instrument.id,
                instrument.symbol,
                instrument.name,
                instrument.venue,
                instrument.price(int(tick["bid_ticks"])) if bid_lots else None,
                instrument.price(int(tick["ask_ticks"])) if ask_lots else None,
                instrument.quantity(bid_lots),
                instrument.quantity(ask_lots),
                ts_ns,
                age_s,
                age_s > STALE_S,
            )
        )
    return found


@operation(EVERYONE)
def splits(floor: Floor, actor: Actor) -> dict[str, list[Split]]:
    """Splits that were booked, oldest first, by symbol of the simulated venue."""
    instruments, rows = floor.desk.instruments(VENUE), floor.actions.splits()
    found = {instrument.symbol: _splits_of(instrument, rows) for instrument in instruments}
    return {symbol: own for symbol, own in found.items() if own}


def _splits_of(instrument: Instrument, rows: Sequence[BookedSplit]) -> list[Split]:
    return [
        Split(
            row.asked_ts_ns,
            row.applied_ts_ns,
            Fraction(row.numerator, row.denominator),
            float(instrument.price(row.reference_ticks)),
        )
        for row in rows
        if row.instrument_id == instrument.id
    ]


@operation(EVERYONE)
def sim_bars(
    floor: Floor, actor: Actor, symbol: str, timeframe: str, limit: int = 500, *, adjust: bool = False
) -> pd.DataFrame:
    """The newest ``limit`` bars of a simulated instrument, the forming one included, oldest first.

    Columns ts (start of the bar, UTC), open, high, low, close in currency and volume in units, floats for display.
    As traded; with ``adjust`` in shares as they are now (see `trading.market.adjust.split_adjusted`): for screens,
    never for fills. Bars that are not in the lake yet come from the market process; without it, or without Redis, the
    newest are missing. Raises `NotFound` for an unknown symbol and `Invalid` with code ``bad_timeframe`` or
    ``bad_limit``.
    """
    if timeframe not in FRAME_NAMES:
        raise Invalid(f"a timeframe is one of {', '.join(FRAME_NAMES)}", "bad_timeframe")
    if not 0 < limit <= BARS_MAX:
        raise Invalid(f"between 1 and {BARS_MAX} bars can be asked for", "bad_limit")
    instrument = next((each for each in floor.desk.instruments(VENUE) if each.symbol == symbol), None)
    if instrument is None:
        raise NotFound(f"no instrument {symbol[:40]!r} on {VENUE}")
    # The tail first: bars that move into the lake while this reads are then seen twice, never missed.
    tail = np.concatenate([unpack_bars(packed) for packed in floor.bus.get_bars()])
    bars = (
        _joined(_kept(floor, _series(instrument, timeframe)), _live(tail, instrument, timeframe))
        .tail(limit)
        .reset_index(drop=True)
    )
    if not adjust:
        return bars
    booked, length_ns = _splits_of(instrument, floor.actions.splits()), FRAMES[timeframe] * MINUTE_NS
    spans = [
        (start, start + pd.Timedelta(length_ns, "ns"))
        for split in booked
        for start in bars["ts"][across(bars, split, length_ns)]
    ]
    minutes = _minutes(floor, instrument, tail, spans) if timeframe != "M1" and spans else None
    return split_adjusted(bars, booked, length_ns, minutes)


def _series(instrument: Instrument, timeframe: str) -> str:
    return f"{VENUE}/{instrument.symbol}/{timeframe}"


def _joined(kept: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    frame = pd.concat([kept, live], ignore_index=True) if len(kept) else live
    return frame.drop_duplicates("ts", keep="last").sort_values("ts")


_Span = tuple[pd.Timestamp, pd.Timestamp]


def _minutes(floor: Floor, instrument: Instrument, tail: Bars, spans: Sequence[_Span]) -> pd.DataFrame:
    """M1 bars, as traded, of some times."""
    live = _live(tail, instrument, "M1")
    parts = []
    for first, end in spans:
        found = _joined(_kept(floor, _series(instrument, "M1"), (first, end)), live)
        parts.append(found[(found["ts"] >= first) & (found["ts"] < end)])
    return pd.concat(parts, ignore_index=True).drop_duplicates("ts")


_series_by_content: dict[tuple[object, ...], pd.DataFrame] = {}
_series_lock = Lock()


def _kept(floor: Floor, series: str, span: _Span | None = None) -> pd.DataFrame:
    """The newest rows of a series in the lake, or those from a time to another; not to be changed.

    A chart asks every few seconds while the lake changes every hour, so what was read is kept by the hashes of the
    files it came from: equal hashes are equal rows, whichever floor asks.
    """
    key = (series, span, *(file.sha256 for file in floor.lake.files(DATASET, series)))
    found = _series_by_content.get(key)
    if found is None:
        rows = floor.lake.read(DATASET, series)
        if len(rows) and span is not None:
            rows = rows[(rows["ts"] >= span[0]) & (rows["ts"] < span[1])]
        found = rows[list(COLUMNS)].tail(BARS_MAX).reset_index(drop=True) if len(rows) else pd.DataFrame()
        with _series_lock:
            while len(_series_by_content) >= SERIES_KEPT:
                _series_by_content.pop(next(iter(_series_by_content)))
            _series_by_content[key] = found
    return found


def _live(tail: Bars, instrument: Instrument, timeframe: str) -> pd.DataFrame:
    """An instrument's bars of a timeframe out of what the market process has of all of them."""
    of_frame = tail["frame"] == FRAME_NAMES.index(timeframe)
    bars = tail[of_frame & (tail["instrument_id"] == instrument.id)]
    frame = pd.DataFrame({"ts": pd.to_datetime(bars["ts_ns"], unit="ns", utc=True).as_unit("ns")})
    places = max(0, -int(instrument.tick_size.as_tuple().exponent))
    for name in ("open", "high", "low", "close"):
        frame[name] = np.round(bars[name] * float(instrument.tick_size), places)
    frame["volume"] = bars["volume"] * float(instrument.lot_size)
    return frame
