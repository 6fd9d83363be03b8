"""The same status as rows of ``process_status``, written by a thread so that a frozen database cannot stop us."""

import threading
from collections.abc import Callable, Sequence

import psycopg
import structlog

from trading.adapters.postgres.pool import FloorConnection
from trading.processes.status import ProcessView

UPSERT = """
insert into process_status (name, state, pid, started_at, restarts, beat_at)
values (%(name)s, %(state)s, %(pid)s, %(started_at)s, %(restarts)s, now())
on conflict (name) do update set state = excluded.state, pid = excluded.pid, started_at = excluded.started_at,
    restarts = excluded.restarts, beat_at = excluded.beat_at
"""


class StatusRows:
    """Writes the newest views every ``every_s`` seconds, and waits for a database that is away."""

    def __init__(self, dsn: Callable[[], str], every_s: float = 2.0) -> None:
        self._dsn = dsn
        self._every_s = every_s
        self._views: tuple[ProcessView, ...] = ()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_forever, name="status-rows", daemon=True)

    def start(self) -> None:
        """Begin writing."""
        self._thread.start()

    def show(self, views: Sequence[ProcessView]) -> None:
        """Take over the newest views; never waits."""
        self._views = tuple(views)

    def end(self) -> None:
        """Write the last views and stop; waits at most 3 s."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(3.0)

    def _write_forever(self) -> None:
        log = structlog.get_logger("supervisor")
        connection: FloorConnection | None = None
        last = False
        while not last:
            last = self._ended.wait(self._every_s)
            try:
                if connection is None or connection.closed:
                    connection = FloorConnection.connect(
                        self._dsn(), autocommit=True, connect_timeout=2, application_name="supervisor"
                    )
                with connection.transaction():
                    for view in self._views:
                        connection.execute(UPSERT, {key: getattr(view, key) for key in ROW})
            except psycopg.Error as error:
                log.warning("status_rows_not_written", error=str(error).strip())
                if connection is not None:
                    connection.close()
        if connection is not None:
            connection.close()


ROW = ("name", "state", "pid", "started_at", "restarts")
