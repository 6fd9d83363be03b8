"""Open a floor and keep it open: checks, servers, processes, status, and a clean end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from trading.adapters.clock import SystemClock
from trading.adapters.embedded import connections, home
from trading.config import Settings
from trading.domain.errors import Unavailable
from trading.processes import checks, floor_table, strays
from trading.processes.environment import resolved
from trading.processes.halt_file import HaltFile
from trading.processes.status import ProcessView
from trading.processes.status_rows import StatusRows
from trading.processes.supervisor import Managed, Supervisor
from trading.processes.table import State


class Screen(Protocol):
    """Who looks on while the floor opens and closes."""

    def note(self, line: str) -> None:
        """One line a person should see."""
        ...

    def changed(self, managed: Managed) -> None:
        """A process changed its state."""
        ...

    def opened(self, views: Sequence[ProcessView]) -> None:
        """Everything is up, or has failed at least once."""
        ...


def open_and_keep(given: Settings, screen: Screen) -> int:
    """Open the floor, return when it is closed again: 0, or 1 where it could not open.

    Raises `Unavailable` with one line where a check fails; nothing has been started then.
    """
    settings = resolved(given)
    checks.make_folders([settings.data_dir, settings.run_dir, settings.log_dir, settings.inbox_dir])
    with checks.hold_lock(settings.run_dir, settings.data_dir):
        checks.check_disk(settings.data_dir)
        if strays.sweep(*strays.recorded(settings.run_dir)):
            screen.note("Ended what an earlier floor on this data had left running.")
        checks.check_ports(settings.host, floor_table.ports(settings))
        servers = floor_table.prepare_servers(settings)
        try:
            for line in servers.home.notes if servers.home else ():
                screen.note(line)
            return _keep(settings, servers, screen)
        finally:
            if servers.home is not None:
                home.release_socket_dir(servers.home)


def _keep(settings: Settings, servers: floor_table.Servers, screen: Screen) -> int:
    rows = StatusRows(lambda: connections.dsn(settings, "tf_app"))
    file = HaltFile(settings.data_dir, lambda: connections.dsn(settings, "tf_app"), SystemClock())

    def changed(managed: Managed) -> None:
        if managed.spec.name == "first-start" and managed.state is State.DONE:
            rows.start()
            file.start()
        screen.changed(managed)

    def end() -> None:
        file.end()
        rows.end()

    supervisor = Supervisor(
        specs=floor_table.processes(settings, servers),
        run_dir=settings.run_dir,
        log_dir=settings.log_dir,
        clock=SystemClock(),
        on_change=changed,
        on_beat=rows.show,
        on_open=screen.opened,
        before_servants_stop=end,
    )
    code = supervisor.run()
    if supervisor.failure:
        screen.note(supervisor.failure)
    return code


@contextmanager
def reachable_database(given: Settings) -> Iterator[Settings]:
    """The floor's database for one command: the open floor's, or the embedded one started for as long as it takes.

    Raises `Unavailable` where the floor has never been opened.
    """
    settings = resolved(given)
    if settings.database_url or checks.is_locked(settings.run_dir):
        yield settings
        return
    if not settings.secrets_path.exists():
        raise Unavailable("The floor has never been opened. Start it with: make up")
    with checks.hold_lock(settings.run_dir, settings.data_dir):
        strays.sweep(*strays.recorded(settings.run_dir))
        postgres = floor_table.embedded_postgres(settings)
        try:
            postgres.start()
            postgres.wait_ready()
            yield settings
        finally:
            postgres.stop()
            home.release_socket_dir(postgres.home)
