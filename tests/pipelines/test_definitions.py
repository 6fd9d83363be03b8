"""What Dagster loads: definitions, the schedule, the sensor, and the files at the root."""

import os
import subprocess
import sys

import dagster as dg
import pytest
import yaml

from trading.config import PROJECT_ROOT
from trading.processes.environment import floor_variables


@pytest.fixture(scope="module")
def defs():
    from pipelines.definitions import defs

    return defs


@pytest.fixture
def inbox(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADEFLOOR_DATA", str(tmp_path))
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def watch(defs):
    """Evaluates the inbox sensor as the daemon does, with the cursor of the evaluation before."""
    cursor = None

    def evaluate():
        nonlocal cursor
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance, cursor=cursor)
            data = defs.resolve_sensor_def("inbox_sensor").evaluate_tick(context)
        cursor = data.cursor
        return [request.run_key for request in data.run_requests or []]

    return evaluate


def test_every_asset_is_grouped_described_owned_and_tagged(defs):
    graph = defs.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    assert {node.group_name for node in nodes} == {"market_data", "features", "models", "backtests", "ledger"}
    for node in nodes:
        assert node.description, node.key
        assert node.owners, node.key
        assert node.kinds, node.key
        assert node.tags, node.key


def test_the_ledgers_check_and_the_checks_of_data_block(defs):
    graph = defs.resolve_asset_graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert {"no_breaks", "bars_are_sound", "features_are_complete", "sma_cross_books_balance"} <= blocking


def test_the_night_runs_by_itself_from_the_first_start(defs):
    schedule = defs.resolve_schedule_def("every_night")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.job.name == "nightly"
    assert defs.resolve_sensor_def("inbox_sensor").default_status is dg.DefaultSensorStatus.RUNNING


def test_an_empty_or_missing_inbox_asks_for_nothing(inbox, watch):
    assert watch() == []
    inbox.rmdir()
    assert watch() == []


def test_a_dropped_file_is_asked_for_once_it_has_settled_and_only_once(inbox, watch):
    path = inbox / "AAPL.csv"
    path.write_text("ts,close\n")
    assert watch() == []  # it may still be arriving
    (first,) = watch()
    assert watch() == [first]  # the same key again: Dagster starts no second run
    path.write_text("ts,close\n2020-01-01,1\n")
    assert watch() == []
    (changed,) = watch()
    assert changed != first


def test_hidden_files_folders_and_links_in_the_inbox_are_left_alone(inbox, watch, tmp_path):
    (inbox / ".gitkeep").write_text("")
    (inbox / "taken").mkdir()
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("x")
    os.symlink(elsewhere, inbox / "link.csv")
    assert watch() == []
    assert watch() == []


def test_dagster_yaml_is_understood_and_keeps_its_state_outside_the_repository(monkeypatch):
    from dagster._core.instance.config import dagster_instance_config

    monkeypatch.setenv("TRADEFLOOR_DAGSTER_PG_URL", "postgresql+psycopg2://x/y")
    monkeypatch.setenv("TRADEFLOOR_DAGSTER_STORAGE", "/tmp/x")
    config, _ = dagster_instance_config(str(PROJECT_ROOT))
    assert config["telemetry"] == {"enabled": False}
    assert config["storage"]["postgres"]["postgres_url"] == {"env": "TRADEFLOOR_DAGSTER_PG_URL"}
    assert config["concurrency"]["runs"]["max_concurrent_runs"] == 1


def test_workspace_yaml_names_the_pipelines_and_pyproject_does_not_override_it():
    workspace = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text())
    module = workspace["load_from"][0]["python_module"]
    assert (module["module_name"], module["location_name"]) == ("pipelines.definitions", "tradefloor")
    assert "[tool.dagster]" not in (PROJECT_ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "command", [("definitions", "validate"), ("asset", "list", "-m", "pipelines.definitions")], ids=" ".join
)
def test_a_data_engineers_own_dagster_commands_work_beside_the_floor(settings, command):
    environment = {**os.environ, **floor_variables(settings)}
    ran = subprocess.run(
        [sys.executable, "-m", "dagster", *command],
        cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    if "list" in command:
        assert {"shipped_bars", "features", "ledger_reconciliation", "nightly_report"} <= set(ran.stdout.split())
