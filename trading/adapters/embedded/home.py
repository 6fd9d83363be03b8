"""Where the embedded servers live and which OS user runs them.

PostgreSQL refuses to run as root. A root user's servers therefore run as ``nobody``, who must be able to reach their
binaries and their folder. Where a parent folder is closed to that user nothing is opened: the files (and a copy of the
binaries) go under ``/var/lib/tradefloor`` instead.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trading.domain.errors import Unavailable

SYSTEM_HOME = Path("/var/lib/tradefloor")
SOCKET_PATH_MAX = 103
"""Bytes of a unix socket's path: 107 on Linux, 103 on macOS."""
LONGEST_SOCKET_NAME = "/.s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The unprivileged OS user of the servers when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ServerHome:
    """Folders of one floor's servers. ``notes`` are lines a person should see."""

    user: ServerUser | None
    root: Path
    socket_dir: Path
    notes: tuple[str, ...]

    def own(self, path: Path) -> None:
        """Hand a file or folder of ours to the servers' user, closed to everyone else."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.user is not None:
            os.chown(path, self.user.uid, self.user.gid)

    def folder(self, name: str) -> Path:
        """A folder (0700) of the servers' user below the home."""
        path = self.root / name
        path.mkdir(exist_ok=True)
        self.own(path)
        return path


def server_user() -> ServerUser | None:
    """Who runs the servers: None for ourselves, an unprivileged user where we are root."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return ServerUser(65534, 65534)
    return ServerUser(nobody.pw_uid, nobody.pw_gid)


def choose(data_dir: Path, recorded_root: str = "", recorded_socket_dir: str = "") -> ServerHome:
    """Find or make the servers' folders for a floor's data folder; keeps to recorded places that still exist."""
    user = server_user()
    notes: list[str] = []
    if recorded_root and Path(recorded_root).is_dir():
        root = Path(recorded_root)
    else:
        root = data_dir / "servers"
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o711)
    if user is not None and not _can_enter(user, root):
        root = _system_folder(hashlib.sha256(bytes(data_dir.resolve())).hexdigest()[:12])
    if not root.is_relative_to(data_dir):
        notes.append(f"The servers' files are in {root}: their user cannot reach {data_dir}.")
    home = ServerHome(user, root, root, tuple(notes))
    return ServerHome(user, root, _socket_dir(home, recorded_socket_dir), tuple(notes))


def reachable_binary(user: ServerUser | None, package_dir: Path, binary: Path, version: str) -> Path:
    """A binary of a wheel, or of a copy of the wheel's package that the servers' user can reach."""
    if user is None or _can_run(user, binary):
        return binary
    copy = _system_folder("bin") / f"{package_dir.name}-{version}"
    if not (copy / ".complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        # A wheel keeps its shared libraries in a sibling folder that the binaries find by a relative path.
        for source in (package_dir, package_dir.with_name(f"{package_dir.name}.libs")):
            if source.is_dir():
                shutil.copytree(source, copy / source.name, symlinks=True)
        for path in copy.rglob("*"):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        copy.chmod(0o755)
        (copy / ".complete").touch()
    return copy / package_dir.name / binary.relative_to(package_dir)


def release_socket_dir(home: ServerHome) -> None:
    """Remove the short socket folder under the temporary folder, if that is where the sockets were."""
    if not home.socket_dir.is_relative_to(home.root):
        shutil.rmtree(home.socket_dir, ignore_errors=True)


def _socket_dir(home: ServerHome, recorded: str) -> Path:
    path = home.root / "run"
    if len(os.fsencode(path)) + len(LONGEST_SOCKET_NAME) <= SOCKET_PATH_MAX:
        return home.folder("run")
    if recorded and _is_ours(home, Path(recorded)):
        return Path(recorded)
    # mkdtemp never follows or reuses what another user laid out under /tmp.
    short = Path(tempfile.mkdtemp(prefix="tf-", dir="/tmp"))
    home.own(short)
    return short


def _is_ours(home: ServerHome, path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    owner = home.user.uid if home.user else os.geteuid()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) == 0o700


def _system_folder(name: str) -> Path:
    folder = SYSTEM_HOME / name
    try:
        for path in (SYSTEM_HOME, folder):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
    except OSError as error:
        raise Unavailable(
            f"The servers' user can reach neither the data folder nor {folder} ({error.strerror}). "
            "Put TRADEFLOOR_DATA and the project where every user may enter."
        ) from error
    return folder


def _can_enter(user: ServerUser, folder: Path) -> bool:
    return _runs_as(user, ["/bin/sh", "-c", 'cd -- "$0"', str(folder)])


def _can_run(user: ServerUser, binary: Path) -> bool:
    return _runs_as(user, [str(binary), "--version"])


def _runs_as(user: ServerUser, argv: list[str]) -> bool:
    try:
        done = subprocess.run(
            argv, capture_output=True, cwd="/", timeout=20, user=user.uid, group=user.gid, extra_groups=[], check=False
        )
    except OSError:
        return False
    return done.returncode == 0
