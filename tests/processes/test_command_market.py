"""``tradefloor market report`` and ``tradefloor market scenario`` as a person runs them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading import cli
from trading.domain.errors import Invalid, Unavailable
from trading.market.profiles import PROFILES
from trading.processes import command_market


def test_the_report_is_one_page_that_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = PROFILES[8:13]
    monkeypatch.setattr(command_market, "shipped_profiles", lambda: few)
    monkeypatch.setattr(command_market, "MINUTES", 1.0)
    out = tmp_path / "reports"
    answer = CliRunner().invoke(cli.app, ["market", "report", "--days", "60", "--out", str(out)])
    assert answer.exit_code in (0, 1), answer.output
    assert "bands kept" in answer.output
    page = (out / "market-report.html").read_text()
    assert "<script src" not in page
    assert "cdn.plot.ly" not in page.split("</script>")[-1]
    for words in ("Density of daily returns", "Autocorrelation of trade signs", "Depth by level", "daily volatility"):
        assert words in page
    assert all(f"<td>{profile.symbol}</td>" in page for profile in few)
    assert page.count("<td class='") == 7 * len(few), "each instrument's bands"


def test_too_few_days_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="fewer than 30 days"):
        command_market.write_report(5, 7, tmp_path, None)


def test_a_scenario_needs_an_open_floor_a_known_symbol_and_a_possible_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEFLOOR_DATA", str(tmp_path))
    from trading.config import Settings

    with pytest.raises(Unavailable, match="not open"):
        command_market.ask_scenario(Settings(), "gap", "AAPL", None, None)
    monkeypatch.setattr(command_market.checks, "is_locked", lambda folder: True)
    for name, symbol, size in (("gap", "NOPE", None), ("flood", "AAPL", None), ("crash", "AAPL", 2.0)):
        with pytest.raises(Invalid):
            command_market.ask_scenario(Settings(), name, symbol, size, None)
    assert not (tmp_path / "market").exists()
    command_market.ask_scenario(Settings(), "gap", "aapl", 0.1, None)
    assert [path.suffix for path in (tmp_path / "market" / "scenarios").iterdir()] == [".json"]
