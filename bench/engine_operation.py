"""The time of single operations inside compiled code: engine_op_p99_ns, beside the C++ twin measured the same way.

A compiled loop calls the core's entry point, or the twin's, with one row at a time and reads the processor's cycle
counter before and after, fenced so that nothing else is under way; the counter's own cost (the median of a million
pairs of readings with nothing between) is taken off. A cycle is worth what the counter gains over a stretch of the
monotonic clock. The rows are those of the two flows, p99 is of both together. Events are taken out after each thousand
rows, and one row of a thousand goes in by way of Python, so that the core may grow: neither is timed. Needs x86-64.
"""

import ctypes
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from bench.engine_twin import compiled, room_of
from bench.flows import POOL_BITS, Array, crash, engine, mix
from bench.measure import Row, scaled
from trading.exchange.compiled import kernel

INPUTS = 500_000
CHUNK = 1_000
ROUNDS = 3
WANTED_NS = 500


@intrinsic
def cycles(_context: Any) -> Any:
    """The processor's cycle counter, read when everything before has been done."""

    def generate(_c: Any, builder: Any, _s: Any, _args: Any) -> Any:
        void, word = ir.FunctionType(ir.VoidType(), []), ir.FunctionType(ir.IntType(64), [])
        fence = builder.module.declare_intrinsic("llvm.x86.sse2.lfence", (), void)
        builder.call(fence, [])
        read = builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", (), word), [])
        builder.call(fence, [])
        return read

    return types.uint64(), generate


@njit
def _one_reading() -> int:
    return cycles()


@njit
def _nothing(taken: Array) -> None:
    for at in range(len(taken)):
        before = cycles()
        taken[at] = cycles() - before


@njit
def _ours(core: int, inputs: int, first: int, last: int, taken: Array) -> int:
    for at in range(first, last):
        before = cycles()
        done = kernel.run(core, inputs, at, at + 1)
        taken[at] = cycles() - before
        if done == at:
            return at
    return last


def run(folder: Path) -> list[Row]:
    """Measure both; the median of the rounds."""
    library, flows = compiled(folder), (mix(scaled(INPUTS)), crash(scaled(INPUTS)))
    loop, rooms = loop_of(library), [room_of(rows) for rows in flows]
    empty = np.zeros(1_000_000, np.uint64)
    _nothing(empty[:1])
    _nothing(empty)
    cost, cycle_ns = float(np.median(empty)), ns_of_a_cycle()
    ours, peer = [], []
    for _ in range(ROUNDS):
        mine = np.concatenate([our_cycles(rows) for rows in flows])
        others = np.concatenate([twin_cycles(library, loop, *pair) for pair in zip(flows, rooms, strict=True)])
        ours.append((float(np.percentile(mine, 99)) - cost) * cycle_ns)
        peer.append((float(np.percentile(others, 99)) - cost) * cycle_ns)
    p99_ns, peer_ns = statistics.median(ours), statistics.median(peer)
    met = p99_ns <= WANTED_NS
    return [Row("engine_op_p99_ns", p99_ns, peer_ns, p99_ns / peer_ns, WANTED_NS, "ns", met, f"ours <= {WANTED_NS}")]


def ns_of_a_cycle(over_s: float = 0.2) -> float:
    """What one count of the cycle counter is worth."""
    _one_reading()
    began_ns, first = time.perf_counter_ns(), _one_reading()
    time.sleep(over_s)
    ended_ns, last = time.perf_counter_ns(), _one_reading()
    return (ended_ns - began_ns) / (last - first)


def our_cycles(rows: Array) -> Array:
    """Cycles of each input of a flow that the compiled loop ran."""
    running, taken, at = engine(), np.zeros(len(rows), np.uint64), 0
    while at < len(rows):
        running.apply(rows[at : at + 1])
        at = _ours(running._address, rows.ctypes.data, at + 1, min(at + CHUNK, len(rows)), taken)
    return taken[taken > 0]


def loop_of(library: Any) -> Any:
    """The compiled loop round the twin's entry point."""
    book_run, number = library.book_run, ctypes.c_int64
    book_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, number, number, number]

    @njit
    def loop(book: int, inputs: int, first: int, last: int, room: int, taken: Array) -> None:
        for at in range(first, last):
            before = cycles()
            book_run(book, inputs, at, at + 1, room)
            taken[at] = cycles() - before

    return loop


def twin_cycles(library: Any, loop: Any, rows: Array, room: int) -> Array:
    """The same for the twin."""
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    book = library.book_new(number(1 << POOL_BITS), number(POOL_BITS + 1), number(room))
    taken = np.zeros(len(rows), np.uint64)
    for at in range(0, len(rows), CHUNK):
        loop(book, rows.ctypes.data, at, min(at + CHUNK, len(rows)), room, taken)
        library.book_taken(pointer(book))
    library.book_free(pointer(book))
    return taken
