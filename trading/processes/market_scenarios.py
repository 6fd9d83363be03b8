"""The way in for scenarios: files in the floor's data folder, which only who runs the floor can write.

``tradefloor market scenario`` puts a request there; the market process takes it within a second, and the scenario
begins with the venue's time. A request that cannot be understood is logged and removed.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import structlog

from trading.market.scenarios import Scenario, scenario

log = structlog.get_logger()

FOLDER = "scenarios"


def put(folder: Path, name: str, symbol: str | None, size: float | None, seconds: float | None) -> None:
    """Ask for a scenario; raises ValueError where there is none like it, before anything is written."""
    scenario(name, symbol, size, seconds, 0)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = folder / f"{uuid4().hex}.tmp"
    staged.write_text(json.dumps({"v": 1, "name": name, "symbol": symbol, "size": size, "seconds": seconds}))
    staged.replace(staged.with_suffix(".json"))


def take(folder: Path, symbols: Sequence[str], now_ns: int) -> tuple[Scenario, ...]:
    """What was asked for since the last look, to begin behind ``now_ns``; the requests are gone then."""
    try:
        names = sorted(each.path for each in os.scandir(folder) if each.name.endswith(".json"))
    except FileNotFoundError:
        return ()
    found = []
    for path in map(Path, names):
        try:
            asked = json.loads(path.read_bytes())
            each = scenario(asked["name"], asked["symbol"], asked["size"], asked["seconds"], now_ns + 1)
            if each.symbol is not None and each.symbol not in symbols:
                raise ValueError(f"no instrument {each.symbol[:40]!r}")
        except (ValueError, KeyError, TypeError) as error:
            log.warning("market.scenario_refused", error=str(error))
        else:
            log.info("market.scenario", **each.to_json())
            found.append(each)
        path.unlink(missing_ok=True)
    return tuple(found)
