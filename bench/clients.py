"""Programs that ask the floor all the time, each in a process of its own: orders of one share, or deposits of a cent.

``python -m bench.clients FOLDER orders|deposits USER PORTFOLIO`` says when it is ready; for every number of seconds on
its input it works that long and says how many calls it made and how long they took together.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.measure import say
from trading.bootstrap import open_floor
from trading.config import PROJECT_ROOT, Settings
from trading.domain.orders import Acceptance, OrderType, Side, Ticket
from trading.services import desk, ledger
from trading.services.access import SYSTEM, Actor, Role
from trading.services.floor import Floor

SYMBOL = "AAPL"
Trader = tuple[int, int]
"""A user and a portfolio of theirs, by id."""


def traders(floor: Floor, count: int, cash: str) -> list[Trader]:
    """New users, each with a portfolio full of cash."""
    made = []
    for number in range(count):
        user = floor.people.create_user(f"bench{number}", f"Bench {number}", "trader", "no-password", 0)
        portfolio = floor.people.create_portfolio(user.id, "Main", "cash", "USD", 0)
        ledger.deposit(floor, SYSTEM, portfolio.id, cash, f"bench-{number}")
        made.append((user.id, portfolio.id))
    return made


def orders(floor: Floor, trader: Trader) -> Callable[[int], None]:
    """Submits the order of a number."""
    actor, ticket = Actor(trader[0], "bench", Role.TRADER), Ticket(SYMBOL, Side.BUY, OrderType.MARKET, "1")

    def submit(number: int) -> None:
        answer = desk.submit(floor, actor, trader[1], ticket, f"bench-{number}")
        if not isinstance(answer, Acceptance):
            raise RuntimeError(f"refused: {answer.reason}")

    return submit


def deposits(floor: Floor, trader: Trader) -> Callable[[int], None]:
    """Posts the deposit of a number."""

    def post(number: int) -> None:
        ledger.deposit(floor, SYSTEM, trader[1], "0.01", f"bench-{trader[1]}-{number}")

    return post


KINDS: dict[str, Callable[[Floor, Trader], Callable[[int], None]]] = {"orders": orders, "deposits": deposits}


class Clients:
    """Running clients; `per_second` has them all work at the same time."""

    def __init__(self, children: "Sequence[subprocess.Popen[bytes]]") -> None:
        self._children = children

    def per_second(self, seconds: float) -> float:
        """Calls a second, of all."""
        for child in self._children:
            _write(child, f"{seconds}\n")
        answers = [_read(child).split() for child in self._children]
        return sum(int(calls) / float(took_s) for calls, took_s in answers)


@contextmanager
def clients(settings: Settings, kind: str, who: Sequence[Trader]) -> Iterator[Clients]:
    """One client for each trader, ready to work."""
    with ExitStack() as stack:
        children = [stack.enter_context(_client(settings, kind, trader)) for trader in who]
        for child in children:
            _read(child)
        yield Clients(children)


@contextmanager
def _client(settings: Settings, kind: str, trader: Trader) -> "Iterator[subprocess.Popen[bytes]]":
    argv = [sys.executable, "-m", "bench.clients", str(settings.data_dir), kind, str(trader[0]), str(trader[1])]
    child = subprocess.Popen(argv, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _write(child: "subprocess.Popen[bytes]", line: str) -> None:
    if child.stdin is not None:
        child.stdin.write(line.encode())
        child.stdin.flush()


def _read(child: "subprocess.Popen[bytes]") -> str:
    line = b"" if child.stdout is None else child.stdout.readline()
    if not line:
        raise RuntimeError("a client ended")
    return line.decode()


def main(folder: str, kind: str, user: str, portfolio: str) -> None:
    """Until there is no more input."""
    settings = Settings(data_dir=Path(folder), database_url="", redis_url="", lake_url="")
    with open_floor(settings) as floor:
        call, number = KINDS[kind](floor, (int(user), int(portfolio))), 0
        for _ in range(20):
            number += 1
            call(number)
        say("ready")
        for line in sys.stdin:
            began_s, calls = time.perf_counter(), 0
            while time.perf_counter() - began_s < float(line):
                number += 1
                calls += 1
                call(number)
            say(f"{calls} {time.perf_counter() - began_s}")


if __name__ == "__main__":
    main(*sys.argv[1:])
