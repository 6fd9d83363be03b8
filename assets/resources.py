"""What assets stand on: the open floor, where models are tracked, and the parameters of the night's research."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from dagster import InitResourceContext, resource

from trading.bootstrap import open_floor
from trading.config import Settings
from trading.ml.tracking import Tracker
from trading.services.floor import Floor


@dataclass(frozen=True, slots=True)
class Research:
    """Parameters of the nightly research, in one place so that every asset agrees on them.

    ``source`` names whose daily bars models and backtests use; features are made for every source. ``cash`` is what a
    backtest starts with, in US dollars. ``horizon_bars`` is how far ahead the model looks; a series with fewer than
    ``minimum_bars`` is left out. ``seed`` starts everything random.
    """

    tracker: Tracker
    seed: int
    source: str = "wiki"
    cash: int = 100_000
    horizon_bars: int = 5
    minimum_bars: int = 120


@resource(description="The floor of this environment's settings, opened for the length of a run.")
def floor_resource(_: InitResourceContext) -> Iterator[Floor]:
    """Open the floor's ports, close them at the end."""
    with open_floor(Settings()) as floor:
        yield floor


@resource(description="Parameters of the night's research.")
def research_resource(_: InitResourceContext) -> Research:
    """MLflow's database comes from ``MLFLOW_TRACKING_URI``, else it is a SQLite file beside the artifacts."""
    settings = Settings()
    folder = settings.data_dir / "mlflow"
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    return Research(Tracker(uri, folder), settings.seed)
