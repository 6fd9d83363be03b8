"""Records and words at an address, for compiled code: nothing here is an array, so nothing is reference-counted.

Handing arrays to helpers inside a hot loop makes numba count references, which costs many times the work itself.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import from_dtype, njit, types
from numba.extending import intrinsic

from trading.exchange.compiled import layout

F = TypeVar("F", bound=Callable[..., Any])


# As numba wants them spelt; the helpers are annotated with plain `int`, which these are. A plain constant handed over
# has a type of its own in numba, and the helper is compiled anew for it; an `int64` has not.
int64: Callable[[Any], int] = np.int64  # type: ignore[assignment]
uint64: Any = np.uint64


# Helpers are called by compiled code only: ways in from Python and C would be a tenth of the time to compile.
_INSIDE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: F) -> F:
    """A small helper of the core, inlined where it is called: left to itself LLVM inlines too little."""
    done: F = njit(forceinline=True, **_INSIDE)(function)
    return done


def compiled_apart(function: F) -> F:
    """A helper of the core that is called, for what is large or rare: that keeps the first start short.

    Said in so many words, for what an inlined helper calls is inlined with it otherwise.
    """
    done: F = njit(forceinline=False, **_INSIDE)(function)
    return done


def _records(dtype: np.dtype[Any]) -> Any:
    record, size = from_dtype(dtype), dtype.itemsize

    def at(_context: Any, _base: Any, _index: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            offset = builder.mul(args[1], ir.Constant(args[1].type, size))
            return builder.inttoptr(builder.add(args[0], offset), context.get_value_type(record))

        return record(types.int64, types.int64), generate

    return intrinsic(at)


core_at = _records(layout.CORE)
input_at = _records(layout.INPUT)
event_at = _records(layout.EVENT)
open_order_at = _records(layout.OPEN_ORDER)
shown_row_at = _records(layout.SHOWN_ROW)
order_at = _records(layout.ORDER)
cold_at = _records(layout.COLD)
level_at = _records(layout.LEVEL)
far_at = _records(layout.FAR)
shown_at = _records(layout.SHOWN)
side_at = _records(layout.SIDE)
symbol_at = _records(layout.SYMBOL)
index_at = _records(layout.INDEX)


def _place(builder: Any, address: Any, index: Any, bits: int) -> Any:
    offset = builder.mul(index, ir.Constant(index.type, bits // 8))
    return builder.inttoptr(builder.add(address, offset), ir.IntType(bits).as_pointer())


@intrinsic  # type: ignore[misc, untyped-decorator, unused-ignore]
def word_at(_context: Any, _base: Any, _index: Any) -> Any:
    """The 64-bit word number ``index`` from ``base``."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.load(_place(builder, args[0], args[1], 64))

    return types.uint64(types.int64, types.int64), generate


@intrinsic  # type: ignore[misc, untyped-decorator, unused-ignore]
def put_word(_context: Any, _base: Any, _index: Any, _value: Any) -> Any:
    """Write the 64-bit word number ``index`` from ``base``."""

    def generate(context: Any, builder: Any, _s: Any, args: Any) -> Any:
        builder.store(args[2], _place(builder, args[0], args[1], 64))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.uint64), generate


@intrinsic  # type: ignore[misc, untyped-decorator, unused-ignore]
def slot_at(_context: Any, _base: Any, _index: Any) -> Any:
    """The 32-bit slot number ``index`` from ``base``."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.sext(builder.load(_place(builder, args[0], args[1], 32)), ir.IntType(64))

    return types.int64(types.int64, types.int64), generate


@intrinsic  # type: ignore[misc, untyped-decorator, unused-ignore]
def put_slot(_context: Any, _base: Any, _index: Any, _value: Any) -> Any:
    """Write the 32-bit slot number ``index`` from ``base``."""

    def generate(context: Any, builder: Any, _s: Any, args: Any) -> Any:
        builder.store(builder.trunc(args[2], ir.IntType(32)), _place(builder, args[0], args[1], 32))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[misc, untyped-decorator, unused-ignore]
def lowest_bit(_context: Any, _word: Any) -> Any:
    """Number of the lowest bit that is set; the word is not 0."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[misc, untyped-decorator, unused-ignore]
def highest_bit(_context: Any, _word: Any) -> Any:
    """Number of the highest bit that is set; the word is not 0."""

    def generate(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.sub(ir.Constant(ir.IntType(64), 63), builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1)))

    return types.int64(types.uint64), generate
