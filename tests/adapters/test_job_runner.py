"""The job runner against Dagster's real webserver and daemon."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psycopg
import pytest

from trading.adapters.job_runner import follow, jobs_of, run_nightly
from trading.config import PROJECT_ROOT
from trading.domain.errors import NotFound, Unavailable
from trading.processes.environment import floor_variables
from trading.services.ports.jobs import RunState

PATIENCE_S = 90.0


@pytest.fixture
def dagster_url(servers, settings):
    """A database of this test's own: a daemon takes every run that is queued in its database."""
    name = f"dagster_{settings.dagster_port}"
    with psycopg.connect(servers.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} owner tf_dagster")
    yield servers.dsn("tf_dagster", name).replace("postgresql://", "postgresql+psycopg2://")
    with psycopg.connect(servers.dsn(), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def dagster(settings, dagster_url):
    """Webserver and daemon as the supervisor starts them, on this test's floor."""
    environment = {**os.environ, **floor_variables(settings), "TRADEFLOOR_DAGSTER_PG_URL": dagster_url}
    log = settings.data_dir / "dagster.log"
    programs = (
        ("dagster_webserver", "-h", "127.0.0.1", "-p", str(settings.dagster_port), "-w", "workspace.yaml"),
        ("dagster._daemon", "run", "-w", "workspace.yaml"),
    )
    jobs = jobs_of(settings)
    with log.open("w") as sink:
        started = []
        for program in programs:
            command = [sys.executable, "-m", *program]
            started.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    cwd=PROJECT_ROOT,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
            _until(lambda: jobs.recent_runs(1) is not None, log)  # its tables are made one process at a time
        yield jobs
        for process in started:
            process.terminate()
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):  # code servers outlive their parent by up to a minute
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def _until(ready, log):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ready()
        except (Unavailable, NotFound):
            if time.monotonic() > deadline:
                pytest.fail("Dagster did not come up:\n" + log.read_text()[-3000:])
            time.sleep(0.5)


@pytest.mark.floor
def test_a_job_is_launched_followed_and_cancelled_over_the_webserver(dagster, settings):
    settings.inbox_dir.mkdir()
    rows = [f"2024-01-{day:02},10,11,9,10,1000" for day in range(2, 31)]
    (settings.inbox_dir / "ACME.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
    time.sleep(2.5)  # the inbox leaves alone what has just changed

    run_id = _until(lambda: dagster.launch("take_inbox"), settings.data_dir / "dagster.log")
    told = []
    ended = follow(dagster, run_id, told.append, timeout_s=PATIENCE_S)
    assert ended.state is RunState.SUCCEEDED, [event for event in told if event.message]
    assert ended.ended_s >= ended.started_s
    assert ended.url == f"http://127.0.0.1:{settings.dagster_port}/runs/{run_id}"
    steps = [(event.kind, event.step) for event in told]
    assert steps[:2] == [("started", "inbox_bars"), ("succeeded", "inbox_bars")]
    assert [path.name for path in (settings.inbox_dir / "taken").glob("*.csv")] == ["ACME.csv"]

    with pytest.raises(NotFound, match="no job called"):
        dagster.launch("no_such_job")
    with pytest.raises(NotFound, match="no run"):
        dagster.status("00000000-0000-0000-0000-000000000000")

    second = dagster.launch("nightly")
    dagster.cancel(second)
    assert follow(dagster, second, told.append, timeout_s=PATIENCE_S).state is RunState.CANCELLED
    assert [run.run_id for run in dagster.recent_runs(5)] == [second, run_id]


def test_a_closed_floor_is_one_clear_line_and_exit_status_1(settings):
    said = []
    assert run_nightly(settings, said.append) == 1
    (line,) = said
    assert line.startswith("Dagster does not answer")
    assert "make up" in line
