"""``tradefloor market scenario`` and ``tradefloor market report``: make something happen, and say what it is like."""

from pathlib import Path
from typing import Final

from trading.config import PROJECT_ROOT, Settings
from trading.domain.errors import Invalid, Unavailable
from trading.market import realism
from trading.market.profiles import shipped_profiles
from trading.processes import checks, market_scenarios
from trading.processes.environment import resolved

MINUTES: Final = 10.0
NAME: Final = "market-report.html"


def ask_scenario(given: Settings, name: str, symbol: str | None, size: float | None, seconds: float | None) -> None:
    """Ask the running market for a scenario; raises `Invalid` or `Unavailable`, and nothing happens then."""
    settings = resolved(given)
    if not checks.is_locked(settings.run_dir):
        raise Unavailable("The floor is not open. Start it with: make up")
    known = [profile.symbol for profile in shipped_profiles()]
    if symbol is not None and symbol.upper() not in known:
        raise Invalid(f"no instrument {symbol[:40]!r} on the simulated venue", "unknown_symbol")
    folder = settings.data_dir / "market" / market_scenarios.FOLDER
    try:
        market_scenarios.put(folder, name, None if symbol is None else symbol.upper(), size, seconds)
    except ValueError as error:
        raise Invalid(str(error), "bad_scenario") from error


def write_report(days: int, seed: int, out: Path, history: Path | None) -> tuple[bool, str]:
    """Simulate, measure and write the page into ``out``; True and what to say where every band is kept."""
    if days < 30:
        raise Invalid("fewer than 30 days tell nothing", "bad_days")
    # Plotly and pandas are of use here alone.
    from trading.processes import market_report, real_history

    profiles = shipped_profiles()
    hourly = realism.middles(profiles, seed, days)
    tape = realism.record(profiles, seed, MINUTES)
    facts = realism.facts(profiles, hourly, tape)
    checked = [realism.bands(profile, each) for profile, each in zip(profiles, facts, strict=True)]
    folder = history if history is not None else PROJECT_ROOT.parent / "shared" / "data"
    real = real_history.read(profiles, folder if folder.is_dir() else None)
    about = f"{days:,} days in hours and {MINUTES:g} minutes of ticks of {len(profiles)} instruments, seed {seed}."
    out.mkdir(parents=True, exist_ok=True)
    path = out / NAME
    path.write_text(market_report.page(profiles, facts, checked, hourly, tape, real, about), encoding="utf-8")
    broken = [
        f"{profile.symbol}: {band.name} is {band.value:.3f}, not within {band.low:g} and {band.high:g}"
        for profile, bands in zip(profiles, checked, strict=True)
        for band in bands
        if not band.kept
    ]
    total = sum(len(bands) for bands in checked)
    return not broken, "\n".join([*broken, f"{total - len(broken)} of {total} bands kept. The report: {path}"])
