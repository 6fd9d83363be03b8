"""What was backed up, and when: for the jobs that make backups and the page that shows them and asks for one."""

from collections.abc import Sequence
from dataclasses import dataclass

from trading.domain.errors import Conflict
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.backups import BackupTry

_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class BackupWork:
    """What goes on: a backup that was asked for and not yet begun, one that is being made. Times since when, ns UTC."""

    asked_ns: int | None
    making_ns: int | None


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def record(floor: Floor, actor: Actor, made: BackupTry) -> None:
    """Keep a backup that was made, or could not be."""
    floor.backups.record(made, actor.user_id, actor.origin)


@operation(_STAFF)
def newest(floor: Floor, actor: Actor) -> Sequence[BackupTry]:
    """The newest try, and the newest that succeeded where that is another one; newest first."""
    return floor.backups.newest()


@operation(_STAFF)
def work(floor: Floor, actor: Actor) -> BackupWork:
    """Whether a backup is asked for or being made."""
    return BackupWork(*floor.bus.backup_work())


@operation(_STAFF)
def ask(floor: Floor, actor: Actor) -> None:
    """Have the clerk make a backup now.

    Raises `Conflict` while one is asked for or being made, `Unavailable` where the bus does not answer.
    """
    now = work(floor, actor)
    if now.making_ns is not None or not floor.bus.ask_backup(floor.clock.now_ns()):
        raise Conflict("a backup is asked for already, or being made", "in_flight")
