"""The state of the compiled engine as bytes, and what must hold before compiled code may read such bytes.

Canonical: open orders in priority order, levels best first, owners sorted, and never the memory they lie in. So equal
states give equal bytes, whatever way they were reached.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading.exchange.compiled.layout import (
    CORE_REV,
    NO_LIMIT,
    OPEN_ORDER,
    PPM,
    PRICE_MAX,
    QTY_MAX,
    SELL,
    SHOWN_ROW,
    UNSET,
    Kind,
    Model,
    Trigger,
    Where,
)

Array = np.ndarray[Any, np.dtype[Any]]

_MAGIC: Final = b"TFCORE\x00\x02"
# magic, revision, then what `Head` names
_HEAD: Final = struct.Struct("<8s11q")
SAVED_SYMBOL: Final = np.dtype(
    [
        ("received_ns", "<i8"),
        ("last", "<i8"),
        ("fresh", "<i4"),
        ("outside", "<i4"),
        ("closed", "u1"),
        ("halted", "u1"),
        ("traded", "u1"),
        ("gapped", "u1"),
        ("unused", "u1", (4,)),
    ]
)
SYMBOL_FIELDS: Final = tuple(name for name in SAVED_SYMBOL.names or () if name != "unused")
_FLAGS: Final = ("fresh", "outside", "closed", "halted", "traded", "gapped")


@dataclass(frozen=True)
class Head:
    """Numbers of a state. ``waits`` and ``floor_halted`` are 0 or 1."""

    model: int
    seq: int
    event_seq: int
    now_ns: int
    waits: int
    floor_halted: int
    n_symbols: int
    n_shown: int
    n_owners: int
    n_orders: int


@dataclass(frozen=True)
class State:
    """All there is: the numbers, a `SAVED_SYMBOL` a symbol, `SHOWN_ROW` rows, halted owners, `OPEN_ORDER` rows."""

    head: Head
    symbols: Array
    shown: Array
    owners: Array
    orders: Array


def packed(state: State) -> bytes:
    """A state as bytes."""
    head = state.head
    numbers = (head.model, head.seq, head.event_seq, head.now_ns, head.waits, head.floor_halted)
    counts = (head.n_symbols, head.n_shown, head.n_owners, head.n_orders)
    parts = (state.symbols, state.shown, state.owners, state.orders)
    return _HEAD.pack(_MAGIC, CORE_REV, *numbers, *counts) + b"".join(part.tobytes() for part in parts)


def unpacked(data: bytes) -> State:
    """Inverse of `packed`. Raises ValueError for damaged bytes or another revision of the core."""
    if len(data) < _HEAD.size or data[:7] != _MAGIC[:7]:
        raise ValueError("not a state of the compiled engine")
    _, revision, *numbers = _HEAD.unpack_from(data)
    if revision != CORE_REV or data[:8] != _MAGIC:
        raise ValueError(f"state of core revision {revision}, this is {CORE_REV}")
    head = Head(*numbers)
    kinds = (SAVED_SYMBOL, SHOWN_ROW, np.dtype(np.int64), OPEN_ORDER)
    counts = (head.n_symbols, head.n_shown, head.n_owners, head.n_orders)
    sizes = [kind.itemsize * count for kind, count in zip(kinds, counts, strict=True)]
    if min(counts) < 0 or len(data) != _HEAD.size + sum(sizes):
        raise ValueError("the state is cut or damaged")
    parts, at = [], _HEAD.size
    for kind, count, size in zip(kinds, counts, sizes, strict=True):
        parts.append(np.frombuffer(data, kind, count, at))
        at += size
    state = State(head, *parts)
    _check(state)
    return state


def _check(state: State) -> None:
    """Compiled code trusts what it is given, so a damaged state must not reach it. Raises ValueError."""
    head, symbols = state.head, state.symbols
    if head.model not in tuple(Model) or head.waits not in (0, 1) or head.floor_halted not in (0, 1):
        raise ValueError("the state has an impossible head")
    if any((symbols[name] > 1).any() or (symbols[name] < 0).any() for name in _FLAGS):
        raise ValueError("the state holds an impossible symbol")
    if (np.abs(symbols["last"]) > PRICE_MAX).any():
        raise ValueError("the state holds an impossible price")
    if (np.diff(state.owners) <= 0).any() or (state.owners == 0).any():
        raise ValueError("the state holds halted owners in no order")
    shown = state.shown
    good = (shown["number"] >= 0) & (shown["number"] < 2 * head.n_symbols) & (np.abs(shown["price"]) <= PRICE_MAX)
    good &= (shown["shown"] > 0) & (shown["shown"] <= QTY_MAX) & (shown["left"] >= 0)
    if not (good & (shown["left"] <= shown["shown"])).all():
        raise ValueError("the state holds an impossible level")
    _check_orders(state.orders, head)


def _check_orders(orders: Array, head: Head) -> None:
    where, kind, trigger = orders["where"], orders["kind"], orders["trigger"]
    held, armed = where == Where.HELD, (trigger != Trigger.NONE) & (orders["latched"] == 0)
    trails = trigger > Trigger.STOP
    sign = 1 - 2 * orders["side"].astype(np.int64)
    stop_max = np.where(trails, 2 * PRICE_MAX, PRICE_MAX)
    unset = trails & (orders["mark"] == sign * UNSET) & (orders["stop"] == sign * UNSET)
    good = (
        (orders["symbol"] >= 0)
        & (orders["symbol"] < head.n_symbols)
        & (orders["side"] <= SELL)
        & (kind >= min(Kind))
        & (kind <= max(Kind))
        & (where <= Where.HELD)
        & (trigger <= max(Trigger))
        & (orders["latched"] <= (trigger != Trigger.NONE))
        & (orders["order_id"] > 0)
        & np.where(held, orders["qty"] == 0, (orders["qty"] > 0) & (orders["qty"] <= QTY_MAX))
        & (orders["planned"] >= held)
        & (orders["planned"] <= QTY_MAX)
        & (np.abs(orders["price"]) <= np.where(kind == Kind.MARKET, NO_LIMIT, PRICE_MAX))
        & ((where != Where.BOOK) | (kind == Kind.LIMIT) | (kind == Kind.POST_ONLY))
        & np.where(where == Where.PENDING, armed, held | ~armed)
        & (unset | ((np.abs(orders["stop"]) <= stop_max) & (np.abs(orders["mark"]) <= PRICE_MAX)))
        & np.where(trails, orders["trail"] >= 1, orders["trail"] == 0)
        & (orders["trail"] <= np.where(trigger == Trigger.TRAIL_PPM, PPM - 1, PRICE_MAX))
        & (orders["arrival"] >= 0)
        & (orders["arrival"] <= head.event_seq)
        & (orders["ahead"] >= -1)
        & (orders["ahead"] <= QTY_MAX)
    )
    if not good.all() or len(np.unique(orders["order_id"])) != len(orders):
        raise ValueError("the state holds an impossible order")
    _check_links(orders)


def _check_links(orders: Array) -> None:
    """Siblings name each other; a leg names the entry that names it or its sibling; all of one owner and symbol."""
    names = ("sibling_id", "entry_id", "leg_id")
    linked = orders[(orders["sibling_id"] != 0) | (orders["entry_id"] != 0) | (orders["leg_id"] != 0)]
    by_id: dict[int, dict[str, int]] = {
        int(row["order_id"]): {name: int(row[name]) for name in (*names, "owner", "symbol")} for row in linked
    }
    for order_id, row in by_id.items():
        others = [by_id.get(row[name]) for name in names if row[name]]
        whole = row["owner"] != 0 and all(
            other is not None and (other["owner"], other["symbol"]) == (row["owner"], row["symbol"]) for other in others
        )
        if whole and row["sibling_id"]:
            whole = row["sibling_id"] != order_id and by_id[row["sibling_id"]]["sibling_id"] == order_id
        if whole and row["leg_id"]:
            whole = by_id[row["leg_id"]]["entry_id"] == order_id and row["entry_id"] == 0
        if whole and row["entry_id"]:
            whole = by_id[row["entry_id"]]["leg_id"] in (order_id, row["sibling_id"])
        if not whole:
            raise ValueError("the state holds an order with an impossible link")
