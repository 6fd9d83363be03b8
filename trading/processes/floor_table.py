"""The real floor's table of processes."""

import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trading.adapters.embedded import backup_wal, connections, home, secrets
from trading.adapters.embedded.home import ServerHome
from trading.adapters.embedded.postgres import EmbeddedPostgres
from trading.adapters.embedded.postgres import environment as plain_environment
from trading.adapters.embedded.valkey import EmbeddedValkey
from trading.config import Settings
from trading.domain.errors import Unavailable
from trading.market.ticks import STREAM
from trading.processes.checks import Port
from trading.processes.environment import floor_variables
from trading.processes.strays import write_atomically
from trading.processes.table import Birth, ProcessSpec

LOCATION = "tradefloor"
FRESH_S = 10.0
"""A tick or a lease older than this is a sign of a process that lives but does not work."""
NICE = 10
"""Research waits for trading: Dagster runs at a lower priority than market, broker and app."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Embedded servers of a floor: what to supervise, and their folders (None where both servers are given by URL).

    ``backup_log`` takes PostgreSQL's log for backups; nothing waits for it.
    """

    specs: tuple[ProcessSpec, ...]
    home: ServerHome | None
    backup_log: ProcessSpec | None = None


def ports(settings: Settings) -> list[Port]:
    """Ports the floor answers on."""
    return [
        Port(settings.app_port, "the app", "TRADEFLOOR_APP_PORT"),
        Port(settings.dagster_port, "Dagster", "TRADEFLOOR_DAGSTER_PORT"),
    ]


def prepare_servers(settings: Settings) -> Servers:
    """Make the secrets and the embedded servers' folders and cluster; nothing is started yet."""
    known = secrets.read_or_generate(settings.secrets_path)
    if settings.database_url and settings.redis_url:
        return Servers((), None)
    place = home.choose(settings.data_dir, known.server_home, known.postgres_socket_dir)
    created = (place.root / "postgres" / "PG_VERSION").exists()
    if created and not known.server_home and not settings.database_url:
        settings.secrets_path.unlink()
        raise Unavailable(
            f"{settings.secrets_path} is missing but its database is there; restore the file from a backup."
        )
    postgres = EmbeddedPostgres(place, known.postgres[secrets.SUPERUSER], settings.log_dir / "postgres.log")
    valkey = EmbeddedValkey(place, known.valkey_password, settings.log_dir / "valkey.log")
    secrets.write(
        settings.secrets_path,
        replace(
            known,
            server_home=str(place.root),
            postgres_socket_dir=str(place.socket_dir),
            valkey_socket=str(valkey.socket),
        ),
    )
    specs, backup_log = [], None
    if not settings.database_url:
        postgres.prepare()
        specs.append(_postgres(postgres))
        if settings.backup_every_h:
            backup_log = _backup_log(postgres, settings.backups)
    if not settings.redis_url:
        valkey.prepare()
        specs.append(_valkey(valkey))
    return Servers(tuple(specs), place, backup_log)


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """The cluster of a floor that was opened before."""
    known = secrets.read(settings.secrets_path)
    if known is None or not known.server_home:
        raise Unavailable("The floor has never been opened. Start it with: make up")
    place = home.choose(settings.data_dir, known.server_home, known.postgres_socket_dir)
    if str(place.socket_dir) != known.postgres_socket_dir:
        secrets.write(settings.secrets_path, replace(known, postgres_socket_dir=str(place.socket_dir)))
    return EmbeddedPostgres(place, known.postgres[secrets.SUPERUSER], settings.log_dir / "postgres.log")


def processes(settings: Settings, servers: Servers) -> list[ProcessSpec]:
    """Every process of the floor in the order of its opening."""
    env = {**os.environ, **floor_variables(settings), "PYTHONUNBUFFERED": "1"}
    up = tuple(spec.name for spec in servers.specs)
    app = f"http://{settings.host}:{settings.app_port}"
    dagster = f"http://{settings.host}:{settings.dagster_port}"
    code_socket = (servers.home.socket_dir if servers.home else settings.run_dir) / "dagster.sock"
    workspace = ("-w", str(_workspace(settings, code_socket)))
    return [
        *servers.specs,
        ProcessSpec(
            "first-start", _python("trading.processes.first_start"), env, up, label="Database and demo floor",
            once=True, vital=True,
        ),
        ProcessSpec(
            "app", _python("app.server"), env, ("first-start",), _answers(settings.host, settings.app_port, "/"),
            responds=_answers(settings.host, settings.app_port, "/"), patience_s=40.0,
            label="App", address=app, stop_phase=3,
        ),
        ProcessSpec(
            "market", _python("trading.processes.market"), env, ("first-start",), _ticking(settings),
            responds=_still_ticking(settings), label="Market SIM", stop_phase=2,
        ),
        ProcessSpec(
            "broker", _python("trading.processes.broker"), env, ("first-start",), _leading(settings),
            responds=_still_leading(settings), label="Paper broker", stop_phase=2,
        ),
        ProcessSpec(
            "clerk", _python("trading.processes.clerk"), env, ("first-start",), responds=_still_reporting(settings),
            label="Clerk", stop_phase=3,
        ),
        *([servers.backup_log] if servers.backup_log else []),
        ProcessSpec(
            "dagster-code",
            _python(
                "dagster", "api", "grpc", "--socket", str(code_socket), "--use-python-environment-entry-point",
                "--location-name", LOCATION, "-m", "pipelines.definitions",
            ),
            env, ("app", "market", "broker"), lambda _birth: _listening(code_socket),
            prepare=lambda: code_socket.unlink(missing_ok=True), label="Dagster code", nice=NICE, stop_phase=3,
            stop_timeout_s=8.0,
        ),
        ProcessSpec(
            "dagster-webserver",
            _python("dagster_webserver", "-h", settings.host, "-p", str(settings.dagster_port), *workspace),
            env, ("dagster-code",), _answers(settings.host, settings.dagster_port, "/server_info"),
            label="Dagster", address=dagster, nice=NICE, stop_phase=3, stop_timeout_s=8.0,
        ),
        ProcessSpec(
            "lost-runs", _python("trading.processes.lost_runs"), env, ("dagster-webserver",),
            label="Pipeline runs", once=True, stop_phase=4,
        ),
        ProcessSpec(
            "dagster-daemon", _python("dagster._daemon", "run", *workspace), env, ("lost-runs",),
            label="Dagster daemon", nice=NICE, stop_phase=3, stop_timeout_s=8.0,
        ),
        ProcessSpec(
            "first-night", _python("trading.processes.first_night"), env, ("dagster-daemon",),
            label="First pipeline run", once=True, nice=NICE, stop_phase=4,
        ),
    ]  # fmt: skip


def _workspace(settings: Settings, code_socket: Path) -> Path:
    """A workspace that names the floor's one code server.

    With the project's own ``workspace.yaml`` the webserver and the daemon would each keep one, and the daemon would
    start a new one every minute.
    """
    path = settings.run_dir / "workspace.yaml"
    server = {"grpc_server": {"socket": str(code_socket), "location_name": LOCATION}}
    write_atomically(path, json.dumps({"load_from": [server]}))  # JSON is YAML
    return path


def _listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _postgres(server: EmbeddedPostgres) -> ProcessSpec:
    return ProcessSpec(
        "postgres",
        tuple(server.argv()),
        plain_environment(),
        ready=lambda _birth: server.ready(),
        prepare=server.clear_predecessor,
        label="PostgreSQL",
        vital=True,
        servant=True,
        user=server.home.user,
        cwd=server.home.root,
        stop_signal=signal.SIGINT,
        stop_timeout_s=15.0,
    )


def _backup_log(server: EmbeddedPostgres, place: Path) -> ProcessSpec:
    """It runs as ourselves: the folder of the backups is not the servers'."""
    argv, env = backup_wal.stream_command(server, place)
    return ProcessSpec(
        "backup-log",
        tuple(argv),
        env,
        ("first-start",),
        prepare=lambda: backup_wal.prepare_stream(server, place),
        label="Log for backups",
    )


def _valkey(server: EmbeddedValkey) -> ProcessSpec:
    return ProcessSpec(
        "valkey",
        tuple(server.argv()),
        plain_environment(),
        ready=lambda _birth: server.ready(),
        prepare=server.clear_predecessor,
        label="Valkey",
        vital=True,
        servant=True,
        user=server.home.user,
        cwd=server.home.root,
    )


def _answers(host: str, port: int, path: str) -> Callable[[Birth], bool]:
    def ready(_birth: Birth) -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def _ticking(settings: Settings) -> Callable[[Birth], bool]:
    """A tick that is younger than the process."""
    return lambda birth: (_newest_tick_s(settings) or 0.0) > birth.epoch_s


def _still_ticking(settings: Settings) -> Callable[[Birth], bool]:
    """The newest tick is fresh. Without Valkey, or right after it lost all, nobody can tell."""

    def responds(_birth: Birth) -> bool:
        newest_s = _newest_tick_s(settings)
        return newest_s is None or time.time() - newest_s < FRESH_S

    return responds


def _newest_tick_s(settings: Settings) -> float | None:
    """When the newest entry of the tape was published, in seconds since the epoch; None where there is none."""
    import redis

    try:
        with redis.Redis.from_url(
            connections.redis_url(settings), protocol=3, socket_timeout=2, socket_connect_timeout=2
        ) as client:
            newest = client.xrevrange(STREAM, count=1)
    except (redis.RedisError, OSError):
        return None
    return int(newest[0][0].split(b"-")[0]) / 1000 if newest else None


def _leading(settings: Settings) -> Callable[[Birth], bool]:
    """This very process holds the lease."""
    return lambda birth: _holds_lease(settings, birth.pid, overdue_s=0.0) is True


def _still_leading(settings: Settings) -> Callable[[Birth], bool]:
    """It renews its lease. Without PostgreSQL nobody can tell, and a standby has no lease to renew."""
    return lambda birth: _holds_lease(settings, birth.pid, overdue_s=FRESH_S) is not False


def _still_reporting(settings: Settings) -> Callable[[Birth], bool]:
    """A clerk reports its jobs. Without PostgreSQL nobody can tell, and one that waits reports nothing."""

    def responds(birth: Birth) -> bool:
        import psycopg

        from trading.adapters.postgres.pool import FloorConnection

        try:
            with FloorConnection.connect(connections.dsn(settings, "tf_app"), connect_timeout=2) as connection:
                row = connection.execute(
                    "select (detail ->> 'at_ns')::bigint from process_status"
                    " where name = 'clerk' and (detail ->> 'pid')::int = %s",
                    [birth.pid],
                ).fetchone()
        except psycopg.Error:
            return True
        return row is None or time.time() - int(row[0]) / 1e9 < FRESH_S

    return responds


def _holds_lease(settings: Settings, pid: int, overdue_s: float) -> bool | None:
    import psycopg

    from trading.adapters.postgres.pool import FloorConnection

    try:
        with FloorConnection.connect(connections.dsn(settings, "tf_app"), connect_timeout=2) as connection:
            row = connection.execute(
                "select expires_at > clock_timestamp() - make_interval(secs => %s) from broker_lease where holder = %s",
                [overdue_s, f"{socket.gethostname()}:{pid}"],
            ).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else bool(row[0])
