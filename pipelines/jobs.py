"""What runs at night, and when a file arrives. A run is one process: each step in its own would cost three seconds."""

from dagster import AssetSelection, define_asset_job, in_process_executor

NIGHT_S = 1800

nightly = define_asset_job(
    "nightly",
    selection=AssetSelection.all(),
    description="Everything: bars, features, model, backtests, sweep, reconciliation, report.",
    executor_def=in_process_executor,
    tags={"dagster/max_runtime": str(NIGHT_S)},
)

take_inbox = define_asset_job(
    "take_inbox",
    selection=AssetSelection.assets("inbox_bars", "validated_bars"),
    description="Take the files that lie in data/inbox, then look at the lake's bars again.",
    executor_def=in_process_executor,
    tags={"dagster/max_runtime": str(NIGHT_S)},
)
