"""The supervisor against real processes that die, hang and leave children behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from trading.adapters.clock import SystemClock
from trading.processes import status, strays
from trading.processes.status import FloorView, ProcessView
from trading.processes.supervisor import Managed, Supervisor
from trading.processes.table import ProcessSpec, State, backoff_s

SLEEP = "import time; time.sleep(600)"
TOY = Path(__file__).with_name("toy_floor.py")
Opener = Callable[..., "Toy"]


class Toy:
    """A toy floor in a process of its own."""

    def __init__(self, run_dir: Path, specs: dict[str, dict[str, Any]]) -> None:
        self.run_dir = run_dir
        self.output = run_dir.parent / "output.txt"
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(TOY), str(run_dir), json.dumps(specs)], stdout=output, stderr=output
            )

    def said(self) -> list[str]:
        return self.output.read_text().splitlines()

    def view(self) -> FloorView:
        return status.read(self.run_dir, time.time())

    def of(self, name: str) -> ProcessView:
        return next(process for process in self.view().processes if process.name == name)

    def wait_open(self) -> None:
        eventually(lambda: "OPEN" in self.said())

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def eventually(holds: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def gone(processes: list[psutil.Process]) -> bool:
    def lives(one: psutil.Process) -> bool:
        try:
            return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:  # it ended between two looks
            return False

    return not any(lives(one) for one in processes)


def command(one: psutil.Process) -> str:
    try:
        return " ".join(one.cmdline())
    except psutil.NoSuchProcess:  # ended, or ended and not yet collected
        return ""


@pytest.fixture
def open_toy(tmp_path: Path) -> Iterator[Opener]:
    made: list[Toy] = []

    def opened(**specs: dict[str, Any]) -> Toy:
        made.append(Toy(tmp_path / "run", specs))
        return made[-1]

    yield opened
    for toy in made:
        if toy.process.poll() is None:
            toy.process.kill()
            toy.process.wait()
    strays.sweep(*strays.recorded(tmp_path / "run"))


def test_the_first_restart_is_immediate_and_later_ones_back_off_to_half_a_minute() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3, 4, 8, 9, 500)] == [0.0, 0.5, 1.0, 2.0, 30.0, 30.0, 30.0]


def test_processes_start_when_what_they_need_is_ready(open_toy: Opener, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    toy = open_toy(
        server={"code": f"import time, pathlib; time.sleep(0.5); pathlib.Path({str(ready)!r}).touch(); time.sleep(600)",
                "ready": str(ready)},
        migration={"code": f"import pathlib, sys; sys.exit(not pathlib.Path({str(ready)!r}).exists())",
                   "once": True, "vital": True, "needs": ["server"]},
        worker={"code": SLEEP, "needs": ["migration"]},
    )  # fmt: skip
    toy.wait_open()
    order = [line for line in toy.said() if line.split()[-1] in ("running", "done")]
    assert order == ["server running", "migration done", "worker running"]
    assert toy.view().healthy
    assert [process.name for process in toy.view().processes] == ["server", "worker"]


def test_a_killed_process_is_restarted_at_once_and_shown(open_toy: Opener) -> None:
    toy = open_toy(worker={"code": SLEEP})
    toy.wait_open()
    first = toy.of("worker").pid
    assert first is not None
    began_s = time.monotonic()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: toy.of("worker").pid not in (first, None))
    assert time.monotonic() - began_s < 2.0
    eventually(lambda: toy.of("worker").restarts == 1 and toy.of("worker").state == "running")
    assert toy.of("worker").last_exit == "killed by SIGKILL"
    assert "worker backing_off" in toy.said()


def test_a_process_that_lives_but_does_not_respond_is_killed_and_started_again(
    open_toy: Opener, tmp_path: Path
) -> None:
    sign = tmp_path / "responds"
    sign.touch()
    toy = open_toy(worker={"code": SLEEP, "responds": str(sign), "patience_s": 8.0})
    toy.wait_open()
    first = toy.of("worker").pid
    time.sleep(6)
    assert toy.of("worker").pid == first
    sign.unlink()
    eventually(lambda: toy.of("worker").restarts == 1, 20)
    assert toy.of("worker").last_exit == "did not respond for 8 s"
    sign.touch()
    eventually(lambda: toy.of("worker").state == "running")


def test_a_process_that_keeps_dying_backs_off_and_makes_the_floor_unhealthy(open_toy: Opener) -> None:
    toy = open_toy(worker={"code": SLEEP}, broken={"code": "raise SystemExit(3)"})
    toy.wait_open()
    eventually(lambda: toy.of("broken").restarts >= 3)
    view = toy.view()
    assert not view.healthy
    assert "broken" in view.problem
    assert toy.of("broken").last_exit == "exit status 3"
    assert toy.of("worker").restarts == 0


def test_what_a_dead_process_left_in_its_group_is_ended_before_the_restart(open_toy: Opener, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import subprocess, sys, time, pathlib\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        f"pathlib.Path({str(pids)!r}).open('a').write(f'{{child.pid}}\\n')\n"
        "time.sleep(600)\n"
    )
    toy = open_toy(worker={"code": code, "ready": str(pids)})
    toy.wait_open()
    orphan = psutil.Process(int(pids.read_text()))
    leader = toy.of("worker").pid
    assert leader is not None
    os.kill(leader, signal.SIGKILL)
    eventually(lambda: gone([orphan]))


def test_a_vital_step_that_fails_ends_the_opening_with_its_last_words(open_toy: Opener) -> None:
    toy = open_toy(
        worker={"code": SLEEP},
        migration={
            "code": "import sys; sys.exit('the schema is too new')",
            "once": True,
            "vital": True,
        },
    )
    assert toy.process.wait(15) == 1
    assert "CLOSED migration failed (exit status 1): the schema is too new" in toy.said()
    assert not toy.view().open


def test_closing_stops_in_reverse_order_and_servants_last(open_toy: Opener) -> None:
    toy = open_toy(
        database={"code": SLEEP, "servant": True},
        engine={"code": SLEEP, "stop_phase": 2},
        screen={"code": SLEEP, "stop_phase": 3},
    )
    toy.wait_open()
    family = toy.family()
    began_s = time.monotonic()
    assert toy.close() == 0
    assert time.monotonic() - began_s < 5.0
    assert [line for line in toy.said() if "stopped" in line or line == "LAST"] == [
        "screen stopped", "engine stopped", "LAST", "database stopped",
    ]  # fmt: skip
    assert gone(family)
    assert not toy.view().open


def test_a_process_that_ignores_the_stop_signal_is_killed(open_toy: Opener, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    code = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(deaf)!r}).touch(); time.sleep(600)"
    )
    toy = open_toy(worker={"code": code, "ready": str(deaf), "stop_timeout_s": 0.5})
    toy.wait_open()
    family = toy.family()
    assert toy.close() == 0
    assert gone(family)


def test_a_killed_supervisor_leaves_nothing_behind_not_even_grandchildren(open_toy: Opener, tmp_path: Path) -> None:
    pid_file = tmp_path / "grandchild"
    code = (
        "import subprocess, sys, time, pathlib\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    toy = open_toy(worker={"code": code, "ready": str(pid_file)}, database={"code": SLEEP, "servant": True})
    toy.wait_open()
    family = [*toy.family(), psutil.Process(int(pid_file.read_text()))]
    assert len(family) >= 4
    toy.process.kill()
    toy.process.wait()
    eventually(lambda: gone(family))
    assert not toy.view().open


def test_the_next_start_ends_what_a_killed_supervisor_and_its_guard_left(open_toy: Opener, tmp_path: Path) -> None:
    stray = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, strays.TOKEN_VARIABLE: "old"})
    recorded = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        child = strays.identify(recorded.pid)
        assert child is not None
        (tmp_path / "run").mkdir()
        strays.record(tmp_path / "run", "old", [child])
        open_toy(worker={"code": SLEEP}).wait_open()
        assert stray.wait(5) == -signal.SIGTERM
        assert recorded.wait(5) == -signal.SIGTERM
    finally:
        stray.kill()
        recorded.kill()


def test_a_process_that_took_over_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        child = strays.identify(stranger.pid)
        assert child is not None
        assert strays.sweep("", [strays.Child(child.pid, child.create_time - 100, False)]) == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_group_is_ended_once_for_its_number_may_soon_be_a_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _sign: ended.append(group))
    spec = ProcessSpec("once", (sys.executable, "-c", ""), dict(os.environ), once=True)
    floor = Supervisor(
        [spec], tmp_path, tmp_path, SystemClock(),
        on_change=lambda _: None, on_beat=lambda _: None, on_open=lambda _: None, before_servants_stop=lambda: None,
    )  # fmt: skip
    managed = Managed(spec, tmp_path / "once.log")

    def done() -> bool:
        floor._advance(managed, time.monotonic())
        return managed.state is State.DONE

    eventually(done)
    assert done()
    assert done()
    floor._stop_together([managed])
    assert len(ended) == 1
    assert managed.state is State.STOPPED


def test_a_guard_that_dies_is_replaced(open_toy: Opener) -> None:
    toy = open_toy(worker={"code": SLEEP})
    toy.wait_open()

    def guards() -> list[psutil.Process]:
        return [one for one in toy.family() if "trading.processes.guard" in command(one)]

    (first,) = guards()
    first.kill()
    eventually(lambda: [one.pid for one in guards()] not in ([], [first.pid]))


def test_a_frozen_supervisor_is_reported(open_toy: Opener) -> None:
    toy = open_toy(worker={"code": SLEEP})
    toy.wait_open()
    later = status.read(toy.run_dir, time.time() + 60)
    assert later.open
    assert not later.healthy
    assert "not been heard of" in later.problem
