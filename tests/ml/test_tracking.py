"""Runs are kept in MLflow on the real PostgreSQL."""

import pandas as pd
import pytest

from trading.domain.errors import Unavailable
from trading.ml.tracking import TrackedRun, Tracker, keep


def test_a_run_can_be_read_back_with_its_scores_and_files(servers, tmp_path):
    uri = servers.dsn("tf_mlflow", "mlflow").replace("postgresql://", "postgresql+psycopg://")
    series = pd.DataFrame({"auc": [0.5, 0.6], "log_loss": [0.7, float("nan")]})
    run = TrackedRun(
        "tracking-test", "night", {"rounds": 5}, {"auc": 0.55, "gone": float("nan")}, series,
        {"folds": series}, {"model.json": b"{}"},
    )  # fmt: skip
    run_id = keep(Tracker(uri, tmp_path), run, 1_700_000_000_000_000_000)

    from mlflow import MlflowClient  # after `keep`, which knows how to import it quietly

    kept = MlflowClient(tracking_uri=uri).get_run(run_id)
    assert kept.data.params == {"rounds": "5"}
    assert kept.data.metrics == {"auc": 0.55, "by_fold/auc": 0.6, "by_fold/log_loss": 0.7}
    assert kept.info.status == "FINISHED"
    artifacts = tmp_path / "tracking-test" / run_id / "artifacts"
    assert {path.name for path in artifacts.iterdir()} == {"folds.csv", "model.json"}


def test_an_unreachable_store_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="MLflow"):
        keep(Tracker(f"sqlite:///{tmp_path}/file/x.db", tmp_path), TrackedRun("e", "n", {}, {}), 0)
