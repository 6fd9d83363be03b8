"""What must hold before a floor opens, and what it says when it does not."""

import os
import socket
from pathlib import Path

import pytest

from trading.domain.errors import Unavailable
from trading.processes import checks, logs


def one_line(refusal: pytest.ExceptionInfo[Unavailable]) -> str:
    text = str(refusal.value)
    assert "\n" not in text
    return text


def test_a_port_in_use_is_named_with_the_variable_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(Unavailable) as refusal:
            checks.check_ports("127.0.0.1", [checks.Port(number, "the app", "TRADEFLOOR_APP_PORT")])
    assert f"Port {number}, wanted for the app" in one_line(refusal)
    assert "TRADEFLOOR_APP_PORT=" in one_line(refusal)


def test_a_port_just_left_is_free() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        number = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)) as client:
            accepted, _ = server.accept()
            accepted.close()
            client.recv(1)
    checks.check_ports("127.0.0.1", [checks.Port(number, "the app", "TRADEFLOOR_APP_PORT")])


def test_two_purposes_on_one_port_are_refused() -> None:
    ports = [
        checks.Port(18999, "the app", "TRADEFLOOR_APP_PORT"),
        checks.Port(18999, "Dagster", "TRADEFLOOR_DAGSTER_PORT"),
    ]
    with pytest.raises(Unavailable, match="Port 18999 is wanted twice"):
        checks.check_ports("127.0.0.1", ports)


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(Unavailable, match="TRADEFLOOR_DAGSTER_PORT"):
        checks.check_ports("127.0.0.1", [checks.Port(99999, "Dagster", "TRADEFLOOR_DAGSTER_PORT")])


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    checks.check_disk(tmp_path)
    with pytest.raises(Unavailable) as refusal:
        checks.check_disk(tmp_path, needed_bytes=2**60)
    assert "MB are free on the disk of" in one_line(refusal)


def test_a_second_floor_on_the_same_data_is_refused_and_the_first_named(tmp_path: Path) -> None:
    with checks.hold_lock(tmp_path, tmp_path):
        assert checks.is_locked(tmp_path)
        with pytest.raises(Unavailable) as refusal:
            checks.hold_lock(tmp_path, tmp_path)
    assert f"already open (process {os.getpid()})" in one_line(refusal)
    assert not checks.is_locked(tmp_path)
    checks.hold_lock(tmp_path, tmp_path).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="TRADEFLOOR_DATA"):
        checks.make_folders([tmp_path / "file" / "data"])


def test_a_log_is_emptied_in_place_when_it_has_grown_and_three_older_ones_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    with log.open("a") as process_output:
        for round_number in range(5):
            process_output.write(f"round {round_number}\n" * 100)
            process_output.flush()
            logs.rotate(tmp_path, bytes_max=500)
        process_output.write("after\n")
    assert log.read_text() == "after\n"
    kept = [(tmp_path / f"app.log.{number}").read_text().splitlines()[0] for number in (1, 2, 3)]
    assert kept == ["round 4", "round 3", "round 2"]
    assert not (tmp_path / "app.log.4").exists()
