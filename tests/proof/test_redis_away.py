"""Redis is killed, frozen and emptied under load: nothing of record is lost, nothing fills on an old tick."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from nursery_street import CASH, Nursery, Street
from shared_servers import Database, Servers
from trading_floor import TradingFloor, refusal

from trading.adapters.clock import SystemClock
from trading.adapters.embedded import home, secrets
from trading.adapters.embedded.valkey import EmbeddedValkey
from trading.adapters.redis_bus import RedisBus
from trading.domain.errors import Unavailable
from trading.domain.orders import Acceptance
from trading.exchange.codec import decode
from trading.exchange.messages import Gap, Input
from trading.services import market_data, night
from trading.services.access import SYSTEM

STALE_WITHIN_S, RECOVERY_S = 3.5, 5.0
"""The flag is raised when a quote is 3 s old; half a second more is the test's own."""


@pytest.fixture
def server(servers: Servers) -> Iterator[EmbeddedValkey]:
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=servers.folder))
    folder.chmod(0o711)
    own = EmbeddedValkey(home.choose(folder), secrets.generate().valkey_password, folder / "valkey.log")
    own.prepare()
    own.start()
    own.wait_ready()
    yield own
    own.stop()


@pytest.fixture
def lonely(
    database: Database, server: EmbeddedValkey, environment: dict[str, str], tmp_path: Path, nursery: Nursery
) -> Iterator[Street]:
    """A street whose desk and broker have a Valkey that nobody else uses."""
    floor = TradingFloor(database, tmp_path / "lake", str(CASH))
    floor.clock.ns = time.time_ns()
    street = Street(floor, server.url(), {**environment, "REDIS_URL": server.url()}, nursery)
    bus = RedisBus(server.url())
    floor.floor = replace(floor.floor, bus=bus, clock=SystemClock())
    yield street
    street.close()
    bus.close()
    floor.close()


def killed(server: EmbeddedValkey) -> Callable[[], None]:
    assert server.child is not None
    server.child.kill()
    server.child.wait()
    return lambda: (server.start(), server.wait_ready())[1]


def frozen(server: EmbeddedValkey) -> Callable[[], None]:
    assert server.child is not None
    child = server.child
    child.send_signal(signal.SIGSTOP)
    return lambda: child.send_signal(signal.SIGCONT)


def all_stale(street: Street) -> bool:
    try:
        return all(quote.stale for quote in market_data.quotes(street.floor.floor, street.floor.trader))
    except Unavailable:
        return True


@pytest.mark.parametrize("gone", [killed, frozen])
def test_without_redis_nothing_fills_and_it_is_said_and_with_it_trading_goes_on(
    lonely: Street, server: EmbeddedValkey, gone: Callable[..., Callable[[], None]], note: Callable[[str], None]
) -> None:
    floor = lonely.floor
    lonely.broker()
    first = floor.accepted("buy", "3").order_id
    lonely.until(lambda: floor.state(first)[0] == "filled", "a fill")
    come_back = gone(server)
    stale_s = lonely.until(lambda: all_stale(lonely), "the flag")
    fills = floor.query("select count(*) from fill")
    assert refusal(floor.order("buy", "1")) == "no_quote"
    waiting = floor.order("buy", "5", "101.00")
    assert isinstance(waiting, Acceptance), "a limit order is taken"
    time.sleep(0.5)
    assert floor.query("select count(*) from fill") == fills, "no fill on an old tick"
    come_back()
    back_s = lonely.until(lambda: floor.state(waiting.order_id)[0] == "filled", "a fill on a new tick")
    note(f"{gone.__name__}: stale after {stale_s:.1f} s, filled {back_s:.1f} s after its return")
    assert stale_s <= STALE_WITHIN_S
    assert back_s <= RECOVERY_S
    ends_whole(lonely)


def gaps(street: Street) -> int:
    """How often the broker has written down that ticks of an instrument were lost."""
    chunks = street.floor.query("select inputs from input_log order by first_seq")
    steps = [step for (chunk,) in chunks for step in decode(chunk)]
    bodies = [step.body for step in steps if isinstance(step, Input) and isinstance(step.body, Gap)]
    return sum("of instrument" in body.reason for body in bodies)


def test_an_emptied_redis_is_a_gap_and_the_next_tick_fills(lonely: Street, note: Callable[[str], None]) -> None:
    """Each time with ticks on the tape that the broker has not read, and never will."""
    floor, backs_s = lonely.floor, []
    broker = lonely.broker()
    first = floor.accepted("buy", "3").order_id
    lonely.until(lambda: floor.state(first)[0] == "filled", "a fill")
    for n in range(3):
        os.kill(broker, signal.SIGSTOP)
        order = floor.accepted("buy", "2").order_id
        time.sleep(0.3)
        with redis.Redis.from_url(lonely.redis_url, protocol=3) as client:
            client.flushall()
        os.kill(broker, signal.SIGCONT)
        backs_s.append(lonely.until(lambda order=order: floor.state(order)[0] == "filled", "a fill"))
        lonely.until(lambda: not all_stale(lonely), "a new quote")
        lonely.until(lambda n=n: gaps(lonely) > n, "what was lost to be written down")
    note(f"filled {max(backs_s):.1f} s after FLUSHALL")
    assert max(backs_s) <= RECOVERY_S
    ends_whole(lonely)


def ends_whole(street: Street) -> None:
    street.until(street.sequenced, "every command to be sequenced")
    street.floor.check()
    parity = night.replay(street.floor.floor, SYSTEM)
    assert parity.ok, parity.breaks[:5]
