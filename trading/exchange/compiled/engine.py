"""The compiled engine for Python: batches in, events out, one order a call, and the state as a value."""

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from trading.exchange.compiled import kernel
from trading.exchange.compiled.layout import (
    BITS_STRIDE,
    COLD,
    CORE,
    CORE_FIELDS,
    EVENT,
    FAR,
    INDEX,
    INPUT,
    LEVEL,
    NO_LIMIT,
    OPEN_ORDER,
    ORDER,
    SELL,
    SHOWN,
    SHOWN_ROW,
    SIDE,
    SYMBOL,
    WINDOW,
    Flag,
    Kind,
    Model,
    Op,
    Status,
)
from trading.exchange.compiled.settle import EVENTS_SPARE
from trading.exchange.compiled.state import SAVED_SYMBOL, SYMBOL_FIELDS, Head, State, packed, unpacked

Array = np.ndarray[Any, np.dtype[Any]]

_EVENTS_MIN: Final = 1 << 16
_ORDERS_MIN: Final = 1 << 12
_ORDERS_MAX: Final = 1 << 30
_SHOWN_MIN: Final = 1 << 8
_OWNERS_MIN: Final = 1 << 4
# Where the numbers that every call reads lie in `CORE`; a memoryview reads them much faster than a record does.
_SEQ, _STATUS, _N_EVENTS, _MORE = (CORE_FIELDS.index(name) for name in ("seq", "status", "n_events", "more"))
_DONE, _ORDERS_FULL = int(Status.DONE), int(Status.ORDERS_FULL)
_SHOWN_FULL, _OWNERS_FULL = int(Status.SHOWN_FULL), int(Status.OWNERS_FULL)
_ADD, _CANCEL, _MODIFY, _QUOTE = int(Op.ADD), int(Op.CANCEL), int(Op.MODIFY), int(Op.QUOTE)
_TRADE, _GAP, _TIME, _LIMIT = int(Op.TRADE), int(Op.GAP), int(Op.TIME), int(Kind.LIMIT)
_DEPTH, _SESSION, _HALT = int(Op.DEPTH), int(Op.SESSION), int(Op.HALT)
ROW: Final = struct.Struct("<12qi6B6x")  # one `INPUT`, for those who pack it themselves


class CompiledEngine:
    """Books of many symbols, numbered from 0. Feed it with `apply`, or with one call for each order.

    A symbol's orders cross each other; once it has had a quote, an order that finds no live quote waits for the next.
    With ``waits`` that is so from the start, as on a floor whose prices come from outside.
    """

    def __init__(
        self, symbols: int = 1, *, model: Model = Model.THROUGH, waits: bool = False, orders: int = _ORDERS_MIN
    ) -> None:
        self._waits = waits
        self._core: Array = np.zeros(1, CORE)
        self._address: int = self._core.ctypes.data
        self._arrays: dict[str, Array] = {}
        self._core["model"] = int(model)
        self._row: Array = np.zeros(1, INPUT)
        self._row_address: int = self._row.ctypes.data
        self._row_bytes = memoryview(self._row.data).cast("B")
        self._numbers = memoryview(self._core.data).cast("B").cast("q")
        self._grow_symbols(symbols)
        self._grow_orders(max(2, orders))
        self._grow_shown(_SHOWN_MIN)
        self._grow_owners(_OWNERS_MIN)
        self._core["share"] = 2
        self._hold("events", np.zeros(_EVENTS_MIN, EVENT))
        self._core["events_cap"] = _EVENTS_MIN

    # Numbers -------------------------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """Number of the last input."""
        return self._numbers[_SEQ]

    @property
    def event_seq(self) -> int:
        """Number of the last event."""
        return int(self._core["event_seq"][0])

    @property
    def n_symbols(self) -> int:
        """How many symbols there are."""
        return int(self._core["n_symbols"][0])

    @property
    def n_open(self) -> int:
        """How many orders rest or wait."""
        return int(self._core["n_live"][0])

    # Inputs --------------------------------------------------------------------------------------------------------

    def stream(self, inputs: Array) -> Iterator[Array]:
        """Apply a batch of `INPUT` rows; yields the `EVENT` rows in runs, each valid until the next is asked for.

        Raises ValueError, before anything is applied, where the numbers do not rise.
        """
        if inputs.dtype != INPUT or inputs.ndim != 1:
            raise ValueError(f"inputs are a flat array of INPUT, not of {inputs.dtype}")
        inputs = np.ascontiguousarray(inputs)
        if len(inputs):
            self._check_numbers(inputs)
        return self._run(inputs)

    def _check_numbers(self, inputs: Array) -> None:
        """A row may have the number of the one before only where more rows of one input were to follow that."""
        seq, first = inputs["seq"], self.seq + (not self._numbers[_MORE])
        behind = seq[1:] <= seq[:-1]
        if behind.any():
            behind &= (seq[1:] < seq[:-1]) | ((inputs["flags"][:-1] & int(Flag.MORE)) == 0)
        if int(seq[0]) < first or behind.any():
            raise ValueError(f"input numbers must rise from {self.seq}")

    def apply(self, inputs: Array) -> Array:
        """Apply a batch of `INPUT` rows; returns the `EVENT` rows it caused, in order."""
        runs = [events.copy() for events in self.stream(inputs)]
        return runs[0] if len(runs) == 1 else np.concatenate(runs) if runs else np.zeros(0, EVENT)

    def _run(self, inputs: Array) -> Iterator[Array]:
        address, count, done = inputs.ctypes.data, len(inputs), 0
        while done < count or self._numbers[_STATUS] != _DONE:
            done = kernel.run(self._address, address, done, count)
            events = self._taken()
            if self._numbers[_STATUS] != _DONE:
                self._make_room()
            if len(events):
                yield events

    def _make_room(self) -> None:
        """Enlarge what the core has found too full to go on."""
        status = self._numbers[_STATUS]
        if status == _ORDERS_FULL:
            self._grow_orders(2 * len(self._arrays["orders"]))
        elif status == _SHOWN_FULL:
            self._grow_shown(2 * len(self._arrays["shown"]))
        elif status == _OWNERS_FULL:
            self._grow_owners(2 * len(self._arrays["owners"]))
        else:
            self._grow_events()

    def _grow_events(self) -> None:
        """One step may need so many; a buffer that has room for several is kept until the orders have doubled."""
        core = self._core[0]
        n = int(core["n_events"])
        needed = n + int(core["share"]) * (int(core["n_live"]) + int(core["n_shown"])) + EVENTS_SPARE
        if 2 * needed > len(self._arrays["events"]):
            kept = self._arrays["events"]
            self._hold("events", np.zeros(4 * needed, EVENT))
            self._arrays["events"][:n] = kept[:n]
            self._core["events_cap"] = 4 * needed

    def _taken(self) -> Array:
        n = self._numbers[_N_EVENTS]
        self._numbers[_N_EVENTS] = 0
        return self._events[:n]

    def add(
        self,
        symbol: int,
        order_id: int,
        side: int,
        qty: int,
        price: int | None = None,
        *,
        owner: int = 0,
        kind: int = _LIMIT,
        expires_ns: int = 0,
        trigger: int = 0,
        stop_price: int = 0,
        trail: int = 0,
        link: int = 0,
        link_kind: int = 0,
        flags: int = 0,
        ts_ns: int = 0,
    ) -> Array:
        """One new order; ``price`` None is a market order's that has no protection price."""
        if price is None:
            price = -NO_LIMIT if side == SELL else NO_LIMIT
        terms = (order_id, owner, price, qty, 0, 0, expires_ns, stop_price, trail, link)
        return self._one(ts_ns, *terms, symbol, _ADD, side, kind, trigger, flags, link_kind)

    def cancel(self, order_id: int, *, ts_ns: int = 0) -> Array:
        """Take an order out."""
        return self._ask(_CANCEL, ts_ns, order_id=order_id)

    def modify(
        self, order_id: int, price: int, qty: int, *, stop_price: int = 0, trail: int = 0, ts_ns: int = 0
    ) -> Array:
        """Give an order a new price and open quantity, and one that waits for its trigger a new stop or trail."""
        return self._one(ts_ns, order_id, 0, price, qty, 0, 0, 0, stop_price, trail, 0, 0, _MODIFY, 0, 0, 0, 0, 0)

    def quote(self, symbol: int, bid: int, bid_qty: int, ask: int, ask_qty: int, *, ts_ns: int = 0) -> Array:
        """What the outside shows now. A size of 0 is no liquidity."""
        return self._one(ts_ns, 0, 0, bid, bid_qty, ask, ask_qty, 0, 0, 0, 0, symbol, _QUOTE, 0, 0, 0, 0, 0)

    def depth(self, symbol: int, side: int, price: int, qty: int, *, flags: int = 0, ts_ns: int = 0) -> Array:
        """One level of the outside: ``qty`` lots are displayed now, 0 removes it."""
        return self._one(ts_ns, 0, 0, price, qty, 0, 0, 0, 0, 0, 0, symbol, _DEPTH, side, 0, 0, flags, 0)

    def session(self, symbol: int, opens: bool, *, ts_ns: int = 0) -> Array:
        """The session of a symbol opens or closes. Symbol -1 is all."""
        return self._ask(_SESSION, ts_ns, symbol=symbol, qty=int(opens))

    def halt(self, on: bool, *, symbol: int = -1, owner: int = 0, ts_ns: int = 0) -> Array:
        """Halt, or let go on, a symbol, else an owner, else everything."""
        return self._ask(_HALT, ts_ns, symbol=symbol, owner=owner, qty=int(on))

    def trade(self, symbol: int, price: int, qty: int, *, ts_ns: int = 0) -> Array:
        """A trade outside."""
        return self._ask(_TRADE, ts_ns, price=price, qty=qty, symbol=symbol)

    def gap(self, symbol: int = -1, *, ts_ns: int = 0) -> Array:
        """Ticks were lost: no outside liquidity until the next quote. Symbol -1 is all."""
        return self._ask(_GAP, ts_ns, symbol=symbol)

    def time(self, ts_ns: int) -> Array:
        """Time passed: orders expire."""
        return self._ask(_TIME, ts_ns)

    def _ask(
        self, op: int, ts_ns: int, *, order_id: int = 0, owner: int = 0, price: int = 0, qty: int = 0, symbol: int = 0
    ) -> Array:
        return self._one(ts_ns, order_id, owner, price, qty, 0, 0, 0, 0, 0, 0, symbol, op, 0, 0, 0, 0, 0)

    def _one(self, *values: int) -> Array:
        """One input, numbered next; the events are valid until the next call."""
        ROW.pack_into(self._row_bytes, 0, self._numbers[_SEQ] + 1, *values)
        return self._whole()

    def _whole(self) -> Array:
        return self._rest(kernel.run(self._address, self._row_address, 0, 1))

    def _rest(self, done: int) -> Array:
        """Go on with the one input until it is done, making room."""
        while self._numbers[_STATUS] != _DONE:
            self._make_room()
            done = kernel.run(self._address, self._row_address, done, 1)
        return self._taken()

    def enter(
        self,
        symbol: int,
        order_id: int,
        side: int,
        qty: int,
        price: int,
        kind: int = _LIMIT,
        owner: int = 0,
        ts_ns: int = 0,
    ) -> int:
        """One new plain order for callers in a hurry; returns how many events it caused, see `told`.

        Raises TypeError or OverflowError for what is no 64-bit number.
        """
        n: int = kernel.enter(
            self._address, self._row_address, _ADD, symbol, side, kind, order_id, owner, price, qty, ts_ns
        )
        return n if n >= 0 else len(self._rest(-1 - n))

    def withdraw(self, order_id: int, ts_ns: int = 0) -> int:
        """`cancel` for callers in a hurry; returns how many events it caused, see `told`."""
        n: int = kernel.enter(self._address, self._row_address, _CANCEL, 0, 0, 0, order_id, 0, 0, 0, ts_ns)
        return n if n >= 0 else len(self._rest(-1 - n))

    def told(self, n: int) -> Array:
        """The ``n`` `EVENT` rows of the last `enter` or `withdraw`, valid until the next call."""
        return self._events[:n]

    def apply_row(self, row: bytes) -> Array:
        """One input as packed by `ROW`; the events are valid until the next call. Its number must rise, unchecked."""
        self._row_bytes[:] = row
        return self._whole()

    # State as a value ----------------------------------------------------------------------------------------------

    def open_orders(self) -> Array:
        """`OPEN_ORDER` rows by symbol: buys then sells in the book, best price then time first; those that wait; those
        that are pending, buys then sells, nearest stop first; those held."""
        rows = np.zeros(self.n_open, OPEN_ORDER)
        kernel.list_open(self._address, rows.ctypes.data)
        return rows

    def best(self, symbol: int) -> tuple[int | None, int | None, int | None, int | None]:
        """Best displayed bid and ask of the outside, live or not, then users' best bid and ask. Raises IndexError."""
        shown, sides = self._arrays["shown"], self._arrays["sides"][2 * symbol : 2 * symbol + 2]
        if not 0 <= symbol < self.n_symbols:
            raise IndexError(f"no symbol {symbol}")
        outside = (int(shown["price"][side["shown"]]) if side["shown"] else None for side in sides)
        users = (int(side["base"] + side["best"]) if side["best"] >= 0 else None for side in sides)
        bid, ask, users_bid, users_ask = (*outside, *users)
        return bid, ask, users_bid, users_ask

    def next_expiry_ns(self) -> int | None:
        """When the next order expires."""
        if not self._core["n_timers"][0]:
            return None
        return int(self._arrays["orders"]["expires_ns"][self._arrays["timers"][1]])

    def save(self) -> bytes:
        """Canonical form: equal states give equal bytes. Raises ValueError between the rows of one input."""
        if self._numbers[_MORE]:
            raise ValueError("no state between the rows of one input")
        core = self._core[0]
        symbols = np.zeros(self.n_symbols, SAVED_SYMBOL)
        for name in SYMBOL_FIELDS:
            symbols[name] = self._arrays["symbols"][name]
        shown = np.zeros(int(core["n_shown"]), SHOWN_ROW)
        kernel.list_shown(self._address, shown.ctypes.data)
        owners, orders = self._arrays["owners"][: int(core["n_owners"])], self.open_orders()
        model, seq, event_seq, now_ns = (int(core[name]) for name in ("model", "seq", "event_seq", "now_ns"))
        counts = (len(symbols), len(shown), len(owners), len(orders))
        head = Head(model, seq, event_seq, now_ns, int(self._waits), int(core["floor_halted"]), *counts)
        return packed(State(head, symbols, shown, owners, orders))

    @staticmethod
    def load(state: bytes) -> "CompiledEngine":
        """Inverse of `save`. Raises ValueError for damaged bytes or another revision of the core."""
        found = unpacked(state)
        head, shown, orders = found.head, found.shown, found.orders
        room = max(_ORDERS_MIN, len(orders) + 2)
        engine = CompiledEngine(head.n_symbols, model=Model(head.model), waits=bool(head.waits), orders=room)
        if len(shown) + 4 > _SHOWN_MIN:
            engine._grow_shown(len(shown) + 4)
        if len(found.owners) >= _OWNERS_MIN:
            engine._grow_owners(len(found.owners) + 1)
        engine._arrays["owners"][: len(found.owners)] = found.owners
        for name in SYMBOL_FIELDS:
            engine._arrays["symbols"][name] = found.symbols[name]
        halts = head.floor_halted + int(found.symbols["halted"].sum()) + len(found.owners)
        for name, value in (
            *(("seq", head.seq), ("event_seq", head.event_seq), ("now_ns", head.now_ns), ("halts", halts)),
            *(("floor_halted", head.floor_halted), ("n_owners", len(found.owners))),
        ):
            engine._core[name] = value
        kernel.take_back(engine._address, orders.ctypes.data, len(orders), shown.ctypes.data, len(shown))
        if engine.save() != state:
            raise ValueError("the state is not in canonical order")
        return engine

    def state_hash(self) -> str:
        """SHA-256 of `save`, in hex."""
        return hashlib.sha256(self.save()).hexdigest()

    # Memory --------------------------------------------------------------------------------------------------------

    def add_symbols(self, n_symbols: int) -> None:
        """Make room, so that there are ``n_symbols``."""
        if n_symbols > self.n_symbols:
            self._grow_symbols(n_symbols)

    def _hold(self, name: str, array: Array) -> None:
        self._arrays[name] = array
        if name == "events":
            self._events = array
        self._core[name] = array.ctypes.data

    def _larger(self, name: str, dtype: Any, size: int) -> None:
        array = np.zeros(size, dtype)
        if name in self._arrays:
            array[: len(self._arrays[name])] = self._arrays[name]
        self._hold(name, array)

    def _grow_symbols(self, n_symbols: int) -> None:
        before = self.n_symbols
        self._larger("sides", SIDE, 2 * n_symbols)
        self._larger("symbols", SYMBOL, n_symbols)
        self._larger("levels", LEVEL, 2 * n_symbols * WINDOW)
        self._larger("bits", np.uint64, 2 * n_symbols * BITS_STRIDE // 8)
        self._arrays["sides"]["best"][2 * before :] = -1
        self._arrays["symbols"]["outside"][before:] = self._waits
        self._core["n_symbols"] = n_symbols

    def _grow_orders(self, size: int) -> None:
        """Pools of ``size`` slots, the new ones free, and an index at most half full."""
        if size > _ORDERS_MAX:
            raise MemoryError(f"{size} orders")
        before = len(self._arrays["orders"]) if "orders" in self._arrays else 1
        self._larger("orders", ORDER, size)
        self._larger("cold", COLD, size)
        self._larger("far", FAR, size)
        self._larger("timers", np.int32, size + 1)
        for name, free in (("orders", "free_order"), ("far", "free_far")):
            chain = self._arrays[name]["next"]
            chain[before:] = np.arange(before + 1, size + 1)
            chain[-1] = self._core[free][0]
            self._core[free] = before
        bits = max(4, (2 * size - 1).bit_length())
        self._hold("index", np.zeros(1 << bits, INDEX))
        self._core["index_mask"], self._core["index_shift"] = (1 << bits) - 1, 32 - bits
        kernel.index_again(self._address, size)

    def _grow_shown(self, size: int) -> None:
        """A pool of ``size`` displayed levels, the new ones free."""
        before = len(self._arrays["shown"]) if "shown" in self._arrays else 1
        self._larger("shown", SHOWN, size)
        chain = self._arrays["shown"]["next"]
        chain[before:] = np.arange(before + 1, size + 1)
        chain[-1] = self._core["free_shown"][0]
        self._core["free_shown"] = before
        self._core["shown_cap"] = size

    def _grow_owners(self, size: int) -> None:
        """Room for ``size`` halted owners."""
        self._larger("owners", np.int64, size)
        self._core["owners_cap"] = size
