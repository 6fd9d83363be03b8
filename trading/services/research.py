"""What research found: kept by the pipelines, read by the screens."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from trading.backtest.result import BacktestResult
from trading.domain.errors import NotFound
from trading.ml.models import WalkForward
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.ports.jobs import JobRun
from trading.services.ports.lake import LakeFile

PIPELINES = {Role.SYSTEM: Reach.NO_PORTFOLIO}
DESK = {Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class BacktestSummary:
    """One kept backtest. ``metrics`` by name as in `trading.backtest.metrics.Metrics`, None where undefined;
    money in minor units of ``currency``, which has ``scale`` decimal places. Times are UTC.
    """

    name: str
    symbols: tuple[str, ...]
    params: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    currency: str
    scale: int
    first: pd.Timestamp
    last: pd.Timestamp


@dataclass(frozen=True, slots=True)
class BacktestDetail:
    """A backtest with its frames, columns as in `trading.backtest.result.BacktestResult`."""

    summary: BacktestSummary
    equity: pd.DataFrame
    fills: pd.DataFrame
    actions: pd.DataFrame


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """The newest walk-forward run of a model. ``scores`` over all out-of-sample predictions: hit_rate, auc, log_loss,
    and the same two of always predicting the training share (baseline_*). ``folds``: fold, test_start, train_rows,
    test_rows, scored_rows and the scores. ``importance``: feature, gain (share of 1). ``tracking_id`` is MLflow's run.
    """

    name: str
    params: Mapping[str, Any]
    scores: Mapping[str, float | None]
    folds: pd.DataFrame
    importance: pd.DataFrame
    tracking_id: str


# The pipelines write ------------------------------------------------------------------------------------------------


@operation(PIPELINES)
def keep_backtest(
    floor: Floor, actor: Actor, result: BacktestResult, symbols: Sequence[str], params: Mapping[str, Any]
) -> LakeFile:
    """Replace the kept backtest of this name; returns the equity curve's file, whose hash names the result."""
    name = result.strategy
    floor.lake.write("backtests", f"{name}/fills", result.fills, replace=True)
    floor.lake.write("backtests", f"{name}/actions", result.actions, replace=True)
    meta = {
        "symbols": list(symbols),
        "params": dict(params),
        "metrics": _finite(result.metrics.as_dict()),
        "currency": result.currency.code,
        "scale": result.currency.scale,
    }
    return floor.lake.write("backtests", f"{name}/equity", result.equity, meta=meta, replace=True)


@operation(PIPELINES)
def keep_model(
    floor: Floor, actor: Actor, name: str, run: WalkForward, params: Mapping[str, Any], tracking_id: str
) -> LakeFile:
    """Replace the kept model run of this name and its signals; returns the signals' file."""
    floor.lake.write("models", f"{name}/importance", run.importance, replace=True)
    meta = {"params": dict(params), "scores": _finite(run.scores), "tracking_id": tracking_id}
    floor.lake.write("models", f"{name}/folds", run.folds, meta=meta, replace=True)
    return floor.lake.write("signals", name, run.predictions, meta={"tracking_id": tracking_id}, replace=True)


@operation(PIPELINES)
def keep_sweep(floor: Floor, actor: Actor, name: str, table: pd.DataFrame, params: Mapping[str, Any]) -> LakeFile:
    """Replace the kept sweep of this name."""
    return floor.lake.write("sweeps", name, table, meta={"params": dict(params)}, replace=True)


# The screens read ---------------------------------------------------------------------------------------------------


@operation(DESK)
def backtests(floor: Floor, actor: Actor) -> Sequence[BacktestSummary]:
    """All kept backtests, by name; empty until the first night is over."""
    files = [file for file in floor.lake.files("backtests") if file.series.endswith("/equity")]
    return sorted((_summary(file) for file in files), key=lambda summary: summary.name)


@operation(DESK)
def backtest(floor: Floor, actor: Actor, name: str) -> BacktestDetail:
    """One kept backtest with its equity curve and fills; `NotFound` where there is none of this name."""
    found = [file for file in floor.lake.files("backtests") if file.series == f"{name}/equity"]
    if not found:
        raise NotFound(f"there is no backtest called {name}")
    frames = [floor.lake.read("backtests", f"{name}/{part}") for part in ("equity", "fills", "actions")]
    return BacktestDetail(_summary(found[-1]), *frames)


@operation(DESK)
def models(floor: Floor, actor: Actor) -> Sequence[ModelSummary]:
    """The newest run of each model, by name; empty until the first night is over."""
    found = []
    for file in floor.lake.files("models"):
        name, _, part = file.series.rpartition("/")
        if part == "folds":
            folds = floor.lake.read("models", file.series).sort_values("fold", ignore_index=True)
            importance = floor.lake.read("models", f"{name}/importance")
            meta = file.meta
            found.append(ModelSummary(name, meta["params"], meta["scores"], folds, importance, meta["tracking_id"]))
    return sorted(found, key=lambda model: model.name)


@operation(DESK)
def sweep(floor: Floor, actor: Actor, name: str = "sma_cross") -> pd.DataFrame:
    """The kept sweep, best first, with the columns of `trading.backtest.sweep.sma_sweep`; `NotFound` without one."""
    if not floor.lake.files("sweeps", name):
        raise NotFound(f"there is no sweep called {name}")
    table = floor.lake.read("sweeps", name)
    return table.sort_values(["sharpe", "fast", "slow"], ascending=[False, True, True], ignore_index=True)


@operation(DESK)
def pipeline_runs(floor: Floor, actor: Actor, limit: int = 20) -> Sequence[JobRun]:
    """The pipelines' newest runs; `Unavailable` while their runner does not answer."""
    return floor.jobs.recent_runs(limit)


@operation({Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO})
def run_nightly(floor: Floor, actor: Actor) -> str:
    """Queue the nightly job now; returns the run's id. Queued twice it runs twice, with the same result."""
    return floor.jobs.launch("nightly")


def _summary(file: LakeFile) -> BacktestSummary:
    meta = file.meta
    return BacktestSummary(
        name=file.series.removesuffix("/equity"),
        symbols=tuple(meta["symbols"]),
        params=meta["params"],
        metrics=meta["metrics"],
        currency=meta["currency"],
        scale=meta["scale"],
        first=pd.Timestamp(file.ts_min_ns, unit="ns", tz="UTC"),
        last=pd.Timestamp(file.ts_max_ns, unit="ns", tz="UTC"),
    )


def _finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """NaN has no place in JSON."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}
