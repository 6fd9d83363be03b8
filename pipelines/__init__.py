"""Dagster definitions: jobs, schedules, sensors."""
