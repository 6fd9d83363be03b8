"""Everything Dagster loads."""

from dagster import Definitions, load_asset_checks_from_modules, load_assets_from_modules

from assets import backtests, bars, features, ledger, models
from assets.resources import floor_resource, research_resource
from pipelines.jobs import nightly, take_inbox
from pipelines.schedules import every_night
from pipelines.sensors import inbox_sensor

_MODULES = [bars, features, models, backtests, ledger]

defs = Definitions(
    assets=load_assets_from_modules(_MODULES),
    asset_checks=load_asset_checks_from_modules(_MODULES),
    jobs=[nightly, take_inbox],
    schedules=[every_night],
    sensors=[inbox_sensor],
    resources={"floor": floor_resource, "research": research_resource},
)
