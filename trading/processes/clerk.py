"""The clerk, ``python -m trading.processes.clerk``: does the floor's periodic work, the list in `clerk_jobs`.

One clerk works at a time, the one that holds an advisory lock on a connection of its own; another one waits. What a
clerk that loses its connection has just begun may overlap with its successor: that is why jobs are safe to repeat.
Exit status 0 when told to stop.
"""

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import psycopg
import structlog
from psycopg.types.json import Jsonb

from trading.adapters.embedded import connections
from trading.adapters.postgres.pool import FloorConnection
from trading.bootstrap import open_floor
from trading.config import Settings
from trading.domain.errors import TradefloorError
from trading.processes import logs
from trading.processes.clerk_jobs import Job, jobs
from trading.processes.stopping import stop_when_told
from trading.services import verify
from trading.services.access import SYSTEM
from trading.services.floor import Floor

LOCK = 7010
"""The advisory lock of the one clerk that works."""
LOOK_S = 0.5
REPORT_S = 2.0
STOP_S = 3.0
"""How long jobs may take to end after SIGTERM before they are left where they are."""
PAUSE_S = 0.05
"""The least pause between two runs of a job that takes longer than its period."""

log = structlog.get_logger("clerk")


@dataclass(frozen=True, slots=True)
class Run:
    """The newest run of a job: when it began (ns UTC), how long it took, what came of it, how many there were.

    ``result`` is the newest that was worth saying; ``trouble`` names what the run failed with.
    """

    at_ns: int = 0
    took_ms: float = 0.0
    ok: bool = True
    result: str = ""
    runs: int = 0
    failures: int = 0
    trouble: str = ""


class Clerk:
    """A thread for each job, and the lock that lets them work."""

    def __init__(self, floor: Floor, dsn: str, work: Sequence[Job], stop: threading.Event) -> None:
        self._floor, self._dsn, self._work, self._stop = floor, dsn, work, stop
        self._working = threading.Event()
        self._newest: dict[str, Run] = {job.name: Run() for job in work}

    def run(self) -> None:
        """Until stopped."""
        threads = [
            threading.Thread(target=self._repeat, args=(job,), name=f"clerk-{job.name}", daemon=True)
            for job in self._work
        ]
        for thread in threads:
            thread.start()
        while not self._stop.is_set():
            try:
                with FloorConnection.connect(
                    self._dsn, autocommit=True, connect_timeout=3, application_name="tradefloor-clerk"
                ) as connection:
                    self._hold(connection)
            except psycopg.Error as error:
                log.warning("database away", reason=str(error).strip())
            finally:
                self._working.clear()
            self._stop.wait(LOOK_S)
        deadline_s = time.monotonic() + STOP_S
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    @property
    def newest(self) -> Mapping[str, Run]:
        """The newest run of each job."""
        return dict(self._newest)

    def _hold(self, connection: FloorConnection) -> None:
        """Wait for the lock, then let the jobs work for as long as the connection that holds it lives."""
        while not self._taken(connection):
            if self._stop.wait(LOOK_S):
                return
        log.info("clerk open", jobs=[job.name for job in self._work])
        self._working.set()
        reported_s = 0.0
        while True:
            last = self._stop.wait(LOOK_S)
            connection.execute("select 1")
            if last or time.monotonic() - reported_s >= REPORT_S:
                reported_s = time.monotonic()
                connection.execute("update process_status set detail = %s where name = 'clerk'", (self._detail(),))
            if last:
                return

    def _taken(self, connection: FloorConnection) -> bool:
        row = connection.execute("select pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        return row is not None and bool(row[0])

    def _detail(self) -> Jsonb:
        rows = [{"name": job.name, "every_s": job.every_s, **asdict(self._newest[job.name])} for job in self._work]
        return Jsonb({"v": 1, "pid": os.getpid(), "at_ns": self._floor.clock.now_ns(), "jobs": rows})

    def _repeat(self, job: Job) -> None:
        while not self._stop.is_set():
            if not self._working.wait(LOOK_S):
                continue
            began_s = time.monotonic()
            self._newest[job.name] = self._run_once(job, self._newest[job.name])
            self._stop.wait(max(PAUSE_S, job.every_s - (time.monotonic() - began_s)))

    def _run_once(self, job: Job, before: Run) -> Run:
        """One run; what it raises is kept and logged when it is not what it raised the time before."""
        at_ns, began_s = self._floor.clock.now_ns(), time.monotonic()
        trouble = ""
        try:
            result = job.run(self._floor, at_ns)
        except Exception as error:
            trouble = error.code if isinstance(error, TradefloorError) else type(error).__name__
            result = f"{trouble}: {error}"[:300]
            if trouble != before.trouble:
                log.exception("job failed", job=job.name, trouble=trouble)
        if before.trouble and not trouble:
            log.info("job works again", job=job.name)
        kept = "" if before.trouble else before.result
        took_ms = round((time.monotonic() - began_s) * 1000, 1)
        failures = before.failures + bool(trouble)
        return Run(at_ns, took_ms, not trouble, result or kept, before.runs + 1, failures, trouble)


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    logs.configure()
    settings, stop = Settings(), stop_when_told()
    try:
        with open_floor(settings) as floor:
            Clerk(floor, connections.dsn(settings, "tf_app"), jobs(settings), stop).run()
            verify.keep_head(floor, SYSTEM, at_once=True)
    except TradefloorError as error:
        log.error("clerk stopped", code=error.code, reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
