"""A floor of small processes under the real supervisor: ``toy_floor.py RUN_DIR SPECS``, SPECS as JSON by name."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from trading.adapters.clock import SystemClock
from trading.processes.supervisor import Supervisor
from trading.processes.table import Birth, ProcessSpec, alive


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def exists(path: str) -> Callable[[Birth], bool]:
    return lambda _birth: Path(path).exists()


def spec(name: str, row: dict[str, object]) -> ProcessSpec:
    ready, responds = row.pop("ready", None), row.pop("responds", None)
    argv = (sys.executable, "-c", str(row.pop("code")))
    needs = tuple(row.pop("needs", ()))
    return ProcessSpec(
        name,
        argv,
        dict(os.environ),
        needs,
        exists(str(ready)) if ready else alive,
        responds=exists(str(responds)) if responds else alive,
        **row,
    )


def main() -> int:
    run_dir = Path(sys.argv[1])
    run_dir.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(
        specs=[spec(name, row) for name, row in json.loads(sys.argv[2]).items()],
        run_dir=run_dir,
        log_dir=run_dir / "logs",
        clock=SystemClock(),
        on_change=lambda managed: say(managed.spec.name, managed.state),
        on_beat=lambda _views: None,
        on_open=lambda _views: say("OPEN"),
        before_servants_stop=lambda: say("LAST"),
    )
    code = supervisor.run()
    say("CLOSED", supervisor.failure)
    return code


if __name__ == "__main__":
    sys.exit(main())
