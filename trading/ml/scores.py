"""How good probabilities are, against labels 0 and 1. Without rows every score is NaN."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]


def hit_rate(labels: Labels, probabilities: Floats) -> float:
    """Share of rows where a probability of at least one half goes with label 1, or less with 0."""
    if len(labels) == 0:
        return float("nan")
    return float(np.mean((probabilities >= 0.5) == (labels == 1)))


def log_loss(labels: Labels, probabilities: Floats) -> float:
    """Mean negative log-likelihood in nats (Good, Rational Decisions, 1952); probabilities stay 1e-15 off 0 and 1."""
    if len(labels) == 0:
        return float("nan")
    kept = np.clip(probabilities, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(labels == 1, np.log(kept), np.log1p(-kept))))


def auc(labels: Labels, probabilities: Floats) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic, ties counted half (Hanley and McNeil, 1982).

    NaN where one of the two labels is missing.
    """
    positive = int(np.sum(labels == 1))
    negative = len(labels) - positive
    if positive == 0 or negative == 0:
        return float("nan")
    _, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2.0
    rank_sum = float(np.sum(mean_rank[inverse][labels == 1]))
    return (rank_sum - positive * (positive + 1) / 2.0) / (positive * negative)
