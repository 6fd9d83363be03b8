"""What was backed up, and when: for the job that makes backups and the page that shows them."""

from collections.abc import Sequence

from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.backups import BackupTry

_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@operation({Role.SYSTEM: Reach.NO_PORTFOLIO})
def record(floor: Floor, actor: Actor, made: BackupTry) -> None:
    """Keep a backup that was made, or could not be."""
    floor.backups.record(made, actor.user_id, actor.origin)


@operation(_STAFF)
def newest(floor: Floor, actor: Actor) -> Sequence[BackupTry]:
    """The newest try, and the newest that succeeded where that is another one; newest first."""
    return floor.backups.newest()
