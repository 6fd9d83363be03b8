"""The input log as the night reads it."""

from collections.abc import Iterator, Mapping, Sequence

from trading.adapters.postgres.pool import Pool, connection_of, scalar
from trading.exchange.engine import ENGINE_REV
from trading.services.ports.broker import BookedFill, LogChunk, ReplayStart

_CHUNKS_AT_ONCE = 1000


class PostgresLog:
    """Implements `trading.services.ports.broker.LogStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def replay_start(self) -> ReplayStart | None:
        """See the port."""
        with connection_of(self._pool) as connection:
            first = scalar(connection, "select min(first_seq) from input_log where engine_rev = %s", (ENGINE_REV,))
            if first is None:  # all was archived: the snapshot behind that is the start
                seq = scalar(
                    connection, "select max(input_seq) from snapshot where kept and engine_rev = %s", (ENGINE_REV,)
                )
            else:
                seq = first - 1
            row = connection.execute(
                "select state from snapshot where input_seq = %s and engine_rev = %s", (seq, ENGINE_REV)
            ).fetchone()
            if row is not None:
                return ReplayStart(seq, bytes(row[0]))
            # A revision begins with an engine that knows nothing, behind the last input of the one before.
            if seq is None:
                seq = int(scalar(connection, "select coalesce(max(input_seq), 0) from broker_cursor"))
            begins = seq == 0 or scalar(
                connection,
                "select exists (select 1 from input_log where last_seq = %s and engine_rev <> %s)"
                " or exists (select 1 from snapshot where input_seq = %s and engine_rev <> %s)",
                (seq, ENGINE_REV, seq, ENGINE_REV),
            )
        return ReplayStart(seq, b"") if begins else None

    def snapshots(self, after_seq: int, up_to_seq: int) -> Mapping[int, bytes]:
        """See the port."""
        with connection_of(self._pool) as connection:
            rows = connection.execute(
                "select input_seq, state_hash from snapshot"
                " where input_seq > %s and input_seq <= %s and engine_rev = %s",
                (after_seq, up_to_seq, ENGINE_REV),
            ).fetchall()
        return {seq: bytes(state_hash) for seq, state_hash in rows}

    def chunks(self, after_seq: int, up_to_seq: int) -> Iterator[LogChunk]:
        """See the port."""
        while True:
            with connection_of(self._pool) as connection:
                rows = connection.execute(
                    "select first_seq, last_seq, inputs, out_hash, state_hash, engine_rev from input_log"
                    " where first_seq > %s and last_seq <= %s order by first_seq limit %s",
                    (after_seq, up_to_seq, _CHUNKS_AT_ONCE),
                ).fetchall()
            for first, last, inputs, out_hash, state_hash, rev in rows:
                yield LogChunk(first, last, bytes(inputs), bytes(out_hash), bytes(state_hash), rev)
            if not rows:
                return
            after_seq = rows[-1][1]

    def last_seq(self) -> int:
        """See the port."""
        with connection_of(self._pool) as connection:
            return int(scalar(connection, "select coalesce(max(input_seq), 0) from broker_cursor"))

    def fills(self, after_seq: int, up_to_seq: int) -> Sequence[BookedFill]:
        """See the port."""
        with connection_of(self._pool) as connection:
            rows = connection.execute(
                "select order_id, input_seq, n, price_ticks, quantity_lots, liquidity from fill"
                " where input_seq > %s and input_seq <= %s order by input_seq, n",
                (after_seq, up_to_seq),
            ).fetchall()
        return [BookedFill(*row) for row in rows]

    def snapshot_before(self, ts_ns: int) -> int | None:
        """See the port."""
        with connection_of(self._pool) as connection:
            found: int | None = scalar(
                connection,
                "select max(input_seq) from snapshot where ts_ns < %s and engine_rev = %s",
                (ts_ns, ENGINE_REV),
            )
        return found

    def drop_archived(self, file_id: int, last_seq: int) -> int:
        """See the port."""
        with connection_of(self._pool) as connection:
            return int(scalar(connection, "select drop_archived_log(%s, %s)", (file_id, last_seq)))
