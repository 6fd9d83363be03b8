"""Folds, labels and models: training never touches what it is tested on."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.ml.labels import forward_sign
from trading.ml.models import BoostingParams, walk_forward
from trading.ml.scores import auc, hit_rate, log_loss
from trading.ml.walk_forward import Plan, folds


def days(count):
    return pd.Series(pd.date_range("2020-01-01", periods=count, tz="UTC").as_unit("ns"))


@settings(deadline=None)
@given(
    count=st.integers(10, 120),
    symbols=st.integers(1, 3),
    horizon=st.integers(1, 8),
    first=st.integers(1, 40),
    test=st.integers(1, 30),
    embargo=st.integers(0, 6),
    rolling=st.none() | st.integers(1, 30),
)
def test_no_training_label_reaches_into_the_test_block(count, symbols, horizon, first, test, embargo, rolling):
    ts = pd.concat([days(count)] * symbols, ignore_index=True)
    label_end = pd.concat([days(count).shift(-horizon)] * symbols, ignore_index=True)
    seen = []
    for fold in folds(ts, label_end, Plan(first, test, embargo, rolling)):
        start = fold.test_start
        assert (label_end[fold.train] < start).all()
        assert (ts[fold.train] <= start - pd.Timedelta(days=embargo + 1)).all()
        assert (ts[fold.test] >= start).all()
        if rolling is not None:
            assert ts[fold.train].nunique() <= rolling
        seen.extend(fold.test)
    assert len(seen) == len(set(seen))


def test_every_row_after_the_first_training_block_is_tested_once():
    ts, ends = days(100), days(100).shift(-5)
    tested = np.concatenate([fold.test for fold in folds(ts, ends, Plan(40, 25, 2))])
    assert list(tested) == list(range(40, 100))


def test_the_label_of_a_five_day_horizon_is_known_five_bars_later():
    bars = pd.DataFrame({"ts": days(8), "close": [10.0, 11, 12, 13, 14, 9, 12, 12]})
    labels = forward_sign(bars, 5)
    assert labels["label"].tolist()[:3] == [0.0, 1.0, 0.0]
    assert labels["label"][3:].isna().all()
    assert labels["label_end"][0] == bars["ts"][5]


def test_a_split_does_not_make_a_label():
    closes = {name: [100.0, 101, 51, 52] for name in ("open", "high", "low", "close")}
    bars = pd.DataFrame({"ts": days(4), **closes, "volume": 1.0, "adj_close": [50.0, 50.5, 51, 52]})
    assert forward_sign(bars, 1)["label"].tolist()[:3] == [1.0, 1.0, 1.0]


def table(rows=600, leak=0.0):
    rng = np.random.default_rng(7)
    noise = rng.normal(size=rows)
    label = (rng.normal(size=rows) + leak * noise > 0).astype(float)
    frame = pd.DataFrame({"ts": days(rows), "symbol": "A", "x": noise, "y": rng.normal(size=rows), "label": label})
    frame["label_end"] = frame["ts"].shift(-1)
    frame.loc[rows - 1, "label"] = np.nan
    return frame


SMALL = BoostingParams(rounds=15, min_child_weight=1.0, threads=1)


def test_the_same_seed_gives_the_same_predictions_in_any_row_order():
    frame = table(leak=2.0)
    one = walk_forward(frame, ["x", "y"], Plan(200, 100, 2), SMALL, seed=3)
    two = walk_forward(frame.sample(frac=1.0, random_state=5), ["x", "y"], Plan(200, 100, 2), SMALL, seed=3)
    pd.testing.assert_frame_equal(one.predictions, two.predictions, check_exact=True)
    assert one.model == two.model


def test_a_model_finds_a_real_relation_and_none_in_noise():
    real = walk_forward(table(leak=3.0), ["x", "y"], Plan(200, 100, 2), SMALL, seed=3)
    noise = walk_forward(table(leak=0.0), ["x", "y"], Plan(200, 100, 2), SMALL, seed=3)
    assert real.scores["auc"] > 0.85
    assert real.scores["log_loss"] < real.scores["baseline_log_loss"]
    assert real.importance["feature"][0] == "x"
    assert 0.4 < noise.scores["auc"] < 0.6


def test_changing_the_future_does_not_change_earlier_predictions():
    frame = table(leak=1.0)
    changed = frame.copy()
    changed.loc[400:, ["x", "y"]] = 9.0
    changed.loc[400:598, "label"] = 1.0
    one = walk_forward(frame, ["x", "y"], Plan(200, 100, 2), SMALL, seed=3).predictions
    two = walk_forward(changed, ["x", "y"], Plan(200, 100, 2), SMALL, seed=3).predictions
    pd.testing.assert_frame_equal(one[one["fold"] < 2], two[two["fold"] < 2])


def test_the_newest_rows_are_predicted_though_their_label_is_not_known():
    result = walk_forward(table(), ["x", "y"], Plan(200, 100, 2), SMALL, seed=3)
    assert len(result.predictions) == 400
    assert result.folds["scored_rows"].sum() == 399


def test_too_short_a_history_is_said_plainly():
    with pytest.raises(ValueError, match="too short"):
        walk_forward(table(50), ["x", "y"], Plan(200, 100, 2), SMALL, seed=3)


def test_scores_agree_with_their_definitions():
    labels = np.array([1, 0, 1, 0], dtype=np.int8)
    guess = np.array([0.9, 0.6, 0.6, 0.1])
    pairs = [(0.9, 0.6), (0.9, 0.1), (0.6, 0.6), (0.6, 0.1)]
    assert auc(labels, guess) == sum(1.0 if a > b else 0.5 for a, b in pairs) / 4
    assert hit_rate(labels, guess) == 0.75
    assert log_loss(labels, guess) == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.6, 0.9])))
    assert np.isnan(auc(np.ones(3, dtype=np.int8), np.array([0.1, 0.2, 0.3])))
