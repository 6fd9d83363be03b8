"""``make bench``: the compiled core beside its C++ twin, in turns in one run. Ratios count, not absolute figures."""

import ctypes
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.twin import SOURCE
from trading.exchange.compiled.engine import CompiledEngine
from trading.exchange.compiled.layout import BUY, EVENT, INPUT, SELL, Kind, Op
from trading.exchange.compiled.settle import EVENTS_SPARE

Array = np.ndarray[Any, np.dtype[Any]]

ROOT = Path(__file__).parent.parent
INPUTS = 1_000_000
POOL_BITS = 18
EVENTS_MIN = 1 << 16
ROUNDS = 9


def inputs_of(price: Array, side: Array, adds: Array, seed: int) -> Array:
    """Adds at the given prices; the other inputs cancel a random order that was sent a short while before."""
    random, n = np.random.default_rng(seed), len(price)
    rows = np.zeros(n, INPUT)
    rows["seq"] = np.arange(1, n + 1)
    rows["op"] = np.where(adds, int(Op.ADD), int(Op.CANCEL))
    rows["kind"], rows["qty"], rows["owner"] = int(Kind.LIMIT), random.integers(1, 100, n), random.integers(1, 1000, n)
    sent = np.flatnonzero(adds)
    back = np.searchsorted(sent, np.maximum(0, np.arange(n) - random.integers(1, 4_000, n)))
    rows["order_id"] = np.where(adds, rows["seq"], sent[np.minimum(back, len(sent) - 1)] + 1)
    rows["price"], rows["side"] = price, side
    return rows


def mix(seed: int = 1) -> Array:
    """60 % adds, 40 % cancels, round a price that wanders; about a third of the adds trade."""
    random = np.random.default_rng(seed)
    side = random.integers(0, 2, INPUTS)
    mid = 10_000 + np.cumsum(random.integers(-1, 2, INPUTS) * (random.random(INPUTS) < 0.05))
    away = random.geometric(0.08, INPUTS) - 3
    return inputs_of(mid + np.where(side == 0, -away, away), side, random.random(INPUTS) < 0.6, seed)


def crash(seed: int = 2) -> Array:
    """The price falls by 30,000 ticks and comes back, four times; sweeps clear the book on the way."""
    random = np.random.default_rng(seed)
    side = random.integers(0, 2, INPUTS)
    mid = 100_000 - np.abs((np.arange(INPUTS) * 8 * 30_000 // INPUTS) % 60_000 - 30_000)
    away = random.geometric(0.02, INPUTS) - 10
    rows = inputs_of(mid + np.where(side == 0, -away, away), side, random.random(INPUTS) < 0.6, seed)
    sweeps = (rows["op"] == int(Op.ADD)) & (random.random(INPUTS) < 0.05)
    rows["kind"][sweeps], rows["qty"][sweeps], rows["owner"][sweeps] = int(Kind.IOC), 100_000, 0
    rows["price"][sweeps] = mid[sweeps]
    rows["side"][sweeps] = np.where((np.arange(INPUTS) * 8 // INPUTS % 2 == 0)[sweeps], BUY, SELL)
    return rows


def twin(folder: Path) -> Any:
    """Compile the twin and load it."""
    (folder / "twin.cpp").write_text(SOURCE)
    library = folder / "twin.so"
    command = ["g++", "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(folder / "twin.cpp")]
    subprocess.run(command, check=True)
    found = ctypes.CDLL(str(library))
    for name in ("book_new", "book_events"):
        getattr(found, name).restype = ctypes.c_void_p
    for name in ("book_run", "book_taken"):
        getattr(found, name).restype = ctypes.c_int64
    return found


def run_ours(rows: Array, see: Callable[[Array], None]) -> float:
    """Seconds for all inputs; what ``see`` does with the events is not in them."""
    engine = CompiledEngine(orders=1 << POOL_BITS)
    took_s, stream = 0.0, engine.stream(rows)
    while True:
        began_s = time.perf_counter()
        events = next(stream, None)
        took_s += time.perf_counter() - began_s
        if events is None:
            return took_s
        see(events)


def room_of(rows: Array) -> int:
    """Events that the core's own buffer holds in the end, so that the twin gets no smaller and no larger one."""
    engine = CompiledEngine(orders=1 << POOL_BITS)
    most = 0
    for at in range(0, len(rows), 10_000):
        engine.apply(rows[at : at + 10_000])
        most = max(most, engine.n_open)
    return max(EVENTS_MIN, 4 * (2 * most + EVENTS_SPARE))


def run_twin(library: Any, rows: Array, room: int, see: Callable[[Array], None]) -> float:
    """The same for the twin."""
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    book = pointer(library.book_new(number(1 << POOL_BITS), number(POOL_BITS + 1), number(room)))
    buffer = (ctypes.c_char * (room * EVENT.itemsize)).from_address(library.book_events(book))
    events = np.frombuffer(buffer, EVENT)
    took_s, done = 0.0, 0
    while done < len(rows):
        began_s = time.perf_counter()
        done = library.book_run(book, pointer(rows.ctypes.data), number(done), number(len(rows)), number(room))
        taken = library.book_taken(book)
        took_s += time.perf_counter() - began_s
        see(events[:taken])
    library.book_free(book)
    return took_s


def digest_of(run: Callable[[Callable[[Array], None]], float]) -> str:
    """SHA-256 of all events."""
    digest = hashlib.sha256()
    run(lambda events: digest.update(events.tobytes()))
    return digest.hexdigest()


def measure(library: Any, rows: Array) -> tuple[float, float, float]:
    """Millions of inputs a second, ours and the twin's, and the median ratio of rounds run in turns."""
    room = room_of(rows)
    ours_digest = digest_of(lambda see: run_ours(rows, see))
    if ours_digest != digest_of(lambda see: run_twin(library, rows, room, see)):
        sys.exit("the twin's events differ")
    ours, peer = [], []
    for _ in range(ROUNDS):
        ours.append(len(rows) / run_ours(rows, lambda _: None) / 1e6)
        peer.append(len(rows) / run_twin(library, rows, room, lambda _: None) / 1e6)
    ratio = statistics.median(one / other for one, other in zip(ours, peer, strict=True))
    return statistics.median(ours), statistics.median(peer), ratio


def main() -> None:
    """Measure, write ``data/bench/latest.json``, print a table."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        library = twin(Path(folder))
        for name, rows in (("engine_batch_vs_cpp", mix()), ("engine_crash_vs_cpp", crash())):
            ours, peer, ratio = measure(library, rows)
            found.append({"name": name, "ours": round(ours, 2), "peer": round(peer, 2), "ratio": round(ratio, 2),
                          "target": 0.7, "unit": "M inputs/s"})  # fmt: skip
    target = ROOT / "data" / "bench" / "latest.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, indent=2) + "\n")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # noqa: T201
    for row in found:
        print("{name}: {ours} against {peer} {unit}, ratio {ratio} (at least {target})".format(**row))  # noqa: T201


if __name__ == "__main__":
    main()
