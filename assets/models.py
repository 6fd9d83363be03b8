"""The walk-forward model: trained fold by fold, tracked in MLflow, its out-of-sample predictions kept as signals."""

import pandas as pd
from dagster import AssetCheckResult, AssetCheckSeverity, MaterializeResult, ResourceParam, asset, asset_check

from assets import show
from assets.features import daily_features
from assets.research_universe import daily_bars
from assets.resources import Research
from trading.ml.features import FEATURES
from trading.ml.labels import forward_sign
from trading.ml.models import BoostingParams, params_of, walk_forward
from trading.ml.tracking import TrackedRun, keep
from trading.ml.walk_forward import Plan
from trading.services import research as research_service
from trading.services.access import SYSTEM
from trading.services.floor import Floor

GROUP = "models"
MODEL = "xgboost_direction"
TOO_GOOD_AUC = 0.65


@asset(
    group_name=GROUP,
    deps=[daily_features],
    kinds={"xgboost", "mlflow"},
    owners=["team:research"],
    tags={"domain": "research"},
    description="XGBoost on the sign of the next five days' return, walk-forward with purge and embargo. "
    "Each prediction comes from a model trained on earlier bars alone.",
)
def model_signals(floor: ResourceParam[Floor], research: ResourceParam[Research]) -> MaterializeResult:
    """Train and test through time, keep the run in MLflow and the predictions in the lake."""
    table = floor.lake.read("features", f"{research.source}/D1")
    bars = daily_bars(floor, research.source, research.minimum_bars)
    labels = [forward_sign(frame, research.horizon_bars).assign(symbol=symbol) for symbol, frame in bars.items()]
    table = table.merge(pd.concat(labels, ignore_index=True), on=["ts", "symbol"], how="left")
    plan, boosting, seed = Plan(embargo_bars=research.horizon_bars), BoostingParams(), research.seed
    run = walk_forward(table, list(FEATURES), plan, boosting, seed)
    params = params_of(plan, boosting, seed=seed, horizon_bars=research.horizon_bars, symbols=len(bars))
    tracked = TrackedRun(
        MODEL,
        "nightly",
        params,
        run.scores,
        run.folds[["hit_rate", "auc", "log_loss"]],
        {"folds": run.folds, "importance": run.importance},
        {"model.json": run.model},
    )
    tracking_id = keep(research.tracker, tracked, floor.clock.now_ns())
    kept = research_service.keep_model(floor, SYSTEM, MODEL, run, params, tracking_id)
    return MaterializeResult(
        data_version=show.version([kept.sha256]),
        metadata={
            "dagster/row_count": len(run.predictions),
            "mlflow_run": tracking_id,
            "auc": round(run.scores["auc"], 4),
            "hit_rate": round(run.scores["hit_rate"], 4),
            "log_loss": round(run.scores["log_loss"], 4),
            "baseline_log_loss": round(run.scores["baseline_log_loss"], 4),
            "folds": show.table(run.folds),
            "importance": show.bars("Share of gain, mean over folds", run.importance.set_index("feature")["gain"]),
        },
    )


@asset_check(
    asset=model_signals, blocking=True, description="Every prediction is a probability, made once for each bar."
)
def predictions_are_probabilities(floor: ResourceParam[Floor]) -> AssetCheckResult:
    """Look at what was kept, not at what was computed."""
    kept = floor.lake.read("signals", MODEL)
    outside = int((~kept["probability_up"].between(0.0, 1.0)).sum())
    twice = int(kept.duplicated(["ts", "symbol"]).sum())
    return AssetCheckResult(
        passed=len(kept) > 0 and outside == 0 and twice == 0,
        severity=AssetCheckSeverity.ERROR,
        metadata={"rows": len(kept), "not_a_probability": outside, "duplicates": twice},
    )


@asset_check(
    asset=model_signals,
    description=f"Daily returns are nearly noise: an area under the curve above {TOO_GOOD_AUC} means that a feature "
    "sees the future.",
)
def model_is_not_too_good(floor: ResourceParam[Floor]) -> AssetCheckResult:
    """A leak shows as skill that nobody has."""
    found = {model.name: model.scores["auc"] for model in research_service.models(floor, SYSTEM)}[MODEL]
    return AssetCheckResult(
        passed=found is not None and found <= TOO_GOOD_AUC,
        severity=AssetCheckSeverity.WARN,
        metadata={"auc": found or 0.0},
    )
