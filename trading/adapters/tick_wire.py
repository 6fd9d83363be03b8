"""What a publication of ticks looks like on the wire: commands of the Redis protocol (RESP 2), packed by hand.

Encoding every argument by itself costs more than the server does. All that never changes is encoded once; what is left
is one join of the payload and of slices of it. A publication is XADD to the tape, PUBLISH for the screens, HSET of the
newest quotes and, where a whole snapshot of depth is in it, HSET of that.
"""

import numpy as np

from trading.market.ticks import DEPTH, MORE, QUOTE, RESET, STREAM, TICK, Ticks, pack

LAST = "last"
"""Hash of the newest quote by instrument id, each one packed tick."""
BOOKS = "books"
"""Hash of the newest whole snapshot of depth by instrument id, each its packed records."""
TAPE_BYTES = 64 << 20
"""Size of the tape, roughly: minutes of a lively floor, a quarter of the embedded server's memory."""
TAPE_ENTRIES = (64, 1 << 18)
"""Fewest and most entries that are kept. An entry of one tick costs the server twice its size."""
_ENTRY_BYTES = 64
_MEMORY = 64  # publications over which the usual size is averaged
_SIZE = TICK.itemsize


def word(text: str) -> bytes:
    """One word of a command."""
    raw = text.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def words(*texts: str) -> bytes:
    """A whole command."""
    return b"*%d\r\n" % len(texts) + b"".join(map(word, texts))


class TickWire:
    """Encodes publications for one channel. It remembers how large they usually are, and instruments' names."""

    def __init__(self, channel: str) -> None:
        self._publish = b"*3\r\n" + word("PUBLISH") + word(channel)
        self._last = word("HSET") + word(LAST)
        self._books = word("HSET") + word(BOOKS)
        self._keys: dict[int, bytes] = {}
        self._mean_bytes = 8.0 * _SIZE
        self._add = self._add_command()
        self._until_new_limit = _MEMORY

    def _add_command(self) -> bytes:
        fewest, most = TAPE_ENTRIES
        kept = min(most, max(fewest, int(TAPE_BYTES / (self._mean_bytes + _ENTRY_BYTES))))
        texts = ("XADD", STREAM, "MAXLEN", "~", str(kept), "*", "b")
        return b"*8\r\n" + b"".join(map(word, texts))  # the eighth is the payload

    def commands(self, ticks: Ticks) -> tuple[bytes, int]:
        """The bytes to send for some ticks, and how many replies the server gives to them."""
        payload = pack(ticks)
        self._mean_bytes += (len(payload) - self._mean_bytes) / _MEMORY
        self._until_new_limit -= 1
        if self._until_new_limit == 0:
            self._until_new_limit = _MEMORY
            self._add = self._add_command()
        body = b"$%d\r\n%b\r\n" % (len(payload), payload)
        parts = [self._add, body, self._publish, body]
        replies = 2
        kind = ticks["kind"]
        quotes = np.flatnonzero((kind & (QUOTE | DEPTH)) == QUOTE)
        if len(quotes):
            # Of several of one instrument the last stays.
            newest = dict(zip(ticks["instrument_id"][quotes].tolist(), quotes.tolist(), strict=True))
            parts += (b"*%d\r\n" % (2 + 2 * len(newest)), self._last)
            for instrument_id, at in newest.items():
                parts += (self._key(instrument_id), payload[_SIZE * at : _SIZE * at + _SIZE], b"\r\n")
            replies += 1
        if (kind & RESET).any() and (books := whole_snapshots(ticks)):
            parts += (b"*%d\r\n" % (2 + 2 * len(books)), self._books)
            for instrument_id, book in books.items():
                parts += (word(str(instrument_id)), b"$%d\r\n%b\r\n" % (book.nbytes, pack(book)))
            replies += 1
        return b"".join(parts), replies

    def _key(self, instrument_id: int) -> bytes:
        """An instrument's field of the hash, and the head of the one tick that is its value."""
        found = self._keys.get(instrument_id)
        if found is None:
            found = self._keys[instrument_id] = word(str(instrument_id)) + b"$%d\r\n" % _SIZE
        return found


def whole_snapshots(ticks: Ticks) -> dict[int, Ticks]:
    """The last snapshot of depth of each instrument that is there from its RESET to its end."""
    depth = ticks[(ticks["kind"] & DEPTH) != 0]
    found = {}
    for instrument_id in np.unique(depth["instrument_id"][(depth["kind"] & RESET) != 0]).tolist():
        own = depth[depth["instrument_id"] == instrument_id]
        ends = np.flatnonzero((own["kind"] & MORE) == 0)
        for first in np.flatnonzero((own["kind"] & RESET) != 0)[::-1]:
            following = ends[ends >= first]
            if len(following):
                found[instrument_id] = own[first : following[0] + 1]
                break
    return found
