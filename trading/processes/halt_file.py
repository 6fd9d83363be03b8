"""The kill switch as a file: ``HALT`` in the data folder halts the floor, its first line is the reason.

A thread of the supervisor looks for it, so that it works with the broker frozen, Redis down and the app gone. Removing
the file opens nothing: somebody resumes the floor, which is refused while the file is there.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import structlog

from trading.adapters.postgres.halt_store import note_halt_file
from trading.services.ports.clock import Clock

NAME = "HALT"
LOOK_S = 0.25
_REASON_MAX = 500


class HaltFile:
    """Looks every ``LOOK_S`` and tells the database of each change, again and again until it has heard."""

    def __init__(self, folder: Path, dsn: Callable[[], str], clock: Clock) -> None:
        self._path, self._dsn, self._clock = folder / NAME, dsn, clock
        self._told: bool | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_forever, name="halt-file", daemon=True)

    def start(self) -> None:
        """Begin to look; what is there at the start counts."""
        self._thread.start()

    def end(self) -> None:
        """Stop; waits at most 3 s."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(3.0)

    def look(self) -> None:
        """Look once. Raises `psycopg.Error` where the database has not heard."""
        reason = reason_of(self._path)
        if (reason is not None) == self._told:
            return
        note_halt_file(self._dsn(), reason is not None, reason or "", self._clock.now_ns())
        self._told = reason is not None

    def _look_forever(self) -> None:
        log = structlog.get_logger("supervisor")
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
            except psycopg.Error as error:
                log.warning("halt_file_not_told", error=str(error).strip())


def reason_of(path: Path) -> str | None:
    """The reason in the file, or None where there is none. A file that can't be read halts too."""
    try:
        words = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"The file {NAME} is there and can't be read: {error.strerror}"
    return words[:_REASON_MAX] or f"The file {NAME} lies in the data folder"
