"""Inputs as bytes, as the input log keeps them: deflated records of a header and a body; ticks are `TICK`-shaped."""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple

from trading.exchange.messages import Body, Cancel, Event, Gap, Halt, Input, Submit, Tick, Timer

_HEAD = struct.Struct("<qqBI")  # seq, ts_ns, kind, length of the body
_TICK = struct.Struct("<iBbxxqqqqqqqq")
_KINDS: tuple[type[Body], ...] = (Tick, Submit, Cancel, Halt, Gap, Timer)


def encode(inputs: Iterable[Input]) -> bytes:
    """Bytes of a run of inputs."""
    out = bytearray()
    for step in inputs:
        body = step.body
        if isinstance(body, Tick):
            payload = _TICK.pack(
                body.instrument_id,
                body.kind,
                body.aggressor,
                body.seq,
                body.ts_ns,
                body.bid_ticks,
                body.ask_ticks,
                body.bid_lots,
                body.ask_lots,
                body.trade_ticks,
                body.trade_lots,
            )
        else:
            payload = json.dumps(asdict(body), sort_keys=True, separators=(",", ":")).encode()
        out += _HEAD.pack(step.seq, step.ts_ns, _KINDS.index(type(body)), len(payload)) + payload
    return zlib.compress(bytes(out), level=1)


def decode(packed: bytes) -> Iterator[Input]:
    """Inverse of `encode`. Raises ValueError on damaged or cut bytes."""
    try:
        data = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"damaged inputs: {error}") from error
    at = 0
    while at < len(data):
        try:
            seq, ts_ns, kind, length = _HEAD.unpack_from(data, at)
        except struct.error as error:
            raise ValueError(f"cut input record at byte {at}") from error
        at += _HEAD.size
        payload = data[at : at + length]
        if len(payload) != length:
            raise ValueError(f"cut input record at byte {at}")
        at += length
        if kind == 0:
            yield Input(seq, ts_ns, tick_of(payload))
        else:
            yield Input(seq, ts_ns, _KINDS[kind](**json.loads(payload)))


def tick_of(record: bytes) -> Tick:
    """A `Tick` out of the 72 bytes of one `trading.market.ticks.TICK` record."""
    instrument_id, kind, aggressor, *rest = _TICK.unpack(record)
    return Tick(instrument_id, kind, aggressor, *rest)


def events_hash(previous: bytes, events: Sequence[Event]) -> bytes:
    """Hash of a run of events, chained on the hash before; equal runs in equal order give equal hashes."""
    digest = hashlib.sha256(previous)
    for event in events:
        digest.update(json.dumps([type(event).__name__, *astuple(event)], separators=(",", ":")).encode())
    return digest.digest()
