"""Clients that ask the floor all the time, threads of one service process: orders of one share, or deposits of a cent.

``python -m bench.clients FOLDER orders|deposits USER:PORTFOLIO ...`` says when it is ready; for every number of seconds
on its input all work that long, and it says how many calls they made and how long they took together.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
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

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child

    def per_second(self, seconds: float) -> float:
        """Calls a second, of all."""
        if self._child.stdin is not None:
            self._child.stdin.write(f"{seconds}\n".encode())
            self._child.stdin.flush()
        calls, took_s = self.answer().split()
        return int(calls) / float(took_s)

    def answer(self) -> str:
        """The next line that they say."""
        line = b"" if self._child.stdout is None else self._child.stdout.readline()
        if not line:
            raise RuntimeError("the clients ended")
        return line.decode()


@contextmanager
def clients(settings: Settings, kind: str, who: Sequence[Trader]) -> Iterator[Clients]:
    """One client for each trader, ready to work."""
    names = [f"{user_id}:{portfolio_id}" for user_id, portfolio_id in who]
    argv = [sys.executable, "-m", "bench.clients", str(settings.data_dir), kind, *names]
    child = subprocess.Popen(argv, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        ready = Clients(child)
        ready.answer()
        yield ready
    finally:
        child.kill()
        child.communicate()


def main(folder: str, kind: str, *names: str) -> None:
    """Until there is no more input."""
    settings = Settings(data_dir=Path(folder), database_url="", redis_url="", lake_url="")
    who = [(int(user), int(portfolio)) for user, portfolio in (name.split(":") for name in names)]
    numbers = count(1)
    with open_floor(settings) as floor, ThreadPoolExecutor(len(who)) as threads:
        calls = [KINDS[kind](floor, trader) for trader in who]
        for call in calls:
            for _ in range(20):
                call(next(numbers))

        def work(call: Callable[[int], None], until_s: float) -> int:
            made = 0
            while time.perf_counter() < until_s:
                call(next(numbers))
                made += 1
            return made

        say("ready")
        for line in sys.stdin:
            began_s = time.perf_counter()
            until_s = began_s + float(line)
            made = sum(threads.map(work, calls, [until_s] * len(calls)))
            say(f"{made} {time.perf_counter() - began_s}")


if __name__ == "__main__":
    main(*sys.argv[1:])
