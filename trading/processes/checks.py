"""What must hold before a floor opens; each refusal is one line that says what to do."""

import fcntl
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from trading.domain.errors import Unavailable

DISK_NEEDED_BYTES = 200 * 1024 * 1024
LOCK_NAME = "floor.lock"


@dataclass(frozen=True, slots=True)
class Port:
    """A port the floor answers on, what for, and the variable that moves it."""

    number: int
    purpose: str
    variable: str


def make_folders(folders: Sequence[Path]) -> None:
    """Create the floor's folders; `Unavailable` names the one that cannot be written."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise Unavailable(
                f"{folder} cannot be written ({error.strerror}). Move the data with TRADEFLOOR_DATA."
            ) from error


def hold_lock(run_dir: Path, data_dir: Path) -> FileIO:
    """The lock of a data folder, held until the returned file is closed or the process ends, however it ends."""
    file = FileIO(os.open(run_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = file.read(20).decode().strip()
        file.close()
        raise Unavailable(
            f"The floor on {data_dir} is already open (process {holder or 'unknown'}). "
            "Close it with `tradefloor down`, or give this one a folder of its own: TRADEFLOOR_DATA=..."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())
    return file


def is_locked(run_dir: Path) -> bool:
    """Whether a supervisor holds the lock."""
    try:
        descriptor = os.open(run_dir / LOCK_NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_disk(data_dir: Path, needed_bytes: int = DISK_NEEDED_BYTES) -> None:
    """`Unavailable` where the disk is nearly full."""
    free = shutil.disk_usage(data_dir).free
    if free < needed_bytes:
        raise Unavailable(
            f"Only {free // 2**20} MB are free on the disk of {data_dir}; the floor needs {needed_bytes // 2**20} MB. "
            "Free some space or move the data with TRADEFLOOR_DATA."
        )


def check_ports(host: str, ports: Sequence[Port]) -> None:
    """`Unavailable` for the first port that is taken, naming the variable that moves it."""
    seen: set[int] = set()
    for port in ports:
        if port.number in seen:
            raise Unavailable(f"Port {port.number} is wanted twice; move {port.purpose} with {port.variable}.")
        seen.add(port.number)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port.number))
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise Unavailable(
                    f"Port {port.number}, wanted for {port.purpose}, cannot be used ({reason}). "
                    f"Choose another: {port.variable}={_suggestion(port.number)} make up"
                ) from error


def _suggestion(number: int) -> int:
    return number + 10 if number < 65500 else 18501
