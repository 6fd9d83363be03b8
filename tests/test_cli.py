"""The command line, and a whole floor opened, hurt and closed with it."""

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from shared_servers import free_port

from trading.processes import strays

TRADEFLOOR = str(Path(sys.executable).parent / "tradefloor")
ANSWER_WITHIN_S = 20.0


class Floor:
    """A floor of this module's own, opened and closed by the command line."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.output = folder / "up.txt"
        self.app_port, self.dagster_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "TRADEFLOOR_DATA": str(self.data),
            "TRADEFLOOR_APP_PORT": str(self.app_port),
            "TRADEFLOOR_DAGSTER_PORT": str(self.dagster_port),
        }
        self.up: subprocess.Popen[bytes] | None = None

    def tradefloor(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [TRADEFLOOR, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def open(self) -> float:
        """Start ``tradefloor up``; returns the seconds until the app answered."""
        began_s = time.monotonic()
        with self.output.open("ab") as output:
            self.up = subprocess.Popen([TRADEFLOOR, "up"], env=self.environment, stdout=output, stderr=output)
        eventually(self.answers, 90)
        return time.monotonic() - began_s

    def answers(self) -> bool:
        assert self.up is not None
        assert self.up.poll() is None, self.output.read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.app_port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.tradefloor("status", "--json").stdout)
        return found

    def process(self, name: str) -> dict[str, Any]:
        return next(row for row in self.status()["processes"] if row["name"] == name)

    def healthy(self) -> bool:
        return bool(self.status()["healthy"])

    def family(self) -> list[psutil.Process]:
        assert self.up is not None
        return psutil.Process(self.up.pid).children(recursive=True)


def eventually(holds: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def living(processes: list[psutil.Process]) -> list[str]:
    found = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):  # it may end between two looks
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
    return found


@pytest.fixture(scope="module")
def floor() -> Iterator[Floor]:
    with tempfile.TemporaryDirectory(prefix="tradefloor-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        own = Floor(Path(folder))
        yield own
        if own.up is not None and own.up.poll() is None:
            own.up.send_signal(signal.SIGTERM)
            own.up.wait(60)
        strays.sweep(*strays.recorded(own.data / "run"))


@pytest.fixture
def closed(tmp_path: Path) -> Floor:
    return Floor(tmp_path)


def test_help_names_every_command_and_the_exit_codes(closed: Floor) -> None:
    done = closed.tradefloor("--help")
    assert done.returncode == 0
    for word in (
        "up",
        "down",
        "status",
        "env",
        "ingest",
        "verify",
        "nightly",
        "keys",
        "backup",
        "halt",
        "resume",
        "halts",
        "Exit status",
    ):
        assert word in done.stdout


def test_version_is_the_package_s(closed: Floor) -> None:
    assert re.fullmatch(r"tradefloor \d+\.\d+\.\d+\n", closed.tradefloor("--version").stdout)


def test_a_closed_floor_answers_every_command_in_one_line(closed: Floor) -> None:
    for command in (["verify"], ["nightly"], ["env"], ["ingest", __file__]):
        done = closed.tradefloor(*command)
        assert done.returncode == 2, (command, done)
        assert done.stderr.count("\n") == 1, done.stderr
        assert "make up" in done.stderr
    assert closed.tradefloor("down").stdout == "The floor was not open.\n"


def test_status_of_a_closed_floor_is_not_healthy_and_is_quick(closed: Floor) -> None:
    began_s = time.monotonic()
    done = closed.tradefloor("status", "--json")
    assert time.monotonic() - began_s < 2.0
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert (answer["healthy"], answer["processes"]) == (False, [])


def test_a_setting_that_makes_no_sense_is_named(closed: Floor) -> None:
    closed.environment["TRADEFLOOR_APP_PORT"] = "eighty"
    done = closed.tradefloor("up")
    assert done.returncode == 2
    assert done.stderr.startswith("tradefloor: TRADEFLOOR_APP_PORT:")
    assert done.stderr.count("\n") == 1


def test_files_that_are_not_there_are_named(closed: Floor, tmp_path: Path) -> None:
    missing = closed.tradefloor("ingest", str(tmp_path / "no.csv"))
    assert (missing.returncode, missing.stderr) == (2, f"tradefloor: There is no file {tmp_path / 'no.csv'}\n")
    (tmp_path / "empty").mkdir()
    assert "holds no file that ends in .csv" in closed.tradefloor("ingest", str(tmp_path / "empty")).stderr


@pytest.mark.floor
@pytest.mark.timeout(400)
class TestAWholeFloor:
    """In the order of a day: open, look, hurt, close."""

    def test_it_answers_in_time_becomes_healthy_and_shows_the_logins_once(self, floor: Floor) -> None:
        seconds = floor.open()
        assert seconds < ANSWER_WITHIN_S * float(os.environ.get("TRADEFLOOR_TEST_PATIENCE", "3"))
        eventually(floor.healthy, 120)
        names = [row["name"] for row in floor.status()["processes"]]
        servers, ours = ["postgres", "valkey"], ["app", "market", "broker", "clerk", "backup-log"]
        assert names == [*servers, *ours, "dagster-code", "dagster-webserver", "dagster-daemon"]
        eventually(lambda: "shown this once" in floor.output.read_text(), 20)
        logins = floor.data / "demo-logins.txt"
        assert stat.S_IMODE(logins.stat().st_mode) == 0o600
        for line in logins.read_text().splitlines():
            assert line in floor.output.read_text()

    def test_no_password_is_in_a_log(self, floor: Floor) -> None:
        kept = json.loads((floor.data / "secrets.json").read_text())
        passwords = [*kept["postgres"].values(), kept["valkey_password"], kept["cookie_key"]]
        passwords += [line.split()[-1] for line in (floor.data / "demo-logins.txt").read_text().splitlines()]
        for log in (floor.data / "logs").iterdir():
            text = log.read_text(errors="replace")
            assert not [password for password in passwords if password in text], log

    def test_a_second_one_on_the_same_data_is_refused_in_one_line(self, floor: Floor) -> None:
        done = floor.tradefloor("up")
        assert done.returncode == 1
        assert "already open" in done.stderr
        assert done.stderr.count("\n") == 1

    def test_another_floor_on_the_same_port_is_refused_in_one_line(self, floor: Floor, tmp_path: Path) -> None:
        other = Floor(tmp_path)
        other.environment["TRADEFLOOR_APP_PORT"] = str(floor.app_port)
        done = other.tradefloor("up")
        assert done.returncode == 1
        assert f"Port {floor.app_port}" in done.stderr
        assert "TRADEFLOOR_APP_PORT=" in done.stderr

    def test_the_file_halt_halts_it_within_a_second_and_only_a_person_opens_it_again(self, floor: Floor) -> None:
        written_s = time.time()
        (floor.data / "HALT").write_text("smoke in the server room")
        eventually(lambda: floor.tradefloor("halts").returncode == 1, 30)
        (told,) = json.loads(floor.tradefloor("halts", "--json").stdout)["halts"]
        assert told["ts_ns"] / 1e9 - written_s < 1.0 * float(os.environ.get("TRADEFLOOR_TEST_PATIENCE", "3"))
        assert (told["scope"], told["reason"]) == ("floor", "smoke in the server room")
        refused = floor.tradefloor("resume")
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "remove it first" in refused.stderr
        (floor.data / "HALT").unlink()
        time.sleep(1)
        assert floor.tradefloor("halts").returncode == 1
        assert floor.tradefloor("resume").stdout == "floor is running.\n"

    def test_verify_finds_it_consistent(self, floor: Floor) -> None:
        for which in ([], ["--incremental"]):
            done = floor.tradefloor("verify", *which, "--json")
            assert done.returncode == 0, done.stdout
            assert json.loads(done.stdout)["ok"] is True

    def test_ingest_reports_what_it_took_and_what_it_refused(self, floor: Floor, tmp_path: Path) -> None:
        good, bad = tmp_path / "GOOD.csv", tmp_path / "BAD.csv"
        rows = [f"2024-01-{day:02},{10 + day / 10},11,9,10.{day},10{day}" for day in range(2, 6)]
        good.write_text("\n".join(["date,open,high,low,close,volume", *rows, "2024-01-08,10,8,9,10,100"]) + "\n")
        bad.write_text("not,a,table\n")
        taken = floor.tradefloor("ingest", str(good), "--json")
        report = json.loads(taken.stdout)
        assert (taken.returncode, report["accepted"], report["quarantined"], report["refused"]) == (0, 4, 1, 0)
        assert [row["date"] for rule in report["findings"].values() for row in rule["rows"]] == ["2024-01-08"]
        both = floor.tradefloor("ingest", str(good), str(bad))
        assert both.returncode == 1
        assert "already taken" in both.stdout
        assert "1 of 2 files taken" in both.stdout

    def test_a_killed_broker_is_back_at_once_and_shown(self, floor: Floor) -> None:
        first = floor.process("broker")["pid"]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: floor.process("broker")["pid"] not in (first, None), 5)
        eventually(floor.healthy, 30)
        assert floor.process("broker")["restarts"] == 1
        assert floor.process("broker")["last_exit"] == "killed by SIGKILL"

    def test_a_killed_database_comes_back_and_the_floor_with_it(self, floor: Floor) -> None:
        os.kill(floor.process("postgres")["pid"], signal.SIGKILL)
        eventually(lambda: floor.process("postgres")["restarts"] == 1, 15)
        eventually(floor.healthy, 60)
        assert floor.tradefloor("verify").returncode == 0

    def test_a_killed_supervisor_takes_everything_with_it(self, floor: Floor) -> None:
        family = floor.family()
        assert len(family) >= 9
        assert floor.up is not None
        floor.up.kill()
        floor.up.wait()
        eventually(lambda: not living(family), 30)
        assert not floor.healthy()

    def test_verify_works_on_a_closed_floor(self, floor: Floor) -> None:
        done = floor.tradefloor("verify")
        assert done.returncode == 0, done.stderr
        assert "consistent" in done.stdout

    def test_it_opens_again_with_its_data_and_names_the_logins_file(self, floor: Floor) -> None:
        logins = (floor.data / "demo-logins.txt").read_text()
        floor.output.write_text("")
        floor.open()
        eventually(floor.healthy, 120)
        eventually(lambda: "Logins are in" in floor.output.read_text(), 20)
        assert (floor.data / "demo-logins.txt").read_text() == logins
        assert logins.split()[-1] not in floor.output.read_text()

    def test_down_closes_all_of_it_within_seconds(self, floor: Floor) -> None:
        family = floor.family()
        began_s = time.monotonic()
        done = floor.tradefloor("down")
        assert done.returncode == 0
        assert done.stdout.startswith("The floor is closed")
        assert time.monotonic() - began_s < 20
        assert not living(family)
        assert floor.up is not None
        assert floor.up.wait(5) == 0
        assert not floor.status()["processes"]
