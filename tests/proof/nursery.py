"""A process that gives life to brokers and desks that die, or freeze, at a named point, ``python nursery.py``.

It imports and warms up once, then forks for each line of its standard input, a JSON object. Kind ``broker`` runs the
real broker process's `main`, which is killed by SIGKILL when it comes by ``point`` for the ``count``-th time (``-``:
never), ``freeze`` one that is stopped there by SIGSTOP; ``desk`` submits one order. ``env`` is whose floor it is.
It answers with the pid, and with ``PID dead STATUS`` when that life is over. The points are put around methods here:
the program itself knows nothing of them.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from trading.adapters.postgres import desk_store
from trading.adapters.postgres.broker_store import PostgresBroker
from trading.adapters.redis_bus import RedisBus
from trading.exchange.engine import warm_up
from trading.processes import broker

BROKER_POINTS = {
    "before a commit is sent": (PostgresBroker, "begin_commit", "before"),
    "with a commit on its way": (PostgresBroker, "begin_commit", "after"),
    "after a commit, before it is known": (PostgresBroker, "end_commit", "after"),
    "before events are published": (RedisBus, "publish_events", "before"),
    "after events are published": (RedisBus, "publish_events", "after"),
    "before the outbox is marked": (PostgresBroker, "publish_outbox", "before"),
    "after the outbox is marked": (PostgresBroker, "publish_outbox", "after"),
    "before a snapshot": (PostgresBroker, "save_snapshot", "before"),
    "after a snapshot": (PostgresBroker, "save_snapshot", "after"),
    "before the lease is renewed": (PostgresBroker, "renew_lease", "before"),
    "after the lease is taken": (PostgresBroker, "take_lease", "after"),
    "before the ledger's block is sealed": (PostgresBroker, "seal", "before"),
}
DESK_POINTS = {
    "before the desk asks": (desk_store._Call, "open", "before", 1),
    "between question and acceptance": (desk_store._Call, "open", "after", 1),
    "after the commit, before the answer": (desk_store._Call, "accept", "after", 1),
    "before the broker is woken": (RedisBus, "wake_broker", "before", 1),
    "after the broker is woken": (RedisBus, "wake_broker", "after", 1),
}


def hit_at(owner: Any, name: str, when: str, count: int, sign: signal.Signals = signal.SIGKILL) -> None:
    """A signal for ourselves before or after the ``count``-th call."""
    inner: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def mortal(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if when == "before" and calls[0] == count:
            os.kill(os.getpid(), sign)
        answer = inner(*arguments, **named)
        if when == "after" and calls[0] == count:
            os.kill(os.getpid(), sign)
        return answer

    setattr(owner, name, mortal)


def live_broker(point: str, count: int, sign: signal.Signals) -> int:
    broker.SNAPSHOT_S = 0.4  # as many as lives are long
    if point != "-":
        hit_at(*BROKER_POINTS[point], count, sign)
    return broker.main()


def live_desk(point: str, key: str, portfolio: int, user: int) -> int:
    from trading.bootstrap import open_floor
    from trading.config import Settings
    from trading.domain.orders import OrderType, Side, Ticket
    from trading.services import desk
    from trading.services.access import Actor, Role

    hit_at(*DESK_POINTS[point])
    with open_floor(Settings()) as floor:
        ticket = Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1", "100.00")
        desk.submit(floor, Actor(user, "tina", Role.TRADER), portfolio, ticket, key)
    return 0


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def watch(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    tell(pid, "dead", os.waitstatus_to_exitcode(status))


def main() -> None:
    warm_up()
    tell("ready")
    for line in sys.stdin:
        what = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                os.environ.update(what["env"])
                if what["kind"] == "desk":
                    status = live_desk(what["point"], what["key"], what["portfolio"], what["user"])
                else:
                    sign = signal.SIGSTOP if what["kind"] == "freeze" else signal.SIGKILL
                    status = live_broker(what["point"], what["count"], sign)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        tell(pid)
        threading.Thread(target=watch, args=(pid,), daemon=True).start()


if __name__ == "__main__":
    main()
