"""The kill switch from the command line. The wiring is imported late: a wrong call is answered at once."""

import json
from datetime import UTC, datetime

from rich.console import Console

from trading.config import Settings
from trading.processes.opening import reachable_database


def switch(given: Settings, scope: str, mode: str, reason: str) -> str:
    """Set a scope, as people write it, to a mode; returns the scope. Raises what `trading.services.halt` raises."""
    with reachable_database(given) as settings:
        from trading.bootstrap import open_floor
        from trading.services import halt
        from trading.services.access import SYSTEM

        with open_floor(settings) as floor:
            named = halt.scope_of(floor, SYSTEM, scope)
            halt.set_mode(floor, SYSTEM, named, mode, reason)
    return named


def show(given: Settings, as_json: bool) -> int:
    """Print what is stopped; returns 1 where anything is, else 0."""
    with reachable_database(given) as settings:
        from trading.bootstrap import open_floor
        from trading.services import halt
        from trading.services.access import SYSTEM

        with open_floor(settings) as floor:
            stops = halt.current(floor, SYSTEM)
    if as_json:
        print(json.dumps({"v": 1, "halts": stops}, indent=2))  # noqa: T201 - the answer
        return 1 if stops else 0
    console = Console(soft_wrap=True)
    for stop in stops:
        when = datetime.fromtimestamp(stop["ts_ns"] / 1e9, UTC)
        name = "" if stop["name"] in stop["scope"] else f" ({stop['name']})"
        file = "; the file HALT is there" if stop["by_file"] else ""
        line = f"{stop['scope']}{name}: {stop['mode']} since {when:%Y-%m-%d %H:%M:%S} UTC by {stop['set_by']}{file}"
        console.print(f"{line}: {stop['reason']}", highlight=False, markup=False)
    if not stops:
        console.print("Nothing is halted.")
    return 1 if stops else 0
