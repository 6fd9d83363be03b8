"""``tradefloor``: open the floor, look at it, feed it, check it. Every command imports what it needs and no more."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from trading.domain.errors import TradefloorError

EXIT_CODES = "Exit status: 0 done and well, 1 refused or not well, 2 wrong use or no floor to work on."
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A trading floor on one machine: simulated market, paper broker, ledger and research pipelines.",
    epilog=EXIT_CODES,
)
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tradefloor {version('tradefloor')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Options of the program itself."""
    del version


@app.command(epilog=EXIT_CODES)
def up() -> None:
    """Open the floor and keep it open until Ctrl-C or `tradefloor down`."""
    from rich.console import Console

    from trading.config import Settings
    from trading.processes.environment import resolved
    from trading.processes.opening import open_and_keep
    from trading.processes.screen import Terminal

    settings = resolved(Settings())
    terminal = Terminal(settings, Console())
    terminal.note(f"Opening the floor; its data is in {settings.data_dir}")
    try:
        code = open_and_keep(settings, terminal)
    except TradefloorError as error:
        print(f"tradefloor: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    terminal.note("The floor is closed." if code == 0 else "The floor did not open.")
    raise typer.Exit(code)


@app.command(epilog=EXIT_CODES)
def down() -> None:
    """Close the floor from anywhere."""
    import time

    from trading.config import Settings
    from trading.processes.closing import close

    settings = Settings()
    began_s = time.monotonic()
    if close(settings.run_dir, time.time()):
        print(f"The floor is closed ({time.monotonic() - began_s:.1f} s).")
    else:
        print("The floor was not open.")


@app.command(epilog="Exit status: 0 healthy, 1 not healthy or not open.")
def status(as_json: AsJson = False) -> None:
    """Show which processes run, since when, and what was restarted."""
    import time

    from trading.config import Settings
    from trading.processes.status import read

    view = read(Settings().run_dir, time.time())
    if as_json:
        print(view.as_json())
    else:
        from rich.console import Console

        from trading.processes.screen import show_status

        show_status(Console(), view)
    raise typer.Exit(0 if view.healthy else 1)


@app.command(epilog=EXIT_CODES)
def env() -> None:
    """Print the variables for Dagster's own commands beside the floor (with passwords): eval "$(tradefloor env)"."""
    import shlex

    from trading.config import Settings
    from trading.processes.environment import floor_variables, resolved

    for name, value in floor_variables(resolved(Settings())).items():
        print(f"export {name}={shlex.quote(value)}")


@app.command(epilog="Exit status: 0 every file taken, 1 a file refused, 2 wrong use or no floor to work on.")
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="CSV or Parquet files, or folders of them.", metavar="PATH...")],
    symbol: Annotated[
        str | None, typer.Option(help="Symbol of the file, where neither name nor column says it.")
    ] = None,
    source: Annotated[str, typer.Option(help="Name of the source in the lake.")] = "inbox",
    zone: Annotated[str | None, typer.Option(help="Time zone of times that state none, such as Europe/Berlin.")] = None,
    as_json: AsJson = False,
) -> None:
    """Validate bars and take them into the lake; bad rows go to quarantine, a bad file is refused whole."""
    from trading.config import Settings
    from trading.processes.command_ingest import ingest_paths

    raise typer.Exit(ingest_paths(Settings(), paths, symbol, source, zone, as_json))


@app.command(epilog="Exit status: 0 consistent, 1 a break was found, 2 no floor to work on.")
def verify(
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what is new since the books were last found sound.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove ledger, holds, orders, fills and positions consistent."""
    from trading.config import Settings
    from trading.processes.commands import verify_floor

    raise typer.Exit(verify_floor(Settings(), incremental, as_json))


@app.command(epilog="Exit status: 0 made, 2 not made, nothing is listed then.")
def backup(
    to: Annotated[Path | None, typer.Option(help="Folder for it; else TRADEFLOOR_BACKUP_DIR or data/backups.")] = None,
) -> None:
    """Back up database, passwords and the lake's files now; the floor may be open."""
    from trading.config import Settings
    from trading.processes.command_backup import make

    raise typer.Exit(make(Settings(), to))


FromFolder = Annotated[Path | None, typer.Option("--from", help="Folder of the backups.")]


@app.command(epilog="Exit status: 0 listed, 1 --verify found one that is damaged.")
def backups(
    source: FromFolder = None,
    verify_files: Annotated[bool, typer.Option("--verify", help="Read every file again and compare.")] = False,
    as_json: AsJson = False,
) -> None:
    """List backups: age, size, and up to when each can be restored."""
    from trading.config import Settings
    from trading.processes.command_backup import show

    raise typer.Exit(show(Settings(), source, verify_files, as_json))


@app.command(epilog="Exit status: 0 restored and consistent, 1 restored with breaks, 2 not restored.")
def restore(
    name: Annotated[str, typer.Argument(help="Name of a backup, or: newest.", metavar="NAME")],
    at: Annotated[str | None, typer.Option(help="As of this time, UTC: 2026-12-31T16:00.", metavar="TIME")] = None,
    source: FromFolder = None,
) -> None:
    """Bring a closed floor's database back, to the end of its log or to a time; what was there is kept aside."""
    from trading.config import Settings
    from trading.processes.command_backup import restore as put_back

    raise typer.Exit(put_back(Settings(), name, at, source))


@app.command(epilog="Exit status: 0 the night succeeded, 1 it failed, 2 no floor to work on.")
def nightly() -> None:
    """Run the nightly pipeline now and show its progress."""
    from trading.config import Settings
    from trading.processes.commands import run_night

    raise typer.Exit(run_night(Settings()))


SCOPES = "floor, user:NAME, strategy:NAME, instrument:SYMBOL or portfolio:ID."
AScope = Annotated[str, typer.Option("--scope", help=f"What to stop: {SCOPES}")]


@app.command(epilog="Exit status: 0 halted, 2 wrong use, refused or no floor to work on.")
def halt(
    scope: AScope = "floor",
    mode: Annotated[str, typer.Option(help="halted, or reducing: only what closes is taken.")] = "halted",
    reason: Annotated[str, typer.Option(help="Shown to every trader.")] = "Halted from the command line",
) -> None:
    """Stop trading: open orders end, none is taken, nothing fills. So does a file HALT in the data folder."""
    from trading.config import Settings
    from trading.processes.command_halt import switch

    print(f"{switch(Settings(), scope, mode, reason)} is {mode}.")


@app.command(epilog="Exit status: 0 it runs, 2 wrong use, refused (the file HALT is there) or no floor to work on.")
def resume(scope: AScope = "floor", reason: Annotated[str, typer.Option(help="Kept in the audit trail.")] = "") -> None:
    """Let trading go on where it was stopped; what was cancelled stays so."""
    from trading.config import Settings
    from trading.processes.command_halt import switch

    print(f"{switch(Settings(), scope, 'running', reason)} is running.")


@app.command(epilog="Exit status: 0 nothing is stopped, 1 something is, 2 no floor to work on.")
def halts(as_json: AsJson = False) -> None:
    """Show what is stopped, since when, by whom and why."""
    from trading.config import Settings
    from trading.processes.command_halt import show

    raise typer.Exit(show(Settings(), as_json))


keys = typer.Typer(no_args_is_help=True, help="Keys of brokers elsewhere, for accounts that the floor watches.")
app.add_typer(keys, name="keys")
KeyName = Annotated[str, typer.Argument(help="The name that the account says.", metavar="NAME")]


@keys.command("set", epilog="Exit status: 0 kept, 2 refused or no floor to work on.")
def keys_set(
    name: KeyName,
    file: Annotated[
        Path | None, typer.Option(help="File that holds the key; else a pipe, else it is asked for.")
    ] = None,
) -> None:
    """Keep a key in the floor's secrets. It is never an argument: other users of the machine could read it."""
    from trading.config import Settings
    from trading.processes.command_keys import put

    print(put(Settings(), name, file))


@keys.command("remove", epilog="Exit status: 0 gone, 2 refused or no floor to work on.")
def keys_remove(name: KeyName) -> None:
    """Forget a key; accounts that use it are not read any more."""
    from trading.config import Settings
    from trading.processes.command_keys import remove

    print(remove(Settings(), name))


@keys.command("list", epilog="Exit status: 0 every account has its key, 1 one is missing, 2 no floor to work on.")
def keys_list(as_json: AsJson = False) -> None:
    """Show the names of the keys and the accounts that use them."""
    from trading.config import Settings
    from trading.processes.command_keys import show

    raise typer.Exit(show(Settings(), as_json))


exchange = typer.Typer(no_args_is_help=True, help="The matching engine by itself, without a floor.")
app.add_typer(exchange, name="exchange")


@exchange.callback()
def exchange_alone() -> None:
    """The matching engine by itself, without a floor."""


@exchange.command(epilog="Exit status: 0 replayed, 1 the file was refused and nothing written, 2 wrong use.")
def replay(
    events: Annotated[Path, typer.Argument(help="CSV or Parquet file of events.", metavar="EVENTS")],
    out: Annotated[Path, typer.Option(help="File to write: .csv, .parquet or .pq.", metavar="EXECUTIONS")],
    queue_model: Annotated[
        str,
        typer.Option(
            help="A trade fills a resting order: through (beyond its limit), touch (at it), queue (in its turn)."
        ),
    ] = "through",
    as_json: AsJson = False,
) -> None:
    """Run order and market events through the matching engine and write every event it answers, in order."""
    from trading.processes.command_exchange import replay_events

    raise typer.Exit(replay_events(events, out, queue_model, as_json))


market = typer.Typer(no_args_is_help=True, help="The simulated market: replays, scenarios, what it is like.")
app.add_typer(market, name="market")
AsSymbol = Annotated[str | None, typer.Option("--symbol", help="Only the replay of this symbol; else all.")]


@market.command("replay", epilog="Exit status: 0 playing, or over, 2 wrong use, refused, or no market that runs.")
def market_replay(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Bars, quotes, trades or updates of books, CSV or Parquet; or lake:bars/SOURCE/SYMBOL/D1.",
            metavar="FILE...",
        ),
    ],
    symbol: Annotated[str | None, typer.Option(help="Symbol in the file, where its name does not say it.")] = None,
    as_symbol: Annotated[str | None, typer.Option("--as", help="Symbol of SIM that it takes the place of.")] = None,
    speed: Annotated[float, typer.Option(help="Seconds of the recording in one second.")] = 1.0,
    from_time: Annotated[str | None, typer.Option("--from", help="Where to begin, UTC: 2024-08-08T23:55.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Take the place, and wait for `play`.")] = False,
    zone: Annotated[str | None, typer.Option(help="Time zone of bars whose times state none.")] = None,
    follow: Annotated[bool, typer.Option(help="Show the progress until it is over.")] = True,
) -> None:
    """Replay stored history in place of the simulator, for one symbol of the open floor, until it is over."""
    from trading.config import Settings
    from trading.processes.command_replay import instant_ns, replay_files

    code = replay_files(
        Settings(),
        sources,
        symbol=symbol,
        as_symbol=as_symbol,
        zone=zone,
        speed=speed,
        from_ns=None if from_time is None else instant_ns(from_time),
        paused=paused,
        follow=follow,
    )
    raise typer.Exit(code)


def _steer(what: str, symbol: str | None, **more: float) -> None:
    from trading.config import Settings
    from trading.processes.command_replay import steer

    raise typer.Exit(steer(Settings(), {"do": what, "symbol": None if symbol is None else symbol.upper(), **more}))


@market.command("play")
def market_play(symbol: AsSymbol = None) -> None:
    """Go on with a replay that is paused."""
    _steer("play", symbol)


@market.command("pause")
def market_pause(symbol: AsSymbol = None) -> None:
    """Hold a replay still; its instrument is not live after five seconds."""
    _steer("pause", symbol)


@market.command("speed")
def market_speed(
    speed: Annotated[float, typer.Argument(help="Seconds of the recording in one second.", metavar="X")],
    symbol: AsSymbol = None,
) -> None:
    """Change the speed of a replay."""
    _steer("speed", symbol, speed=speed)


@market.command("seek")
def market_seek(
    to: Annotated[str, typer.Argument(help="Time in the recording, UTC: 2024-08-08T23:55.", metavar="TIME")],
    symbol: AsSymbol = None,
) -> None:
    """Jump to a time of the recording; the tape says that there is a gap."""
    from trading.processes.command_replay import instant_ns

    _steer("seek", symbol, to_ns=instant_ns(to))


@market.command("stop")
def market_stop(symbol: AsSymbol = None) -> None:
    """End a replay: the simulator takes its instrument back."""
    _steer("stop", symbol)


@market.command("status")
def market_status(as_json: AsJson = False) -> None:
    """Show what is replayed, how fast, and how far it is."""
    from trading.config import Settings
    from trading.processes.command_replay import show_replays

    raise typer.Exit(show_replays(Settings(), as_json))


@market.command("scenario", epilog="Exit status: 0 it happens within a second, 2 refused or no floor that is open.")
def market_scenario(
    name: Annotated[str, typer.Argument(help="gap, halt, spread, drought, feed_loss or crash.", metavar="NAME")],
    symbol: Annotated[str | None, typer.Option(help="Of which instrument; else of all.")] = None,
    size: Annotated[
        float | None, typer.Option(help="How much: 0.05 is a gap or crash of 5 %, 10 a tenfold spread.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="For how long.")] = None,
) -> None:
    """Make something happen on the simulated venue, to see what orders, strategies and people do."""
    from trading.config import Settings
    from trading.processes.command_market import ask_scenario

    ask_scenario(Settings(), name, symbol, size, seconds)
    print(f"{name} begins on the simulated venue.")


@market.command("report", epilog="Exit status: 0 every band kept, 1 one is not, 2 wrong use.")
def market_report(
    days: Annotated[int, typer.Option(help="Days to simulate; a thousand take a minute.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("data/reports"),
    history: Annotated[Path | None, typer.Option(help="Folder of real history to set beside it.")] = None,
) -> None:
    """Measure whether the simulated market is like a market, and write what was found as one HTML page."""
    from trading.processes.command_market import write_report

    kept, words = write_report(days, seed, out, history)
    print(words)
    raise typer.Exit(0 if kept else 1)


def main() -> None:
    """Entry point: an error of the floor is one line and never a traceback."""
    from pydantic import ValidationError

    try:
        app()
    except TradefloorError as error:
        print(f"tradefloor: {error}", file=sys.stderr)
        sys.exit(2)
    except ValidationError as error:
        first = error.errors()[0]
        variable = str(first["loc"][0]).upper()
        if variable not in ("DATABASE_URL", "REDIS_URL"):
            variable = "TRADEFLOOR_" + variable.removeprefix("TRADEFLOOR_")
        print(f"tradefloor: {variable}: {first['msg']}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
