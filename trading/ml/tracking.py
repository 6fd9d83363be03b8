"""Keeps runs in MLflow: what a model was made with, how it scored, and the files that belong to it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from trading.domain.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where runs are kept: ``uri`` names MLflow's database, ``artifact_dir`` the folder for files."""

    uri: str
    artifact_dir: Path


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """One run to keep. ``series`` are metrics by step (a column each, the row number is the step)."""

    experiment: str
    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    series: pd.DataFrame = field(default_factory=pd.DataFrame)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


def keep(tracker: Tracker, run: TrackedRun, now_ns: int) -> str:
    """Write the run as of ``now_ns`` (UTC); returns MLflow's run id. Raises `Unavailable` where MLflow cannot write.

    The first call on a new database makes MLflow's tables, which takes some ten seconds. NaN metrics are left out.
    """
    with warnings.catch_warnings():
        # MLflow's models use what SQLAlchemy 2.1 deprecates; nothing here can mend that.
        warnings.simplefilter("ignore", DeprecationWarning)
        # MLflow takes two seconds and 150 MB to import: only who tracks pays.
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            client = MlflowClient(tracking_uri=tracker.uri)
            found = client.get_experiment_by_name(run.experiment)
            if found is None:
                folder = (tracker.artifact_dir / run.experiment).resolve()
                experiment_id = client.create_experiment(run.experiment, artifact_location=folder.as_uri())
            else:
                experiment_id = found.experiment_id
            run_id: str = client.create_run(experiment_id, run_name=run.name).info.run_id
            _write(client, run_id, run, now_ns // 1_000_000)
            client.set_terminated(run_id)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise Unavailable(f"MLflow could not keep the run: {error}") from error
        return run_id


def _write(client: Any, run_id: str, run: TrackedRun, now_ms: int) -> None:
    from mlflow.entities import Metric, Param

    metrics = [Metric(name, float(value), now_ms, 0) for name, value in run.metrics.items() if value == value]
    for name in run.series.columns:
        steps = enumerate(run.series[name].astype(float))
        metrics += [Metric(f"by_fold/{name}", value, now_ms, step) for step, value in steps if value == value]
    params = [Param(name, str(value)) for name, value in run.params.items()]
    client.log_batch(run_id, metrics=metrics, params=params)
    for name, table in run.tables.items():
        client.log_text(run_id, table.to_csv(index=False), f"{name}.csv")
    for name, content in run.files.items():
        client.log_text(run_id, content.decode(), name)
