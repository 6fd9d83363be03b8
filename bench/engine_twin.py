"""The compiled core in batches beside a C++ twin of the same algorithm: engine_batch_vs_cpp.

The twin (`bench.twin`) has the same structures, events and size of buffers and is compiled here with g++ -O3
-march=native. It does limit and IOC orders and cancels of one symbol; it has no outside quotes, triggers, expiries,
halts, post-only or growth, whose checks the core pays for. All its events are compared with ours before anything is
measured. Both get the rows of a flow as one array and hand out runs of events; the figure is of the flow, of the two,
in which we stand worse. The first tenth of a run is not timed: memory is touched for the first time there.
"""

import ctypes
import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.flows import POOL_BITS, Array, crash, engine, mix
from bench.measure import Figures, Row, at_least, in_turns, scaled, worse
from bench.twin import SOURCE
from trading.exchange.compiled.layout import EVENT
from trading.exchange.compiled.settle import EVENTS_SPARE

INPUTS = 1_000_000
EVENTS_MIN = 1 << 16
ROUNDS = 9
WANTED = 0.7


def run(folder: Path) -> list[Row]:
    """Measure both flows."""
    library = compiled(folder)
    found = [measured(library, flow(scaled(INPUTS))) for flow in (mix, crash)]
    return [at_least("engine_batch_vs_cpp", *worse(found), WANTED, "M inputs/s")]


def measured(library: Any, rows: Array) -> Figures:
    """Ours, the twin's, the ratio. Raises RuntimeError where the events differ."""
    room = room_of(rows)
    if digest_of(lambda see: run_ours(rows, see)) != digest_of(lambda see: run_twin(library, rows, room, see)):
        raise RuntimeError("the twin's events differ")
    return in_turns(
        ROUNDS, lambda: run_ours(rows, lambda _: None), lambda: run_twin(library, rows, room, lambda _: None)
    )


def compiled(folder: Path) -> Any:
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
    """Millions of inputs a second, without what ``see`` does with the events and without the first tenth."""
    running, warm = engine(), len(rows) // 10
    _seconds(running.stream(rows[:warm]), see)
    return (len(rows) - warm) / _seconds(running.stream(rows[warm:]), see) / 1e6


def _seconds(stream: Iterator[Array], see: Callable[[Array], None]) -> float:
    took_s = 0.0
    while True:
        began_s = time.perf_counter()
        events = next(stream, None)
        took_s += time.perf_counter() - began_s
        if events is None:
            return took_s
        see(events)


def room_of(rows: Array) -> int:
    """Events that the core's own buffer holds in the end, so that the twin gets no smaller and no larger one."""
    running, most = engine(), 0
    for at in range(0, len(rows), 10_000):
        running.apply(rows[at : at + 10_000])
        most = max(most, running.n_open)
    return max(EVENTS_MIN, 4 * (2 * most + EVENTS_SPARE))


def run_twin(library: Any, rows: Array, room: int, see: Callable[[Array], None]) -> float:
    """The same for the twin."""
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    book = pointer(library.book_new(number(1 << POOL_BITS), number(POOL_BITS + 1), number(room)))
    buffer = (ctypes.c_char * (room * EVENT.itemsize)).from_address(library.book_events(book))
    events = np.frombuffer(memoryview(buffer), EVENT)
    took_s, done, warm = 0.0, 0, len(rows) // 10
    for end in (warm, len(rows)):
        took_s = 0.0
        while done < end:
            began_s = time.perf_counter()
            done = library.book_run(book, pointer(rows.ctypes.data), number(done), number(end), number(room))
            taken = library.book_taken(book)
            took_s += time.perf_counter() - began_s
            see(events[:taken])
    library.book_free(book)
    return (len(rows) - warm) / took_s / 1e6


def digest_of(go: Callable[[Callable[[Array], None]], float]) -> str:
    """SHA-256 of all events."""
    digest = hashlib.sha256()
    go(lambda events: digest.update(events.tobytes()))
    return digest.hexdigest()
