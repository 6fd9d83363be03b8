"""The supervisor's rows in ``process_status``."""

import time

import psycopg
from shared_servers import Database

from trading.processes.status import ProcessView
from trading.processes.status_rows import StatusRows


def view(state: str, restarts: int) -> ProcessView:
    return ProcessView("broker", state, 4711, "2026-01-02T03:04:05+00:00", restarts, "", "")


def rows(database: Database) -> list[tuple[object, ...]]:
    with psycopg.connect(database.dsn()) as connection:
        return connection.execute("select name, state, pid, restarts, detail from process_status").fetchall()


def test_rows_follow_the_processes_and_leave_the_detail_to_them(database: Database) -> None:
    writer = StatusRows(lambda: database.dsn("tf_app"), every_s=0.05)
    writer.show([view("running", 0)])
    writer.start()
    deadline = time.monotonic() + 10
    while not rows(database):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with psycopg.connect(database.dsn("tf_broker")) as connection:
        connection.execute("""update process_status set detail = '{"v": 1, "fills": 3}' where name = 'broker'""")
    writer.show([view("stopped", 1)])
    writer.end()
    assert rows(database) == [("broker", "stopped", 4711, 1, {"v": 1, "fills": 3})]


def test_a_database_that_is_away_stops_nobody(database: Database) -> None:
    addresses = iter(["postgresql://nobody@/nowhere?host=/nonexistent"] * 3)
    writer = StatusRows(lambda: next(addresses, database.dsn("tf_app")), every_s=0.05)
    writer.start()
    writer.show([view("running", 0)])
    time.sleep(0.5)
    writer.end()
    assert len(rows(database)) == 1
