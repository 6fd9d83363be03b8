"""Clerks that are killed: each is forked off a process that has imported everything, so its life begins at once."""

import os
import random
import signal
import subprocess
import sys
import time

_FORKS = """
import os, sys
from trading.bootstrap import open_floor
from trading.config import Settings
from trading.services import {module}
from trading.services.access import SYSTEM
print("ready", flush=True)
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        with open_floor(Settings()) as floor:
            while True:
                {module}.{call}
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
"""


class KilledClerks:
    """Does one job over and over in a process that is killed at random."""

    def __init__(self, environment: dict[str, str], module: str, call: str, seed: int) -> None:
        self._chance = random.Random(seed)
        self._forks = subprocess.Popen(
            [sys.executable, "-c", _FORKS.format(module=module, call=call)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._line() == "ready"
        self.kills = 0

    def live_and_die(self, least_s: float, most_s: float) -> None:
        """One life, of a random length."""
        assert self._forks.stdin is not None
        self._forks.stdin.write("\n")
        self._forks.stdin.flush()
        pid = int(self._line())
        time.sleep(self._chance.uniform(least_s, most_s))
        os.kill(pid, signal.SIGKILL)
        assert self._line() == "gone"
        self.kills += 1

    def close(self) -> None:
        self._forks.kill()
        self._forks.communicate()

    def _line(self) -> str:
        assert self._forks.stdout is not None
        return self._forks.stdout.readline().strip()
