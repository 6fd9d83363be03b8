"""What the floor keeps about fee schedules and corporate actions."""

from collections.abc import Sequence
from typing import Any, Protocol

from trading.domain.fees import FeeSchedule


class ActionStore(Protocol):
    """Every deed writes its audit row in its own transaction. Raises `NotFound` for what is not there."""

    def set_fees(self, actor_id: int, instrument_id: int, schedule: FeeSchedule, origin: str) -> int:
        """The schedule becomes that of the instrument's next version, whose number is returned.

        Open orders keep the version they were accepted on.
        """
        ...

    def fee_history(self, instrument_id: int) -> Sequence[dict[str, Any]]:
        """Versions of an instrument's schedule, newest first: version, valid_from, set_by_admin, schedule."""
        ...
