"""The night on the shipped data, on the real PostgreSQL, a lake of its own and the real pipelines."""

import dagster as dg
import psycopg
import pytest

from trading.bootstrap import open_floor
from trading.domain.errors import Forbidden, NotFound
from trading.services import research
from trading.services.access import Actor, Role

TRADER = Actor(1, "tina", Role.TRADER)
KEPT = ("features", "signals", "models", "backtests", "sweeps")


@pytest.fixture
def defs(environment, monkeypatch):
    """The pipelines, with this test's floor in the environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from pipelines.definitions import defs

    return defs


def run(defs, job="nightly", keys=None):
    with dg.DagsterInstance.ephemeral() as instance:
        selection = None if keys is None else [dg.AssetKey(key) for key in keys]
        job_def = defs.resolve_job_def(job)
        return job_def.execute_in_process(instance=instance, raise_on_error=False, asset_selection=selection)


def made(result):
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}


def failed_checks(result):
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def kept_hashes(settings):
    with open_floor(settings) as floor:
        return {(name, file.series): file.sha256 for name in KEPT for file in floor.lake.files(name)}


def test_the_night_ends_green_and_a_second_one_keeps_the_same_content(defs, settings):
    first = run(defs)
    assert first.success, failed_checks(first)
    assert failed_checks(first) == set()
    hashes = kept_hashes(settings)
    assert {name for name, _ in hashes} == set(KEPT)

    second = run(defs)
    assert second.success
    assert kept_hashes(settings) == hashes

    with open_floor(settings) as floor:
        names = [summary.name for summary in research.backtests(floor, TRADER)]
        assert names == ["model_signals", "sma_cross"]
        for name in names:
            detail = research.backtest(floor, TRADER, name)
            assert detail.equity["equity"].iloc[0] == 100_000_00
            assert (detail.equity["equity"] == detail.equity["cash"] + detail.equity["positions"]).all()
            assert detail.summary.metrics["fees"] == detail.fills["fee"].sum() > 0
            assert detail.summary.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
        (model,) = research.models(floor, TRADER)
        assert 0.4 < model.scores["auc"] < 0.6  # daily returns are nearly noise
        assert len(model.folds) == 11
        assert len(research.sweep(floor, TRADER)) == 15
        with pytest.raises(NotFound):
            research.backtest(floor, TRADER, "no such thing")
        nights = [row for row in floor.queries.reconciliations(10) if row["scope"] == "nightly"]
        assert [row["ok"] for row in nights] == [True, True]


def test_a_broken_ledger_line_turns_the_reconciliation_red_and_stops_the_report(defs, settings, database):
    with psycopg.connect(database.dsn("superuser"), autocommit=True) as connection:
        connection.execute("insert into app_user (username, display_name, role, password_hash) "
                           "values ('eve', 'Eve', 'trader', 'x')")  # fmt: skip
        connection.execute("insert into asset (code, kind, scale) values ('XXX', 'currency', 2)")
        connection.execute("insert into portfolio (owner_id, name, kind, currency_id) "
                           "select u.id, 'P', 'cash', a.id from app_user u, asset a where a.code = 'XXX'")  # fmt: skip
        # A cent that no transfer moved.
        connection.execute("insert into account (asset_id, kind, portfolio_id, posted, floor_zero) "
                           "select a.id, 'portfolio', p.id, 1, true from asset a, portfolio p "
                           "where a.code = 'XXX'")  # fmt: skip
    result = run(defs, keys=["ledger_reconciliation", "nightly_report"])
    assert not result.success
    assert failed_checks(result) == {"no_breaks"}
    assert made(result) == {"ledger_reconciliation"}
    with open_floor(settings) as floor:
        kept = floor.queries.reconciliations(1)[0]
        assert kept["scope"] == "nightly"
        assert kept["ok"] is False


def test_bars_that_break_their_order_stop_everything_built_on_them(defs, settings):
    assert run(defs, keys=["shipped_bars"]).success
    with open_floor(settings) as floor:
        bars = floor.lake.read("bars", "wiki/IBM/D1")
        bars.loc[5, "low"] = bars.loc[5, "high"] + 1
        floor.lake.write("bars", "wiki/IBM/D1", bars, replace=True)
    result = run(defs, keys=["validated_bars", "features"])
    assert not result.success
    assert failed_checks(result) == {"bars_are_sound"}
    assert made(result) == {"validated_bars"}


def test_observers_see_no_research_and_traders_cannot_write_it(settings):
    observer = Actor(3, "olga", Role.OBSERVER)
    with open_floor(settings) as floor:
        for read in (research.backtests, research.models, research.pipeline_runs, research.run_nightly):
            with pytest.raises(Forbidden):
                read(floor, observer)
        with pytest.raises(Forbidden):
            research.keep_sweep(floor, TRADER, "x", None, {})
