"""``tradefloor market replay`` and what steers it: files become a recording, the market process plays it."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from trading.adapters.embedded import connections
from trading.adapters.redis_bus import RedisBus
from trading.config import Settings
from trading.domain.errors import Invalid, NotFound, Unavailable
from trading.processes import replays
from trading.processes.environment import resolved

IN_LAKE = "lake:"
ANSWER_S = 10.0
LOOK_S = 0.25
_NOT_RUNNING = "The market is not running. Start the floor with: make up"


def instant_ns(text: str) -> int:
    """Nanoseconds UTC of a date or time as people write it (ISO 8601), UTC where it states no zone."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise Invalid(f"{text[:40]!r} is not a time; write 2024-08-08T23:55:00", "bad_time") from error
    whole = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(whole.replace(microsecond=0).timestamp()) * 10**9 + whole.microsecond * 1000


def instant_text(ts_ns: int) -> str:
    """A time for people, UTC."""
    return f"{datetime.fromtimestamp(ts_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}"


def replay_files(
    given: Settings,
    sources: Sequence[str],
    *,
    symbol: str | None,
    as_symbol: str | None,
    zone: str | None,
    speed: float,
    from_ns: int | None,
    paused: bool,
    follow: bool,
) -> int:
    """Replay files (or ``lake:`` series) as an instrument of the open floor; returns 0 when it plays, or is over.

    Raises `Unavailable` where the market does not run, `Invalid` or `NotFound` where the files or words do not fit.
    """
    settings, console = resolved(given), Console(soft_wrap=True)
    with _market(settings) as bus:
        name, wanted = _recorded(settings, sources, symbol, as_symbol, zone)
        request = {"do": "replay", "file": name, "symbol": wanted, "title": ", ".join(_title(one) for one in sources)}
        try:
            _ask(bus, {**request, "speed": speed, "from_ns": from_ns, "paused": paused})
        finally:
            (settings.data_dir / "market" / replays.FOLDER / name).unlink(missing_ok=True)
        if follow:
            return _follow(bus, console, wanted)
        _show(console, [each for each in _status(bus)["replays"] if each["symbol"] == wanted])
    return 0


def steer(given: Settings, request: Mapping[str, Any]) -> int:
    """Play, pause, speed, seek or stop; returns 0. Raises `Invalid` where the market process refuses."""
    with _market(resolved(given)) as bus:
        _ask(bus, request)
        _show(Console(soft_wrap=True), _status(bus)["replays"])
    return 0


def show_replays(given: Settings, as_json: bool) -> int:
    """Say what is replayed and how far it is; returns 0."""
    with _market(resolved(given)) as bus:
        found = _status(bus)["replays"]
    if as_json:
        print(json.dumps({"v": 1, "replays": found}, indent=2))  # noqa: T201 - the answer
    else:
        _show(Console(soft_wrap=True), found)
    return 0


# The recording ------------------------------------------------------------------------------------------------------


def _recorded(
    settings: Settings, sources: Sequence[str], symbol: str | None, as_symbol: str | None, zone: str | None
) -> tuple[str, str]:
    """Write the recording of some sources; returns its file's name and the symbol that it will be."""
    from trading.adapters.lake import Lake
    from trading.adapters.postgres.pool import open_pool
    from trading.adapters.sources import recordings
    from trading.market.bar_table import symbol_of_name
    from trading.market.recordings import Target, merged, with_books
    from trading.processes import market_rows

    wanted = (as_symbol or symbol or symbol_of_name(_title(sources[0]))).upper()
    pool = open_pool(connections.dsn(settings, "tf_app"), max_size=1, name="tradefloor-replay")
    try:
        ids, profiles, units = market_rows.instruments(pool)
        found = {unit.symbol: instrument_id for instrument_id, unit in units.items()}
        if wanted not in found:
            raise NotFound(f"the venue has no instrument {wanted[:40] or '(none named)'}; say which one with --as")
        unit, profile = units[found[wanted]], profiles[ids.index(found[wanted])]
        target = Target(
            found[wanted], float(unit.tick_size), float(unit.lot_size), profile.spread_ticks, profile.size_lots
        )
        lake, parts = Lake(settings.lake_dir, pool), []
        for one in sources:
            if one.startswith(IN_LAKE):
                dataset, _, series = one.removeprefix(IN_LAKE).partition("/")
                parts.append(recordings.of_bars(lake.read(dataset, series), target))
            else:
                parts.append(recordings.read([Path(one)], target, symbol=symbol, zone=zone))
    finally:
        pool.close()
    folder = settings.data_dir / "market" / replays.FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ticks = with_books(merged(parts))
    if len(ticks) == 0:
        raise Invalid("there is nothing to replay in that", "no_rows")
    name = f"{uuid4().hex}.ticks"
    ticks.tofile(folder / name)
    return name, wanted


def _title(source: str) -> str:
    return source if source.startswith(IN_LAKE) else Path(source).name


# The market process -------------------------------------------------------------------------------------------------


@contextmanager
def _market(settings: Settings) -> Iterator[RedisBus]:
    bus = RedisBus(connections.redis_url(settings))
    try:
        _status(bus)
        yield bus
    finally:
        bus.close()


def _status(bus: RedisBus) -> dict[str, Any]:
    found = bus.get_replays()
    if found is None:
        raise Unavailable(_NOT_RUNNING)
    return found


def _ask(bus: RedisBus, request: Mapping[str, Any]) -> None:
    """Ask the market process and wait for its answer; `Invalid` with its words where it refuses."""
    name, end_s = bus.ask_market(request), time.monotonic() + ANSWER_S
    while time.monotonic() < end_s:
        answers = _status(bus)["answers"]
        if name in answers:
            if answers[name]:
                raise Invalid(answers[name], "refused")
            return
        time.sleep(0.02)
    raise Unavailable("The market process did not answer; look at its log")


def _show(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        console.print("Nothing is being replayed.")
    for each in found:
        share = each["played"] / each["records"]
        console.print(
            f"{each['symbol']:10} {each['state']:8} x{each['speed']:g}  {instant_text(each['position_ns'])} UTC"
            f"  {share:4.0%} of {each['title']}",
            highlight=False,
            markup=False,
        )


def _follow(bus: RedisBus, console: Console, symbol: str) -> int:
    """Show the progress until the replay is over or stopped; Ctrl-C stops looking and not the replay."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[at]}"))
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(symbol, at="")
            while True:
                each = next((one for one in _status(bus)["replays"] if one["symbol"] == symbol), None)
                if each is None:
                    raise Unavailable(f"The market process started anew; {symbol} is simulated again")
                at = f"{instant_text(each['position_ns'])} UTC x{each['speed']:g} {each['state']}"
                progress.update(task, completed=each["played"], total=each["records"], at=at)
                if each["state"] in ("over", "stopped"):
                    break
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        console.print(f"The replay goes on. End it with: tradefloor market stop --symbol {symbol}", highlight=False)
        return 0
    what = "The recording is over" if each["state"] == "over" else "The replay was stopped"
    console.print(
        f"{what}: {each['published']:,} records published as {symbol}, which is simulated again.", highlight=False
    )
    return 0
