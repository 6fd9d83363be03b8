"""Which processes belong to a floor, and how none of them outlives it.

Two marks: the supervisor records the pid and start time of every child, and every child but the embedded servers (so
also what it starts, such as Dagster's code servers and runs) carries the floor's random token in its environment. This
module imports little, because the guard and ``tradefloor status`` use it.
"""

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TOKEN_VARIABLE = "TRADEFLOOR_FLOOR"  # noqa: S105 - a mark, not a secret
RECORD_NAME = "children.json"


@dataclass(frozen=True, slots=True)
class Child:
    """A process as recorded: the start time (seconds since the epoch) tells it from a later bearer of its pid."""

    pid: int
    create_time: float
    servant: bool
    """Embedded servers stop last, and by their own signal: SIGINT means fast shutdown to PostgreSQL."""


def identify(pid: int, servant: bool = False) -> Child | None:
    """A live process, None where it is gone already."""
    try:
        return Child(pid, psutil.Process(pid).create_time(), servant)
    except psutil.Error:
        return None


def find(child: Child) -> psutil.Process | None:
    """The recorded process if it still lives."""
    try:
        process = psutil.Process(child.pid)
        same = abs(process.create_time() - child.create_time) < 0.05
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def record(run_dir: Path, token: str, children: Sequence[Child]) -> None:
    """Write down the floor's processes in one step."""
    rows = [{"pid": child.pid, "create_time": child.create_time, "servant": child.servant} for child in children]
    write_atomically(run_dir / RECORD_NAME, json.dumps({"v": 1, "token": token, "children": rows}))


def recorded(run_dir: Path) -> tuple[str, list[Child]]:
    """Token and children of the floor that was open last; empty where there is no record."""
    try:
        content = json.loads((run_dir / RECORD_NAME).read_text())
        rows = [Child(int(row["pid"]), float(row["create_time"]), bool(row["servant"])) for row in content["children"]]
        return str(content["token"]), rows
    except (OSError, ValueError, KeyError, TypeError):
        return "", []


def marked(token: str) -> list[psutil.Process]:
    """Live processes that carry a floor's token, other than this one."""
    if not token:
        return []
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(TOKEN_VARIABLE) == token:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def sweep(token: str, children: Sequence[Child], grace_s: float = 4.0) -> int:
    """End every process of a floor, the embedded servers last; returns how many were found."""
    recorded_live = [(child, process) for child in children if (process := find(child)) is not None]
    servants = {process.pid: process for child, process in recorded_live if child.servant}
    others = {process.pid: process for child, process in recorded_live if not child.servant}
    others |= {process.pid: process for process in marked(token) if process.pid not in servants}
    _end(list(others.values()), signal.SIGTERM, grace_s)
    # A run worker may have started another process between the look and the signal.
    _end(marked(token), signal.SIGKILL, 1.0)
    _end(list(servants.values()), signal.SIGINT, 10.0)
    return len(others) + len(servants)


def _end(processes: list[psutil.Process], first: signal.Signals, grace_s: float) -> None:
    _signal_all(processes, first)
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    _signal_all(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=2.0)


def _signal_all(processes: Sequence[psutil.Process], sign: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(sign)
        except psutil.Error:
            continue


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file in one step; readers see the old or the new one, whole."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(text)
    staged.replace(path)
