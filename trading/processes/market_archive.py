"""Closed simulated bars on their way into the lake: kept in memory, flushed as immutable segments, compacted.

Minutes are flushed every hour, M5 to H1 every four hours, longer bars when they close, everything at the end of the
process; so a day of running adds some 2,800 small files, and a series with more than `SEGMENTS_MAX` of them is
rewritten as one. What is not yet in the lake is part of the process's saved state and of the tail that screens read.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from trading.market.bars import FRAME_NAMES, MINUTE_NS, Bars, no_bars, pack_bars, unpack_bars
from trading.market.profiles import VENUE

if TYPE_CHECKING:
    import pandas as pd

    from trading.services.ports.lake import LakeStore

DATASET = "sim_bars"
FLUSH_NS = {"M1": 3600 * 10**9, "M5": 4 * 3600 * 10**9, "M15": 4 * 3600 * 10**9, "M30": 4 * 3600 * 10**9}
"""How long closed bars of a frame wait before they are flushed; the longer frames wait like M30."""
SEGMENTS_MAX = 24


@dataclass(frozen=True, slots=True)
class Units:
    """What turns ticks and lots of an instrument into prices and quantities."""

    symbol: str
    tick_size: Decimal
    lot_size: Decimal


def series(symbol: str, frame: str) -> str:
    """Name of a simulated series in the lake."""
    return f"{VENUE}/{symbol}/{frame}"


def to_frame(bars: Bars, units: Units) -> "pd.DataFrame":
    """Bars of one instrument and frame as the lake keeps them: ts (start, UTC), open, high, low, close, volume."""
    import pandas as pd  # late: the first tick does not wait for it

    places = max(0, -int(units.tick_size.as_tuple().exponent))
    columns: dict[str, Any] = {"ts": pd.to_datetime(bars["ts_ns"], unit="ns", utc=True).as_unit("ns")}
    for name in ("open", "high", "low", "close"):
        columns[name] = np.round(bars[name] * float(units.tick_size), places)
    columns["volume"] = bars["volume"] * float(units.lot_size)
    return pd.DataFrame(columns)


def write_all(lake: "LakeStore", bars: Bars, units: Mapping[int, Units], made_by: str, *, replace: bool = False) -> int:
    """Write bars of any instruments and frames, one file a series; returns how many files.

    With ``replace`` they take the place of all that the series had.
    """
    files = 0
    for instrument_id, unit in units.items():
        own = bars[bars["instrument_id"] == instrument_id]
        for index, frame in enumerate(FRAME_NAMES):
            part = own[own["frame"] == index]
            if len(part):
                name, rows = series(unit.symbol, frame), to_frame(part, unit)
                lake.write(DATASET, name, rows, meta={"made_by": made_by}, replace=replace)
                files += 1
    return files


def compact(lake: "LakeStore", units: Mapping[int, Units], segments_max: int = SEGMENTS_MAX) -> int:
    """Rewrite every series of more than ``segments_max`` files as one; returns how many series were."""
    counts: dict[str, int] = {}
    for file in lake.files(DATASET):
        counts[file.series] = counts.get(file.series, 0) + 1
    own = {series(unit.symbol, frame) for unit in units.values() for frame in FRAME_NAMES}
    crowded = sorted(name for name, count in counts.items() if count > segments_max and name in own)
    for name in crowded:
        rows = lake.read(DATASET, name).drop_duplicates("ts", keep="last")
        lake.write(DATASET, name, rows, meta={"made_by": "compaction"}, replace=True)
    return len(crowded)


class Pending:
    """Closed bars that are not in the lake yet, in order of closing. Owned by the market's main thread."""

    def __init__(self, bars: Bars | None = None, since_ns: int = 0) -> None:
        self._bars = no_bars() if bars is None else bars
        self._flushed_ns = dict.fromkeys(FRAME_NAMES, since_ns)

    def __len__(self) -> int:
        return len(self._bars)

    def add(self, bars: Bars) -> None:
        """Bars that have closed."""
        if len(bars):
            self._bars = np.concatenate([self._bars, bars])

    def due(self, now_ns: int, *, everything: bool = False) -> Bars:
        """Those that should go to the lake now; they stay pending until `done`."""
        frames = [
            index
            for index, frame in enumerate(FRAME_NAMES)
            if everything or now_ns - self._flushed_ns[frame] >= FLUSH_NS.get(frame, FLUSH_NS["M30"])
        ]
        for index in frames:
            self._flushed_ns[FRAME_NAMES[index]] = now_ns
        return self._bars[np.isin(self._bars["frame"], frames)]

    def soon(self, now_ns: int, wait_s: float = 0.0) -> None:
        """Flush every frame ``wait_s`` from now."""
        longest_ns = max(FLUSH_NS.values())
        self._flushed_ns = dict.fromkeys(FRAME_NAMES, now_ns + int(wait_s * 1e9) - longest_ns)
        self._flushed_ns["M1"] = now_ns + int(wait_s * 1e9) - FLUSH_NS["M1"]

    def done(self, written: Bars) -> None:
        """Forget bars that the lake has."""
        self._bars = self._bars[~np.isin(_keys(self._bars), _keys(written))]

    def packed(self) -> bytes:
        """All of them, for the screens."""
        return pack_bars(self._bars)

    def dump(self) -> str:
        """All of them as text."""
        return base64.b64encode(self.packed()).decode()

    def drop_known(self, in_lake_until_ns: Mapping[tuple[int, int], int]) -> None:
        """Forget what the lake has: a kill may come between a flush and the saving of the state."""
        newer = [
            bar["ts_ns"].item() > in_lake_until_ns.get((bar["instrument_id"].item(), bar["frame"].item()), -1)
            for bar in self._bars
        ]
        self._bars = self._bars[np.array(newer, dtype=bool)]

    @classmethod
    def load(cls, saved: str, since_ns: int) -> "Pending":
        """Out of `dump`."""
        return cls(unpack_bars(base64.b64decode(saved)), since_ns)


def in_lake_until_ns(newest: Mapping[str, int], units: Mapping[int, Units]) -> dict[tuple[int, int], int]:
    """Start of the newest bar in the lake for each (instrument id, frame index), out of that of each series."""
    return {
        (instrument_id, index): newest[name]
        for instrument_id, unit in units.items()
        for index, frame in enumerate(FRAME_NAMES)
        if (name := series(unit.symbol, frame)) in newest
    }


def _keys(bars: Bars) -> Any:
    """One whole number a bar: instrument, minute of its start, frame."""
    minute = bars["ts_ns"] // MINUTE_NS
    return (bars["instrument_id"].astype(np.int64) << 32) | (minute << 3) | bars["frame"].astype(np.int64)
