"""When jobs run by themselves."""

from dagster import DefaultScheduleStatus, ScheduleDefinition

from pipelines.jobs import nightly

every_night = ScheduleDefinition(
    name="every_night",
    job=nightly,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="The nightly job at 02:00 UTC.",
)
