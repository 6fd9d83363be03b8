"""The embedded PostgreSQL: closed to everyone without a password, and hard to lose."""

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from trading.adapters.embedded import home
from trading.adapters.embedded.postgres import EmbeddedPostgres

PASSWORD = "correct-horse"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tradefloor-test-", dir="/tmp") as path:
        Path(path).chmod(0o711)
        yield Path(path)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = opened(folder)
    yield server
    server.stop()


def opened(folder: Path) -> EmbeddedPostgres:
    server = EmbeddedPostgres(home.choose(folder), PASSWORD, folder / "postgres.log")
    server.prepare()
    server.start()
    server.wait_ready()
    return server


def test_a_login_without_the_password_is_refused(postgres: EmbeddedPostgres) -> None:
    for wrong in ("", "guess"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=str(postgres.home.socket_dir), user="postgres", password=wrong, dbname="postgres")


def test_passwords_are_kept_as_scram_and_commits_are_durable(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn()) as connection:
        (kept,) = connection.execute("select rolpassword from pg_authid where rolname = 'postgres'").fetchone() or [""]
        shown = {
            name: (connection.execute(f"show {name}").fetchone() or [""])[0]
            for name in ("fsync", "synchronous_commit", "data_checksums", "listen_addresses")
        }
    assert kept.startswith("SCRAM-SHA-256$")
    assert shown == {"fsync": "on", "synchronous_commit": "on", "data_checksums": "on", "listen_addresses": ""}


def test_folders_and_socket_are_closed_to_other_users(postgres: EmbeddedPostgres) -> None:
    for path in (postgres.data_dir, postgres.home.socket_dir, postgres.home.socket_dir / ".s.PGSQL.5432"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its servers to another user")
def test_root_runs_the_server_as_an_unprivileged_user(postgres: EmbeddedPostgres) -> None:
    assert postgres.child is not None
    assert psutil.Process(postgres.child.pid).uids().real != 0


def test_a_restart_keeps_the_data(folder: Path) -> None:
    first = opened(folder)
    with psycopg.connect(first.dsn()) as connection:
        connection.execute("create table kept as select 42 as answer")
    first.stop()
    second = opened(folder)
    try:
        with psycopg.connect(second.dsn()) as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)
    finally:
        second.stop()


def test_what_a_killed_server_left_is_no_obstacle(folder: Path) -> None:
    first = opened(folder)
    with psycopg.connect(first.dsn()) as connection:
        connection.execute("create table kept as select 42 as answer")
    assert first.child is not None
    first.child.send_signal(signal.SIGKILL)
    first.child.wait()
    assert (first.data_dir / "postmaster.pid").exists()
    second = opened(folder)
    try:
        with psycopg.connect(second.dsn()) as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)
    finally:
        second.stop()


def test_a_stale_pid_that_belongs_to_a_stranger_is_no_obstacle(folder: Path) -> None:
    first = opened(folder)
    pid_file = first.data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    first.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    second = opened(folder)
    second.stop()


def test_an_orphaned_server_is_stopped_before_the_next_start(folder: Path) -> None:
    first = opened(folder)
    assert first.child is not None
    second = opened(folder)
    try:
        assert first.child.wait(timeout=5) == 0
    finally:
        second.stop()


def test_a_creation_cut_short_is_started_over(folder: Path) -> None:
    place = home.choose(folder)
    (place.root / "postgres.new" / "base").mkdir(parents=True)
    server = opened(folder)
    server.stop()
    assert not (place.root / "postgres.new").exists()


def test_a_long_path_puts_the_sockets_into_a_short_closed_folder(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    for path in (deep.parent, deep):
        path.mkdir()
    server = opened(deep)
    try:
        assert str(server.home.socket_dir).startswith("/tmp/tf-")
        assert stat.S_IMODE(server.home.socket_dir.stat().st_mode) == 0o700
    finally:
        server.stop()
        home.release_socket_dir(server.home)
    assert not server.home.socket_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its servers to another user")
def test_a_closed_parent_folder_is_left_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = folder / "root-only"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(home, "SYSTEM_HOME", folder / "var-lib")
    server = opened(closed / "data")
    server.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert server.home.root.is_relative_to(folder / "var-lib")
    assert "cannot reach" in server.home.notes[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its servers to another user")
def test_programs_in_a_closed_folder_are_copied_and_the_copy_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "closed" / "wheel"
    (package / "bin").mkdir(parents=True)
    (package / "bin" / "program").write_text("#!/bin/sh\necho 1\n")
    (package / "bin" / "program").chmod(0o700)
    package.parent.chmod(0o700)
    monkeypatch.setattr(home, "SYSTEM_HOME", folder / "var-lib")
    user = home.server_user()
    found = home.reachable_binary(user, package, package / "bin" / "program", "1.0")
    assert found == folder / "var-lib" / "bin" / "wheel-1.0" / "wheel" / "bin" / "program"
    assert home.reachable_binary(user, package, package / "bin" / "program", "1.0") == found
