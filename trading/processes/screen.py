"""What a person sees of the floor in a terminal."""

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trading.config import Settings
from trading.processes.status import FloorView, ProcessView
from trading.processes.supervisor import Managed
from trading.processes.table import State

COLOURS = {"running": "green", "starting": "cyan", "waiting": "dim", "backing_off": "yellow", "failed": "red"}


class Terminal:
    """Progress while the floor opens, a table when it is open, a line for each process that dies."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._began_s = time.monotonic()
        self._logins_before = _text(settings.logins_path)
        self._open = False

    def note(self, line: str) -> None:
        """One line."""
        # A closed terminal must not keep the floor from closing cleanly.
        with suppress(OSError):
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def changed(self, managed: Managed) -> None:
        """A line when a process is ready, dies or comes back."""
        spec = managed.spec
        if spec.background:
            words = _text(managed.log).splitlines()[-1:]
            if managed.state in (State.DONE, State.FAILED) and words and words[0]:
                self.note(f"  {self._elapsed()}  {spec.title} {words[0]}")
        elif managed.state in (State.RUNNING, State.DONE) and not (self._open and managed.restarts == 0):
            address = f"  {spec.address}" if spec.address else ""
            again = f" again (restart {managed.restarts})" if managed.restarts else ""
            self.note(f"  {self._elapsed()}  {spec.title} ready{again}{address}")
        elif managed.state is State.BACKING_OFF:
            why = f"stopped ({managed.last_exit}), starting it again; see {managed.log}"
            self.note(f"  {self._elapsed()}  {spec.title} {why}")

    def opened(self, views: Sequence[ProcessView]) -> None:
        """What runs, where, the logins, what to try first."""
        self._open = True
        with suppress(OSError):
            self._console.print()
            self._console.print(process_table(views))
            self._logins()
            self._first_steps(views)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began_s:5.1f} s"

    def _logins(self) -> None:
        path = self._settings.logins_path
        made = _text(path).removeprefix(self._logins_before).strip()
        if made:
            self.note("\nLogins, shown this once (kept in " + str(path) + "):")
            self.note("  role      user      password")
            for line in made.splitlines():
                self.note(f"  {line}")
        elif path.exists():
            self.note(f"\nLogins are in {path}")

    def _first_steps(self, views: Sequence[ProcessView]) -> None:
        app = next((view.address for view in views if view.name == "app"), "")
        dagster = next((view.address for view in views if view.name == "dagster-webserver"), "")
        self.note(f"\nTry first: open {app}, log in as the trader, buy 10 AAPL at market and watch it fill.")
        self.note(f"Pipelines and their lineage: {dagster}")
        self.note("Close the floor with Ctrl-C here, or `tradefloor down` anywhere.")


def process_table(views: Sequence[ProcessView]) -> Table:
    """One line a process."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("process", "state", "pid", "since UTC", "restarts"):
        table.add_column(column, justify="right" if column in ("pid", "restarts") else "left", no_wrap=True)
    table.add_column("where", overflow="fold")
    for view in views:
        colour = COLOURS.get(view.state, "red")
        state = view.state.replace("_", " ")
        note = view.address if view.state == "running" else view.last_exit
        table.add_row(
            view.name, f"[{colour}]{state}[/]", str(view.pid or ""), _clock(view.started_at), str(view.restarts), note
        )
    return table


def show_status(console: Console, view: FloorView) -> None:
    """The floor's health for people."""
    if view.processes:
        console.print(process_table(view.processes))
    if view.healthy:
        console.print("The floor is open and healthy.", style="green")
    else:
        console.print(view.problem or "The floor is opening.", style="yellow", highlight=False)


def _clock(started_at: str | None) -> str:
    return datetime.fromisoformat(started_at).strftime("%H:%M:%S") if started_at else ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
