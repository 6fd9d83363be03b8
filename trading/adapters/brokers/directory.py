"""Which adapter speaks for which broker account, and with which key."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from trading.adapters.brokers.paper import PaperBrokerage
from trading.adapters.brokers.remote import RemoteBrokerage, check_address
from trading.domain.errors import Unavailable
from trading.services.access import Actor, Role
from trading.services.floor import Floor
from trading.services.ports.brokerage import Brokerage
from trading.services.ports.monitoring import BrokerAccount


class BrokerDirectory:
    """Implements `trading.services.ports.monitoring.Brokers`; ``keys`` reads the floor's keys of brokers by name."""

    def __init__(self, keys: Callable[[], Mapping[str, str]]) -> None:
        self._keys = keys

    def checked_address(self, base_url: str) -> str:
        """See the port."""
        return check_address(base_url)

    @contextmanager
    def open(self, floor: Floor, account: BrokerAccount) -> Iterator[Brokerage]:
        """See the port. On paper the owner trades, with the owner's rights and limits."""
        if account.adapter == "paper":
            owner = Actor(account.owner_id, account.owner, Role.TRADER, origin="monitor")
            yield PaperBrokerage(floor, owner, account.portfolio_id)
            return
        key = self._keys().get(account.key_name)
        if key is None:
            raise Unavailable(f"the floor has no key called {account.key_name!r}", "no_key")
        remote = RemoteBrokerage(account.base_url, key, floor.desk.instruments("SIM"))
        try:
            yield remote
        finally:
            remote.close()
