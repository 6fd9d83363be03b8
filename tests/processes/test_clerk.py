"""The clerk: periodic work that goes on whatever else fails, in one process at a time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shared_servers import Database
from structlog.testing import capture_logs
from trading_floor import TradingFloor

from trading.adapters.postgres.pool import ANSWER_S
from trading.config import Settings
from trading.domain.errors import Invalid
from trading.processes import floor_table
from trading.processes.clerk import LOCK, Clerk
from trading.processes.clerk_jobs import Job
from trading.processes.table import Birth


class Office:
    """Clerks in threads of this process."""

    def __init__(self, floor: TradingFloor, database: Database) -> None:
        self.floor, self._database = floor, database
        self._open: list[tuple[threading.Thread, threading.Event]] = []
        floor.query("insert into process_status (name, state, beat_at) values ('clerk', 'running', now())")

    def hire(self, *work: Job) -> tuple[Clerk, Callable[[], None]]:
        """A clerk at work, and how to stop it."""
        stop = threading.Event()
        clerk = Clerk(self.floor.floor, self._database.dsn("tf_app"), work, stop)
        thread = threading.Thread(target=clerk.run)
        thread.start()
        self._open.append((thread, stop))

        def end() -> None:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()

        return clerk, end

    def close(self) -> None:
        for thread, stop in self._open:
            stop.set()
            thread.join(10)


@pytest.fixture
def floor(database: Database, tmp_path: Path) -> Iterator[TradingFloor]:
    own = TradingFloor(database, tmp_path / "lake")
    yield own
    own.close()


@pytest.fixture
def office(floor: TradingFloor, database: Database) -> Iterator[Office]:
    own = Office(floor, database)
    yield own
    own.close()


def until(held: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def job(name: str, run: Callable[[], str], every_s: float = 0.05) -> Job:
    return Job(name, every_s, lambda _floor, _now_ns: run())


def fail() -> str:
    raise Invalid("no good", "bad_thing")


def test_a_failing_job_stops_no_other_and_is_logged_when_it_changes(office: Office) -> None:
    broken = threading.Event()
    broken.set()
    with capture_logs() as lines:
        clerk, end = office.hire(
            job("bad", lambda: fail() if broken.is_set() else "mended"), job("good", lambda: "done")
        )
        until(lambda: clerk.newest["bad"].failures >= 3 and clerk.newest["good"].runs >= 3)
        assert clerk.newest["bad"].result == "bad_thing: no good"
        assert not clerk.newest["bad"].ok
        broken.clear()
        until(lambda: clerk.newest["bad"].ok)
        end()
    said = [line["event"] for line in lines if line.get("job") == "bad"]
    assert said == ["job failed", "job works again"]


def test_a_slow_job_holds_up_no_other(office: Office) -> None:
    let_go = threading.Event()
    clerk, end = office.hire(job("slow", lambda: str(let_go.wait(20))), job("quick", lambda: ""))
    until(lambda: clerk.newest["quick"].runs >= 5)
    assert clerk.newest["slow"].runs == 0
    let_go.set()
    end()


def test_what_ran_when_and_with_which_result_can_be_seen(office: Office) -> None:
    _, end = office.hire(job("count", lambda: "3 counted", every_s=0.5))
    until(lambda: office.floor.query("select 1 from process_status where detail -> 'jobs' -> 0 ->> 'runs' > '0'"))
    end()
    [(detail,)] = office.floor.query("select detail from process_status where name = 'clerk'")
    [row] = detail["jobs"]
    assert (row["name"], row["every_s"], row["result"], row["ok"]) == ("count", 0.5, "3 counted", True)
    assert row["at_ns"] == office.floor.clock.now_ns()
    assert row["took_ms"] >= 0


def test_a_second_clerk_waits_until_the_first_is_gone(office: Office) -> None:
    first, end_first = office.hire(job("work", lambda: ""))
    until(lambda: first.newest["work"].runs)
    second, _ = office.hire(job("work", lambda: ""))
    time.sleep(1.2)
    assert second.newest["work"].runs == 0
    end_first()
    done = first.newest["work"].runs
    until(lambda: second.newest["work"].runs >= 3)
    assert first.newest["work"].runs == done


def test_a_clerk_that_lost_its_connection_takes_the_lock_again(office: Office) -> None:
    clerk, _ = office.hire(job("work", lambda: ""))
    until(lambda: clerk.newest["work"].runs)
    ended = office.floor.query("select pg_terminate_backend(pid) from pg_locks where objid = %s", LOCK)
    assert ended == [(True,)]
    until(lambda: not office.floor.query("select 1 from pg_locks where objid = %s", LOCK))
    until(lambda: office.floor.query("select 1 from pg_locks where objid = %s and granted", LOCK))
    runs = clerk.newest["work"].runs
    until(lambda: clerk.newest["work"].runs > runs + 2)


def test_a_clerk_that_reports_nothing_any_more_is_taken_for_frozen(office: Office, settings: Settings) -> None:
    responds = floor_table._still_reporting(settings)
    own, other = Birth(os.getpid(), 0.0), Birth(1, 0.0)
    assert responds(own)  # it has not reported yet
    office.floor.clock.ns = time.time_ns()
    _, end = office.hire(job("work", lambda: ""))
    until(lambda: office.floor.query("select 1 from process_status where detail ? 'at_ns'"))
    end()
    assert responds(own)
    office.floor.query("update process_status set detail = detail || '{\"at_ns\": 1}'")
    assert not responds(own)
    assert responds(other)  # one that waits for its turn reports nothing


def test_as_a_process_it_works_until_it_is_told_to_stop(
    floor: TradingFloor, environment: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "clerk.log").open("wb") as log:
        clerk = subprocess.Popen([sys.executable, "-m", "trading.processes.clerk"], env=environment, stderr=log)
    try:
        until(lambda: floor.query("select 1 from pg_locks where objid = %s and granted", LOCK), 60)
        clerk.send_signal(signal.SIGTERM)
        assert clerk.wait(10) == 0
    finally:
        clerk.kill()
        clerk.wait()


def test_a_clerk_hangs_up_on_a_server_that_stands_still_and_works_again_with_it(
    office: Office, floor: TradingFloor
) -> None:
    clerk, end = office.hire(job("count", lambda: ""))

    def works() -> bool:
        before = clerk.newest["count"].runs
        time.sleep(0.3)
        return clerk.newest["count"].runs > before

    until(works)
    ((pid,),) = floor.query(
        "select pid from pg_stat_activity where application_name = 'tradefloor-clerk' and datname = current_database()"
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: not works(), 2 * ANSWER_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(works)
    end()
