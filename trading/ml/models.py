"""Gradient-boosted trees, trained fold by fold, predicting only what they have not seen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from trading.ml.scores import auc, hit_rate, log_loss
from trading.ml.walk_forward import Plan, folds


@dataclass(frozen=True, slots=True)
class BoostingParams:
    """XGBoost's parameters (Chen and Guestrin, KDD 2016): shallow and slow, as returns are nearly noise.

    One thread: on a busy machine OpenMP's threads wait for each other by spinning, seven times slower than one alone.
    """

    rounds: int = 60
    max_depth: int = 3
    learning_rate: float = 0.05
    subsample: float = 0.8
    colsample: float = 0.8
    min_child_weight: float = 20.0
    threads: int = 1

    def for_xgboost(self, seed: int) -> dict[str, object]:
        """The dictionary XGBoost wants. The histogram method on CPU gives the same trees for the same seed."""
        return {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample,
            "min_child_weight": self.min_child_weight,
            "nthread": self.threads,
            "seed": seed,
            "verbosity": 0,
        }


@dataclass(frozen=True, slots=True)
class WalkForward:
    """What a walk-forward run found.

    ``predictions``: ts, symbol, fold, probability_up, label, each row predicted by a model that was trained on earlier
    bars alone. ``folds``: a row a fold with its sizes and scores. ``scores``: over all predictions. ``importance``:
    mean gain of each feature over the folds, shares of 1. ``model``: the last fold's booster as XGBoost JSON.
    """

    predictions: pd.DataFrame
    folds: pd.DataFrame
    scores: dict[str, float]
    importance: pd.DataFrame
    model: bytes


def walk_forward(
    table: pd.DataFrame, feature_names: Sequence[str], plan: Plan, params: BoostingParams, seed: int
) -> WalkForward:
    """Train and test through time. ``table`` has ts, symbol, the features, label and label_end, one row a bar.

    Rows are ordered by ts and symbol first, so the result does not depend on how they came. Raises ValueError where the
    history is too short for one fold.
    """
    import xgboost as xgb  # a code server that does not train should not load it

    table = table.sort_values(["ts", "symbol"], ignore_index=True)
    values = table[list(feature_names)].to_numpy(dtype=np.float32)
    labels = table["label"].to_numpy(dtype=np.float64)
    parts, rows, gains, booster = [], [], [], None
    for fold in folds(table["ts"], table["label_end"], plan):
        train = xgb.DMatrix(values[fold.train], label=labels[fold.train], feature_names=list(feature_names))
        booster = xgb.train(params.for_xgboost(seed + fold.number), train, num_boost_round=params.rounds)
        test = xgb.DMatrix(values[fold.test], feature_names=list(feature_names))
        probability = booster.predict(test).astype(np.float64)
        part = table.loc[fold.test, ["ts", "symbol", "label"]].assign(fold=fold.number, probability_up=probability)
        parts.append(part)
        gains.append(booster.get_score(importance_type="total_gain"))
        rows.append(
            {
                "fold": fold.number,
                "test_start": fold.test_start,
                "train_rows": len(fold.train),
                "test_rows": len(fold.test),
                "scored_rows": int(part["label"].notna().sum()),
                **_scores(part, float(labels[fold.train].mean())),
            }
        )
    if booster is None:
        raise ValueError("the history is too short for one walk-forward fold")
    predictions = pd.concat(parts, ignore_index=True)[["ts", "symbol", "fold", "probability_up", "label"]]
    overall = _overall(predictions, pd.DataFrame(rows))
    return WalkForward(
        predictions, pd.DataFrame(rows), overall, _importance(gains, feature_names), bytes(booster.save_raw("json"))
    )


def _scores(part: pd.DataFrame, train_share: float) -> dict[str, float]:
    """Scores of one fold, beside those of always predicting the training rows' share of label 1."""
    known = part[part["label"].notna()]
    labels = known["label"].to_numpy(dtype=np.int8)
    probability = known["probability_up"].to_numpy(dtype=np.float64)
    constant = np.full(len(labels), train_share)
    return {
        "hit_rate": hit_rate(labels, probability),
        "auc": auc(labels, probability),
        "log_loss": log_loss(labels, probability),
        "baseline_hit_rate": hit_rate(labels, constant),
        "baseline_log_loss": log_loss(labels, constant),
    }


def _overall(predictions: pd.DataFrame, by_fold: pd.DataFrame) -> dict[str, float]:
    scored = by_fold[by_fold["scored_rows"] > 0]
    weights = scored["scored_rows"].to_numpy(dtype=np.float64)
    overall = _scores(predictions, 0.5)
    for name in ("baseline_hit_rate", "baseline_log_loss"):
        overall[name] = float(np.average(scored[name], weights=weights))
    return {**overall, "folds": float(len(by_fold)), "rows": float(weights.sum())}


def _importance(gains: Sequence[dict[str, float]], feature_names: Sequence[str]) -> pd.DataFrame:
    mean = np.array([np.mean([gain.get(name, 0.0) for gain in gains]) for name in feature_names])
    share = mean / mean.sum() if mean.sum() > 0 else mean
    table = pd.DataFrame({"feature": list(feature_names), "gain": share})
    return table.sort_values("gain", ascending=False, ignore_index=True, kind="stable")


def params_of(plan: Plan, params: BoostingParams, **more: object) -> dict[str, object]:
    """Everything a tracked run was made with, flat."""
    return {**asdict(plan), **asdict(params), **more}
